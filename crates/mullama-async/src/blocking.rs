//! Work that blocks, away from the runtime's own threads.

use tokio::task::{JoinError, spawn_blocking};
use tokio_util::task::AbortOnDropHandle;

use crate::error::{Error, Result, panic_message};

/// Runs `work` on a thread of the runtime that may block, and awaits it.
///
/// # Cancel safety
/// Dropping the future takes back work that has not begun; the value of work that has is dropped.
pub(crate) async fn run<T: Send + 'static>(what: &'static str, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    AbortOnDropHandle::new(spawn_blocking(work)).await.map_err(|error| explain(what, error))
}

/// As [`run`], for work that is to be done in any case.
///
/// # Cancel safety
/// After the first poll the work is done, also if the future is dropped.
pub(crate) async fn run_to_end<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    spawn_blocking(work).await.map_err(|error| explain(what, error))
}

fn explain(what: &str, error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(panic) => Error::Panicked { task: what.to_owned(), message: panic_message(&*panic) },
        Err(_) => Error::ShutDown, // of the runtime
    }
}
