//! The examples run and say what they should.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

/// Runs an example that cargo built beside this test.
fn run(name: &str, arguments: &[&str]) -> String {
    let folder = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples");
    let output = Command::new(folder.join(name)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn chat_remembers() {
    let said = run("chat", &[]);
    assert!(said.contains("3 + 4 = 7.") && said.contains("Your name is Anna."), "{said}");
}

#[test]
fn tools_are_called_with_the_city() {
    let said = run("tools", &[]);
    assert!(said.contains("get_weather({\"city\": \"Paris\"})"), "{said}");
}

#[test]
fn json_follows_the_schema() {
    assert_eq!(run("json_schema", &[]).trim(), "\"Anna\" is 7");
}

#[test]
fn text_comes_and_ends() {
    assert!(run("text", &[]).contains("tokens, length)"));
}

#[test]
fn the_async_snippet_runs() {
    assert_eq!(run("async_await", &[]).trim(), "3 tokens; 3 + 4 = 7.");
}

#[test]
fn the_web_snippet_serves() {
    use std::io::{Read, Write};
    let folder = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples");
    let mut server = Command::new(folder.join("web")).spawn().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let mut stream = loop {
        match std::net::TcpStream::connect("127.0.0.1:3000") {
            Ok(stream) => break stream,
            Err(error) => {
                assert!(server.try_wait().unwrap().is_none() && std::time::Instant::now() < deadline, "{error}");
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    let body = r#"{"messages": [{"role": "user", "content": "What is 3 + 4?"}], "temperature": 0}"#;
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json";
    write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    server.kill().unwrap();
    server.wait().unwrap();
    read.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("3 + 4 = 7."), "{answer}");
}

#[test]
fn the_parallel_snippet_runs() {
    let said = run("parallel", &[]);
    let beginnings = said.lines().map(|line| line.split(':').next().unwrap());
    assert_eq!(beginnings.collect::<Vec<_>>(), ["The sun", "The sea", "A dog"], "{said}");
    assert!(said.lines().all(|line| line.ends_with(" tokens)") && !line.contains("(0 tokens)")), "{said}");
}

#[test]
fn the_runtime_snippet_runs() {
    assert_eq!(run("tokio_runtime", &[]).trim(), "3 + 4 = 7.");
}

#[test]
fn streams_come_together() {
    let said = run("stream", &[]);
    assert!(said.contains("loaded: 100 %") && said.contains("7 + 8 = 15.") && said.contains("3 + 4 = 7."), "{said}");
}

#[test]
fn answers_are_rust_types() {
    assert_eq!(run("typed", &[]).trim(), "Anna is 7");
}

#[test]
fn a_pool_keeps_within_its_bound() {
    let said = run("pool", &[]);
    assert!(said.contains("first: Unloaded") && said.contains("second: Ready"), "{said}");
}

#[test]
fn the_configuration_snippet_runs() {
    assert_eq!(run("configuration", &[]).trim(), "8192 tokens, 12 threads\n3 + 4 = 7.");
}
