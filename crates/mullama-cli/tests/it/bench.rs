//! `bench`: its sweeps in small, its model, and its other side, which a small server plays.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::mullama;

const QUICK: [&str; 3] = ["bench", "--quick", "--quiet"];

fn bench(args: &[&str]) -> crate::Outcome {
    mullama(&[&QUICK[..], args].concat())
}

fn report(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The sides of a sweep's point, by name.
fn side<'a>(point: &'a Value, name: &str) -> &'a Value {
    point["sides"].as_array().unwrap().iter().find(|side| side["side"] == name).unwrap()
}

#[test]
fn every_sweep_measures_something() {
    let folder = tempfile::tempdir().unwrap();
    let (json, pictures) = (folder.path().join("report.json"), folder.path().join("pictures"));
    let args = ["--json", json.to_str().unwrap(), "--svg", pictures.to_str().unwrap(), "--seed", "5", "--note", "test"];
    let told = bench(&args).ok();
    let report = report(&json);
    assert_eq!((&report["note"], &report["workload"]["seed"]), (&"test".into(), &5.into()));
    assert_eq!(report["against"], Value::Null);
    assert!(told.starts_with("mullama ") && told.lines().nth(1) == Some("test"), "{told}");
    let names = ["concurrency", "shared-prefix", "mixed", "slow-reader", "contended", "layout", "speculation"];
    let sweeps = report["sweeps"].as_array().unwrap();
    assert_eq!(sweeps.iter().map(|sweep| sweep["name"].as_str().unwrap()).collect::<Vec<_>>(), names);
    for sweep in sweeps {
        let name = sweep["name"].as_str().unwrap();
        assert!(told.contains(&format!("\n{name}: ")), "{told}");
        let picture = std::fs::read_to_string(pictures.join(format!("{name}.svg"))).unwrap();
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n") && !picture.contains("NaN"), "{picture}");
        assert!(picture.contains("; test</text>") && !picture.contains("?B"), "{picture}");
        for point in sweep["points"].as_array().unwrap() {
            for side in point["sides"].as_array().unwrap() {
                assert_eq!(side["runs"].as_array().unwrap().len(), 1, "{side}");
                assert_eq!(side["runs"][0], side["median"]);
                let rate = if name == "mixed" { "ttft_p50_ms" } else { "tokens_per_second" };
                assert!(side["median"][rate].as_f64().unwrap() > 0.0, "{name}: {side}");
            }
        }
    }
    let of = |name: &str| sweeps.iter().find(|sweep| sweep["name"] == name).unwrap();
    let cached = |point: usize| {
        let tokens = &side(&of("shared-prefix")["points"][point], "mullama")["median"];
        (tokens["cached_tokens"].as_f64().unwrap(), tokens["prompt_tokens"].as_f64().unwrap())
    };
    let ((shared, all), (nothing, _)) = (cached(0), cached(1));
    assert!(shared > all / 4.0 && nothing < all / 10.0, "{shared} and {nothing} of {all}");
    assert!(side(&of("slow-reader")["points"][0], "beside a stopped reader")["median"]["reader_pauses"] == 1.0);
    assert_eq!(of("slow-reader")["checks"][0]["pass"], true);
    assert_eq!(of("speculation")["checks"][0]["pass"], true);
    assert!(side(&of("mixed")["points"][0], "mullama")["median"]["short_requests"].as_f64().unwrap() >= 1.0);
}

#[test]
fn the_model_with_random_weights_loads_and_is_always_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["one.gguf", "two.gguf"].map(|name| folder.path().join(name));
    for path in &paths {
        assert_eq!(bench(&["--make-model", path.to_str().unwrap()]).ok(), "");
    }
    assert_eq!(std::fs::read(&paths[0]).unwrap(), std::fs::read(&paths[1]).unwrap());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
    let path = paths[0].to_str().unwrap();
    let info = mullama(&["info", "--check", "--json", path]).json();
    assert_eq!((&info["check"], &info["file_type"], &info["layers"]), (&"ok".into(), &"Q8_0".into(), &2.into()));
    let answer = mullama(&["run", "--json", "--temperature", "0", "--max-tokens", "24", path, "hello"]).json();
    assert_eq!(answer["finish_reason"], "length");
    let text = answer["text"].as_str().unwrap();
    assert!(text.len() >= 24 && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{text:?}");
    mullama(&["bench", "--quick", "--sweep", "concurrency", path]).ok();
}

