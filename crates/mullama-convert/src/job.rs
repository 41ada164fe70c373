//! Work that blocks: on tokio's pool, stopped when nobody waits for it; a panic in a codec ends the job and nothing else.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Tells work on the pool that nobody waits for it any more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    pub(crate) fn flow(&self) -> ControlFlow<()> {
        if self.0.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.flow().is_break() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// Runs work on tokio's pool of blocking threads. If the future is dropped, the work is told so.
pub(crate) async fn on_pool<T: Send + 'static>(work: impl FnOnce(&Stop) -> Result<T> + Send + 'static) -> Result<T> {
    struct StopOnDrop(Stop);
    impl Drop for StopOnDrop {
        fn drop(&mut self) {
            self.0.0.store(true, Ordering::Relaxed);
        }
    }
    let guard = StopOnDrop(Stop::default());
    let stop = guard.0.clone();
    match tokio::task::spawn_blocking(move || work(&stop)).await {
        Ok(done) => done,
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        Err(_) => Err(Error::RuntimeGone),
    }
}

/// Runs a job; a panic becomes [`Error::Panicked`]. `what` names the job.
pub(crate) fn guarded<T>(what: impl FnOnce() -> String, job: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(job).unwrap_or_else(|message| Err(Error::Panicked { what: what(), message }))
}

/// Has another's parser read headers: it asserts what hostile ones break, and what it says then becomes [`Error::Corrupt`].
pub(crate) fn parsed<T>(format: &'static str, parse: impl FnOnce() -> Result<T>) -> Result<T> {
    let outer = PARSING.replace(true);
    let parsed = caught(parse);
    PARSING.set(outer);
    parsed.unwrap_or_else(|message| Err(Error::Corrupt { format, problem: message }))
}

/// Is this thread in another's parser, a panic of which becomes [`Error::Corrupt`]? A panic hook may keep silent then: what is
/// wrong with the file is told by the error.
#[must_use]
pub fn is_parsing() -> bool {
    PARSING.get()
}

thread_local! {
    static PARSING: Cell<bool> = const { Cell::new(false) };
}

/// Runs work, or gives the message of its panic.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
        message.unwrap_or_else(|| "no message".to_owned())
    })
}
