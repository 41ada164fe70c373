//! `mullama completions`: what a shell completes.

use clap::CommandFactory;

use crate::cli::{Cli, Completions};
use crate::error::Result;
use crate::terminal::Output;

pub(crate) fn run(args: &Completions) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "mullama", &mut script);
    let mut output = Output::lock();
    output.bytes(&script)?;
    output.flush()
}
