//! The commands.

mod bench;
mod chat;
mod completions;
mod config;
mod convert;
mod devices;
mod embed;
mod info;
mod man;
mod probe;
mod quantize;
mod rerank;
mod run;
mod serve;
mod tokenize;

use crate::cli::Command;
use crate::error::Result;
use crate::terminal::Ui;

/// Does what the command line says.
pub(crate) fn run(command: Command, ui: &Ui) -> Result<()> {
    match command {
        Command::Run(args) => run::run(&args, ui),
        Command::Chat(args) => chat::run(&args, ui),
        Command::Serve(args) => serve::run(&args, ui),
        Command::Config(args) => config::run(&args, ui),
        Command::Tokenize(args) => tokenize::run(&args, ui),
        Command::Embed(args) => embed::run(&args, ui),
        Command::Rerank(args) => rerank::run(&args, ui),
        Command::Info(args) => info::run(&args, ui),
        Command::Quantize(args) => quantize::run(&args, ui),
        Command::Convert(args) => convert::run(&args, ui),
        Command::Probe(args) => probe::run(&args, ui),
        Command::Bench(args) => bench::run(&args, ui),
        Command::Devices(args) => devices::run(&args, ui),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
