//! The log of the server.

use std::io::{self, IsTerminal};

use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::serve::LogFormat;
use crate::terminal::Ui;

/// Sends the log to stderr: requests and what goes on from the start, llama.cpp's lines with `-v`.
pub(crate) fn install(format: LogFormat, ui: &Ui) {
    let (ours, others, llama) = match ui.verbose {
        _ if ui.quiet => (LevelFilter::ERROR, LevelFilter::ERROR, LevelFilter::OFF),
        0 => (LevelFilter::INFO, LevelFilter::WARN, LevelFilter::OFF),
        // What llama.cpp calls information is told at `debug`.
        1 => (LevelFilter::DEBUG, LevelFilter::INFO, LevelFilter::DEBUG),
        2 => (LevelFilter::TRACE, LevelFilter::DEBUG, LevelFilter::DEBUG),
        _ => (LevelFilter::TRACE, LevelFilter::TRACE, LevelFilter::TRACE),
    };
    let json = match format {
        LogFormat::Auto => !io::stderr().is_terminal(),
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).log_internal_errors(false);
    let lines = if json {
        lines.with_ansi(false).json().flatten_event(true).with_span_list(false).boxed()
    } else {
        lines.with_ansi(ui.color).boxed()
    };
    let filter = Targets::new().with_default(others).with_target("mullama", ours).with_target("llama.cpp", llama);
    // The only subscriber of the program: it cannot have been set before.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
}