/// What the server does with a completion.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Good,
    /// Refuses.
    Busy,
    /// Goes away in the middle.
    Cut,
    /// Sends an error in the stream.
    Fails,
}

/// A server that answers every completion with as many words as it is asked for.
struct Fake {
    url: String,
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Fake {
    fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&bodies);
        let accept = move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let seen = Arc::clone(&seen);
                let answer = move || answer(connection, manner, &seen);
                std::thread::Builder::new().name("fake".to_owned()).spawn(answer).unwrap();
            }
        };
        // It ends with the tests.
        std::thread::Builder::new().name("fakes".to_owned()).spawn(accept).unwrap();
        Self { url, bodies }
    }

    fn bodies(&self) -> Vec<Value> {
        self.bodies.lock().unwrap().clone()
    }
}

fn answer(mut connection: TcpStream, manner: Manner, seen: &Mutex<Vec<Value>>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let (mut head, mut line) = (Vec::new(), String::new());
    while reader.read_line(&mut line).unwrap_or(0) > 2 {
        head.push(std::mem::take(&mut line));
    }
    let Some(first) = head.first() else { return };
    let length = head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let plain = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nServer: fake\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    };
    let text = match first.split(' ').nth(1).unwrap() {
        "/v1/models" => plain("200 OK", r#"{"data": [{"id": "words"}]}"#),
        "/props" => plain("200 OK", r#"{"build_info": "b7"}"#),
        "/v1/completions" if manner == Manner::Busy => plain("503 Busy", "come back later\n"),
        "/v1/completions" => {
            let body: Value = serde_json::from_slice(&body).unwrap();
            seen.lock().unwrap().push(body.clone());
            // Whoever asked may be gone.
            let _ = stream(&mut connection, &body, manner);
            return;
        }
        _ => plain("404 Not Found", ""),
    };
    let _ = connection.write_all(text.as_bytes());
}

fn stream(connection: &mut TcpStream, body: &Value, manner: Manner) -> std::io::Result<()> {
    let tokens = body["max_tokens"].as_u64().unwrap();
    connection.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
    let mut send = |text: &str| {
        // In two chunks, so that events come in pieces.
        let (one, two) = text.split_at(text.len() / 2);
        for part in [one, two] {
            connection.write_all(format!("{:x}\r\n{part}\r\n", part.len()).as_bytes())?;
        }
        connection.flush()
    };
    send(": a comment\n\n")?;
    for number in 0..tokens {
        if number == 2 && manner == Manner::Cut {
            return Ok(());
        }
        if number == 2 && manner == Manner::Fails {
            return send("data: {\"error\": {\"message\": \"out of luck\"}}\n\n");
        }
        // Two tokens in one event: the usage tells how many there were.
        if number % 2 == 0 {
            send(&format!("data: {}\n\n", json!({ "choices": [{ "text": " word", "finish_reason": null }] })))?;
        }
    }
    send(&format!("data: {}\n\n", json!({ "choices": [{ "text": "", "finish_reason": "length" }] })))?;
    let details = json!({ "cached_tokens": 3 });
    let usage = json!({ "completion_tokens": tokens, "prompt_tokens": 10, "prompt_tokens_details": details });
    send(&format!("data: {}\n\n", json!({ "choices": [], "usage": usage })))?;
    send("data: [DONE]\n\n")?;
    connection.write_all(b"0\r\n\r\n")
}

#[test]
fn a_server_gets_the_same_load_in_turn() {
    let server = Fake::start(Manner::Good);
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("report.json");
    let args = ["--against", &server.url, "--pairs", "2", "--json", json.to_str().unwrap()];
    let sweeps = ["--sweep", "concurrency", "--sweep", "shared-prefix", "--sweep", "unshared"];
    let told = bench(&[&args[..], &sweeps].concat()).ok();
    assert!(told.contains(&format!("against fake b7 at {}", server.url)), "{told}");
    assert!(told.contains("mullama / fake, tokens_per_second: "), "{told}");

    let report = report(&json);
    let against = json!({ "url": server.url, "name": "fake", "version": "b7", "model": "words" });
    assert_eq!(report["against"], against);
    // Two counted pairs and one before them; 1 and 2 streams; 4 requests of both kinds of prompts.
    let bodies = server.bodies();
    assert_eq!(bodies.len(), 3 * (1 + 2) + 3 * (4 + 4));
    for body in &bodies {
        assert_eq!((&body["model"], &body["stream"], &body["seed"]), (&"words".into(), &true.into(), &1.into()));
        assert_eq!(
            (&body["temperature"], &body["ignore_eos"], &body["cache_prompt"]),
            (&0.into(), &true.into(), &true.into())
        );
    }
    let mut prompts: Vec<&str> = bodies.iter().map(|body| body["prompt"].as_str().unwrap()).collect();
    prompts.sort_unstable();
    prompts.dedup();
    assert_eq!(prompts.len(), bodies.len(), "a prompt was sent twice");
    let [first, second] = [0, 1].map(|point| &report["sweeps"][0]["points"][point]);
    for (point, tokens) in [(first, 8.0), (second, 16.0)] {
        for name in ["mullama", "fake"] {
            let side = side(point, name);
            assert_eq!(side["runs"].as_array().unwrap().len(), 2);
            let run = &side["runs"][0];
            // No run takes no time, and none takes a minute.
            assert!(run["tokens_per_second"].as_f64().unwrap() > tokens / 60.0, "{run}");
        }
        let ratio = &point["ratios"][0];
        let pair = |name: &str| side(point, name)["runs"][1]["tokens_per_second"].as_f64().unwrap();
        let (told, own) = (ratio["pairs"][1].as_f64().unwrap(), pair("mullama") / pair("fake"));
        assert!((told - own).abs() < 1e-3 * own.max(1.0), "{told} {own}");
    }
    let prefix = &report["sweeps"][1]["points"];
    let cached = &side(&prefix[0], "fake")["median"];
    assert_eq!((&cached["cached_tokens"], &cached["prompt_tokens"]), (&12.0.into(), &40.0.into()));
    let ratios = prefix[0]["ratios"].as_array().unwrap().iter().map(|ratio| ratio["of"].as_str().unwrap());
    assert_eq!(ratios.collect::<Vec<_>>(), ["mullama", "mullama, shared", "fake, shared"]);
}

#[test]
#[cfg(unix)]
fn a_server_can_be_restarted_before_each_of_its_runs() {
    let server = Fake::start(Manner::Good);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let command = format!("echo restart >> '{}'", log.display());
    let args = ["--against", &server.url, "--against-name", "mullama", "--sweep", "unshared", "--restart-cmd"];
    let told = bench(&[&args[..], &[&command]].concat()).ok();
    assert!(told.contains("mullama / mullama (server), tokens_per_second: "), "{told}");
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "restart\nrestart\n");
    bench(&[&args[..], &["exit 3"]].concat()).fails(2, "--restart-cmd failed: exit status: 3");
}

