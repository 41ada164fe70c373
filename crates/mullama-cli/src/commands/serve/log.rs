//! The log of the server, whose levels may change.

use std::io::{self, IsTerminal};

use mullama::LoggingConfig;
use mullama::config::{LogFormat, LogLevel};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, reload};

use crate::terminal::Ui;

/// The levels of the log.
#[derive(Debug)]
pub(super) struct Levels(reload::Handle<Targets, Registry>);

impl Levels {
    /// Other levels from now on.
    pub(super) fn set(&self, config: &LoggingConfig) {
        // It fails when the subscriber is gone: then nobody listens.
        let _ = self.0.reload(filter(config));
    }
}

/// Sends the log to stderr.
pub(super) fn install(config: &LoggingConfig, ui: &Ui) -> Levels {
    let json = match config.format {
        LogFormat::Pretty => false,
        LogFormat::Json => true,
        _ => !io::stderr().is_terminal(),
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).log_internal_errors(false);
    let lines = if json {
        lines.with_ansi(false).json().flatten_event(true).with_span_list(false).boxed()
    } else {
        lines.with_ansi(ui.color).boxed()
    };
    let (filter, levels) = reload::Layer::new(filter(config));
    // The only subscriber of the program: it cannot have been set before.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
    Levels(levels)
}

fn filter(config: &LoggingConfig) -> Targets {
    let level = |level: LogLevel| match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
        _ => LevelFilter::INFO,
    };
    Targets::new()
        .with_default(level(config.libraries))
        .with_target("mullama", level(config.level))
        .with_target("llama.cpp", level(config.llama))
}
