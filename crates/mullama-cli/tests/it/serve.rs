//! `serve`: starts, answers, ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{Outcome, command, turn};

/// A server that runs; it is killed when this is dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    /// What it said when it was ready.
    line: String,
    pub(crate) address: String,
    _turn: Option<MutexGuard<'static, ()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts it on a free port and waits until it is ready.
fn start(flags: &[&str]) -> Running {
    let mut serve = command(&[&["serve", "--port", "0", "--quiet"], flags].concat());
    serve.stdin(Stdio::null()).stderr(Stdio::piped());
    started(serve)
}

/// Starts a command that runs one, and waits until it is ready.
pub(crate) fn started(mut serve: Command) -> Running {
    let turn = turn();
    serve.env_remove("MULLAMA_API_KEY").stdout(Stdio::piped());
    let mut child = serve.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address =
        line.split("http://").nth(1).and_then(|rest| rest.split([' ', '/', ';', ',']).next()).map(str::to_owned);
    if address.is_none() {
        let mut told = String::new();
        let _ = child.stderr.take().map(|mut stderr| stderr.read_to_string(&mut told));
        assert_eq!((line.as_str(), told.as_str(), child.wait().unwrap().code()), ("an address", "", None));
    }
    Running { child, line, address: address.unwrap(), _turn: Some(turn) }
}

/// Runs one that must end by itself.
fn refused(flags: &[&str]) -> Outcome {
    let _turn = turn();
    let mut serve = command(&[&["serve", "--quiet"], flags].concat());
    serve.env_remove("MULLAMA_API_KEY").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = serve.spawn().unwrap();
    if ended(&mut child).is_none() {
        child.kill().unwrap();
    }
    crate::outcome(&child.wait_with_output().unwrap())
}

