//! What the program prints: locked output, logs, bars, tables.

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::GlobalArgs;
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;

/// How the program talks to its user.
#[derive(Debug)]
pub(crate) struct Ui {
    /// Say nothing but errors beside the output.
    pub(crate) quiet: bool,
    /// How often `-v` was given.
    pub(crate) verbose: u8,
    /// Ctrl-C.
    pub(crate) interrupt: Interrupt,
    /// Is stderr a terminal?
    terminal: bool,
    /// Are there colours on stderr?
    pub(crate) color: bool,
}

impl Ui {
    /// Takes over Ctrl-C too.
    pub(crate) fn new(global: &GlobalArgs) -> Self {
        let terminal = io::stderr().is_terminal();
        let refused = |name, value: Option<&str>| {
            std::env::var_os(name).is_some_and(|given| value.map_or(!given.is_empty(), |value| given == *value))
        };
        let color = terminal && !global.no_color && !refused("NO_COLOR", None) && !refused("TERM", Some("dumb"));
        Self { quiet: global.quiet, verbose: global.verbose, interrupt: Interrupt::install(), terminal, color }
    }

    /// Sends the log to stderr. llama.cpp's own errors come back in the program's: they are not told twice unless its
    /// log is asked for.
    pub(crate) fn install_log(&self) {
        let (ours, llama) = match self.verbose {
            _ if self.quiet => (LevelFilter::ERROR, LevelFilter::OFF),
            0 => (LevelFilter::WARN, LevelFilter::OFF),
            // What llama.cpp calls information is told at `debug`.
            1 => (LevelFilter::INFO, LevelFilter::DEBUG),
            2 => (LevelFilter::DEBUG, LevelFilter::DEBUG),
            _ => (LevelFilter::TRACE, LevelFilter::TRACE),
        };
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(self.color)
            .without_time()
            .log_internal_errors(false);
        let filter = Targets::new().with_default(ours).with_target("llama.cpp", llama);
        // The only subscriber of the program: it cannot have been set before.
        let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    }

    /// One line on stderr, unless `--quiet`.
    pub(crate) fn notice(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// One line on stderr.
    pub(crate) fn say(&self, text: &str) {
        say(format_args!("{text}\n"));
    }

    /// Text on stdout.
    pub(crate) fn print(&self, text: &str) -> Result<()> {
        let mut output = Output::lock();
        output.text(text)?;
        output.flush()
    }

    /// An error and its hint, on stderr.
    pub(crate) fn report(&self, error: &Error) {
        let (red, plain) = if self.color { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        let tell = |problem: &str, hint: Option<&str>| {
            say(format_args!("{red}error:{plain} {problem}\n"));
            if let Some(hint) = hint {
                say(format_args!("hint: {hint}\n"));
            }
        };
        match error {
            // All of it at once.
            Error::Config(error) if !error.problems().is_empty() => {
                error.problems().iter().for_each(|problem| tell(&problem.to_string(), problem.hint.as_deref()));
            }
            error => tell(&error.chain(), error.hint()),
        }
    }

    /// Does somebody see a bar?
    pub(crate) fn shows_bars(&self) -> bool {
        self.terminal && !self.quiet
    }

    /// Does somebody see the model's thoughts?
    pub(crate) fn shows_thoughts(&self) -> bool {
        self.terminal && !self.quiet
    }

    /// A piece of the model's thoughts: dim, on stderr.
    pub(crate) fn thought(&self, text: &str) {
        let (dim, plain) = if self.color { ("\x1b[2m", "\x1b[0m") } else { ("", "") };
        say(format_args!("{dim}{text}{plain}"));
    }

    /// A bar on stderr that shows itself when the work takes a while.
    pub(crate) fn bar(&self, what: &'static str) -> Bar {
        Bar { what, started: Instant::now(), shown: None, allowed: self.terminal && !self.quiet }
    }
}

/// Writes to stderr; that nobody reads it is no reason to fail.
fn say(text: std::fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// Standard output, locked. What is written becomes visible with [`Output::flush`].
#[derive(Debug)]
pub(crate) struct Output(BufWriter<StdoutLock<'static>>);

impl Output {
    pub(crate) fn lock() -> Self {
        Self(BufWriter::new(io::stdout().lock()))
    }

    pub(crate) fn text(&mut self, text: &str) -> Result<()> {
        self.0.write_all(text.as_bytes()).map_err(Error::Stdout)
    }

    pub(crate) fn line(&mut self, text: &str) -> Result<()> {
        self.text(text)?;
        self.text("\n")
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).map_err(Error::Stdout)
    }

    /// One line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.0, value).map_err(|error| Error::Stdout(error.into()))?;
        self.text("\n")
    }

    /// Rows under a heading, in aligned columns. Columns in `right` are numbers.
    pub(crate) fn table(&mut self, heading: &[&str], right: &[usize], rows: &[Vec<String>]) -> Result<()> {
        let length = |text: &str| text.chars().count();
        let mut widths: Vec<usize> = heading.iter().map(|text| length(text)).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(length(cell));
            }
        }
        let render = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::new();
            for (column, cell) in cells.enumerate() {
                let gap = " ".repeat(widths[column].saturating_sub(length(cell)));
                let cell = if right.contains(&column) { format!("{gap}{cell}") } else { format!("{cell}{gap}") };
                line.push_str(if column == 0 { "" } else { "  " });
                line.push_str(&cell);
            }
            line.trim_end().to_owned()
        };
        if heading.iter().any(|text| !text.is_empty()) {
            self.line(&render(&mut heading.iter().copied()))?;
        }
        rows.iter().try_for_each(|row| self.line(&render(&mut row.iter().map(String::as_str))))
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        self.0.flush().map_err(Error::Stdout)
    }
}

/// A bar that is drawn only when the work has taken a while.
#[derive(Debug)]
pub(crate) struct Bar {
    what: &'static str,
    started: Instant,
    shown: Option<ProgressBar>,
    allowed: bool,
}

impl Bar {
    /// How much of how much is done.
    pub(crate) fn set(&mut self, done: u64, of: u64) {
        if !self.allowed || (self.shown.is_none() && self.started.elapsed() < PATIENCE) {
            return;
        }
        let bar = self.shown.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(of), ProgressDrawTarget::stderr()).with_message(self.what);
            let style = ProgressStyle::with_template("{msg} [{bar:30}] {percent:>3} % {elapsed}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "))
        });
        bar.set_length(of);
        bar.set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }
}

/// "3.3 MiB"; below a KiB in bytes.
pub(crate) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_024.0;
    let mut unit = 0;
    while value >= 1_024.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Text from a file or a model in one line of at most `width` characters, which no terminal takes for a command.
pub(crate) fn one_line(text: &str, width: usize) -> String {
    let mut line = String::new();
    for (count, character) in text.chars().enumerate() {
        if count >= width {
            line.push('…');
            break;
        }
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

const PATIENCE: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        let texts = [0, 1_023, 1_024, 3_451_136, 1 << 40].map(human_bytes);
        assert_eq!(texts, ["0 B", "1023 B", "1.0 KiB", "3.3 MiB", "1.0 TiB"]);
    }

    #[test]
    fn what_a_file_says_stays_in_its_line() {
        assert_eq!(one_line("a\u{1b}[2J\nb", 80), "a\\u{1b}[2J\\nb");
        assert_eq!(one_line("äöüß", 3), "äöü…");
    }
}
