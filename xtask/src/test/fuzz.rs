//! `--nightly`: every fuzz target of `fuzz/` for a minute, with ASan. It needs a nightly toolchain and cargo-fuzz; where they
//! are missing it is skipped.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use xshell::{Shell, cmd};

use super::Verdict;

pub(super) fn run(sh: &Shell) -> Result<Verdict> {
    if let Some(missing) = missing(sh) {
        return Ok(Verdict::Skip(missing));
    }
    let targets = targets(sh)?;
    ensure!(!targets.is_empty(), "fuzz/fuzz_targets holds no target");
    cmd!(sh, "rustup run nightly cargo fuzz build").run()?;
    let mut found = Vec::new();
    for target in &targets {
        println!("\n== fuzz: {target}, {SECONDS} s");
        // What is new goes into the corpus, which stays on this machine; the seeds are the project's.
        let (corpus, seeds) = (format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}"));
        sh.create_dir(&corpus)?;
        let folders = [Some(corpus), Some(seeds).filter(|seeds| sh.path_exists(seeds))];
        let (folders, seconds) = (folders.into_iter().flatten(), SECONDS.to_string());
        let done = cmd!(sh, "rustup run nightly cargo fuzz run {target} {folders...} -- -max_total_time={seconds}")
            .args(["-timeout=20", "-rss_limit_mb=2048", "-max_len=16384", "-print_final_stats=1"])
            .run();
        if done.is_err() {
            found.push(target.as_str());
        }
    }
    println!("--nightly: {} fuzz targets ran {SECONDS} s each, {} found something", targets.len(), found.len());
    println!("--nightly: no other sanitizer ran: there is no lane for one");
    ensure!(found.is_empty(), "see fuzz/artifacts: {}", found.join(", "));
    Ok(Verdict::Pass)
}

/// What fuzzing needs and is not here.
fn missing(sh: &Shell) -> Option<&'static str> {
    let runs = |command: &[&str]| {
        let [program, args @ ..] = command else { return false };
        sh.cmd(program).args(args).quiet().ignore_stdout().ignore_stderr().run().is_ok()
    };
    if !runs(&["rustup", "run", "nightly", "rustc", "--version"]) {
        Some("there is no nightly toolchain; do: rustup toolchain install nightly")
    } else if !runs(&["cargo", "fuzz", "--version"]) {
        Some("there is no cargo-fuzz; do: cargo install cargo-fuzz")
    } else {
        None
    }
}

fn targets(sh: &Shell) -> Result<Vec<String>> {
    let files = sh.read_dir("fuzz/fuzz_targets").context("looking for fuzz targets")?;
    let name = |path: &Path| Some(path.file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = files.iter().filter_map(|path| name(path)).collect();
    names.sort_unstable();
    Ok(names)
}

const SECONDS: u32 = 60;
