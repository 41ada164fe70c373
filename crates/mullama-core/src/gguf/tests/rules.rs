//! Tests of the rules for vocabularies, hyperparameters and split models, and of random damage.

use std::fs;

use proptest::prelude::*;

use super::*;

const TOKENS: &str = "tokenizer.ggml.tokens";

fn tokenizer(model: &str) -> Sketch {
    let mut sketch = Sketch::model();
    sketch.set("tokenizer.ggml.model", text(model));
    sketch.set("tokenizer.ggml.merges", texts([]));
    sketch
}

#[test]
fn vocabularies() {
    use VocabularyProblem as P;
    macro_rules! vocabulary {
        ($what:literal, $sketch:expr, $change:expr, $problem:pat) => {
            refuses!($what, $sketch, $change, GgufError::Vocabulary { problem: $problem });
        };
    }
    refuses!(
        "no tokenizer",
        Sketch::model(),
        |s| s.remove("tokenizer.ggml.model"),
        GgufError::Metadata { problem: MetadataProblem::Missing, .. }
    );
    vocabulary!("no tokens", Sketch::model(), |s| s.remove(TOKENS), P::NoTokens);
    vocabulary!("tokens of another type", Sketch::model(), |s| s.number(TOKENS, 1), P::NoTokens);
    vocabulary!("empty list", tokenizer("test"), |s| s.set(TOKENS, texts([])), P::NoTokens);
    accepts!("no vocabulary", tokenizer("none"), |s| s.remove(TOKENS));
    vocabulary!(
        "many empty tokens",
        tokenizer("no_vocab\0x"),
        |s| s.number("llama.vocab_size", u32::MAX),
        P::TooManyTokens { .. }
    );

    let twice = |list: [&str; 4]| {
        let mut sketch = Sketch::model();
        sketch.set(TOKENS, texts(list));
        match sketch.check() {
            Err(GgufError::Vocabulary { problem: P::DuplicateToken { first, second, text } }) => (first, second, text),
            other => panic!("{list:?}: {other:?}"),
        }
    };
    assert_eq!(twice(["a", "b", "c", "b"]), (1, 3, "b".to_owned()));
    assert_eq!(twice(["a\0x", "b", "c", "a\0y"]), (0, 3, "a".to_owned()), "C strings end at NUL");
    assert_eq!(twice(["x", "[EMPTY_2]", "", "y"]), (1, 2, "[EMPTY_2]".to_owned()));
    accepts!("empty tokens", Sketch::model(), |s| s.set(TOKENS, texts(["", "\0x", "", "[EMPTY_9]"])));

    let scores = |length| GgufValue::Array(GgufArray::F32(vec![0.0; length]));
    let types = |kind| GgufValue::Array(GgufArray::I32(vec![kind; 4]));
    vocabulary!(
        "few scores",
        Sketch::model(),
        |s| s.set("tokenizer.ggml.scores", scores(3)),
        P::Length { found: 3, tokens: 4, .. }
    );
    accepts!("many scores", Sketch::model(), |s| s.set("tokenizer.ggml.scores", scores(5)));

    let mut strange = Sketch::model();
    strange.number("tokenizer.ggml.padding_token_id", u32::MAX);
    strange.check().expect("llama.cpp takes a default");
    let warnings = Gguf::parse(&strange.bytes()).unwrap().warnings();
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        warnings[0].to_string(),
        "the vocabulary has 4 tokens but tokenizer.ggml.padding_token_id is 4294967295"
    );

    let end = |s: &mut Sketch| s.set("tokenizer.ggml.add_eos_token", GgufValue::Bool(true));
    vocabulary!(
        "no first token",
        Sketch::model(),
        |s| s.set(TOKENS, texts(["a"])),
        P::MissingSpecial { key: "tokenizer.ggml.bos_token_id" }
    );
    accepts!("last token by default", Sketch::model(), end);
    vocabulary!("no last token", tokenizer("gpt2"), end, P::MissingSpecial { key: "tokenizer.ggml.eos_token_id" });
    accepts!("no special tokens", tokenizer("gpt2"), |_s| {});
    let llama3 = |s: &mut Sketch| s.set("tokenizer.ggml.pre", text("llama-bpe"));
    vocabulary!("llama 3 without first token", tokenizer("gpt2"), llama3, P::MissingSpecial { .. });
    accepts!("llama 3 with one", tokenizer("gpt2"), |s| {
        llama3(s);
        s.number("tokenizer.ggml.bos_token_id", 3);
    });
    vocabulary!("gemma 4 without first token", tokenizer("gemma4"), |_s| {}, P::MissingSpecial { .. });
    vocabulary!("t5 without last token", tokenizer("t5"), |s| s.set(TOKENS, texts(["a"])), P::MissingSpecial { .. });

    let pieces = |s: &mut Sketch| {
        s.number("tokenizer.ggml.bos_token_id", 1);
        s.number("tokenizer.ggml.seperator_token_id", 2);
    };
    accepts!("word pieces", tokenizer("bert"), pieces);
    vocabulary!(
        "word pieces without separator",
        tokenizer("bert"),
        |s| s.number("tokenizer.ggml.bos_token_id", 1),
        P::MissingSpecial { key: "tokenizer.ggml.seperator_token_id" }
    );
    vocabulary!(
        "byte among word pieces",
        tokenizer("bert"),
        |s| {
            pieces(s);
            s.set("tokenizer.ggml.token_type", types(6));
        },
        P::ByteToken { token: 0 }
    );

    let long = "x".repeat(3_000);
    accepts!("long token", Sketch::model(), |s| s.set(TOKENS, texts(["a", "b", "c", &long])));
    vocabulary!(
        "long token in a trie",
        tokenizer("t5"),
        |s| s.set(TOKENS, texts(["a", "b", "c", &long])),
        P::LongToken { token: 3, bytes: 3_000, .. }
    );
    accepts!("rwkv", tokenizer("rwkv"), |s| s.set(TOKENS, texts(["a", "ab", r"\n", r"\x0ax"])));
    vocabulary!(
        "rwkv without a byte",
        tokenizer("rwkv"),
        |s| s.set(TOKENS, texts(["a", "ab", "b", r"\n\n"])),
        P::MissingByte { byte: b'\n' }
    );
    let template = text(&"x".repeat((256 << 10) + 1));
    vocabulary!(
        "template",
        Sketch::model(),
        |s| s.set("tokenizer.chat_template.tool_use", template),
        P::LongTemplate { .. }
    );
}

