//! `test`: everything that CI runs, lane by lane, the same here and there.

mod deny;
mod fuzz;
mod outside;

use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use xshell::{Shell, cmd};

use crate::setup::{self, Mode, Purpose};
use crate::{clients, features, tidy, workspace};

pub(crate) fn run(sh: &Shell, words: &[&str]) -> Result<()> {
    if words == ["--list"] {
        LANES.iter().for_each(|lane| println!("{:<9} {}", lane.name, lane.what));
        return Ok(());
    }
    let names: Vec<&str> = words.iter().filter(|word| !word.starts_with("--")).copied().collect();
    for name in &names {
        ensure!(LANES.iter().any(|lane| lane.name == *name), "`{name}` is not a lane; `test --list` names them");
    }
    if let Some(flag) = words.iter().find(|word| word.starts_with("--") && **word != "--nightly") {
        bail!("`{flag}` is not a flag of test; there are --list and --nightly");
    }
    setup::run(sh, Purpose::Test, Mode::Install)?;

    let mut results = Vec::new();
    for lane in LANES.iter().filter(|lane| names.is_empty() || names.contains(&lane.name)) {
        println!("\n== {}: {}", lane.name, lane.what);
        let start = Instant::now();
        let result = (lane.run)(sh);
        results.push((lane.name, verdict(result.map(|()| Verdict::Pass)), start.elapsed().as_secs()));
    }
    if words.contains(&"--nightly") {
        println!("\n== nightly: every fuzz target for a minute");
        let start = Instant::now();
        results.push(("nightly", verdict(fuzz::run(sh)), start.elapsed().as_secs()));
    }
    println!();
    results.iter().for_each(|(name, verdict, seconds)| println!("{}", line(name, *verdict, *seconds)));
    if !std::path::Path::new("../shared").is_dir() {
        println!(
            "note: ../shared with the models and llama.cpp's records is not here: the tests that need it did not run"
        );
    }
    let of = |wanted: fn(Verdict) -> bool| -> Vec<&str> {
        results.iter().filter(|(_, verdict, _)| wanted(*verdict)).map(|(name, ..)| *name).collect()
    };
    let (passed, failed) = (of(|verdict| verdict == Verdict::Pass), of(|verdict| verdict == Verdict::Fail));
    let skipped = results.len() - passed.len() - failed.len();
    println!("lanes: {} passed, {} failed, {skipped} skipped", passed.len(), failed.len());
    ensure!(failed.is_empty(), "{} of {} lanes failed: {}", failed.len(), results.len(), failed.join(", "));
    Ok(())
}

/// What became of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    Fail,
    /// It did not run, and why.
    Skip(&'static str),
}

/// The verdict of what a lane gave; an error is printed.
fn verdict(result: Result<Verdict>) -> Verdict {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        Verdict::Fail
    })
}

/// A lane in the summary.
fn line(name: &str, verdict: Verdict, seconds: u64) -> String {
    match verdict {
        Verdict::Pass => format!("{name:<9} pass {seconds:>5} s"),
        Verdict::Fail => format!("{name:<9} FAIL {seconds:>5} s"),
        Verdict::Skip(why) => format!("{name:<9} SKIP {seconds:>5} s: {why}"),
    }
}

fn fmt(sh: &Shell) -> Result<()> {
    Ok(cmd!(sh, "cargo fmt --all --check").run()?)
}

fn clippy(sh: &Shell) -> Result<()> {
    cmd!(sh, "cargo clippy --release --workspace --all-targets -- -D warnings").run()?;
    // The doors for the fuzz targets, which no other build on stable sees. The flags reach this crate alone: nothing that it
    // needs is built anew.
    Ok(cmd!(sh, "cargo clippy --release -p mullama-convert --lib --no-deps -- --cfg fuzzing -D warnings").run()?)
}

fn tests(sh: &Shell) -> Result<()> {
    if cmd!(sh, "cargo nextest --version").quiet().ignore_stdout().ignore_stderr().run().is_err() {
        return Ok(cmd!(sh, "cargo test --release --workspace --no-fail-fast").run()?);
    }
    // Doc tests are not nextest's; run them even when a test has failed.
    let tests = cmd!(sh, "cargo nextest run --release --workspace --no-fail-fast").run();
    cmd!(sh, "cargo test --release --doc --workspace --no-fail-fast").run()?;
    tests?;
    // As .config/nextest.toml has it.
    let printed = sh.read_file(workspace::target(sh)?.join("nextest/default/junit.xml"))?;
    ensure!(!printed.contains(CANARY), "a test has printed `{CANARY}`, which stands for a secret");
    Ok(())
}

