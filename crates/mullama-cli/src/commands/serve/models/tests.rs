//! Which models the flags choose, and how they are served.

use clap::Parser;
use mullama_core::EngineParams;

use super::*;
use crate::cli::{Cli, Command, GlobalArgs};
use crate::commands::serve::settings;
use crate::terminal::Ui;

fn args(flags: &[&str]) -> Serve {
    match Cli::try_parse_from(["mullama", "serve"].iter().chain(flags)).unwrap().command {
        Command::Serve(serve) => *serve,
        other => panic!("{other:?}"),
    }
}

/// The configuration of these flags alone.
fn loaded(flags: &[&str]) -> Result<Loaded> {
    let ui = Ui::new(&GlobalArgs { verbose: 0, quiet: false, no_color: true });
    let loader = settings::loader(&args(flags), &ui)?.system_file("/no/such").user_file("/no/such");
    let none: [(&str, &str); 0] = [];
    Ok(loader.environment(none).load()?)
}

fn engine_params(flags: &[&str]) -> Result<EngineParams> {
    engine_of(&loaded(flags)?)
}

fn engine_of(loaded: &Loaded) -> Result<EngineParams> {
    let mut params = loaded.config().engine_params(&loaded.config().model);
    divide(loaded, &mut params)?;
    Ok(params)
}

fn served(flags: &[&str]) -> Result<Vec<Served>> {
    let served = chosen(loaded(flags)?.config())?;
    check_purposes(&args(flags), &served)?;
    Ok(served)
}

#[test]
fn the_context_is_divided_among_parallel_requests() {
    let length = |flags: &[&str]| {
        let params = engine_params(flags).unwrap();
        (params.context.length, params.sequences, params.kv_capacity)
    };
    assert_eq!(length(&[]), (0, 4, 0));
    assert_eq!(length(&["-c", "4096"]), (4_096, 4, 0));
    assert_eq!(length(&["-c", "4096", "--parallel", "2"]), (2_048, 2, 0));
    assert_eq!(length(&["--parallel", "2"]), (0, 2, 0));
    assert_eq!(length(&["-c", "4096", "--parallel", "2", "--kv-layout", "unified"]), (4_096, 2, 4_096));
    assert!(engine_params(&["-c", "3", "--parallel", "4"]).is_err());
    // The layout of the configuration in force counts, whatever it was at the start.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    std::fs::write(&file, "engine.kv_layout = 'unified'").unwrap();
    let of_file = ["--config", file.to_str().unwrap(), "-c", "4096", "--parallel", "2"];
    assert_eq!(length(&of_file), (4_096, 2, 4_096));
    assert!(engine_params(&["--queue", "0"]).is_err());
}

/// Each flag of `serve` that is a value of the configuration is one of its fields.
#[test]
fn every_flag_reaches_its_field() {
    let line = "-m /dev/null -a one,two --host ::1 --port 1 --ssl-cert-file /dev/null --ssl-key-file /dev/null --threads-http 3 \
        --timeout 5 --shutdown-grace 1 --shutdown-timeout 2 --no-metrics --no-slots --log-format json --api-key k \
        --api-key-file /dev/null --allow-unauthenticated --allowed-hosts a --cors-origins https://a.example --parallel 2 \
        --kv-layout unified --queue 3 --inter-token-target 4 --cache-ram 1 --no-warmup --keep-alive 9 --max-memory 1G \
        --gpu-layers 1 --devices x --split-mode row --main-gpu 1 --tensor-split 1,2 --no-mmap --mlock --check-tensors \
        --kv-override a=int:1 --lora /dev/null --chat-template-file /dev/null -c 512 --threads 2 --batch-size 64 \
        --ubatch-size 32 --threads-batch 3 --flash-attn on --cache-type-k q8_0 --cache-type-v q8_0 --no-kv-offload \
        --rope-freq-base 1 --rope-freq-scale 1 --max-tokens 5 --stop x --request-timeout 7 --context-shift --keep 1 \
        --no-cache-prompt --temperature 1 --top-k 2 --top-p 0.5 --min-p 0.5 --min-keep 1 --seed 1 --repeat-penalty 2 \
        --repeat-last-n 1 --frequency-penalty 1 --presence-penalty 1 --typical-p 0.5 --top-n-sigma 1 --xtc-probability 0.5 \
        --xtc-threshold 0.5 --dynatemp-range 1 --dynatemp-exponent 2 --dry-multiplier 1 --dry-base 2 --dry-allowed-length 1 \
        --dry-penalty-last-n 1 --dry-sequence-breakers x --mirostat v1 --mirostat-tau 1 --mirostat-eta 1 --adaptive-target 0.5 \
        --adaptive-decay 0.5 --logit-bias 1=1 --samplers top_k --ignore-eos";
    let flags: Vec<&str> = line.split_whitespace().collect();
    let loaded = loaded(&flags).unwrap();
    let (given, left): (Vec<_>, Vec<_>) = loaded.entries().into_iter().partition(|entry| entry.origin.is_flag());
    // What has no flag: the rest is set by files and the environment only. Conversions are no server's business.
    let left = left.iter().map(|entry| entry.path.as_str()).filter(|path| !path.starts_with("conversion."));
    let left: Vec<_> = left.collect();
    let without = [
        "engine.kv_capacity",
        "engine.event_buffer",
        "engine.reader_timeout_ms",
        "engine.thread_policy",
        "engine.speculation.kind",
        "engine.speculation.ngram",
        "engine.speculation.tokens",
        "server.http.max_connections",
        "server.http.max_connections_per_address",
        "server.http.max_head_bytes",
        "server.http.max_headers",
        "server.http.head_timeout_ms",
        "server.http.idle_timeout_ms",
        "server.http.first_event_timeout_ms",
        "server.http.keep_alive_ms",
        "server.auth.admin_keys",
        "server.auth.admin_key_file",
        "server.auth.cache_by_key",
        "server.limits.max_body_bytes",
        "server.limits.max_choices",
        "server.limits.max_inputs",
        "server.limits.max_concurrent",
        "server.limits.requests_per_minute",
        "server.embeddings.tokens",
        "server.embeddings.truncation",
        "performance.metrics_aliases",
        // -v and --quiet.
        "logging.level",
        "logging.libraries",
        "logging.llama",
    ];
    assert_eq!(left, without);
    assert!(given.len() > 70, "{}", given.len());
}