#[test]
fn hyperparameters() {
    use HyperparameterProblem as P;
    macro_rules! number {
        ($architecture:literal, [$($key:literal = $value:expr),+], $wrong:literal, $problem:pat) => {{
            let mut sketch = Sketch::of($architecture);
            $(sketch.number(concat!($architecture, ".", $key), $value);)+
            match sketch.check() {
                Err(GgufError::Hyperparameter { key, problem: $problem, .. }) => {
                    assert_eq!(key, concat!($architecture, ".", $wrong));
                }
                other => panic!("{} {:?}: {other:?}", $architecture, [$(($key, $value)),+]),
            }
        }};
    }
    for architecture in ["llama", "bert", "qwen3", "mamba2", "jamba", "qwen2vl", "unheard-of"] {
        Sketch::of(architecture).check().unwrap_or_else(|error| panic!("{architecture}: {error}"));
    }
    number!("llama", ["context_length" = 0], "context_length", P::Zero);
    number!("llama", ["context_length" = u32::MAX], "context_length", P::Above { .. });
    number!("llama", ["embedding_length" = 0], "embedding_length", P::Zero);
    number!("llama", ["embedding_length" = 33], "embedding_length", P::NotMultiple { of: 4 });
    number!("llama", ["block_count" = 0], "block_count", P::Zero);
    number!("llama", ["block_count" = 513], "block_count", P::Above { limit: 512 });
    number!("llama", ["nextn_predict_layers" = 2], "nextn_predict_layers", P::Above { limit: 1 });
    number!("llama", ["attention.head_count" = 0], "attention.head_count", P::Zero);
    number!("llama", ["attention.head_count_kv" = 3], "attention.head_count", P::NotMultiple { of: 3 });
    number!("llama", ["attention.key_length" = 1 << 30], "attention.head_count", P::Above { .. });
    number!("llama", ["attention.value_length" = 4], "attention.value_length", P::Differs { expected: 8 });
    number!("llama", ["rope.dimension_count" = 4], "rope.dimension_count", P::Differs { expected: 8 });
    number!("gptneox", ["rope.dimension_count" = 3], "rope.dimension_count", P::Odd);
    number!("gptneox", ["rope.dimension_count" = 10], "rope.dimension_count", P::Above { limit: 8 });
    number!("deepseek2", ["attention.key_length_mla" = 8], "rope.dimension_count", P::Above { limit: 7 });

    number!("llama", ["expert_count" = 1_025], "expert_count", P::Above { limit: 1_024 });
    number!("llama", ["expert_count" = 8], "expert_used_count", P::Zero);
    number!("llama", ["expert_used_count" = 2], "expert_used_count", P::Above { limit: 0 });
    number!("llama", ["expert_group_count" = 1], "expert_group_count", P::Above { limit: 0 });
    number!(
        "llama",
        ["expert_count" = 8, "expert_used_count" = 2, "expert_group_count" = 8],
        "expert_group_count",
        P::Above { limit: 7 }
    );
    number!(
        "llama",
        ["expert_count" = 8, "expert_used_count" = 2, "expert_group_count" = 3],
        "expert_count",
        P::NotMultiple { of: 3 }
    );
    number!(
        "llama",
        ["expert_count" = 8, "expert_used_count" = 2, "expert_group_count" = 2],
        "expert_group_used_count",
        P::Zero
    );
    number!(
        "llama",
        ["expert_count" = 8, "expert_used_count" = 2, "expert_group_count" = 2, "expert_group_used_count" = 2],
        "expert_group_used_count",
        P::Above { limit: 1 }
    );
    number!("glm4moe", ["expert_count" = 0], "expert_count", P::Zero);
    accepts!("one expert", Sketch::of("hunyuan-dense"), |s| s.number("hunyuan-dense.expert_count", 1));

    number!("llama", ["pooling_type" = 5], "pooling_type", P::Unknown);
    accepts!("pooling left open", Sketch::model(), |s| s.number("llama.pooling_type", u32::MAX));
    number!("rwkv7", ["wkv.head_size" = 0], "wkv.head_size", P::Zero);
    number!("rwkv7", ["wkv.head_size" = 5], "embedding_length", P::NotMultiple { of: 5 });
    accepts!("no attention", Sketch::of("rwkv7"), |s| {
        s.number("rwkv7.wkv.head_size", 8);
        s.number("rwkv7.attention.head_count", 0);
    });
    number!("qwen35", ["full_attention_interval" = 0], "full_attention_interval", P::Zero);
    number!("mamba2", ["ssm.inner_size" = 64, "ssm.group_count" = 0], "ssm.group_count", P::Zero);
    number!("mamba2", ["ssm.inner_size" = 64, "ssm.time_step_rank" = 3], "ssm.inner_size", P::NotMultiple { of: 3 });
    number!("jamba", ["ssm.inner_size" = 63], "ssm.inner_size", P::Differs { expected: 64 });

    macro_rules! other {
        ($what:literal, $architecture:literal, $key:literal, $value:expr, $problem:pat) => {
            refuses!(
                $what,
                Sketch::of($architecture),
                |s: &mut Sketch| s.set(concat!($architecture, ".", $key), $value),
                GgufError::Hyperparameter { problem: $problem, .. }
            );
        };
    }
    let list = |list: [i32; 4]| GgufValue::Array(GgufArray::I32(list.to_vec()));
    other!("scaling", "llama", "rope.scaling.type", text("dynamic"), P::Unknown);
    other!("negative epsilon", "llama", "attention.layer_norm_epsilon", GgufValue::F32(-1.0), P::Negative);
    other!("no epsilon", "llama", "attention.layer_norm_rms_epsilon", GgufValue::F32(f32::NAN), P::Negative);
    other!("sections", "qwen2vl", "rope.dimension_sections", list([0, 0, 0, 1]), P::Zero);
    other!("shared heads by layer", "llama", "attention.head_count_kv", list([4, 2, 0, 3]), P::NotMultiple { of: 3 });
    accepts!("heads by layer", Sketch::model(), |s| s.set("llama.attention.head_count_kv", list([4, 2, 0, 1])));
    accepts!("wrong type, which llama.cpp reports", Sketch::model(), |s| s.set("llama.block_count", text("0")));
    accepts!("projectors have other keys", Sketch::of("clip"), |s| s.number("clip.block_count", 0));
}

