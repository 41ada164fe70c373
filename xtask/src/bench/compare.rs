//! `bench compare`: `mullama bench` against llama-server, both with the same model, threads, sequences and lengths.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use xshell::{Shell, cmd};

use crate::server::Server;
use crate::{peers, workspace};

/// Takes `[--model PATH] [-- ARGS]`; ARGS go to `mullama bench`.
pub(super) fn run(sh: &Shell, args: &[&str]) -> Result<()> {
    let (model, more) = match args {
        ["--model", path, rest @ ..] => (Some(*path), rest),
        rest => (None, rest),
    };
    let more = match more {
        [] => &[],
        ["--", more @ ..] => more,
        _ => bail!("bench compare takes [--model PATH] [-- ARGS]"),
    };
    let program = workspace::build_program(sh)?;
    peers::run(sh)?;
    let target = workspace::target(sh)?;
    let folder = target.join("bench");
    sh.create_dir(&folder)?;
    let model = match model {
        Some(path) => sh.current_dir().join(path),
        None => {
            let path = folder.join("random.gguf");
            cmd!(sh, "{program} bench --make-model {path}").run()?;
            path
        }
    };
    let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get).to_string();
    let program_of_peers = target.join("peers/build/bin").join(format!("llama-server{}", std::env::consts::EXE_SUFFIX));
    let server = start(&program_of_peers, &model, &threads, &folder.join("llama-server.log"))?;

    let commit = cmd!(sh, "git describe --always --dirty").quiet().ignore_stderr().read().unwrap_or_default();
    let (url, name, note) = (server.url(), name(&program_of_peers)?, format!("mullama {commit}"));
    let (sequences, length) = (SEQUENCES.to_string(), LENGTH.to_string());
    let json = folder.join("compare.json");
    let measured = cmd!(sh, "{program} bench {model} --against {url} --against-name {name} --note {note}")
        .args(["--threads", &threads, "--sequences", &sequences, "--ctx-size", &length])
        .args(SWEEPS.iter().flat_map(|sweep| ["--sweep", sweep]))
        .args(["--json".as_ref(), json.as_os_str(), "--svg".as_ref(), folder.as_os_str()])
        .args(more)
        .run();
    drop(server);
    measured?;
    println!("bench: the report and its pictures are in {}", folder.display());
    Ok(())
}

/// llama-server with the same number of threads and sequences.
fn start(program: &Path, model: &Path, threads: &str, log: &Path) -> Result<Server> {
    let mut command = Command::new(program);
    command.arg("-m").arg(model).args(["-t", threads, "-tb", threads]);
    command.args(["-np", &SEQUENCES.to_string(), "-c", &(SEQUENCES * LENGTH).to_string()]);
    if told(program, "--help")?.contains("--no-webui") {
        command.arg("--no-webui");
    }
    Server::start(command, log, START_PATIENCE)
}

/// The server with its version: of a build outside of git it says no more of itself.
fn name(program: &Path) -> Result<String> {
    let told = told(program, "--version")?;
    let version = told.lines().find_map(|line| line.strip_prefix("version: ")?.split(' ').next());
    Ok(format!("llama-server {}", version.unwrap_or_default()).trim_end().to_owned())
}

/// What a program says on both of its outputs.
fn told(program: &Path, flag: &str) -> Result<String> {
    let output = Command::new(program).arg(flag).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("failed to start {}", program.display()))?;
    Ok([output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat())
}

const SWEEPS: [&str; 3] = ["concurrency", "shared-prefix", "unshared"];
const SEQUENCES: u32 = 16;
/// Tokens of one sequence.
const LENGTH: u32 = 2_560;
const START_PATIENCE: Duration = Duration::from_secs(120);
