//! Each rule: what it refuses, and what it lets pass.

use super::*;
use crate::error::Error;

/// The problems of a configuration as lines.
fn told(change: impl FnOnce(&mut MullamaConfig)) -> Vec<String> {
    let mut config = MullamaConfig::default();
    change(&mut config);
    match config.validate() {
        Ok(()) => Vec::new(),
        Err(Error::Invalid(problems)) => problems.iter().map(ToString::to_string).collect(),
        Err(other) => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(line: &str, change: impl FnOnce(&mut MullamaConfig)) {
    assert_eq!(told(change), [line]);
}

#[track_caller]
fn accepted(change: impl FnOnce(&mut MullamaConfig)) {
    assert_eq!(told(change), [""; 0]);
}

#[test]
fn batches_fit_into_each_other() {
    refused("context.n_ubatch is 600, but must be at most n_batch, 512", |config| {
        config.context = ContextConfig::new().n_batch(512_u32).n_ubatch(600_u32);
    });
    refused("context.n_batch is 4096, but must be at most n_ctx times engine.sequences, 2048", |config| {
        config.context = ContextConfig::new().n_batch(4_096_u32).n_ctx(512_u32);
    });
    // Defaults shrink.
    accepted(|config| config.context = ContextConfig::new().n_batch(64_u32));
    accepted(|config| config.context = ContextConfig::new().n_ctx(64_u32));
}

#[test]
fn a_length_is_said_once() {
    refused("model.context_size is 4096, but must be context.n_ctx, 8192, or unset", |config| {
        config.context.n_ctx = 8_192;
        config.model.context_size = 4_096;
    });
    accepted(|config| {
        config.context.n_ctx = 8_192;
        config.model.context_size = 8_192;
    });
}

#[test]
fn others_are_let_in_with_a_key_only() {
    let line = "server.host is 0.0.0.0, but must be a loopback address, because no API key is asked for";
    refused(line, |config| config.server.host = "0.0.0.0".to_owned());
    accepted(|config| {
        config.server.host = "0.0.0.0".to_owned();
        config.server.auth.api_keys = vec!["key".into()];
    });
    accepted(|config| {
        config.server.host = "[::]".to_owned();
        config.server.auth.allow_unauthenticated = true;
    });
    for host in ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "::ffff:127.0.0.1"] {
        accepted(|config| config.server.host = host.to_owned());
    }
}

#[test]
fn fields_that_need_each_other() {
    refused("server.tls.key is unset, but must be set, as `certificate` is", |config| {
        config.server.tls.certificate = Some("/dev/null".into());
    });
    refused("engine.kv_capacity is 100, but must be 0 where each request has its own cells", |config| {
        config.engine.kv_capacity = 100;
    });
    refused("context.type_v is \"q8_0\", but must be f32, f16 or bf16 where flash_attn is false", |config| {
        config.context.type_v = KvType::Q8_0;
        config.context.flash_attn = false;
    });
    refused("context.flash_attn_required is true, but must be false where flash_attn is false", |config| {
        config.context.flash_attn_required = true;
        config.context.flash_attn = false;
    });
}

#[test]
fn models_have_names_of_their_own() {
    refused("models[1].aliases[0] is \"one\", but must be another name than models[0].name", |config| {
        let model = |name: &str| ModelConfig::new().path("/dev/null").name(name);
        config.models = vec![model("one"), model("two").aliases(vec!["one".to_owned()])];
    });
    refused("models[0].path is empty, but must be the path of a .gguf file", |config| {
        config.models = vec![ModelConfig::new()];
    });
}

#[test]
fn files_can_be_read() {
    let lines = told(|config| config.model.path = "/no/such/model.gguf".to_owned());
    assert!(lines[0].starts_with("model.path: cannot read `/no/such/model.gguf`: "), "{lines:?}");
    let lines = told(|config| config.server.auth.api_key_file = Some(std::env::temp_dir()));
    assert!(lines[0].ends_with(": it is a folder, but must be a file"), "{lines:?}");
}

#[test]
fn what_the_owners_refuse_has_its_place() {
    refused("generation.stop is 17, but must be at most 16 texts", |config| {
        config.generation.stop = vec!["x".to_owned(); 17];
    });
    let lines = told(|config| config.sampling.samplers = vec![mullama_core::SamplerKind::TopK; 2]);
    assert!(lines[0].starts_with("sampling.samplers is "), "{lines:?}");
    let lines = told(|config| config.model.tensor_split = vec![1.0; 129]);
    assert!(lines[0].starts_with("model.tensor_split is "), "{lines:?}");
}

#[test]
fn blank_keys_and_odd_origins_are_refused() {
    refused("server.auth.api_keys[1] is blank, but must be a key with some characters", |config| {
        config.server.auth.api_keys = vec!["key".into(), " ".into()];
    });
    refused(
        "server.cors.origins[0] is example.org, but must be an origin like `https://example.org`, or `*`",
        |config| {
            config.server.cors.origins = vec!["example.org".to_owned(), "https://example.org".to_owned()];
        },
    );
}

#[test]
fn all_of_it_is_told_at_once() {
    let lines = told(|config| {
        config.server.threads = 0;
        config.sampling.temperature = 11.0;
        config.sampling.top_p = f32::NAN;
        config.context.n_ctx = u32::MAX;
        config.server.host = "0.0.0.0".to_owned();
        config.model.path = "/no/such".to_owned();
    });
    assert_eq!(lines.len(), 6, "{lines:#?}");
    assert!(lines.contains(&"sampling.temperature is 11, but must be 0..=10".to_owned()), "{lines:#?}");
}

#[test]
fn a_grammar_is_for_each_request() {
    refused("there is no field `sampling.grammar`", |config| {
        config.sampling.grammar = mullama_core::Grammar::gbnf("root ::= \"x\"").ok();
    });
}
