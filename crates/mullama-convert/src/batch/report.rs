//! What became of the files of a batch.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::audio::AudioReport;
use crate::error::Error;
use crate::image::ImageReport;

/// How far a batch is.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConversionProgress<'a> {
    /// Files that have ended, in whatever way.
    pub files: usize,
    /// Files in all.
    pub of: usize,
    /// Files that failed so far.
    pub failed: usize,
    /// Bytes of sources that are done, those under way in part.
    pub bytes: u64,
    /// Bytes of all sources.
    pub of_bytes: u64,
    /// Since the start.
    pub elapsed: Duration,
    /// The file that has just ended; `None` within a file.
    pub result: Option<&'a FileResult>,
}

impl ConversionProgress<'_> {
    /// How long the rest takes at the pace so far. `None` before there is one.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn remaining(&self) -> Option<Duration> {
        let (done, of) = if self.of_bytes > 0 {
            (self.bytes as f64, self.of_bytes as f64)
        } else {
            (self.files as f64, self.of as f64)
        };
        let seconds = self.elapsed.as_secs_f64() * (of - done) / done;
        (done > 0.0 && seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
    }
}

/// What became of all files.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct BatchReport {
    /// One for each job, in the order of the jobs.
    pub files: Vec<FileResult>,
    /// How many were converted.
    pub converted: usize,
    /// How many were skipped as they were done before.
    pub skipped: usize,
    /// How many failed.
    pub failed: usize,
    /// How many were given up or not begun when the button was pressed.
    pub stopped: usize,
    /// Wall-clock time.
    pub elapsed: Duration,
}

impl BatchReport {
    pub(super) fn new(files: Vec<FileResult>, elapsed: Duration) -> Self {
        let count = |wanted: fn(&FileOutcome) -> bool| files.iter().filter(|file| wanted(&file.outcome)).count();
        Self {
            converted: count(|outcome| matches!(outcome, FileOutcome::Converted { .. })),
            skipped: count(|outcome| matches!(outcome, FileOutcome::Skipped)),
            failed: count(|outcome| matches!(outcome, FileOutcome::Failed { .. })),
            stopped: count(|outcome| matches!(outcome, FileOutcome::Stopped)),
            files,
            elapsed,
        }
    }
}

/// What became of a file.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct FileResult {
    /// The source.
    pub input: PathBuf,
    /// The target, whether it was written or not.
    pub output: PathBuf,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: FileOutcome,
}

/// What became of a file.
#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FileOutcome {
    /// The target is written.
    Converted {
        /// What was read, written and lost.
        report: Box<FileReport>,
    },
    /// The target was there already, and not older.
    Skipped,
    /// It failed; no target was written.
    Failed {
        /// Why.
        #[serde(serialize_with = "with_causes")]
        error: Error,
    },
    /// The button was pressed before it was done.
    Stopped,
}

/// What a conversion did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FileReport {
    /// Of sound.
    Audio(AudioReport),
    /// Of a picture.
    Image(ImageReport),
}

impl FileReport {
    /// Bytes of the target.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Audio(report) => report.output.bytes,
            Self::Image(report) => report.output.bytes,
        }
    }

    /// What is worth knowing, in words.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        match self {
            Self::Audio(report) => report.warnings.iter().map(ToString::to_string).collect(),
            Self::Image(report) => report.warnings.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The message, and those of its causes.
fn with_causes<S: Serializer>(error: &Error, serializer: S) -> Result<S::Ok, S::Error> {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    serializer.serialize_str(&text)
}
