//! Exit codes, and what must not make the program fail badly.

use std::process::Stdio;

use crate::{command, mullama, shared, turn, with_input};

#[test]
fn each_class_of_failure_has_its_exit_code() {
    mullama(&["devices"]).ok();
    mullama(&["run", "--quiet", "--temperature", "11", "hi"]).fails(2, "--temperature is 11, but must be 0..=10");
    mullama(&["run", "--devices", "nosuch", "hi"]).fails(2, "cannot load the embedded model: no device named");
    mullama(&["run", "nosuch.gguf", "hi"]).fails(3, "cannot open `nosuch.gguf`");
    mullama(&["run", "nosuch.gguf"]).fails(3, "cannot open `nosuch.gguf`");
    let full = command(&["info"]).stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap()).output();
    crate::outcome(&full.unwrap()).fails(3, "cannot write to standard output");
    mullama(&["run", "--timeout", "0.001", "--quiet", "Count to 20."]).fails(5, "took longer than 1 ms");
    assert_eq!(mullama::<&str>(&[]).code, Some(2));
    assert!(mullama(&["--help"]).ok().contains("Exit codes: 0 success; 2 wrong usage"));
    assert!(mullama(&["--version"]).ok().starts_with("mullama "));
}

#[test]
#[cfg(unix)]
fn an_interrupt_ends_with_130_and_what_there_is() {
    use std::io::Read;
    let _turn = turn();
    let args = ["run", "--ignore-eos", "--context-shift", "--quiet", "Count to 20."];
    let mut child = command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut first = [0_u8; 12];
    out.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"1, 2, 3, 4, ");
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with('\n'));
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!((child.wait().unwrap().code(), told.as_str()), (Some(130), "error: cancelled\n"));
}

#[test]
fn input_that_cannot_be_used_is_refused() {
    with_input(&["run"], b"").fails(2, "no tokens");
    with_input(&["run"], b"caf\xe9").fails(2, "standard input is not valid UTF-8 at byte 3");
    for blank in ["", " ", "\n\t"] {
        mullama(&["run", blank]).fails(2, "the prompt has no tokens");
        with_input(&["run", "-"], blank.as_bytes()).fails(2, "the prompt has no tokens");
    }
    with_input(&["run"], &vec![b'a'; (16 << 20) + 1]).fails(2, "the limit is 16777216");
    mullama(&["run", "--ctx-size", "8", "Who are you?"]).fails(2, "but the context holds 8");
    mullama(&["run", "--json-schema", "{", "hi"]).fails(2, "`{` is not the JSON that is expected");
    for (flag, hint) in [("--json-schema", "JSON itself begins with"), ("--grammar", "a grammar has rules like")] {
        let told = mullama(&["run", flag, "nosuch.json", "hi"]);
        assert!(told.err.contains(hint), "{told:?}");
        told.fails(3, "cannot read `nosuch.json`");
    }
    mullama(&["run", "--json-schema", "{\"type\":\"nonsense\"}", "hi"]).fails(2, "unrecognized type nonsense");
    let told = mullama(&["run", "good", "morning"]);
    assert!(told.err.contains("hint: a text with spaces needs quotes"), "{told:?}");
    told.fails(3, "cannot read `good`");
    mullama(&["run", "--tools", "[1]", "hi"]).fails(2, "is not the JSON that is expected");
    for form in [&["--raw"][..], &[]] {
        let args = [&["run", "--grammar", "root ::= (", "hi"], form].concat();
        mullama(&args).fails(2, "invalid grammar");
    }
    mullama(&["tokenize", "--decode", "1 x"]).fails(2, "`x` is not a token's id");
    mullama(&["tokenize", "--decode", "99999"]).fails(2, "token 99999 does not exist");
}

#[test]
fn files_that_are_no_models_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, text) = (folder.path().join("empty.gguf"), folder.path().join("text.gguf"));
    std::fs::write(&empty, "").unwrap();
    std::fs::write(&text, "once upon a time\n".repeat(100)).unwrap();
    for (file, code, message) in
        [(&empty, 2, "not a GGUF file"), (&text, 2, "not a GGUF file"), (&folder.path().to_owned(), 3, "cannot open")]
    {
        let file = file.to_str().unwrap();
        mullama(&["run", file, "hi"]).fails(code, message);
        mullama(&["chat", file]).fails(code, message);
        mullama(&["tokenize", file, "hi"]).fails(code, message);
        mullama(&["embed", file, "hi"]).fails(code, message);
        mullama(&["rerank", file, "hi", "ho"]).fails(code, message);
        mullama(&["info", file]).fails(code, message);
        let output = folder.path().join("out.gguf");
        mullama(&["quantize", file, output.to_str().unwrap(), "Q8_0"]).fails(code, message);
        assert!(!output.exists());
    }
}

#[test]
fn a_truncated_model_is_told_by_run_and_by_the_check() {
    let Some(model) = shared("llm/stories260K-q8_0.gguf") else { return };
    let whole = std::fs::read(model).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (length, message) in [(1_000, "the file ends within"), (100_000, "the tensors need a file of")] {
        let file = folder.path().join("cut.gguf");
        std::fs::write(&file, &whole[..length]).unwrap();
        let file = file.to_str().unwrap();
        mullama(&["run", file, "hi"]).fails(2, message);
        mullama(&["info", "--check", file]).fails(2, message);
    }
    let file = folder.path().join("cut.gguf");
    let told = mullama(&["info", "--check", "--json", file.to_str().unwrap()]);
    assert_eq!(told.code, Some(2));
    let json: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert!(json["check"].as_str().unwrap().contains("the tensors need a file of"));
}

#[test]
#[cfg(unix)]
fn nobody_reading_is_no_failure() {
    let _turn = turn();
    for args in [&["info", "--tensors"][..], &["run", "--quiet", "Count to 20."], &["man"], &["info", "--json"]] {
        let mut child =
            command(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let told = crate::outcome(&child.wait_with_output().unwrap());
        assert_eq!(told.code, Some(0), "{told:?}");
        assert!(!told.err.contains("error"), "{told:?}");
    }
}
