//! Which layer wins, and what is known of where a value comes from.

use mullama_config::{Loader, ModelConfig, Origin};

use crate::{Files, load};

#[test]
fn each_layer_goes_over_those_before_it() {
    let files = Files::new();
    let system = files.write("system.toml", "[server]\nport = 1\nthreads = 1\n[engine]\nqueue = 1\nsequences = 1\n");
    let user = files.write("user.toml", "[server]\nport = 2\nthreads = 2\n[engine]\nqueue = 2\n");
    let file = files.write("file.json", r#"{"server": {"port": 3, "threads": 3}}"#);
    let load = |flags: bool, environment: bool, file_is: bool, user_is: bool, system_is: bool| {
        let mut loader = Loader::new();
        if system_is {
            loader = loader.system_file(&system);
        }
        if user_is {
            loader = loader.user_file(&user);
        }
        if file_is {
            loader = loader.file(&file);
        }
        if environment {
            loader = loader.environment([("MULLAMA_SERVER__PORT", "4")]);
        }
        if flags {
            loader = loader.flag("server.port", 5, "--port");
        }
        let loaded = loader.load().unwrap();
        let (server, engine) = (&loaded.config().server, &loaded.config().engine);
        (server.port, server.threads, engine.queue, engine.sequences)
    };
    assert_eq!(load(false, false, false, false, false), (8_080, 2, 64, 4));
    assert_eq!(load(false, false, false, false, true), (1, 1, 1, 1));
    assert_eq!(load(false, false, false, true, true), (2, 2, 2, 1));
    assert_eq!(load(false, false, true, true, true), (3, 3, 2, 1));
    assert_eq!(load(false, true, true, true, true), (4, 3, 2, 1));
    assert_eq!(load(true, true, true, true, true), (5, 3, 2, 1));
}

#[test]
fn every_value_knows_where_it_comes_from() {
    let files = Files::new();
    let file = files.write(
        "a.toml",
        "# a comment\n[server]\nhost = '::1'\nlimits.max_choices = 2\n\n[[models]]\npath = '/dev/null'\n",
    );
    let json = files.write("b.json", r#"{"engine": {"queue": 7}}"#);
    let loaded = Loader::new()
        .system_file(&json)
        .user_file(files.path("none.toml"))
        .file(&file)
        .environment([("MULLAMA_SERVER__PORT", "4"), ("OTHER", "x"), ("MULLAMA_HOME", "x")])
        .flag("server.threads", 1, "--threads-http")
        .load()
        .unwrap();
    let line = |line| Origin::File { path: file.clone(), line: Some(line) };
    assert_eq!(loaded.origin("server.host"), line(3));
    assert_eq!(loaded.origin("server.limits.max_choices"), line(4));
    assert_eq!(loaded.origin("models[0].path"), line(7));
    assert_eq!(loaded.origin("models[0].mmap"), Origin::Default);
    assert_eq!(loaded.origin("engine.queue"), Origin::File { path: json, line: None });
    assert_eq!(loaded.origin("server.port"), Origin::Environment { name: "MULLAMA_SERVER__PORT".to_owned() });
    assert_eq!(loaded.origin("server.threads"), Origin::Flag { name: "--threads-http".to_owned() });
    assert_eq!(loaded.origin("server.tls.key"), Origin::Default);
}

#[test]
fn a_list_of_models_is_that_of_one_layer_and_flags_reach_each_of_it() {
    let files = Files::new();
    let system = files.write("s.toml", "[[models]]\npath = '/dev/null'\nname = 'old'\nmlock = true\n");
    let second = files.write("second.gguf", "");
    let second = second.to_str().unwrap();
    let file = files.write(
        "f.toml",
        &format!("[[models]]\npath = '/dev/null'\nname = 'one'\n[[models]]\npath = '{second}'\ngpu_layers = 3\n"),
    );
    let loaded =
        Loader::new().system_file(system).file(file).model_flag("gpu_layers", 7, "--gpu-layers").load().unwrap();
    let expected = |path: &str, name: &str| ModelConfig::new().path(path).name(name).gpu_layers(7);
    assert_eq!(loaded.config().models, [expected("/dev/null", "one"), expected(second, "")]);
    assert_eq!(loaded.config().model, ModelConfig::new().gpu_layers(7));
    assert_eq!(loaded.origin("models[1].gpu_layers"), Origin::Flag { name: "--gpu-layers".to_owned() });
    assert_eq!(loaded.origin("models[0].mlock"), Origin::Default);
}

#[test]
fn variables_are_read_as_their_fields_ask() {
    let loaded = Loader::new()
        .environment([
            ("MULLAMA_MODEL__NAME", "8"),
            ("MULLAMA_MODEL__ALIASES", "a, b"),
            ("MULLAMA_MODEL__TENSOR_SPLIT", "[3, 1.5]"),
            ("MULLAMA_MODEL__MMAP", "false"),
            ("MULLAMA_MODEL__KV_OVERRIDES", "[{ key = 'a.b', value = { int = 3 } }]"),
            ("MULLAMA_MODELS", "[{ path = '/dev/null' }]"),
            ("MULLAMA_SAMPLING__TEMPERATURE", "0.5"),
            ("MULLAMA_API_KEY", "one,two"),
        ])
        .load()
        .unwrap();
    let model = &loaded.config().model;
    assert_eq!((model.name.as_str(), model.aliases.as_slice()), ("8", ["a".to_owned(), "b".to_owned()].as_slice()));
    assert_eq!(
        (model.tensor_split.as_slice(), model.mmap, model.kv_overrides.len()),
        ([3.0, 1.5].as_slice(), false, 1)
    );
    assert_eq!(loaded.config().models[0].path, "/dev/null");
    assert_eq!(loaded.config().sampling.temperature, 0.5);
    let keys: Vec<_> = loaded.config().server.auth.api_keys.iter().map(|key| key.expose()).collect();
    assert_eq!(keys, ["one", "two"]);
}

#[test]
fn the_long_name_of_the_keys_is_stronger() {
    let variables = [("MULLAMA_SERVER__AUTH__API_KEYS", "long"), ("MULLAMA_API_KEY", "short")];
    let loaded = Loader::new().environment(variables).load().unwrap();
    assert_eq!(loaded.config().server.auth.api_keys[0].expose(), "long");
}

#[test]
fn null_in_json_says_nothing() {
    let loaded =
        load("a.json", r#"{"generation": {"max_tokens": null, "keep": 3}, "sampling": {"seed": null}}"#).unwrap();
    assert_eq!((loaded.config().generation.max_tokens, loaded.config().generation.keep), (None, 3));
}

#[test]
fn entries_are_all_fields_with_their_values() {
    let loaded = load("a.toml", "[sampling]\ntemperature = 0.7\n[[models]]\npath = '/dev/null'\n").unwrap();
    let entries = loaded.entries();
    let value = |path: &str| entries.iter().find(|entry| entry.path == path).unwrap().value.clone();
    assert_eq!(value("sampling.temperature").as_deref(), Some("0.7"));
    assert_eq!(value("sampling.top_p").as_deref(), Some("0.95"));
    assert_eq!(value("models[0].path").as_deref(), Some("\"/dev/null\""));
    assert_eq!(value("generation.max_tokens"), None);
    assert_eq!(value("server.auth.api_keys").as_deref(), Some("[]"));
}

#[test]
fn models_of_flags_are_all_there_are() {
    let files = Files::new();
    let file = files.write(
        "a.toml",
        "[model]\npath = '/dev/null'\nname = 'a'\nlora = [{ path = '/dev/null' }]\ngpu_layers = 3\nmmap = false\n\
         [[models]]\npath = '/dev/null'\n",
    );
    let loader = |others: serde_json::Value| {
        let flags = Loader::new().file(&file).environment([("MULLAMA_MODEL__ALIASES", "b")]).models_of_flags();
        flags
            .flag("model.path", "/dev/zero", "MODEL")
            .flag("models", others, "MODEL")
            .model_flag("mmap", true, "--mmap")
    };
    let loaded = loader(serde_json::json!([{ "path": "/dev/full" }])).load().unwrap();
    let config = loaded.config();
    assert_eq!(config.model, ModelConfig::new().path("/dev/zero").gpu_layers(3));
    assert_eq!(config.models, [ModelConfig::new().path("/dev/full").gpu_layers(3)]);
    assert_eq!(loaded.origin("models[0].gpu_layers"), Origin::File { path: file.clone(), line: Some(5) });
    assert_eq!(loader(serde_json::json!([])).load().unwrap().config().models, []);
    // What is wrong with what does not count is told all the same.
    let file = files.write("b.toml", "[[models]]\npaht = 'x'\n");
    let error = Loader::new().file(file).models_of_flags().flag("model.path", "/dev/zero", "MODEL").load().unwrap_err();
    assert!(error.to_string().contains("paht"), "{error}");
}

#[test]
fn who_uses_some_sections_is_told_of_them_alone() {
    let files = Files::new();
    let system = files.write(
        "system.toml",
        "[server]\nport = 70000\nhost = '0.0.0.0'\n[model]\npath = '/no/such.gguf'\ngpu_layers = 'x'\n[modle]\n",
    );
    let told = |loader: Loader| match loader.load() {
        Ok(_) => Vec::new(),
        Err(error) => error.problems().iter().map(|problem| problem.path.clone()).collect(),
    };
    let of_system = || Loader::new().system_file(&system);
    assert_eq!(told(of_system()), ["server.port", "server.host", "model.path", "model.gpu_layers", "modle"]);
    assert_eq!(told(of_system().only(&["model", "models"])), ["model.path", "model.gpu_layers", "modle"]);
    assert_eq!(told(of_system().only(&["sampling"])), ["modle"]);
    // What only the type of a field sees is not told either; and what is said of others does not count.
    let odd = files.write("odd.toml", "[conversion.image]\nbackground = [1, 2]\n[engine]\nqueue = 3\n");
    assert_eq!(told(Loader::new().file(&odd)), ["conversion.image.background"]);
    let loaded = Loader::new().file(&odd).only(&["sampling"]).load().unwrap();
    assert_eq!(loaded.config(), &mullama_config::MullamaConfig::default());
    // No syntax is nobody's.
    let broken = files.write("broken.toml", "[server\n");
    assert_eq!(told(Loader::new().system_file(&broken).only(&["model"])), [""]);
}
