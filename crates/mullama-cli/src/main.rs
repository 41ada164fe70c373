//! The program `mullama`: text from local models on the command line.
#![forbid(unsafe_code)]

mod answer;
mod cli;
mod commands;
mod conversation;
mod error;
mod input;
mod interrupt;
mod load;
mod settings;
mod terminal;
mod usage;

use std::panic;
use std::process::ExitCode;

use mullama_core::ErrorKind;

use crate::cli::{Command, GlobalArgs};
use crate::error::Error;
use crate::terminal::Ui;

fn main() -> ExitCode {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        // A hostile file is no fault of the program.
        if !mullama::convert::is_parsing() {
            usual(panic);
        }
    }));
    let cli = match usage::parse() {
        Ok(cli) => cli,
        Err(usage::Fault::Help(help)) => {
            // If nobody reads it, nothing is lost.
            let _ = help.print();
            return if help.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
        Err(usage::Fault::Wrong(error)) => {
            let no_color = std::env::args_os().any(|argument| argument == "--no-color");
            Ui::new(&GlobalArgs { verbose: 0, quiet: false, no_color }).report(&error);
            return ExitCode::from(exit_code(error.kind()));
        }
    };
    let ui = Ui::new(&cli.global);
    // The server's log is as its configuration says, which is yet to be read.
    if !matches!(cli.command, Command::Serve(_)) {
        ui.install_log();
    }
    match commands::run(cli.command, &ui) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_broken_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            ui.report(&error);
            ExitCode::from(match error {
                Error::Cut => CUT,
                Error::Config(ref error) if is_of_files(error) => CONFIG,
                error => exit_code(error.kind()),
            })
        }
    }
}

/// Is something wrong with more than the command line?
fn is_of_files(error: &mullama::ConfigError) -> bool {
    error.problems().iter().any(|problem| !problem.origin.is_flag())
}

/// What a shell says of a program that SIGTERM ended.
const CUT: u8 = 143;
/// EX_CONFIG of sysexits.h.
const CONFIG: u8 = 78;

/// The program's exit code; `mullama --help` lists them.
fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::InvalidInput | ErrorKind::Unsupported => 2,
        ErrorKind::NotFound | ErrorKind::Io => 3,
        ErrorKind::LimitExceeded | ErrorKind::Overloaded => 4,
        ErrorKind::Timeout => 5,
        ErrorKind::Backend | ErrorKind::Internal => 70,
        ErrorKind::Cancelled => interrupt::EXIT_CODE,
        // Unavailable, and what may be added.
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_help() {
        use ErrorKind::{Backend, Cancelled, InvalidInput, Io, LimitExceeded, Overloaded, Timeout, Unavailable};
        let kinds = [Unavailable, InvalidInput, Io, LimitExceeded, Overloaded, Timeout, Backend, Cancelled];
        assert_eq!(kinds.map(exit_code), [1, 2, 3, 4, 4, 5, 70, 130]);
    }
}
