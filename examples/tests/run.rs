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
