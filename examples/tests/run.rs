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
