//! Tests of the reader with real models, and of each rule with a small file that breaks it.

mod rules;

use std::path::Path;

use super::*;

/// A small GGUF file to be changed before it is written.
#[derive(Clone)]
struct Sketch {
    version: u32,
    metadata: Vec<(String, GgufValue)>,
    /// Name, shape, type, offset (in order where `None`).
    tensors: Vec<(String, Vec<u64>, u32, Option<u64>)>,
}

impl Sketch {
    /// A model of one layer that passes all checks.
    fn model() -> Self {
        let mut sketch = Self { version: 3, metadata: Vec::new(), tensors: Vec::new() };
        sketch.set("general.architecture", text("llama"));
        for (key, value) in [
            ("context_length", 64),
            ("embedding_length", 32),
            ("block_count", 1),
            ("attention.head_count", 4),
            ("attention.head_count_kv", 2),
            ("rope.dimension_count", 8),
        ] {
            sketch.set(&format!("llama.{key}"), GgufValue::U32(value));
        }
        sketch.set("llama.attention.layer_norm_rms_epsilon", GgufValue::F32(1e-5));
        sketch.set("tokenizer.ggml.model", text("llama"));
        sketch.set("tokenizer.ggml.tokens", texts(["<unk>", "<s>", "</s>", "a"]));
        sketch.set("tokenizer.ggml.scores", GgufValue::Array(GgufArray::F32(vec![0.0; 4])));
        sketch.set("tokenizer.ggml.token_type", GgufValue::Array(GgufArray::I32(vec![2, 3, 3, 1])));
        sketch.tensor("token_embd.weight", [32, 4], 0);
        sketch.tensor("output_norm.weight", [32], 0);
        sketch.tensor("blk.0.attn_q.weight", [32, 32], 8);
        sketch
    }

    /// A model of an architecture that divides or asserts where llama does not.
    fn of(architecture: &str) -> Self {
        let mut sketch = Self::model();
        for (key, _) in &mut sketch.metadata {
            if let Some(rest) = key.strip_prefix("llama.") {
                *key = format!("{architecture}.{rest}");
            }
        }
        sketch.set("general.architecture", text(architecture));
        sketch
    }

    fn set(&mut self, key: &str, value: GgufValue) {
        self.remove(key);
        self.metadata.push((key.to_owned(), value));
    }

    fn number(&mut self, key: &str, value: u32) {
        self.set(key, GgufValue::U32(value));
    }

    fn remove(&mut self, key: &str) {
        self.metadata.retain(|(other, _)| other != key);
    }

    fn tensor<const N: usize>(&mut self, name: &str, shape: [u64; N], kind: u32) {
        self.tensors.push((name.to_owned(), shape.to_vec(), kind, None));
    }

    fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.version.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            put_text(&mut file, key);
            put_value(&mut file, value);
        }
        let mut next = 0;
        for (name, shape, kind, offset) in &self.tensors {
            put_text(&mut file, name);
            file.extend(u32::try_from(shape.len()).unwrap().to_le_bytes());
            shape.iter().for_each(|length| file.extend(length.to_le_bytes()));
            file.extend(kind.to_le_bytes());
            file.extend(offset.unwrap_or(next).to_le_bytes());
            let kind = TensorType::from_id(*kind).map_or((1, 1), |kind| (kind.block_size(), kind.type_size()));
            let elements = shape.iter().fold(1_u64, |n, &length| n.saturating_mul(length));
            next = next.saturating_add((elements / kind.0).saturating_mul(kind.1)).min(1 << 62).next_multiple_of(32);
        }
        let data = usize::try_from(next).unwrap().min(1 << 20);
        file.resize(file.len().next_multiple_of(32) + data, 0);
        file
    }

    fn check(&self) -> Result<(), GgufError> {
        Gguf::parse(&self.bytes())?.check()
    }
}

fn text(text: &str) -> GgufValue {
    GgufValue::String(text.to_owned())
}

fn texts<const N: usize>(list: [&str; N]) -> GgufValue {
    let ends = list.iter().scan(0, |end, text| {
        *end += u32::try_from(text.len()).unwrap();
        Some(*end)
    });
    GgufValue::Array(GgufArray::String(GgufStrings::new(list.concat().into_bytes(), ends.collect())))
}

fn put_text(file: &mut Vec<u8>, text: &str) {
    file.extend((text.len() as u64).to_le_bytes());
    file.extend(text.as_bytes());
}

