//! Lane `deny`: cargo-deny. Advisories need a database from the network, the other checks do not.

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

pub(super) fn run(sh: &Shell) -> Result<()> {
    cmd!(sh, "cargo deny --log-level error check bans licenses sources").run()?;
    // A short attempt: git gives up on a stalled or password-asking host.
    let output = cmd!(sh, "cargo deny --log-level error check advisories")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_HTTP_LOW_SPEED_LIMIT", "1000")
        .env("GIT_HTTP_LOW_SPEED_TIME", "20")
        .ignore_status()
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        println!("advisories: none");
    } else if text.contains("failed to fetch advisory database") {
        println!("advisories: not checked (database not reachable)");
    } else {
        eprint!("{text}");
        bail!("an advisory concerns a dependency: update it, or ignore it with a reason in deny.toml");
    }
    Ok(())
}