/// Its exit code; `None` if it has not ended within a minute.
pub(crate) fn ended(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

impl Running {
    /// One that is reached at an address; the caller has the turn.
    pub(crate) fn at(child: Child, address: String) -> Self {
        Self { child, line: String::new(), address, _turn: None }
    }

    /// The status and the body of an answer.
    pub(crate) fn ask(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let length = body.len();
        let fields = format!("host: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}");
        write!(stream, "{head} HTTP/1.1\r\n{fields}\r\nconnection: close\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Value {
        let (status, text) = self.ask(&format!("POST {path}"), &body.to_string());
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.ask(&format!("GET {path}"), "")
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
        assert!(killed.success());
    }
}

pub(crate) fn who() -> Value {
    json!({ "messages": [{ "role": "user", "content": "Who are you?" }] })
}

#[test]
fn it_serves_the_embedded_model() {
    let server = start(&[]);
    assert!(server.line.contains("mullama-tiny") && server.line.contains("curl http://127.0.0.1:"), "{}", server.line);
    let answer = server.post("/v1/chat/completions", &who());
    assert_eq!(answer["choices"][0]["message"]["content"], "I am a tiny demo model of mullama.");
    assert_eq!(answer["model"], "mullama-tiny");
    assert_eq!(server.get("/health").0, 200);
    assert_eq!((server.get("/metrics").0, server.get("/slots").0), (200, 200));
}

#[test]
fn flags_reach_the_server() {
    let flags = ["-a", "gpt-4o,small", "-c", "512", "-np", "2", "--max-tokens", "2", "--no-metrics", "--no-slots"];
    let server = start(&flags);
    let answer = server.post("/v1/chat/completions", &who());
    assert_eq!((&answer["model"], &answer["usage"]["completion_tokens"]), (&"gpt-4o".into(), &2.into()));
    let (_, models) = server.get("/v1/models");
    assert!(models.contains("gpt-4o"), "{models}");
    assert_ne!(server.get("/metrics").0, 200);
    assert_ne!(server.get("/slots").0, 200);
    // 512 tokens divided among two.
    let long = json!({ "prompt": "one two three four ".repeat(150), "max_tokens": 1 });
    let (status, told) = server.ask("POST /v1/completions", &long.to_string());
    assert_eq!(status, 400, "{told}");
    assert!(told.contains("context_length_exceeded") && told.contains("256"), "{told}");
}

#[test]
fn a_key_is_asked_for() {
    let server = start(&["--api-key", "secret,other"]);
    assert!(server.line.contains("MULLAMA_API_KEY") && !server.line.contains("secret"), "{}", server.line);
    assert_eq!(server.ask("POST /v1/chat/completions", &who().to_string()).0, 401);
    for key in ["secret", "other"] {
        let head = format!("GET /v1/models HTTP/1.1\r\nauthorization: Bearer {key}\r\nx-rest: ");
        assert_eq!(server.ask(&head, "").0, 200);
    }
}

#[test]
#[cfg(unix)]
fn a_signal_ends_it_in_order() {
    let mut server = start(&["--shutdown-grace", "10ms", "--shutdown-timeout", "5"]);
    server.signal("TERM");
    assert_eq!(ended(&mut server.child), Some(0));
}

#[test]
#[cfg(unix)]
fn while_it_ends_it_is_not_ready_and_a_second_signal_ends_it_at_once() {
    let mut server = start(&["--shutdown-grace", "60"]);
    server.signal("TERM");
    let deadline = Instant::now() + Duration::from_secs(30);
    while server.get("/health").0 == 200 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!((server.get("/health").0, server.get("/health/live").0), (503, 200));
    assert_eq!(server.post("/v1/chat/completions", &who())["choices"][0]["finish_reason"], "stop");
    server.signal("TERM");
    assert_eq!(ended(&mut server.child), Some(130));
}

#[test]
#[cfg(unix)]
fn what_is_not_done_in_time_is_cut() {
    let flags = ["--shutdown-grace", "10ms", "--shutdown-timeout", "200ms", "--context-shift", "--ignore-eos"];
    let mut server = start(&flags);
    let body = json!({ "prompt": "Count to 20.", "stream": true }).to_string();
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let fields = format!("host: localhost\r\ncontent-type: application/json\r\ncontent-length: {}", body.len());
    write!(stream, "POST /completion HTTP/1.1\r\n{fields}\r\n\r\n{body}").unwrap();
    let mut lines = BufReader::new(stream).lines();
    assert!(lines.any(|line| line.unwrap().starts_with("data: ")));
    server.signal("TERM");
    assert_eq!(ended(&mut server.child), Some(143));
}

#[test]
#[cfg(unix)]
fn keys_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    std::fs::write(&file, "# keys\none\n").unwrap();
    let server = start(&["--api-key-file", file.to_str().unwrap()]);
    let status =
        |key: &str| server.ask(&format!("GET /v1/models HTTP/1.1\r\nauthorization: Bearer {key}\r\nx-rest: "), "").0;
    assert_eq!((status("one"), status("two")), (200, 401));
    std::fs::write(&file, "two\n").unwrap();
    server.signal("HUP");
    let deadline = Instant::now() + Duration::from_secs(30);
    while status("two") != 200 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(status("one"), 401);
}

#[test]
fn what_cannot_be_served_is_told_before_anything_starts() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    refused(&["--port", &port]).fails(3, "cannot listen on 127.0.0.1:");
    refused(&["--host", "0.0.0.0", "--port", "0"]).fails(2, "no API key is asked for");
    refused(&["--host", "no.such.host.invalid", "--port", "0"]).fails(2, "--host is no.such.host.invalid");
    refused(&["--host", "/tmp/x.sock"]).fails(2, "--host is /tmp/x.sock, but must be one address");
    refused(&["nosuch.gguf"]).fails(3, "cannot open `nosuch.gguf`");
    refused(&["--api-key-file", "nosuch", "--port", "0"]).fails(3, "cannot read `nosuch`");
    refused(&["--api-key", "", "--port", "0"]).fails(2, "--api-key is");
    refused(&["--cors-origins", "example.org", "--port", "0"]).fails(2, "--cors-origins is example.org, but must be");
    refused(&["--reranking"]).fails(2, "no model ranks");
    refused(&["--queue", "0"]).fails(2, "--queue is 0, but must be");
    refused(&["--inter-token-target", "0"]).fails(2, "--inter-token-target is 0, but must be");
    refused(&["--temp", "11"]).fails(2, "--temperature is 11, but must be 0..=10");
    refused(&["--top-logprobs", "2"]).fails(2, "--top-logprobs is no flag of a server");
    refused(&["-nocb"]).fails(2, "requests are always computed together");
    refused(&["--cache-reuse", "256"]).fails(2, "--cache-reuse is not supported");
    refused(&["-np", "65"]).fails(2, "--parallel is 65, but must be a whole number, 1..=64");
    refused(&["-c", "3", "-np", "4"]).fails(2, "--ctx-size is 3, but must be at least --parallel, 4");
    refused(&["--hf-repo", "x/y"]).fails(2, "there is no flag --hf-repo");
}

#[test]
fn a_model_that_cannot_be_loaded_ends_it() {
    refused(&["--lora", "nosuch.gguf", "--port", "0"]).fails(3, "nosuch.gguf");
}