/// Writes the types that the sketches use.
fn put_value(file: &mut Vec<u8>, value: &GgufValue) {
    let mut put = |id: u32, bytes: &[u8]| {
        file.extend(id.to_le_bytes());
        file.extend(bytes);
    };
    let array = |id: u32, count: usize| [&id.to_le_bytes()[..], &(count as u64).to_le_bytes()[..]].concat();
    match value {
        GgufValue::U8(n) => put(0, &[*n]),
        GgufValue::U16(n) => put(2, &n.to_le_bytes()),
        GgufValue::U32(n) => put(4, &n.to_le_bytes()),
        GgufValue::F32(x) => put(6, &x.to_le_bytes()),
        GgufValue::Bool(value) => put(7, &[u8::from(*value)]),
        GgufValue::U64(n) => put(10, &n.to_le_bytes()),
        GgufValue::String(text) => {
            put(8, &[]);
            put_text(file, text);
        }
        GgufValue::Array(GgufArray::String(list)) => {
            put(9, &array(8, list.len()));
            list.iter().for_each(|text| put_text(file, &text));
        }
        GgufValue::Array(GgufArray::F32(list)) => {
            put(9, &array(6, list.len()));
            list.iter().for_each(|x| file.extend(x.to_le_bytes()));
        }
        GgufValue::Array(GgufArray::I32(list)) => {
            put(9, &array(5, list.len()));
            list.iter().for_each(|n| file.extend(n.to_le_bytes()));
        }
        other => panic!("the tests write no {other:?}"),
    }
}

fn changed(mut sketch: Sketch, change: impl FnOnce(&mut Sketch)) -> Result<(), GgufError> {
    change(&mut sketch);
    sketch.check()
}

/// Asserts that a changed model gives an error of a certain shape.
macro_rules! refuses {
    ($what:literal, $sketch:expr, $change:expr, $($error:tt)+) => {{
        let error = changed($sketch, $change).expect_err($what);
        assert!(matches!(error, $($error)+), "{}: {error:?}", $what);
        assert!(!error.to_string().is_empty());
    }};
}

/// Asserts that a changed model is accepted.
macro_rules! accepts {
    ($what:literal, $sketch:expr, $change:expr) => {
        changed($sketch, $change).expect($what)
    };
}

use {accepts, refuses};

#[test]
fn real_models() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models");
    if !folder.parent().is_some_and(Path::is_dir) {
        println!("real_models did not run: {} is not there", folder.display());
        return;
    }
    // Path, architecture, entries, tensors, parameters, tokens, end of the list of tensors: from a reader in Python.
    let known: [(&str, &str, usize, usize, u64, usize, u64); 8] = [
        ("llm/stories260K-f32.gguf", "llama", 28, 47, 260_032, 512, 14_584),
        ("llm/stories260K-q8_0.gguf", "llama", 28, 47, 260_032, 512, 14_584),
        ("llm/babyllama-tok105-q8_0.gguf", "llama", 28, 47, 936_448, 105, 5_904),
        ("llm/babyllama-tok361-q8_0.gguf", "llama", 28, 47, 969_216, 361, 11_536),
        ("embed/all-MiniLM-L6-v2-q8_0.gguf", "bert", 26, 101, 22_565_376, 30_522, 633_557),
        ("mullama-tiny/mullama-tiny-q8_0.gguf", "llama", 30, 47, 3_214_080, 1_024, 27_904),
        ("mullama-tiny/mullama-tiny-f16.gguf", "llama", 29, 47, 3_214_080, 1_024, 27_860),
        ("mullama-tiny/mmproj-mullama-tiny-f16.gguf", "clip", 20, 73, 1_655_360, 0, 4_956),
    ];
    let mut fingerprints = Vec::new();
    for (path, architecture, entries, tensors, parameters, tokens, end) in known {
        let path = folder.join(path);
        let gguf = Gguf::open_checked(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(gguf.version(), 3);
        assert_eq!(gguf.architecture(), Some(architecture), "{}", path.display());
        assert_eq!((gguf.metadata().len(), gguf.tensors().len()), (entries, tensors), "{}", path.display());
        assert_eq!(gguf.parameter_count(), parameters, "{}", path.display());
        let list = gguf.get("tokenizer.ggml.tokens").and_then(GgufValue::as_array);
        assert_eq!(list.map_or(0, GgufArray::len), tokens, "{}", path.display());
        assert_eq!(gguf.data_offset(), end.next_multiple_of(32), "{}", path.display());
        assert_eq!(gguf.file_size(), path.metadata().unwrap().len());
        assert!(gguf.warnings().is_empty());
        fingerprints.push(gguf.fingerprint());

        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(Gguf::parse(&bytes).unwrap(), gguf);
        let short = Gguf::parse(&bytes[..bytes.len() - 64]).unwrap().check();
        assert!(matches!(short, Err(GgufError::TruncatedData { .. })), "{short:?}");
    }
    fingerprints.sort_unstable();
    fingerprints.dedup();
    assert_eq!(fingerprints.len(), known.len());
}

