//! `chat`, scripted.

use crate::with_input;

fn talk(args: &[&str], lines: &[&str]) -> crate::Outcome {
    with_input(&[&["chat", "--quiet"], args].concat(), (lines.join("\n") + "\n").as_bytes())
}

#[test]
fn the_model_remembers_what_was_said() {
    let answers = talk(&[], &["My name is Anna.", "What is 3 + 4?", "What is my name?"]).ok();
    assert_eq!(answers, "Nice to meet you, Anna!\n3 + 4 = 7.\nYour name is Anna.\n");
    let answers = talk(&[], &["My name is Anna.", "/clear", "What is my name?"]).ok();
    assert!(answers.ends_with("I do not know your name.\n"), "{answers}");
}

#[test]
fn a_conversation_is_saved_and_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk.json");
    let (save, load) = (format!("/save {}", file.display()), format!("/load {}", file.display()));
    talk(&[], &["/system You are a helpful assistant.", "My name is Anna.", &save]).ok();
    let saved: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(
        saved["messages"][0],
        serde_json::json!({ "role": "system", "content": "You are a helpful assistant." })
    );
    assert_eq!(saved["messages"].as_array().unwrap().len(), 3);
    assert_eq!(talk(&[], &[&load, "What is my name?"]).ok(), "Your name is Anna.\n");
}

#[test]
fn commands_are_told_apart_from_text() {
    let told = with_input(&["chat"], b"/nonsense\nWho are you?\n/stats\n/help\n/exit\nnever read\n");
    assert!(told.err.contains("there is no command /nonsense"), "{told:?}");
    let out = told.ok();
    assert!(out.starts_with("I am a tiny demo model of mullama.\n2 messages, "), "{out}");
    assert!(out.contains("/save FILE") && !out.contains("never"), "{out}");
}

#[test]
fn a_line_that_ends_in_a_backslash_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk.json");
    talk(&[], &["one \\", "two", &format!("/save {}", file.display())]).ok();
    let saved: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(saved["messages"][0]["content"], "one \ntwo");
}

#[test]
fn old_turns_go_when_the_context_is_full_and_the_instructions_stay() {
    let lines = vec!["What is 7 + 8?"; 20];
    let told = talk(&["--ctx-size", "128", "--system", "You are a helpful assistant."], &lines);
    assert!(told.err.contains("the context is full: the oldest "), "{told:?}");
    assert_eq!(told.ok(), "7 + 8 = 15.\n".repeat(20));
}

#[test]
fn a_script_ends_with_its_first_failure() {
    talk(&[], &["/load /nonexistent", "Who are you?"]).fails(3, "cannot read `/nonexistent`");
    talk(&[], &["/save"]).fails(2, "the name of a file is missing");
    talk(&["--ctx-size", "32"], &[&"Count to 20. ".repeat(20)]).fails(2, "but the context holds 32");
    with_input(&["chat"], b"Hello \xff\n").fails(2, "not valid UTF-8");
    assert_eq!(with_input(&["chat"], b"").ok(), "");
}
