//! Runs the program as its users do, mostly on the embedded model.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests; what did not run is said")]

mod bench;
mod chat;
mod config;
mod convert;
mod failures;
mod machine;
mod models;
mod run;
mod serve;
mod usage;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the program did.
#[derive(Debug)]
struct Outcome {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Outcome {
    /// Its output, if it was content.
    fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Its output as JSON.
    fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// That it ended with this code and one line about the error, perhaps with a hint.
    fn fails(self, code: i32, message: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let lines: Vec<_> = self.err.lines().filter(|line| !line.starts_with("no MODEL given")).collect();
        assert!(lines[0].starts_with("error: ") && lines[0].contains(message), "{message:?} is not in {self:?}");
        assert!(lines[1..].iter().all(|line| line.starts_with("hint: ")) && lines.len() <= 2, "{self:?}");
    }
}

/// A program that has not run yet, away from the user's files.
fn command<S: AsRef<OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mullama"));
    command.args(args).env_remove("XDG_STATE_HOME").env_remove("XDG_CONFIG_HOME").env_remove("HOME");
    command
}

/// One program at a time: each takes all cores, and ggml's threads spin while they wait for one another.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs it without input.
fn mullama<S: AsRef<OsStr>>(args: &[S]) -> Outcome {
    let _turn = turn();
    outcome(&command(args).stdin(Stdio::null()).output().unwrap())
}

/// Runs it with this standard input.
fn with_input<S: AsRef<OsStr>>(args: &[S], input: &[u8]) -> Outcome {
    let _turn = turn();
    let mut command = command(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may have ended without reading all.
    let _ = child.stdin.take().unwrap().write_all(input);
    outcome(&child.wait_with_output().unwrap())
}

fn outcome(output: &Output) -> Outcome {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Outcome { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A file of the models that lie beside the project. `None`, and a line that says so, where there are none; but where
/// they are, each must be there.
fn shared(path: &str) -> Option<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    if !shared.is_dir() {
        eprintln!("did not run: ../shared, with models/{path}, is not here");
        return None;
    }
    let file = shared.join("models").join(path);
    assert!(file.is_file(), "{} is missing", file.display());
    Some(file)
}
