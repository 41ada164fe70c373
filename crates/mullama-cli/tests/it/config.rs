//! The configuration: shown, checked, made, and in force while the server runs.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::serve::{Running, started, who};
use crate::{Outcome, command, mullama, outcome, turn};

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Runs it with this file of the user and this environment.
fn with_user(arguments: &[&str], folder: &Path, variables: &[(&str, &str)]) -> Outcome {
    let _turn = turn();
    let mut command = command(arguments);
    command.env("XDG_CONFIG_HOME", folder).envs(variables.iter().copied()).stdin(Stdio::null());
    outcome(&command.output().unwrap())
}

#[test]
fn a_file_that_cannot_be_used_is_told_of_at_once_and_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[server]\nport = 70000\nhots = 'x'\n[sampling]\ntop_p = 2.0\n[model]\npath = '/no/such.gguf'\n";
    let file = write(folder.path(), "a.toml", text);
    let file = file.to_str().unwrap();
    let _turn = turn();
    let run = |flags: &[&str]| {
        let begun = Instant::now();
        let done =
            outcome(&command(&[&["serve", "--config", file], flags].concat()).stdin(Stdio::null()).output().unwrap());
        (done, begun.elapsed())
    };
    // Others may have the cores.
    let runs = (0..5).map(|_| run(&["--queue", "0"]));
    let (done, elapsed) = runs.min_by_key(|(_, elapsed)| *elapsed).unwrap();
    assert_eq!((done.code, done.out.as_str()), (Some(78), ""), "{done:?}");
    let told: Vec<_> = done.err.lines().collect();
    let expected = [
        format!("error: {file}:2: server.port is 70000, but must be a whole number, 0..=65,535"),
        format!("error: {file}:3: there is no field `server.hots`"),
        "hint: did you mean `server.host`?".to_owned(),
        format!("error: {file}:5: sampling.top_p is 2, but must be 0..=1"),
        format!("error: {file}:7: model.path: cannot read `/no/such.gguf`: No such file or directory (os error 2)"),
        "error: --queue is 0, but must be a whole number, 1..=100,000".to_owned(),
    ];
    assert_eq!(told, expected);
    assert!(elapsed < Duration::from_millis(100), "{elapsed:?}");
}

#[test]
fn a_file_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let good = write(folder.path(), "good.json", r#"{"server": {"port": 1}}"#);
    assert!(mullama(&["config", "check", good.to_str().unwrap()]).ok().ends_with("nothing is wrong\n"));
    let bad = write(folder.path(), "bad.toml", "[server]\nport = = 1\n");
    let done = mullama(&["config", "check", bad.to_str().unwrap()]);
    assert_eq!(done.code, Some(78));
    assert!(done.err.contains("bad.toml:2:8: "), "{done:?}");
    assert_eq!(mullama(&["config", "check", "nosuch.toml"]).code, Some(78));
}

#[test]
fn what_a_server_could_not_start_with_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let none = write(folder.path(), "none.pem", "none\n");
    let none = none.to_str().unwrap();
    let text = format!(
        "[server]\nport = 0\nhost = 'a b'\n[server.tls]\ncertificate = '{none}'\nkey = '{none}'\n[model]\npath = '{none}'\n"
    );
    let file = write(folder.path(), "a.toml", &text);
    let file = file.to_str().unwrap();
    for arguments in [&["serve", "--config", file][..], &["config", "check", file]] {
        let done = mullama(arguments);
        assert_eq!(done.code, Some(78), "{done:?}");
        let told: Vec<_> = done.err.lines().filter(|line| line.starts_with("error: ")).collect();
        let expected = [
            format!("error: {file}:8: model.path: `{none}` is not a usable GGUF model: not a GGUF file: "),
            format!("error: {file}:3: server.host is a b, but must be one address or name of this machine: "),
            format!("error: {file}:5: server.tls.certificate: cannot use the certificate `{none}`: there is no "),
        ];
        assert!(told.len() == 3 && told.iter().zip(&expected).all(|(told, begin)| told.starts_with(begin)), "{done:?}");
    }
    // What flags say is told of flags.
    let done = mullama(&["serve", "--config", file, "--host", "a b", none]);
    assert!(done.code == Some(78) && !done.err.contains("a b") && !done.err.contains("model"), "{done:?}");
    let alone = write(folder.path(), "b.toml", &format!("[server.tls]\ncertificate = '{none}'\n"));
    let done = mullama(&["config", "check", alone.to_str().unwrap()]);
    assert!(done.err.contains("b.toml:2: server.tls.key is unset, but must be set, as `certificate` is"), "{done:?}");
}

