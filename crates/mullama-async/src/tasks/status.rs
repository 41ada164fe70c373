//! What is known about a task from outside.

use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// The number of a task, never given twice by one manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId(pub(super) u64);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A task at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskStatus {
    /// Its number.
    pub id: TaskId,
    /// Its name.
    pub name: String,
    /// What it does, or how it ended.
    pub state: TaskState,
    /// How many times it was restarted.
    pub restarts: u32,
    /// When its latest run began.
    pub started: SystemTime,
    /// The error or the panic that ended a run last, if one did.
    pub last_error: Option<String>,
}

/// What a task does, or how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TaskState {
    /// It runs.
    Running,
    /// It pauses before a restart, for so long in all.
    Waiting(Duration),
    /// It ended without an error.
    Finished,
    /// It failed, and its policy allows no further restart.
    Failed {
        /// The error of its future, or the text of the panic.
        error: String,
    },
    /// It was told to end, and ended or was aborted.
    Cancelled,
}

impl TaskState {
    /// Whether the task will never run again.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Running | Self::Waiting(_) => false,
            Self::Finished | Self::Failed { .. } | Self::Cancelled => true,
        }
    }
}