#[test]
fn the_mixed_load_runs_against_a_server() {
    let server = Fake::start(Manner::Good);
    bench(&["--against", &server.url, "--sweep", "mixed"]).ok();
    let longest = server.bodies().iter().map(|body| body["prompt"].as_str().unwrap().len()).max();
    assert!(longest > Some(200), "{longest:?}");
}

#[test]
fn a_server_that_fails_is_told_of() {
    let against = |url: &str| bench(&["--sweep", "concurrency", "--against", url]);
    against(&Fake::start(Manner::Busy).url).fails(1, "/v1/completions answered with 503: come back later");
    against(&Fake::start(Manner::Fails).url).fails(1, "out of luck");
    against(&Fake::start(Manner::Cut).url).fails(3, "no answer from http://127.0.0.1:");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = against(&format!("http://{gone}"));
    assert!(refused.err.contains("hint: is the server running?"), "{refused:?}");
    refused.fails(3, "no answer from http://127.0.0.1:");
    against("https://127.0.0.1:1").fails(2, "--against is https://127.0.0.1:1: it must begin with http://");
    bench(&["--restart-cmd", "true"]).fails(2, "--against is missing");
    bench(&["--json", "nosuch/report.json"]).fails(3, "cannot write `nosuch/report.json`");
    bench(&["--stall", "0"]).fails(2, "--stall is 0, but must be 0.05 to 600 seconds");
}