#[test]
fn values_are_shown_with_their_origins_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("mullama")).unwrap();
    let text = "[server]\nport = 9\nauth.api_keys = ['sk-canary']\n[[models]]\npath = '/dev/null'\n";
    let user = write(&folder.path().join("mullama"), "config.toml", text);
    let shown = with_user(&["config", "show", "--origin"], folder.path(), &[("MULLAMA_ENGINE__QUEUE", "7")]).ok();
    let line = |begins: &str| shown.lines().find(|line| line.starts_with(begins)).unwrap().to_owned();
    let remark = |begins: &str| line(begins).split_once("  # ").unwrap().1.to_owned();
    assert_eq!(remark("port = 9 "), format!("{}:2; restart", user.display()));
    assert_eq!(remark("queue = 7 "), "MULLAMA_ENGINE__QUEUE; reload model");
    assert_eq!(remark("temperature = 0.8 "), "default; next request");
    assert_eq!(remark("api_keys = [\"***\"] "), format!("{}:3; live", user.display()));
    assert!(!shown.contains("canary") && shown.contains("[[models]]\n"), "{shown}");
    let json: Value = with_user(&["config", "show", "--json"], folder.path(), &[]).json();
    assert_eq!((&json["server"]["port"], &json["server"]["auth"]["api_keys"][0]), (&json!(9), &json!("***")));
    // What is shown is a configuration.
    let plain = with_user(&["config", "show"], folder.path(), &[]).ok();
    let again = write(folder.path(), "again.toml", &plain);
    let shown = with_user(&["config", "show", "--config", again.to_str().unwrap()], folder.path(), &[]).ok();
    assert!(shown.contains("port = 9\n"), "{shown}");
}

#[test]
fn a_file_to_begin_with_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    let name = file.to_str().unwrap();
    mullama(&["config", "init", name]).ok();
    mullama(&["config", "check", name]).ok();
    mullama(&["config", "init", name]).fails(3, "cannot write");
    mullama(&["config", "init", "a.json"]).fails(2, "would be read as JSON");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), mullama(&["config", "init"]).ok());
    let schema: Value = mullama(&["config", "schema"]).json();
    assert_eq!(schema["properties"]["server"]["properties"]["port"]["default"], 8_080);
}

/// Starts a server with a file, and the environment of a test.
fn start(file: &Path, flags: &[&str]) -> Running {
    let mut serve = command(&[&["serve", "--config", file.to_str().unwrap(), "--port", "0"], flags].concat());
    serve.stdin(Stdio::null()).stderr(Stdio::piped());
    started(serve)
}

fn status(server: &Running, key: &str) -> u16 {
    server.ask(&format!("GET /v1/models HTTP/1.1\r\nauthorization: Bearer {key}\r\nx-rest: "), "").0
}

