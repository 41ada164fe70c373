//! A tokio runtime that its owner sizes, measures and ends in order.

mod builder;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::builder::RuntimeBuilder;
use crate::error::{Error, Result};

/// A multi-threaded tokio runtime that belongs to the value: it ends with [`shutdown`](Self::shutdown) or with a drop.
///
/// Dropping it cancels [`shutdown_token`](Self::shutdown_token) and leaves the threads to end by themselves; it does not
/// wait, so it may be dropped inside another runtime. Async tasks end at their next `.await`; a blocking task that runs
/// goes on until it returns.
///
/// ```
/// use mullama_async::MullamaRuntime;
///
/// # fn main() -> mullama_async::Result<()> {
/// let runtime = MullamaRuntime::new().worker_threads(2).build()?;
/// let task = runtime.spawn(async { 6 * 7 });
/// assert_eq!(runtime.block_on(task)?.ok(), Some(42));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MullamaRuntime {
    /// Taken by `shutdown` and `drop`.
    runtime: Option<Runtime>,
    spawner: Spawner,
    shutdown: CancellationToken,
    shutdown_timeout: Duration,
    started: Instant,
}

impl MullamaRuntime {
    /// Starts a description of a runtime; [`RuntimeBuilder::build`] makes it.
    #[expect(clippy::new_ret_no_self, reason = "the published API: `MullamaRuntime::new()` begins a builder")]
    pub fn new() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }

    /// Runs `future` on this thread until it ends; what it spawns runs on the worker threads.
    ///
    /// # Errors
    /// [`Error::InsideRuntime`] when this thread belongs to a tokio runtime, its blocking threads included.
    pub fn block_on<F: Future>(&self, future: F) -> Result<F::Output> {
        if Handle::try_current().is_ok() {
            return Err(Error::InsideRuntime);
        }
        Ok(self.spawner.handle.block_on(future))
    }

    /// Starts `future` on the worker threads. [`shutdown`](Self::shutdown) waits for it.
    ///
    /// Dropping the handle lets the task go on.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.spawner.spawn(future)
    }

    /// Runs `work` on a thread for blocking work. [`shutdown`](Self::shutdown) waits for it.
    ///
    /// Work beyond `max_blocking_threads` waits, in a queue without a bound.
    pub fn spawn_blocking<F, T>(&self, work: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let counted = Counted::new(&self.spawner.blocking);
        let work = move || {
            let _counted = counted;
            work()
        };
        self.spawner.tasks.spawn_blocking_on(work, &self.spawner.handle)
    }

    /// tokio's own handle. What is spawned through it ends with the runtime, but no shutdown waits for or counts it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.spawner.handle.clone()
    }

    /// The token that [`shutdown`](Self::shutdown) and a drop cancel: for tasks that want to end by themselves.
    ///
    /// Cancelling it by hand has no way back: task managers of this runtime then take no more work.
    #[must_use]
    pub fn shutdown_token(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// What the runtime does at this moment, and how busy it was.
    #[must_use]
    pub fn metrics(&self) -> RuntimeMetrics {
        let tokio = self.spawner.handle.metrics();
        let workers = tokio.num_workers();
        let uptime = self.started.elapsed();
        let busy: Duration = (0..workers).map(|worker| tokio.worker_total_busy_duration(worker)).sum();
        let possible = uptime.as_secs_f64() * workers as f64;
        RuntimeMetrics {
            workers,
            alive_tasks: tokio.num_alive_tasks(),
            queue_depth: tokio.global_queue_depth(),
            blocking_tasks: self.spawner.blocking.load(Ordering::Relaxed),
            busy_ratio: if possible > 0.0 { (busy.as_secs_f64() / possible).min(1.0) } else { 0.0 },
            uptime,
        }
    }

    /// Ends the runtime: cancels [`shutdown_token`](Self::shutdown_token), waits for the tasks, then stops the threads.
    ///
    /// `deadline` bounds all of it; `None` is the builder's `shutdown_timeout`. What has not ended by then is cut: an
    /// async task at its next `.await`; a blocking task is left on its thread.
    ///
    /// It blocks this thread, inside another runtime too: there, give it to `tokio::task::spawn_blocking`.
    pub fn shutdown(mut self, deadline: impl Into<Option<Duration>>) -> ShutdownReport {
        let deadline = deadline.into().unwrap_or(self.shutdown_timeout).min(LONGEST);
        // A thread of a runtime may not wait for another, so a thread of its own does.
        let report = thread::scope(|scope| {
            let waiting = thread::Builder::new().name("mullama-shutdown".to_owned());
            waiting.spawn_scoped(scope, || self.finish(deadline)).ok()?.join().ok()
        });
        // No thread to wait on: the drop cuts them all.
        report.unwrap_or_else(|| ShutdownReport { ended: 0, cut: self.spawner.tasks.len() })
    }

    pub(crate) fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    fn finish(&mut self, deadline: Duration) -> ShutdownReport {
        let began = Instant::now();
        let tasks = &self.spawner.tasks;
        let before = tasks.len();
        self.shutdown.cancel();
        tasks.close();
        let in_time =
            clock().is_ok_and(|clock| clock.block_on(async { timeout(deadline, tasks.wait()).await }).is_ok());
        let cut = if in_time { 0 } else { tasks.len() };
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(deadline.saturating_sub(began.elapsed()));
        }
        ShutdownReport { ended: before.saturating_sub(cut), cut }
    }
}

impl Drop for MullamaRuntime {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What [`MullamaRuntime::metrics`] saw.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RuntimeMetrics {
    /// Worker threads.
    pub workers: usize,
    /// Async tasks that have not ended, however they were spawned.
    pub alive_tasks: usize,
    /// Tasks in the queue that all workers share, which wait for a worker.
    pub queue_depth: usize,
    /// Tasks of [`MullamaRuntime::spawn_blocking`] that run or wait for a thread.
    pub blocking_tasks: usize,
    /// The part of the workers' time since the start in which they ran tasks, 0 to 1.
    pub busy_ratio: f64,
    /// Time since the start.
    pub uptime: Duration,
}

/// What [`MullamaRuntime::shutdown`] did with the tasks that were there when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Tasks that ended by themselves before the deadline.
    pub ended: usize,
    /// Tasks that had not ended at the deadline.
    pub cut: usize,
}

/// The way to start tasks that a shutdown waits for. A task manager keeps one.
#[derive(Debug, Clone)]
pub(crate) struct Spawner {
    handle: Handle,
    tasks: TaskTracker,
    blocking: Arc<AtomicUsize>,
}

impl Spawner {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, tasks: TaskTracker::new(), blocking: Arc::default() }
    }

    pub(crate) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn_on(future, &self.handle)
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// Runs `future` on a thread of its own, where timers work even when tasks block all threads of their runtime.
///
/// The receiver reports its end.
pub(crate) fn on_own_clock(future: impl Future<Output = ()> + Send + 'static) -> io::Result<oneshot::Receiver<()>> {
    let (done, ended) = oneshot::channel();
    let body = move || {
        let _done = done;
        if let Ok(clock) = clock() {
            clock.block_on(future);
        }
    };
    thread::Builder::new().name("mullama-shutdown".to_owned()).spawn(body)?;
    Ok(ended)
}

fn clock() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_time().build()
}

/// One more, until it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Longer deadlines are this long, so that adding one to an instant cannot overflow.
const LONGEST: Duration = Duration::from_hours(365 * 24);

#[cfg(test)]
mod tests;
