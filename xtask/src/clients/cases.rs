//! One client's cases: run, shown as they end, counted.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::{Client, Places};

/// What came of the cases.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: usize,
    pub(super) skipped: usize,
    /// A line for each case that failed.
    pub(super) failures: Vec<String>,
}

impl Count {
    pub(super) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.skipped += other.skipped;
        self.failures.extend_from_slice(&other.failures);
    }

    pub(super) fn failed(&mut self, line: String) {
        self.failures.push(line);
    }

    /// Takes in a line of a runner: `case pass|FAIL|skip CLIENT: NAME`. Others are for people.
    fn line(&mut self, line: &str) {
        match line.strip_prefix("case ").and_then(|rest| rest.split_once(' ')) {
            Some(("pass", _)) => self.passed += 1,
            Some(("skip", _)) => self.skipped += 1,
            Some(("FAIL", case)) => self.failed(format!("FAIL {case}")),
            _ => {}
        }
    }
}

/// Runs all cases of a client. Fails itself only where they could not be run.
pub(super) fn run(places: &Places, client: &Client, variables: &[(&str, String)]) -> Result<Count> {
    let mut command = command(places, client);
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process =
        Running(command.spawn().with_context(|| format!("failed to start the cases of {}", client.name))?);
    let output = process.0.stdout.take().context("no output to read")?;

    // Read beside, so that a runner that hangs without a word is noticed.
    let (sender, lines) = mpsc::sync_channel(64);
    let reader = thread::Builder::new().name("read cases".to_owned()).spawn(move || {
        for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    })?;
    let mut count = Count::default();
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                count.line(&line);
                if !line.is_empty() {
                    println!("{line}");
                }
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                count.failed(format!("FAIL {}: not over after {PATIENCE:?}", client.name));
                return Ok(count);
            }
        }
    }
    let status = process.0.wait()?;
    // It has ended: its output is closed.
    let _ = reader.join();
    if !status.success() && count.failures.is_empty() {
        count.failed(format!("FAIL {}: its runner ended with {status}", client.name));
    }
    if count.passed + count.failures.len() == 0 {
        count.failed(format!("FAIL {}: no case was run", client.name));
    }
    Ok(count)
}

fn command(places: &Places, client: &Client) -> Command {
    let mut command;
    if client.is_node() {
        command = Command::new(&places.node);
        // One file after the other: they look at the same metrics.
        command.args(["--test", "--test-concurrency=1", "--test-reporter=./reporter.mjs"]).args(client.files);
        command.current_dir(places.node_folder());
    } else {
        command = Command::new(&places.python);
        command.args(["-m", "pytest", "-q", "--no-header", "-rN", "--tb=short", "-p", "no:cacheprovider"]);
        command.args(["-o", "console_output_style=classic"]).arg("--rootdir").arg(&places.scripts);
        command.arg("--basetemp").arg(places.folder.join("tmp"));
        command.args(client.files.iter().map(|file| places.scripts.join(file)));
        // What a case leaves behind stays in the target folder.
        command.current_dir(&places.folder).env("PYTHONDONTWRITEBYTECODE", "1");
    }
    // Addresses and keys of the person who runs this are none of the cases' business, nor is a proxy.
    for name in FOREIGN {
        command.env_remove(name);
    }
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1").env("LANGSMITH_TRACING", "false");
    command
}

/// A runner; killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// For one client: schemathesis takes longest.
const PATIENCE: Duration = Duration::from_secs(240);
const FOREIGN: [&str; 8] = [
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_ORG_ID",
    "OPENAI_PROJECT_ID",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_AUTH_TOKEN",
    "OLLAMA_HOST",
];

#[cfg(test)]
mod tests {
    use super::Count;

    #[test]
    fn lines_are_counted() {
        let mut count = Count::default();
        for line in
            ["case pass openai: a (0.1 s)", "case FAIL node: b (0.2 s)", "case skip x: c", "passed", "case odd x"]
        {
            count.line(line);
        }
        let failures = vec!["FAIL node: b (0.2 s)".to_owned()];
        assert_eq!(count, Count { passed: 1, skipped: 1, failures });
    }
}