fn until(what: &str, is: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_is_as_its_file_says_and_changes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = |key: &str, tokens: u32, rest: &str| {
        format!("[server.auth]\napi_keys = ['{key}']\n[generation]\nmax_tokens = {tokens}\n{rest}")
    };
    let file = write(folder.path(), "a.toml", &text("one", 2, "[performance]\nslots = false\n"));
    let server = start(&file, &["--no-metrics", "-a", "small", "--quiet"]);
    assert_eq!((status(&server, "one"), status(&server, "two")), (200, 401));
    let of = |key: &str, path: &str, body: &str| {
        let method = if body.is_empty() { "GET" } else { "POST" };
        server.ask(&format!("{method} {path} HTTP/1.1\r\nauthorization: Bearer {key}\r\nx-rest: "), body)
    };
    let tokens = |key: &str| {
        let (code, answer) = of(key, "/v1/chat/completions", &who().to_string());
        assert_eq!(code, 200, "{answer}");
        serde_json::from_str::<Value>(&answer).unwrap()["usage"]["completion_tokens"].as_u64()
    };
    assert_eq!(tokens("one"), Some(2));
    assert!(of("one", "/slots", "").0 != 200 && of("one", "/metrics", "").0 != 200);

    write(folder.path(), "a.toml", &text("two", 3, "[performance]\nenable_monitoring = true\n"));
    until("the key of the file", || status(&server, "two") == 200);
    assert_eq!(status(&server, "one"), 401);
    assert_eq!(tokens("two"), Some(3));
    // The flag is stronger than the file.
    assert!(of("two", "/slots", "").0 == 200 && of("two", "/metrics", "").0 != 200);

    write(folder.path(), "a.toml", &text("three", 4, "[server]\nport = 99999\n"));
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!((status(&server, "two"), status(&server, "three")), (200, 401));
    #[cfg(unix)]
    {
        write(folder.path(), "a.toml", &text("four", 4, ""));
        server.signal("HUP");
        until("the key after the signal", || status(&server, "four") == 200);
    }
}

/// Asks with a key.
fn with_key(server: &Running, key: &str, request: &str, body: &str) -> (u16, String) {
    server.ask(&format!("{request} HTTP/1.1\r\nauthorization: Bearer {key}\r\nx-rest: "), body)
}

#[test]
fn an_admin_sees_and_changes_it_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.toml", "[server.auth]\napi_keys = ['user']\nadmin_keys = ['sk-canary']\n");
    let server = start(&file, &["--quiet"]);
    let (code, shown) = with_key(&server, "sk-canary", "GET /admin/config", "");
    assert!(code == 200 && shown.contains("server.auth.admin_keys") && !shown.contains("canary"), "{code}: {shown}");
    assert_eq!(with_key(&server, "user", "GET /admin/config", "").0, 401);
    assert_eq!(status(&server, "sk-canary"), 401);
    let patch = |body: &Value| with_key(&server, "sk-canary", "PATCH /admin/config", &body.to_string());
    let (code, changed) = patch(&json!({ "server": { "limits": { "max_choices": 2 } } }));
    assert!(code == 200 && changed.contains("\"live\"") || changed.contains("\"next_request\""), "{code}: {changed}");
    let choices = json!({ "messages": [{ "role": "user", "content": "Who are you?" }], "n": 3, "max_tokens": 1 });
    until("the new limit", || with_key(&server, "user", "POST /v1/chat/completions", &choices.to_string()).0 == 400);
    let (code, told) = patch(&json!({ "server": { "port": 1, "limits": { "max_choices": 0 } } }));
    assert!(code == 400 && told.contains("server.limits.max_choices is 0"), "{code}: {told}");
    let (code, told) = patch(&json!({ "server": { "threads": 1 } }));
    assert!(code == 400 && told.contains("takes effect only with a restart"), "{code}: {told}");
}

#[test]
fn reloads_are_counted_and_a_port_that_another_has_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.toml", "[engine]\nqueue = 5\n");
    let mut serve = command(&["serve", "--config", file.to_str().unwrap(), "--quiet"]);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = |port: u16, choices: u32| format!("[server]\nport = {port}\nlimits.max_choices = {choices}\n");
    write(folder.path(), "a.toml", &text(free, 2));
    serve.stdin(Stdio::null()).stderr(Stdio::piped());
    let server = started(serve);
    let counts = || reloads(&server);
    assert_eq!(counts(), [0, 0]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    write(folder.path(), "a.toml", &text(taken.local_addr().unwrap().port(), 3));
    until("the port is refused", || counts() == [0, 1]);
    write(folder.path(), "a.toml", "[server\n");
    until("no TOML", || counts() == [0, 2]);
    write(folder.path(), "a.toml", &text(free, 4));
    until("a good one", || counts() == [1, 2]);
}

