//! What is said of what is wrong.

use mullama_config::{Loader, Origin};

use crate::{Files, load, told};

#[test]
fn everything_that_is_wrong_is_told_with_its_place() {
    let text = "\
[server]
prot = 80
host = 5

[sampling]
temperature = 11.0
mirostat = 'v3'

[[models]]
path = '/no/such.gguf'
gpu_layers = -2
[logging]
level = 'inof'
";
    let lines = told("a.toml", text);
    let expected = [
        "a.toml:2: there is no field `server.prot`",
        "a.toml:3: server.host is 5, but must be a text",
        "a.toml:6: sampling.temperature is 11, but must be 0..=10",
        "a.toml:7: sampling.mirostat is \"v3\", but must be off, v1 or v2",
        "a.toml:10: models[0].path: cannot read `/no/such.gguf`: No such file or directory (os error 2)",
        "a.toml:11: models[0].gpu_layers is -2, but must be a whole number, -1..=2,147,483,647",
        "a.toml:13: logging.level is \"inof\", but must be off, error, warn, info, debug or trace",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn what_was_meant_is_guessed() {
    let files = Files::new();
    let hint = |text: &str| {
        let error = Loader::new().file(files.write("a.toml", text)).load().unwrap_err();
        error.problems()[0].hint.clone()
    };
    let meant = |path: &str| Some(format!("did you mean `{path}`?"));
    assert_eq!(hint("[server]\nprot = 80"), meant("server.port"));
    assert_eq!(hint("port = 80"), meant("server.port"));
    assert_eq!(hint("[srever]\nport = 80"), meant("server"));
    assert_eq!(hint("[context]\nn-batch = 80"), meant("context.n_batch"));
    assert_eq!(hint("[logging]\nlevel = 'inof'"), meant("info"));
    assert_eq!(hint("[zzzzzzzzzz]"), None);
    let error = Loader::new().environment([("MULLAMA_SERVER__PROT", "1")]).load().unwrap_err();
    assert_eq!(error.problems()[0].hint, meant("MULLAMA_SERVER__PORT"));
}

#[test]
fn a_text_that_is_none_is_told_with_its_place() {
    let lines = told("a.toml", "[server]\nport = = 1\n");
    assert!(lines.len() == 1 && lines[0].starts_with("a.toml:2:8: "), "{lines:?}");
    let lines = told("a.json", "{\n  \"server\": {,}\n}");
    assert!(lines.len() == 1 && lines[0].starts_with("a.json:2:14: "), "{lines:?}");
    assert_eq!(told("a.json", "[]"), ["a.json:1:1: the whole must be an object"]);
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let files = Files::new();
    let error = Loader::new().file(files.path("none.toml")).load().unwrap_err();
    assert!(error.to_string().starts_with("cannot read `"), "{error}");
    Loader::new().system_file(files.path("none.toml")).user_file(files.path("none.toml")).load().unwrap();
}

#[test]
fn variables_and_flags_are_called_by_their_names() {
    let error = Loader::new()
        .environment([
            ("MULLAMA_SERVER__PORT", "eighty"),
            ("MULLAMA_SERVER__THREADS", "0"),
            ("MULLAMA_MODEL__MMAP", "yes"),
            ("MULLAMA_SAMPLING__TOP_P", ""),
            ("MULLAMA_API_KEY", " "),
        ])
        .flag("engine.queue", 0, "--queue")
        .load()
        .unwrap_err();
    let mut lines: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
    lines.sort();
    let expected = [
        "--queue is 0, but must be a whole number, 1..=100,000",
        "MULLAMA_API_KEY is ***, but must be keys with some characters",
        "MULLAMA_MODEL__MMAP is \"yes\", but must be true or false",
        "MULLAMA_SAMPLING__TOP_P is empty, but must be 0..=1",
        "MULLAMA_SERVER__PORT is \"eighty\", but must be a whole number, 0..=65,535",
        "MULLAMA_SERVER__THREADS is 0, but must be a whole number, 1..=256",
    ];
    assert_eq!(lines, expected);
    assert!(matches!(error.problems().last().unwrap().origin, Origin::Flag { .. }));
}

#[test]
fn what_only_a_type_can_see_is_told_too() {
    let lines = told("a.toml", "[model]\nkv_overrides = [{ key = 'a', value = { integer = 1 } }]\n");
    assert!(lines.len() == 1 && lines[0].starts_with("a.toml:2: model.kv_overrides[0].value"), "{lines:?}");
}

#[test]
fn a_key_that_stands_twice_is_no_json() {
    let told = told("a.json", "{\"server\": {\"port\": 1},\n \"server\": {\"threads\": 1}}");
    assert_eq!(told, ["a.json:2:9: duplicate key"]);
    assert_eq!(load("a.json", "\u{feff}{\"server\": {\"port\": 1}}").unwrap().config().server.port, 1);
}

#[test]
fn what_is_in_a_variable_is_named_within_it() {
    let variables = [("MULLAMA_MODELS", "[{ path = '/dev/null', bogus = 1 }]"), ("MULLAMA_SERVER__PORT", "x")];
    let error = Loader::new().environment(variables).load().unwrap_err();
    let told: Vec<String> = error.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "MULLAMA_SERVER__PORT is \"x\", but must be a whole number, 0..=65,535",
            "there is no field `models[0].bogus` (MULLAMA_MODELS)"
        ]
    );
}
