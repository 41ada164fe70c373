//! What can go wrong, and how a caller can classify it.

use std::any::Any;
use std::io;
use std::time::Duration;

use mullama_core::ErrorKind;

/// The result of a fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of this crate: each variant is a cause that a caller can act on.
///
/// [`Error::kind`] sorts them into the few classes that a server maps to status codes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system gave no threads, or nothing to wait with, for a runtime.
    #[error("cannot start the runtime")]
    Runtime {
        /// Why the system refused.
        source: io::Error,
    },
    /// A parameter is outside its range.
    #[error("{name} is {value}, but must be {expected}")]
    InvalidParameter {
        /// The parameter, by its public name.
        name: &'static str,
        /// What was given.
        value: String,
        /// The range or the form that is accepted.
        expected: &'static str,
    },
    /// A call that blocks its thread was made where a runtime runs, and would have stopped that runtime's other tasks.
    #[error("cannot block on a future inside an async runtime: `.await` it, or spawn it")]
    InsideRuntime,
    /// A task of this name has not ended.
    #[error("a task named `{name}` is already there: give another name, or cancel it first")]
    DuplicateTask {
        /// The name.
        name: String,
    },
    /// The manager knows no task of this name.
    #[error("there is no task named `{name}`")]
    NoSuchTask {
        /// The name.
        name: String,
    },
    /// No generation worker takes jobs.
    #[error("no generation worker takes jobs: call `TaskManager::spawn_generation_worker` first")]
    NoWorker,
    /// The bounded queue of jobs is full.
    #[error("overloaded: the queue of {capacity} is full; try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// How many fit.
        capacity: usize,
        /// When a place is likely to be free.
        retry_after: Duration,
    },
    /// The work was cancelled: by its caller, with its worker, or by a shutdown.
    #[error("cancelled")]
    Cancelled,
    /// The code of a job panicked. The worker that ran it goes on.
    #[error("`{task}` panicked: {message}")]
    Panicked {
        /// The job.
        task: String,
        /// The text of the panic.
        message: String,
    },
    /// The runtime or the task manager is shut down, and takes nothing any more.
    #[error("the runtime or the task manager is shut down")]
    ShutDown,
}

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidParameter { .. } | Self::InsideRuntime | Self::DuplicateTask { .. } => ErrorKind::InvalidInput,
            Self::NoSuchTask { .. } => ErrorKind::NotFound,
            Self::Runtime { .. } | Self::NoWorker | Self::ShutDown => ErrorKind::Unavailable,
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Panicked { .. } => ErrorKind::Internal,
        }
    }

    /// An out-of-range parameter.
    #[expect(clippy::needless_pass_by_value, reason = "callers give numbers and texts alike")]
    pub(crate) fn parameter(name: &'static str, value: impl ToString, expected: &'static str) -> Self {
        Self::InvalidParameter { name, value: value.to_string(), expected }
    }
}

/// The text of a caught panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}
