//! `cargo xtask`: the project's own commands. It needs no mullama crate and no C, so it runs before anything is installed.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to people on a terminal")]

mod bench;
mod clients;
mod demo;
mod features;
mod gpu;
mod peers;
mod server;
mod setup;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};
use xshell::Shell;

use crate::setup::{Mode, Purpose};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    let sh = Shell::new()?;
    sh.change_dir(workspace::root());
    match words {
        [] | ["help" | "-h" | "--help"] => {
            print!("{USAGE}");
            Ok(())
        }
        ["setup", rest @ ..] => {
            let mode = if rest.contains(&"--check") { Mode::Check } else { Mode::Install };
            match rest.iter().filter(|word| **word != "--check").copied().collect::<Vec<_>>()[..] {
                [] | ["demo"] => setup::run(&sh, Purpose::Demo, mode),
                ["test"] => setup::run(&sh, Purpose::Test, mode),
                _ => bail!("setup takes [--check] [demo|test]"),
            }
        }
        ["demo"] => demo::run(&sh),
        ["test", rest @ ..] => test::run(&sh, rest),
        ["tidy"] => tidy::run(&sh),
        ["features"] => features::write(&sh),
        ["features", "--check"] => features::check(&sh),
        ["bench", rest @ ..] => bench::run(&sh, rest),
        ["clients", rest @ ..] => clients::run(&sh, rest),
        ["peers"] => peers::run(&sh),
        ["gpu", backend] => gpu::run(&sh, backend),
        other => bail!("`{}` is not a command of xtask; `cargo xtask help` lists them", other.join(" ")),
    }
}

const USAGE: &str = "\
cargo xtask COMMAND

  setup [--check] [demo|test]  install what is missing with the system's package manager; --check only reports
  demo                         setup, release build, then answers from the embedded model
  test [LANE...] [--nightly]   setup, then all that CI runs; `test --list` names the lanes
  tidy                         layers, file sizes, placement of unsafe code, words (seconds, compiles nothing)
  features [--check]           write the feature table into README.md and the facade; --check also compiles each feature
  bench [ARGS...]              criterion benches; ARGS go to criterion
  bench compare [--model PATH] [-- ARGS]  the engine against llama.cpp's server; ARGS go to `mullama bench`
  clients [NAME...]            other people's client libraries, pinned, against the running server
  peers                        build llama.cpp's own programs into target/peers, to compare with (about 12 minutes)
  gpu BACKEND                  cuda, vulkan, metal, rocm or rpc: check the SDK, then build the program with it
";