#[test]
fn flags_go_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    let text = "[context]\nn_ctx = 1024\n[engine]\nsequences = 2\nkv_layout = 'unified'\n[model]\nmlock = true\n\
                [server]\nport = 1\nthreads = 3\n[sampling]\nseed = 5\ntop_k = 7\n[[models]]\npath = '/dev/null'\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let of = |flags: &[&str]| loaded(&[&["--config", file], flags].concat()).unwrap();
    let plain = of(&[]);
    let config = plain.config();
    assert_eq!((config.context.n_ctx, config.engine.sequences, config.server.port), (1_024, 2, 1));
    assert_eq!((config.model.mlock, config.models.len()), (true, 1));
    assert_eq!(engine_of(&plain).unwrap().kv_capacity, 0);
    let flags = of(&["--port", "9", "-c", "512", "--seed", "-1", "--gpu-layers", "0", "/dev/zero"]);
    let config = flags.config();
    assert_eq!((config.server.port, config.server.threads), (9, 3));
    assert_eq!((config.sampling.seed, config.sampling.top_k), (None, 7));
    assert_eq!((config.model.path.as_str(), config.model.gpu_layers, config.models.len()), ("/dev/zero", 0, 0));
    assert_eq!(engine_of(&flags).unwrap().kv_capacity, 512);
    assert_eq!(of(&["--gpu-layers", "4"]).config().models[0].gpu_layers, 4);
}

#[cfg(feature = "demo-models")]
#[test]
fn a_template_is_read_when_the_server_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("template.jinja");
    let flags = ["--chat-template-file", file.to_str().unwrap()];
    let build = || planned(&loaded(&flags)?, &served(&flags)?).map(drop);
    assert!(build().unwrap_err().to_string().contains("template.jinja"));
    std::fs::write(&file, "  ").unwrap();
    let error = build().unwrap_err().to_string();
    assert!(error.contains("template") && error.contains("empty"), "{error}");
    std::fs::write(&file, "{{ messages[0].content }}").unwrap();
    build().unwrap();
}

#[cfg(feature = "demo-models")]
#[test]
fn the_first_alias_is_the_name() {
    let names = |flags: &[&str]| served(flags).unwrap()[0].names.clone();
    assert_eq!(names(&[]), ["mullama-tiny"]);
    assert_eq!(names(&["-a", "gpt-4o, small,,small"]), ["gpt-4o", "small", "mullama-tiny"]);
    assert_eq!(names(&["-a", "x,mullama-tiny"]), ["x", "mullama-tiny"]);
    assert!(served(&["--reranking"]).is_err());
    assert_eq!(served(&["--embeddings"]).unwrap()[0].does, Does::Text);
}

#[cfg(feature = "demo-models")]
#[test]
fn two_models_have_two_names() {
    let folder = tempfile::tempdir().unwrap();
    let places = ["a", "b"].map(|name| folder.path().join(name).join("m.gguf"));
    for place in &places {
        std::fs::create_dir(place.parent().unwrap()).unwrap();
        std::fs::write(place, mullama_demo_models::CHAT).unwrap();
    }
    let [one, two] = places.each_ref().map(|place| place.to_str().unwrap());
    let error = served(&[one, two]).unwrap_err();
    assert_eq!(error.to_string(), "two models would be called `m`");
    let named: Vec<_> = served(&["-a", "x", one, two]).unwrap().into_iter().map(|model| model.names).collect();
    assert_eq!(named, [["x"], ["m"]]);
    assert!(served(&["-a", "x,m", one, two]).is_err());
    assert!(served(&["-a", ",", one]).is_err());
}