#[test]
#[cfg(feature = "demo-models")]
fn models_come_and_go_with_the_file_and_no_answer_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["one.gguf", "two.gguf"] {
        std::fs::write(folder.path().join(name), mullama_demo_models::CHAT).unwrap();
    }
    let text = |sequences: u32, models: &[&str]| {
        let models = models.iter().map(|name| format!("[[models]]\npath = '{}'\n", folder.path().join(name).display()));
        format!("[engine]\nsequences = {sequences}\n{}", models.collect::<String>())
    };
    let file = write(folder.path(), "a.toml", &text(2, &["one.gguf"]));
    let server = start(&file, &["--quiet"]);
    let body = |model: &str, tokens: u32| {
        let messages = json!([{ "role": "user", "content": "Count to 20." }]);
        json!({ "model": model, "messages": messages, "max_tokens": tokens, "ignore_eos": true }).to_string()
    };
    let ask = |model: &str, tokens: u32| server.ask("POST /v1/chat/completions", &body(model, tokens));
    let names = || server.get("/v1/models").1;
    let slots = || serde_json::from_str::<Value>(&server.get("/slots").1).unwrap().as_array().map_or(0, Vec::len);
    std::thread::scope(|scope| {
        let long: Vec<_> =
            (0..4).map(|_| std::thread::Builder::new().spawn_scoped(scope, || ask("one", 400)).unwrap()).collect();
        write(folder.path(), "a.toml", &text(3, &["one.gguf", "two.gguf"]));
        until("two models", || names().contains("\"two\""));
        assert_eq!(ask("two", 2).0, 200);
        for answer in long {
            let (code, told) = answer.join().unwrap();
            assert!(code == 200 && told.contains("\"completion_tokens\":400"), "{code}: {told}");
        }
    });
    until("the engine anew", || slots() == 3);
    write(folder.path(), "a.toml", &text(3, &["two.gguf"]));
    until("one model", || ask("one", 1).0 == 404);
    assert_eq!(ask("two", 1).0, 200);
    // What is no model is refused as a whole.
    write(folder.path(), "no.gguf", "no model");
    write(folder.path(), "a.toml", &text(1, &["no.gguf"]));
    std::thread::sleep(Duration::from_millis(800));
    assert_eq!(ask("two", 1).0, 200);
}

/// The numbers of reloads that were taken and refused.
fn reloads(server: &Running) -> [u64; 2] {
    reloads_with(server, "")
}

fn reloads_with(server: &Running, key: &str) -> [u64; 2] {
    let (_, text) = server.ask(&format!("GET /metrics HTTP/1.1\r\nauthorization: Bearer {key}\r\nx-rest: "), "");
    ["mullama_config_reloads_total ", "mullama_config_reload_failures_total "]
        .map(|name| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().parse::<u64>().unwrap())
}

#[test]
#[cfg(unix)]
fn two_hundred_reloads_cut_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        |choices: u32| format!("[server.limits]\nmax_choices = {choices}\n[engine]\nsequences = 4\nqueue = 64\n");
    let file = write(folder.path(), "a.toml", &text(1));
    let server = start(&file, &["--quiet"]);
    let messages = json!([{ "role": "user", "content": "Count to 20." }]);
    let body = json!({ "messages": messages, "max_tokens": 64, "ignore_eos": true, "stream": true });
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let streams: Vec<_> = (0..32)
            .map(|_| {
                let stream = || {
                    let mut answers = 0;
                    while answers == 0 || !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let (code, answer) = server.ask("POST /v1/chat/completions", &body.to_string());
                        assert!(code == 200 && answer.contains("[DONE]"), "{code}: {answer}");
                        answers += 1;
                    }
                };
                std::thread::Builder::new().spawn_scoped(scope, stream).unwrap()
            })
            .collect();
        // Half of them are broken.
        for at in 1..=100 {
            for (which, text) in [text(1 + at % 8), "broken".to_owned()].into_iter().enumerate() {
                let before = reloads(&server)[which];
                write(folder.path(), "a.toml", &text);
                server.signal("HUP");
                until("it is counted", || reloads(&server)[which] > before);
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        streams.into_iter().for_each(|stream| stream.join().unwrap());
    });
    // The watch may have looked between a change and its signal.
    let [taken, refused] = reloads(&server);
    assert!((100..=110).contains(&taken) && (100..=110).contains(&refused), "{taken}, {refused}");
    write(folder.path(), "a.toml", &text(7));
    let choices = |n: u32| {
        let body = json!({ "messages": [{ "role": "user", "content": "Who are you?" }], "n": n, "max_tokens": 1 });
        server.ask("POST /v1/chat/completions", &body.to_string()).0
    };
    until("the last good one", || choices(7) == 200);
    assert_eq!(choices(8), 400);
}