#[test]
fn splits() {
    let folder = tempfile::tempdir().unwrap();
    let part = |number: u16, count: u16| {
        let mut sketch = Sketch::model();
        sketch.set("split.no", GgufValue::U16(number));
        sketch.set("split.count", GgufValue::U16(count));
        sketch
    };
    let path = |number: u16| folder.path().join(format!("m-{number:05}-of-00002.gguf"));
    let first = path(1);
    fs::write(&first, part(0, 2).bytes()).unwrap();
    let missing = Gguf::open_checked(&first).unwrap_err();
    assert!(matches!(&missing, GgufError::MissingSplit { path: gone } if *gone == path(2)), "{missing:?}");
    fs::write(path(2), part(1, 2).bytes()).unwrap();
    let paths = Gguf::open_checked(&first).unwrap().split_paths(&first).unwrap();
    assert_eq!(paths, [path(1), path(2)]);

    let mut wrong = part(1, 2);
    wrong.number("split.no", 1);
    fs::write(path(2), wrong.bytes()).unwrap();
    let problem = |path: &Path| match Gguf::open_checked(path) {
        Err(GgufError::Split { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    assert_eq!(problem(&first), SplitProblem::Number { expected: 1 });
    fs::write(path(2), part(1, 2).bytes()).unwrap();
    assert_eq!(problem(&path(2)), SplitProblem::Number { expected: 0 });
    let odd = folder.path().join("-00001-of-00002.gguf");
    fs::write(&odd, part(0, 2).bytes()).unwrap();
    assert_eq!(problem(&odd), SplitProblem::Name { number: 1, count: 2 });
    let single = folder.path().join("x.gguf");
    fs::write(&single, part(0, 1).bytes()).unwrap();
    assert_eq!(Gguf::open_checked(&single).unwrap().split_paths(&single).unwrap(), [single]);
    assert!(matches!(Gguf::open(path(3)), Err(GgufError::Io(_))));
}

/// Runs everything on some bytes, and compares what is kept with what came in: each element of an array takes as many
/// bytes as in the file (texts: theirs and 4 for 8), so the whole is bounded by the input.
fn exercise(bytes: &[u8]) {
    let Ok(gguf) = Gguf::parse(bytes) else { return };
    let _ = gguf.check();
    let _ = (gguf.warnings(), gguf.parameter_count(), gguf.split_paths("m-00001-of-00002.gguf"));
    let size = |value: &GgufValue| {
        let _ = (value.to_string(), value.to_json());
        match value {
            GgufValue::Array(GgufArray::String(list)) => {
                (0..list.len()).map(|i| list.bytes(i).unwrap().len() + 4).sum()
            }
            GgufValue::Array(list) => list.len(),
            _ => 1,
        }
    };
    assert!(gguf.metadata().map(|(key, value)| key.len() + size(value)).sum::<usize>() <= bytes.len());
    assert!(gguf.data_offset() <= bytes.len() as u64);
}

/// A way to damage a file.
#[derive(Debug, Clone)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Number(prop::sample::Index, u64),
    Half(prop::sample::Index, u32),
    Cut(prop::sample::Index),
    Copy(prop::sample::Index, prop::sample::Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = || any::<prop::sample::Index>();
    let number = prop::sample::select(vec![0, 1, 7, 1 << 31, 1 << 32, 1 << 62, i64::MAX as u64, 1 << 63, u64::MAX]);
    let half = prop::sample::select(vec![0, 1, 5, 8, 9, 513, 1 << 16, i32::MAX.cast_unsigned(), 1 << 31, u32::MAX]);
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        4 => (at(), number).prop_map(|(at, number)| Damage::Number(at, number)),
        4 => (at(), half).prop_map(|(at, number)| Damage::Half(at, number)),
        1 => at().prop_map(Damage::Cut),
        1 => (at(), at()).prop_map(|(from, to)| Damage::Copy(from, to)),
    ]
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let header = bytes.len().min(900);
    let mut write = |at: usize, new: &[u8]| bytes.iter_mut().skip(at).zip(new).for_each(|(old, new)| *old = *new);
    match damage {
        _ if header == 0 => {}
        Damage::Flip(at, byte) => write(at.index(header), &[*byte]),
        Damage::Number(at, number) => write(at.index(header), &number.to_le_bytes()),
        Damage::Half(at, number) => write(at.index(header), &number.to_le_bytes()),
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Damage::Copy(from, to) => {
            let piece = bytes[from.index(header)..header].iter().take(24).copied().collect::<Vec<_>>();
            let at = to.index(header);
            bytes.splice(at..at, piece);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn damaged_files(damages in prop::collection::vec(damage(), 1..4), architecture in 0_usize..4) {
        let mut bytes = Sketch::of(["llama", "bert", "qwen35", "rwkv7"][architecture]).bytes();
        damages.iter().for_each(|damage| apply(&mut bytes, damage));
        exercise(&bytes);
    }

    #[test]
    fn random_bytes(version in 0_u32..5, tail in prop::collection::vec(any::<u8>(), 0..400)) {
        exercise(&tail);
        exercise(&[&b"GGUF"[..], &version.to_le_bytes(), &[2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0], &tail].concat());
    }
}
