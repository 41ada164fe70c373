//! `bench`: the criterion benches of the workspace, and the engine against llama.cpp's own server.

mod compare;

use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

use crate::setup::{self, Mode, Purpose};
use crate::workspace;

pub(crate) fn run(sh: &Shell, args: &[&str]) -> Result<()> {
    if let ["compare", rest @ ..] = args {
        return compare::run(sh, rest);
    }
    setup::run(sh, Purpose::Demo, Mode::Install)?;
    ensure!(workspace::has_benches(sh)?, "no package of the workspace has a bench target");
    let args = args.strip_prefix(&["--"]).unwrap_or(args);
    // All packages are selected for the reason `build_program` gives; `--bench *` keeps unit tests out.
    cmd!(sh, "cargo bench --workspace --bench * -- {args...}").run()?;
    Ok(())
}