#[test]
fn values() {
    let mut sketch = Sketch::model();
    sketch.set("a", GgufValue::U64(u64::MAX));
    let gguf = Gguf::parse(&sketch.bytes()).unwrap();
    assert_eq!(gguf.get("a").map(|value| (value.as_u64(), value.as_i64())), Some((Some(u64::MAX), None)));
    assert_eq!(gguf.get("b"), None);
    let tokens = gguf.get("tokenizer.ggml.tokens").unwrap();
    assert_eq!(tokens.to_string(), r#"["<unk>", "<s>", "</s>", "a"]"#);
    assert_eq!(tokens.to_json(), serde_json::json!(["<unk>", "<s>", "</s>", "a"]));
    let long = GgufValue::Array(GgufArray::I32(vec![7; 9]));
    assert_eq!(long.to_string(), "[7, 7, 7, 7, … 9 in all]");
    assert_eq!(GgufValue::F64(f64::NAN).to_json(), serde_json::Value::Null);
    assert_eq!(GgufValue::I8(-1).as_i64(), Some(-1));
    assert_eq!(GgufValue::I8(-1).as_u64(), None);
    assert_eq!(GgufValue::U32(3).as_f64(), Some(3.0));
    let keys: Vec<_> = gguf.metadata().map(|(key, _)| key).collect();
    assert_eq!((keys[0], keys[keys.len() - 1]), ("general.architecture", "a"));
}

#[test]
fn fingerprints() {
    let (model, bytes) = (Sketch::model(), Sketch::model().bytes());
    let print = |bytes: &[u8]| Gguf::parse(bytes).unwrap().fingerprint();
    let mut other = bytes.clone();
    *other.last_mut().unwrap() = 1;
    assert_eq!(print(&other), print(&bytes), "the data does not count");
    other.push(0);
    assert_ne!(print(&other), print(&bytes), "the size does");
    let mut renamed = model;
    renamed.set("general.name", text("x"));
    assert_ne!(print(&renamed.bytes()), print(&bytes));
}

#[test]
fn containers() {
    Sketch::model().check().expect("the model is sound");
    accepts!("version 2", Sketch::model(), |s| s.version = 2);
    let parse = |bytes: &[u8]| Gguf::parse(bytes).map(drop);
    assert!(matches!(parse(b"GG"), Err(GgufError::NotGguf { magic: [b'G', b'G', 0, 0] })));
    assert!(matches!(parse(b"lmgg0123"), Err(GgufError::NotGguf { magic }) if &magic == b"lmgg"));
    refuses!("version 1", Sketch::model(), |s| s.version = 1, GgufError::Version { found: 1 });
    refuses!("version 4", Sketch::model(), |s| s.version = 4, GgufError::Version { found: 4 });
    refuses!("byte order", Sketch::model(), |s| s.version = 3_u32.swap_bytes(), GgufError::BigEndian);

    let sound = Sketch::model().bytes();
    let mut bytes = sound.clone();
    bytes[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(parse(&bytes), Err(GgufError::TooLarge { what: "number of tensors", .. })));
    let mut bytes = sound.clone();
    bytes[16..24].copy_from_slice(&60_000_u64.to_le_bytes());
    assert!(matches!(parse(&bytes), Err(GgufError::Truncated { what: "metadata", offset: 24, need: 840_000, .. })));
    let mut bytes = sound.clone();
    bytes[24..32].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    assert!(matches!(parse(&bytes), Err(GgufError::Truncated { what: "metadata key", offset: 32, .. })));
    // A sparse file may claim any size: the limit for headers holds before anything is allocated.
    let huge = read::read(&bytes[..], 1 << 50);
    assert!(matches!(huge, Err(GgufError::TooLarge { what: "size of the header", .. })));
    let data = Gguf::parse(&sound).unwrap().data_offset();
    for length in 0..usize::try_from(data).unwrap() {
        assert!(parse(&sound[..length]).is_err(), "{length} bytes are no header");
    }

    let key = |s: &mut Sketch, key: &str| s.metadata.push((key.to_owned(), GgufValue::U8(0)));
    refuses!(
        "empty key",
        Sketch::model(),
        |s| key(s, ""),
        GgufError::Metadata { problem: MetadataProblem::EmptyKey, .. }
    );
    refuses!(
        "NUL in a key",
        Sketch::model(),
        |s| key(s, "llama.block_count\0"),
        GgufError::Metadata { problem: MetadataProblem::InvalidKey, .. }
    );
    refuses!(
        "key twice",
        Sketch::model(),
        |s| key(s, "llama.block_count"),
        GgufError::Metadata { problem: MetadataProblem::Duplicate, .. }
    );
    let patched = |kind: [u8; 4]| {
        let mut sketch = Sketch::model();
        sketch.metadata.insert(0, ("k".to_owned(), GgufValue::Array(GgufArray::I32(vec![0; 8]))));
        let mut bytes = sketch.bytes();
        // Counts end at byte 24; the key with its length takes 9, the type "array" 4.
        bytes[37..41].copy_from_slice(&kind);
        Gguf::parse(&bytes).unwrap_err()
    };
    let problem = |error| match error {
        GgufError::Metadata { problem, .. } => problem,
        other => panic!("{other:?}"),
    };
    assert_eq!(problem(patched([9, 0, 0, 0])), MetadataProblem::NestedArray);
    assert_eq!(problem(patched([13, 0, 0, 0])), MetadataProblem::UnknownType { id: 13 });
    refuses!(
        "no architecture",
        Sketch::model(),
        |s| s.remove("general.architecture"),
        GgufError::Metadata { problem: MetadataProblem::Missing, .. }
    );
    for alignment in [0, 48] {
        refuses!(
            "alignment",
            Sketch::model(),
            |s| s.number("general.alignment", alignment),
            GgufError::Alignment { .. }
        );
    }
}

#[test]
fn tensors() {
    use TensorProblem as P;
    macro_rules! tensor {
        ($what:literal, $change:expr, $problem:pat) => {
            refuses!($what, Sketch::model(), $change, GgufError::Tensor { problem: $problem, .. });
        };
    }
    tensor!("name twice", |s| s.tensor("output_norm.weight", [32], 0), P::Duplicate);
    tensor!("long name", |s| s.tensor(&"x".repeat(64), [32], 0), P::LongName { bytes: 64 });
    tensor!("NUL in a name", |s| s.tensor("output.weight\0", [32], 0), P::InvalidName);
    tensor!("five dimensions", |s| s.tensor("x", [1; 5], 0), P::Dimensions { count: 5 });
    tensor!("no elements", |s| s.tensor("x", [32, 0], 0), P::EmptyDimension { axis: 1 });
    tensor!("overflow", |s| s.tensor("x", [1 << 32, 1 << 32], 0), P::Overflow);
    tensor!("overflow of bytes", |s| s.tensor("x", [1 << 62], 0), P::Overflow);
    tensor!("withdrawn type", |s| s.tensor("x", [32], 4), P::UnknownType { id: 4 });
    tensor!("unknown type", |s| s.tensor("x", [32], u32::MAX), P::UnknownType { .. });
    tensor!("partial block", |s| s.tensor("x", [33], 8), P::PartialBlock { row: 33, .. });
    tensor!("overlap", |s| s.tensors[1].3 = Some(0), P::Offset { found: 0, expected: 512 });
    tensor!("gap", |s| s.tensors[2].3 = Some(1 << 40), P::Offset { .. });
    let mut unaligned = Sketch::model();
    unaligned.number("general.alignment", 1);
    if Gguf::parse(&unaligned.bytes()).unwrap().data_offset().is_multiple_of(32) {
        unaligned.set("x", GgufValue::U8(0));
    }
    refuses!("unaligned", unaligned, |_s| {}, GgufError::Tensor { problem: P::Unaligned { align: 32, .. }, .. });
    tensor!("norm in f16", |s| s.tensor("blk.0.attn_norm.weight", [32], 1), P::Type { .. });
    tensor!("rotation in f16", |s| s.tensor("rope_freqs.weight", [32], 1), P::Type { .. });
    tensor!("weight in i32", |s| s.tensor("blk.0.ffn_up.weight", [32], 26), P::Type { .. });
    accepts!("routing table in i32", Sketch::model(), |s| s.tensor("blk.0.ffn_gate_tid2eid.weight", [32], 26));
    accepts!("a single number", Sketch::model(), |s| s.tensor("x", [], 0));
    refuses!("beyond the file", Sketch::model(), |s| s.tensor("x", [1 << 30], 0), GgufError::TruncatedData { .. });
}
