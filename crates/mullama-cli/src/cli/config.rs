//! Flags of `config`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    pub(crate) what: What,
}

/// What is to be done with it.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// Print every value that is in force, as TOML; secrets are masked
    Show(Show),
    /// Say all that is wrong with a file; exit code 78 if there is something
    Check(Check),
    /// Print the JSON schema of the file, for editors
    Schema,
    /// Print a file with every field and its default as comments, or write it
    Init(Init),
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The file that is given to `serve`, over those of system and user
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Say where each value comes from, and when a change takes effect
    #[arg(long)]
    pub(crate) origin: bool,
    /// Print one JSON object
    #[arg(long, conflicts_with = "origin")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// TOML, or JSON if its name ends so; it is checked alone, without system, user and environment
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Init {
    /// The file to write; one that is there stays
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
}