#[test]
fn a_key_is_in_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        |key: &str| format!("[server.auth]\napi_keys = ['{key}']\n[logging]\nlevel = 'trace'\nlibraries = 'trace'\n");
    let file = write(folder.path(), "a.toml", &text("sk-canary-1"));
    let log = folder.path().join("log");
    let mut serve = command(&["serve", "--config", file.to_str().unwrap(), "--port", "0"]);
    serve.stdin(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
    let server = started(serve);
    assert_eq!((status(&server, "sk-canary-1"), status(&server, "sk-canary-3")), (200, 401));
    write(folder.path(), "a.toml", &text("sk-canary-2"));
    until("the key of the file", || status(&server, "sk-canary-2") == 200);
    write(folder.path(), "a.toml", &text("sk-canary-4").replace("trace", "none"));
    let told = || std::fs::read_to_string(&log).unwrap();
    until("what is wrong", || told().contains("the configuration cannot be used"));
    let log = told();
    assert!(log.contains("the configuration was read again") && log.contains("server.auth.api_keys"), "{log}");
    assert!(!log.contains("canary"), "{log}");
}

#[test]
fn what_others_can_reach_goes_on_asking_for_keys() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "a.toml", "[server]\nhost = '0.0.0.0'\nauth.api_keys = ['one']\n");
    let server = start(&file, &["--quiet"]);
    assert_eq!((status(&server, "one"), status(&server, "")), (200, 401));
    // The file alone would do: it says loopback now. What is bound counts.
    write(folder.path(), "a.toml", "[server]\nthreads = 3\n");
    until("it is refused", || reloads_with(&server, "one")[1] == 1);
    assert_eq!((status(&server, "one"), status(&server, "")), (200, 401));
    write(folder.path(), "a.toml", "[server.auth]\napi_keys = ['two']\n");
    until("another key", || status(&server, "two") == 200);
}

#[test]
fn keys_are_not_taken_away_by_half_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[server]\nthreads = 2\nauth.api_keys = ['one']\n";
    let file = write(folder.path(), "a.toml", text);
    let server = start(&file, &["--quiet"]);
    write(folder.path(), "a.toml", "[server]\nthreads = 2\n");
    until("it is refused", || reloads_with(&server, "one")[1] == 1);
    assert_eq!((status(&server, "one"), status(&server, "")), (200, 401));
    write(folder.path(), "a.toml", "[server]\nauth.allow_unauthenticated = true\n");
    until("everybody may come", || status(&server, "") == 200);
}

#[test]
#[cfg(unix)]
fn a_file_of_keys_that_becomes_a_pipe_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let keys = write(folder.path(), "keys", "one\n");
    let mut serve = command(&["serve", "--api-key-file", keys.to_str().unwrap(), "--port", "0", "--quiet"]);
    serve.stdin(Stdio::null()).stderr(Stdio::piped());
    let server = started(serve);
    std::fs::remove_file(&keys).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&keys).status().unwrap().success());
    // The file is looked at once a second.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2_500) {
        assert_eq!((status(&server, "one"), server.get("/health").0), (200, 200));
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(server);
    for arguments in [["serve", "--api-key-file"], ["serve", "--lora"], ["run", "--lora"]] {
        let done = mullama(&[&arguments[..], &[keys.to_str().unwrap()], &["x.gguf"]].concat());
        assert_ne!(done.code, Some(0), "{arguments:?}");
    }
    mullama(&["run", keys.to_str().unwrap(), "hi"]).fails(3, "it is a pipe, but must be a file");
}