fn without_cpp(sh: &Shell) -> Result<()> {
    let tree = cmd!(
        sh,
        "cargo tree -p mullama-core --no-default-features -e normal,build --prefix depth --no-dedupe --format {FORMAT}"
    )
    .read()?;
    let native = native_in(&tree);
    ensure!(native.is_empty(), "mullama-core without `native` still depends on: {}", native.join(", "));
    Ok(cmd!(sh, "cargo test --release -p mullama-core --no-default-features").run()?)
}

/// The lines of `cargo tree --prefix depth` that bring in C or C++. blake3 names `cc` but calls it not, with `pure`.
fn native_in(tree: &str) -> Vec<&str> {
    let mut path: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    for line in tree.lines() {
        let name = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let depth = line[..line.len() - name.len()].parse().unwrap_or(0);
        let name = name.split(' ').next().unwrap_or(name);
        path.truncate(depth);
        if NATIVE.contains(&name) || (name == "cc" && path.last() != Some(&"blake3")) {
            found.push(name);
        }
        path.push(name);
    }
    found
}

fn doc(sh: &Shell) -> Result<()> {
    Ok(cmd!(sh, "cargo doc --release --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings").run()?)
}

fn client_matrix(sh: &Shell) -> Result<()> {
    clients::run(sh, &[])
}

fn bench(sh: &Shell) -> Result<()> {
    if !workspace::has_benches(sh).context("looking for benches")? {
        println!("bench: no package has a bench target");
        return Ok(());
    }
    Ok(cmd!(sh, "cargo bench --workspace --bench * -- --test").run()?)
}

struct Lane {
    name: &'static str,
    what: &'static str,
    run: fn(&Shell) -> Result<()>,
}

/// How the secrets of tests begin.
const CANARY: &str = "sk-canary";
const FORMAT: &str = "{p}";
const NATIVE: [&str; 5] = ["mullama-sys", "llama-cpp-sys-2", "whisper-rs-sys", "bindgen", "cmake"];

const LANES: &[Lane] = &[
    Lane { name: "fmt", what: "rustfmt changes nothing", run: fmt },
    Lane { name: "tidy", what: "layers, sizes, placement of unsafe code, words", run: tidy::run },
    Lane { name: "features", what: "the feature table is true, each feature compiles alone", run: features::check },
    Lane { name: "clippy", what: "no warning in any target", run: clippy },
    Lane { name: "test", what: "unit, integration and doc tests", run: tests },
    Lane { name: "nocpp", what: "mullama-core without `native` needs no C++", run: without_cpp },
    Lane { name: "doc", what: "rustdoc without a warning", run: doc },
    Lane { name: "deny", what: "licences, bans, sources; advisories where reachable", run: deny::run },
    Lane { name: "bench", what: "every bench runs once", run: bench },
    Lane { name: "outside", what: "projects outside the workspace build as documented", run: outside::run },
    Lane { name: "clients", what: "other people's clients against the server", run: client_matrix },
];

#[cfg(test)]
mod tests {
    use super::{Verdict, line, native_in};

    #[test]
    fn what_did_not_run_is_not_told_to_have_passed() {
        let skipped = line("nightly", Verdict::Skip("there is no cargo-fuzz"), 0);
        assert_eq!(skipped, "nightly   SKIP     0 s: there is no cargo-fuzz");
        assert!(line("fmt", Verdict::Pass, 3).contains("pass"));
    }

    #[test]
    fn cc_counts_unless_blake3_names_it() {
        let pure = "0mullama-core v0.1.0\n1blake3 v1.8.0\n2cc v1.2.0\n2cfg-if v1.0.0\n1serde v1.0.0\n";
        assert!(native_in(pure).is_empty());
        let native = "0mullama-core v0.1.0\n1mullama-sys v0.1.0\n2cc v1.2.0\n";
        assert_eq!(native_in(native), ["mullama-sys", "cc"]);
    }
}
