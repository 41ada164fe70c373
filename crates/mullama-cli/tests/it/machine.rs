//! `serve` on a machine that has run out of something.
#![cfg(unix)]

use std::fs::OpenOptions;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::serve::{Running, ended, started, who};
use crate::{command, turn};

/// That it answers a question as it should.
fn answers(server: &Running) {
    let answer = server.post("/v1/chat/completions", &who());
    assert_eq!(answer["choices"][0]["message"]["content"], "I am a tiny demo model of mullama.");
}

/// `mullama serve` started by a line of the shell, in which it is `"$0"`.
fn by_shell(line: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", line, env!("CARGO_BIN_EXE_mullama")]).env_remove("HOME");
    shell.stdin(Stdio::null()).stderr(Stdio::null());
    shell
}

#[test]
#[cfg(target_os = "linux")]
fn a_log_that_cannot_be_written_harms_no_answer() {
    let mut serve = command(&["serve", "--port", "0"]);
    serve.stdin(Stdio::null()).stderr(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let server = started(serve);
    (0..3).for_each(|_| answers(&server));
}

#[test]
fn nothing_is_written_to_the_folder_of_temporary_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = command(&["serve", "--port", "0", "--quiet", "--shutdown-grace", "0"]);
    serve.env("TMPDIR", folder.path()).current_dir(folder.path()).stdin(Stdio::null()).stderr(Stdio::null());
    let mut server = started(serve);
    answers(&server);
    server.signal("TERM");
    assert_eq!(ended(&mut server.child), Some(0));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn it_serves_with_nothing_to_read_and_nowhere_to_write() {
    let _turn = turn();
    // It cannot tell its address, so it is given one that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let line = format!("exec \"$0\" serve --port {port} <&- >&- 2>&-");
    let child = by_shell(&line).env_remove("MULLAMA_API_KEY").spawn().unwrap();
    let mut server = Running::at(child, format!("127.0.0.1:{port}"));
    let deadline = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(&server.address).is_err() {
        assert!(Instant::now() < deadline && server.child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    answers(&server);
}

#[test]
fn with_few_descriptors_it_serves_those_that_it_can() {
    let server = started(by_shell("ulimit -n 64 && exec \"$0\" serve --port 0 --quiet"));
    // More than it can have.
    let many: Vec<_> = (0..100).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    std::thread::sleep(Duration::from_millis(300));
    drop(many);
    answers(&server);
}
