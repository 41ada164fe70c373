//! Files that are no models.

use std::ops::ControlFlow;
use std::sync::Mutex;

use mullama_core::gguf::Gguf;
use mullama_core::{Error, ErrorKind, GenerationParams, KvOverrideValue, Model, ModelParams};

use crate::{shared, tokenizing::assert_kind};

#[test]
fn what_is_no_gguf_is_refused_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let whole = std::fs::read(shared::tiny_path()).unwrap();
    let missing = Model::load(folder.path().join("missing.gguf")).unwrap_err();
    assert_kind(&missing, ErrorKind::NotFound);
    assert!(matches!(Model::load(folder.path()), Err(Error::File { .. } | Error::InvalidModel { .. })));
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("text", b"this is not a model at all, just text"),
        ("magic", b"GGUF"),
        ("half", &whole[..whole.len() / 2]),
        ("short", &whole[..whole.len() - 1]),
        ("header", &whole[..1_000]),
    ] {
        let error = Model::load(file(name, bytes)).unwrap_err();
        assert!(matches!(error, Error::InvalidModel { .. }), "{name}: {error}");
        assert_kind(&error, ErrorKind::InvalidInput);
        let error = Model::from_bytes(bytes).load().unwrap_err();
        assert!(matches!(error, Error::InvalidModel { .. }), "{name}: {error}");
    }
    // And a good one still loads, from a file and from memory, with the same identity.
    let (a, b) = (Model::load(shared::tiny_path()).unwrap(), Model::from_bytes(&whole).load().unwrap());
    assert_eq!(a.fingerprint(), b.fingerprint());
}

/// Mutations of a real header: what the checker lets through, llama.cpp must survive. Each load runs in this process, so
/// an abort fails the whole test run.
#[test]
fn mutated_headers_are_refused_or_load() {
    let Some(path) = shared::file("models/llm/stories260K-q8_0.gguf") else { return };
    let whole = std::fs::read(path).unwrap();
    let header = usize::try_from(Gguf::parse(&whole).unwrap().data_offset()).unwrap();
    let (mut refused, mut loaded) = (0, 0);
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..1_500 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random % 3 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from((random >> 20) % header as u64).unwrap();
            match random % 4 {
                0 => bytes[at] ^= 1 << (random >> 61),
                1 => bytes[at] = 0xFF,
                2 => bytes[at] = 0,
                _ => bytes[at..(at + 4).min(header)].fill(0xFF),
            }
        }
        let params = ModelParams { mmap: random.is_multiple_of(2), ..ModelParams::default() };
        match Model::from_bytes(&bytes).params(params).load() {
            Err(Error::InvalidModel { .. } | Error::LoadModel { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
            Ok(_) => loaded += 1,
        }
    }
    eprintln!("{refused} refused, {loaded} loaded");
    assert!(refused > 300 && loaded > 100, "{refused} refused, {loaded} loaded");
}

#[test]
fn whisper_and_vad_models_are_not_mistaken_for_ours() {
    for path in ["models/vad/ggml-silero-v6.2.0.bin", "models/whisper-no-weights/for-tests-ggml-tiny.en.bin"] {
        let Some(path) = shared::file(path) else { return };
        assert!(matches!(Model::load(path), Err(Error::InvalidModel { .. })));
    }
    // A picture tower is GGUF, but no language model.
    let Some(path) = shared::file("models/mullama-tiny/mmproj-mullama-tiny-f16.gguf") else { return };
    let error = Model::load(path).unwrap_err();
    assert!(matches!(error, Error::InvalidModel { .. } | Error::LoadModel { .. }), "{error}");
}

