//! What can go wrong, and how a caller can classify it.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mullama_core::{ErrorKind, FinishReason};

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
    /// The runtime, the task manager, the model or the pool is shut down, and takes nothing any more.
    #[error("the runtime, the task manager, the model or the pool is shut down")]
    ShutDown,
    /// Of the inference crate.
    #[error(transparent)]
    Core(#[from] mullama_core::Error),
    /// The answer is not of the Rust type that was asked for.
    #[error("the answer (end: {finish_reason}) is not a `{wanted}`; where it was cut, give it more tokens")]
    Answer {
        /// The type, by Rust's name.
        wanted: &'static str,
        /// The whole answer.
        text: String,
        /// Why it ended: [`FinishReason::Length`] where it was cut.
        finish_reason: FinishReason,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// Whoever computes for this model is gone; it is being started again.
    #[error("the engine of `{model}` has ended and is being started again; try again in {} ms", retry_after.as_millis())]
    BackendDown {
        /// The model.
        model: String,
        /// When it is likely to be back.
        retry_after: Duration,
    },
    /// The pool has no model of this name.
    #[error("there is no model named `{name}`")]
    NoSuchModel {
        /// The name.
        name: String,
    },
    /// The pool has a model of this name already.
    #[error("a model named `{name}` is already there")]
    DuplicateModel {
        /// The name.
        name: String,
    },
    /// A model of the pool could not be loaded. The next request tries again.
    #[error("cannot load the model `{name}`")]
    LoadModel {
        /// Its name.
        name: String,
        /// Why; all that waited for the load get the same.
        source: Arc<Self>,
    },
    /// A model does not fit into the memory that the pool may use, beside those models that are in use.
    #[error(
        "no memory for the model `{name}`: it needs {needed} bytes, {available} of the pool's {limit} can be had now"
    )]
    NoMemory {
        /// The model's name.
        name: String,
        /// What it takes, in bytes.
        needed: u64,
        /// What no model uses at the moment, in bytes.
        available: u64,
        /// What the pool may use, in bytes.
        limit: u64,
    },
}

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidParameter { .. }
            | Self::InsideRuntime
            | Self::DuplicateTask { .. }
            | Self::DuplicateModel { .. } => ErrorKind::InvalidInput,
            Self::NoSuchTask { .. } | Self::NoSuchModel { .. } => ErrorKind::NotFound,
            Self::Runtime { .. } | Self::NoWorker | Self::ShutDown | Self::BackendDown { .. } => ErrorKind::Unavailable,
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Panicked { .. } => ErrorKind::Internal,
            Self::Core(error) => error.kind(),
            Self::LoadModel { source, .. } => source.kind(),
            Self::Answer { .. } => ErrorKind::Backend,
            // Where it will never fit, trying again does not help.
            Self::NoMemory { needed, limit, .. } if needed > limit => ErrorKind::Unavailable,
            Self::NoMemory { .. } => ErrorKind::Overloaded,
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