#[test]
#[cfg(feature = "demo-models")]
fn commands_with_a_model_take_it_from_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("one.gguf");
    std::fs::write(&model, mullama_demo_models::CHAT).unwrap();
    let model = model.to_str().unwrap();
    // The rest of the file is not their business.
    let text = format!(
        "[[models]]\npath = '{model}'\n[context]\nn_ctx = 300\n[generation]\nmax_tokens = 3\n[sampling]\nseed = 7\n\
         [server]\nport = 'x'\n"
    );
    let file = write(folder.path(), "a.toml", &text);
    let config = ["--config", file.to_str().unwrap()];
    let run = |arguments: &[&str]| -> Value {
        let done = with_user(&[&["run", "--json"], arguments, &config].concat(), folder.path(), &[]);
        done.json()
    };
    let answer = run(&["Who are you?"]);
    assert_eq!((answer["model"].as_str(), &answer["usage"]["completion_tokens"]), (Some(model), &json!(3)));
    assert_eq!(answer["seed"], 7);
    // Flags go over it, a MODEL takes the place of its models.
    let answer = run(&["Who are you?", "--max-tokens", "2", "--seed", "8"]);
    assert_eq!((&answer["usage"]["completion_tokens"], &answer["seed"]), (&json!(2), &json!(8)));
    let other = folder.path().join("two.gguf");
    std::fs::copy(model, &other).unwrap();
    assert_eq!(run(&[other.to_str().unwrap(), "Who are you?"])["model"], other.to_str().unwrap());
    let tokens: Value = with_user(&[&["tokenize", "--json", "a"], &config[..]].concat(), folder.path(), &[]).json();
    assert_eq!(tokens["model"], model);
    let variables = [("MULLAMA_GENERATION__MAX_TOKENS", "1"), ("MULLAMA_SERVER__PORT", "-1")];
    let answer: Value = with_user(&["run", "--json", "Who are you?"], folder.path(), &variables).json();
    assert_eq!((&answer["model"], &answer["usage"]["completion_tokens"]), (&json!("mullama-tiny"), &json!(1)));
    let wrong = with_user(&["run", "x"], folder.path(), &[("MULLAMA_SAMPLING__TOP_P", "2")]);
    assert_eq!((wrong.code, wrong.out.as_str()), (Some(78), ""));
    assert!(wrong.err.contains("MULLAMA_SAMPLING__TOP_P is 2, but must be 0..=1"), "{wrong:?}");
}

#[test]
fn conversions_take_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.bmp");
    // 1 x 1, 24 bits.
    let head = [b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0".as_slice(), &[0; 24]];
    std::fs::write(&input, [&head.concat()[..], &[1, 2, 3, 0]].concat()).unwrap();
    let convert = |variables: &[(&str, &str)], flags: &[&str]| {
        let arguments = [&["convert", input.to_str().unwrap(), "--to", "png"], flags].concat();
        with_user(&arguments, folder.path(), variables)
    };
    convert(&[], &[]).ok();
    assert!(convert(&[], &[]).err.contains("in.png"));
    convert(&[("MULLAMA_CONVERSION__EXISTING", "overwrite")], &[]).ok();
    let file = write(folder.path(), "a.toml", "[conversion]\nlimits.max_pixels = 0\n[sampling]\ntop_p = 9\n");
    let wrong = convert(&[], &["--force", "--config", file.to_str().unwrap()]);
    assert_eq!(wrong.code, Some(78));
    assert_eq!(wrong.err.lines().count(), 1, "{wrong:?}");
}
