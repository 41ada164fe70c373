//! The log.

use serde::{Deserialize, Serialize};

use crate::field::{Kind, section};

section! {
    /// The log, which goes to stderr.
    pub struct LoggingConfig {
        /// What is told of mullama's own work. Default `info`.
        level: LogLevel = LogLevel::Info, Kind::Names(LEVELS), Live;
        /// What is told of the libraries'. Default `warn`.
        libraries: LogLevel = LogLevel::Warn, Kind::Names(LEVELS), Live;
        /// What is told of llama.cpp's; what it calls information is told at `debug`. Default `off`.
        llama: LogLevel = LogLevel::Off, Kind::Names(LEVELS), Live;
        /// `pretty`, `json`, or `auto` (default): pretty on a terminal, else JSON.
        format: LogFormat = LogFormat::Auto, Kind::Names(&["auto", "pretty", "json"]), Restart;
    }
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What failed.
    Error,
    /// And what should be looked at.
    Warn,
    /// And what happens.
    #[default]
    Info,
    /// And why.
    Debug,
    /// All.
    Trace,
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LogFormat {
    /// Pretty on a terminal, else JSON.
    #[default]
    Auto,
    /// Text with colours.
    Pretty,
    /// One JSON object a line.
    Json,
}

const LEVELS: &[&str] = &["off", "error", "warn", "info", "debug", "trace"];