#[test]
fn bad_parameters_are_named() {
    let bad: [(&str, ModelParams); 6] = [
        ("gpu_layers", ModelParams { gpu_layers: -2, ..Default::default() }),
        ("main_gpu", ModelParams { main_gpu: u32::MAX, ..Default::default() }),
        ("tensor_split", ModelParams { tensor_split: vec![f32::NAN], ..Default::default() }),
        ("tensor_split", ModelParams { tensor_split: vec![1.0; 1_000], ..Default::default() }),
        ("lora", serde_json::from_str(r#"{"lora": [{"path": "x", "scale": 1e30}]}"#).unwrap()),
        ("kv_overrides", serde_json::from_str(r#"{"kv_overrides": [{"key": "", "value": {"int": 1}}]}"#).unwrap()),
    ];
    for (field, params) in bad {
        match Model::builder(shared::tiny_path()).params(params).load() {
            Err(Error::InvalidParameter { name, .. }) => assert_eq!(name, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    let long = "k".repeat(200);
    let builder = || Model::builder(shared::tiny_path());
    assert!(builder().kv_override(&long, KvOverrideValue::Int(1)).load().is_err());
    assert!(builder().kv_override("a", KvOverrideValue::Str(long)).load().is_err());
    let error = builder().devices(["no such device"]).load().unwrap_err();
    assert!(matches!(&error, Error::LoadModel { reason, .. } if reason.contains("no such device")), "{error}");
    let error = builder().lora("/no/such/adapter.gguf", 1.0).load().unwrap_err();
    assert_kind(&error, ErrorKind::NotFound);
}

#[test]
fn split_files_load_as_one_and_a_missing_part_is_named() {
    let Some(path) = shared::file("models/llm/stories260K-f32.gguf") else { return };
    let folder = tempfile::tempdir().unwrap();
    let first = crate::gguf_writer::split(&path, folder.path());
    let text = |model: &Model| {
        let mut context = model.context().length(64).threads(1).build().unwrap();
        context.generate("Once upon a time", &GenerationParams::greedy(20)).unwrap().text().unwrap()
    };
    let whole = Model::load(&path).unwrap();
    let parts = Model::load(&first).unwrap();
    assert_eq!((text(&parts), parts.parameter_count()), (text(&whole), whole.parameter_count()));

    let second = folder.path().join("model-00002-of-00002.gguf");
    let bytes = std::fs::read(&second).unwrap();
    std::fs::write(&second, &bytes[..bytes.len() - 100]).unwrap();
    assert!(matches!(Model::load(&first), Err(Error::InvalidModel { .. })));
    std::fs::remove_file(&second).unwrap();
    let error = Model::load(&first).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("model-00002-of-00002.gguf"), "{error}: {source}");
}

#[test]
fn a_metadata_override_takes_effect() {
    let builder = Model::builder(shared::tiny_path());
    let model = builder.kv_override("llama.context_length", KvOverrideValue::Int(77)).load().unwrap();
    assert_eq!(model.context_length(), 77);
    // And must pass the checks that a file must pass: llama.cpp aborts on these.
    for (key, value) in [("llama.block_count", 513), ("llama.expert_count", 5_000), ("llama.attention.head_count", 0)] {
        let error =
            Model::builder(shared::tiny_path()).kv_override(key, KvOverrideValue::Int(value)).load().unwrap_err();
        assert!(matches!(error, Error::InvalidModel { .. }), "{key}: {error}");
    }
}

#[test]
fn loading_tells_how_far_it_is_and_can_be_cancelled() {
    let seen = Mutex::new(Vec::new());
    let watch = |done| {
        seen.lock().unwrap().push(done);
        ControlFlow::Continue(())
    };
    Model::builder(shared::tiny_path()).progress(watch).load().unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(seen.is_sorted() && seen.last() == Some(&1.0), "{seen:?}");

    let cancelled = Model::builder(shared::tiny_path()).progress(|_| ControlFlow::Break(())).load();
    assert!(matches!(cancelled, Err(Error::Cancelled)));

    let panicked =
        std::panic::catch_unwind(|| Model::builder(shared::tiny_path()).progress(|_| panic!("on purpose")).load());
    assert!(panicked.is_err(), "the callback's panic comes out");
}

#[test]
fn metadata_says_what_the_file_says() {
    let model = shared::tiny();
    assert_eq!(model.metadata_value("general.architecture").as_deref(), Some("llama"));
    assert_eq!(model.metadata_value("no.such.key"), None);
    assert!(model.metadata().len() > 10);
    assert_eq!((model.layer_count(), model.embedding_length(), model.context_length()), (5, 256, 2_048));
    assert_eq!(model.tokenizer().vocabulary_size(), 1_024);
    assert!((3_100_000..3_300_000).contains(&model.parameter_count()), "{}", model.parameter_count());
    assert_eq!(model.file_type(), "Q8_0");
    assert!(model.chat_template_source().unwrap().contains("im_start"));
    assert!(model.has_decoder() && !model.has_encoder() && !model.is_recurrent());
}

#[test]
fn a_vocabulary_alone_tokenizes_but_does_not_generate() {
    let model = Model::builder(shared::tiny_path()).vocab_only(true).load().unwrap();
    assert!(model.is_vocab_only());
    let whole = shared::tiny();
    let encode = |model: &Model| model.tokenizer().encode("Hello world", Default::default()).unwrap();
    assert_eq!(encode(&model), encode(&whole));
    assert!(matches!(model.context().build(), Err(Error::Unsupported { .. })));
    assert!(matches!(model.embedder().build(), Err(Error::Unsupported { .. })));
}
