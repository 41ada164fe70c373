//! What a task is given when it starts.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

/// What the future of a task ends with: any error counts as a failure.
///
/// `?` and `"text".into()` make one.
pub type TaskResult = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Tells a task or a job who it is and when it should end. Clones are cheap and say the same.
///
/// ```
/// use std::time::Duration;
///
/// use mullama_async::{TaskContext, TaskResult};
///
/// async fn beat(context: TaskContext) -> TaskResult {
///     while !context.is_cancelled() {
///         tokio::select! {
///             () = context.cancelled() => {}
///             () = tokio::time::sleep(Duration::from_secs(1)) => println!("{} beats", context.name()),
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct TaskContext {
    name: Arc<str>,
    attempt: u32,
    token: CancellationToken,
}

impl TaskContext {
    pub(super) fn new(name: Arc<str>, token: CancellationToken) -> Self {
        Self { name, attempt: 0, token }
    }

    pub(super) fn attempt_number(&self, attempt: u32) -> Self {
        Self { attempt, ..self.clone() }
    }

    /// The name of the task; `job-N` for a job.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many times the task was restarted before: 0 in its first run.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether the task should end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until the task should end.
    ///
    /// # Cancel safety
    /// Cancel safe: it only waits.
    pub async fn cancelled(&self) {
        self.token.cancelled().await;
    }

    /// The token behind it, to hand to other code. Cancelling it ends this task for good.
    #[must_use]
    pub fn cancellation_token(&self) -> CancellationToken {
        self.token.clone()
    }
}
