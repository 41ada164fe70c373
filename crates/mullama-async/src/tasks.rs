//! Named tasks that restart, and a bounded queue of generation jobs with workers.

mod context;
mod job;
mod queue;
mod registry;
mod restart;
mod status;
mod supervisor;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::context::{TaskContext, TaskResult};
pub use self::job::JobHandle;
use self::queue::JobQueue;
use self::registry::{Record, Registry};
pub use self::restart::{Backoff, RestartPolicy};
pub use self::status::{TaskId, TaskState, TaskStatus};
use self::supervisor::{Shared, Supervisor};
use crate::error::{Error, Result};
use crate::runtime::{MullamaRuntime, Spawner, on_own_clock};

/// Starts tasks on a [`MullamaRuntime`], restarts those that fail, and ends them all.
///
/// Tasks run on that runtime whichever thread the calls come from. A task is told to end through its [`TaskContext`]; one
/// that has not ended five seconds later is aborted at its next `.await`. Dropping the manager tells all of them to end
/// and does not wait. They end with the runtime in any case.
///
/// ```
/// use mullama_async::{MullamaRuntime, TaskManager};
///
/// # async fn example() -> mullama_async::Result<()> {
/// let runtime = MullamaRuntime::new().worker_threads(2).build()?;
/// let mut task_manager = TaskManager::new(&runtime);
/// task_manager.spawn_generation_worker().await?;
/// let job = task_manager.submit(|_context| async { 6 * 7 })?;
/// assert_eq!(job.await?, 42);
/// # Ok(())
/// # }
/// # fn main() -> mullama_async::Result<()> {
/// #     MullamaRuntime::new().worker_threads(1).build()?.block_on(example())?
/// # }
/// ```
#[derive(Debug)]
pub struct TaskManager {
    shared: Arc<Shared>,
    registry: Mutex<Registry>,
    queue: Arc<JobQueue>,
    next_id: AtomicU64,
    next_worker: u64,
}

impl TaskManager {
    /// A manager whose queue holds 64 jobs.
    #[must_use]
    pub fn new(runtime: &MullamaRuntime) -> Self {
        Self::over(runtime.spawner().clone(), &runtime.shutdown_token(), DEFAULT_CAPACITY)
    }

    /// A manager whose queue holds `capacity` jobs: 1 to 65536. Jobs that a worker runs do not count.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub fn with_queue(runtime: &MullamaRuntime, capacity: usize) -> Result<Self> {
        if !(1..=MAX_CAPACITY).contains(&capacity) {
            return Err(Error::parameter("capacity", capacity, "1 to 65536 jobs"));
        }
        Ok(Self::over(runtime.spawner().clone(), &runtime.shutdown_token(), capacity))
    }

    fn over(spawner: Spawner, parent: &CancellationToken, capacity: usize) -> Self {
        Self {
            shared: Arc::new(Shared::new(spawner, parent.child_token())),
            registry: Mutex::default(),
            queue: Arc::new(JobQueue::new(capacity)),
            next_id: AtomicU64::new(0),
            next_worker: 0,
        }
    }

    /// Starts a worker `generation-N` (N from 0) that runs the jobs of [`submit`](Self::submit), one at a time.
    ///
    /// It returns when the worker takes jobs. All workers of a manager share one queue.
    ///
    /// # Errors
    /// [`Error::ShutDown`]; [`Error::DuplicateTask`] when another task has the name: the next call takes the next N.
    ///
    /// # Cancel safety
    /// If this future is dropped, the worker starts all the same.
    pub async fn spawn_generation_worker(&mut self) -> Result<TaskId> {
        let name = format!("generation-{}", self.next_worker);
        self.next_worker += 1;
        let (up, mut is_up) = watch::channel(false);
        let (queue, shared, up) = (Arc::clone(&self.queue), Arc::clone(&self.shared), Arc::new(up));
        let work = move |context| job::work(context, Arc::clone(&queue), Arc::clone(&shared), Arc::clone(&up));
        // A worker fails only where a job's value panics in its destructor.
        let policy = RestartPolicy::OnFailure { max_restarts: u32::MAX, backoff: WORKER_BACKOFF };
        let id = self.spawn(name, work, policy)?;
        match is_up.wait_for(|up| *up).await {
            Ok(_) => Ok(id),
            Err(_) => Err(Error::ShutDown),
        }
    }

    /// Starts a task: `factory` makes its future, again for each restart that `policy` asks for.
    ///
    /// An error that the future returns counts as a failure, and so does a panic, which is caught. The name must differ
    /// from those of all tasks that have not ended. Of ended tasks the latest few hundred are remembered.
    ///
    /// # Errors
    /// [`Error::DuplicateTask`]; [`Error::ShutDown`].
    ///
    /// ```
    /// use mullama_async::{MullamaRuntime, RestartPolicy, TaskManager, TaskState};
    ///
    /// # fn main() -> mullama_async::Result<()> {
    /// let runtime = MullamaRuntime::new().worker_threads(1).build()?;
    /// let tasks = TaskManager::new(&runtime);
    /// tasks.spawn("hello", |_context| async { Ok(()) }, RestartPolicy::Never)?;
    /// let status = runtime.block_on(tasks.wait("hello"))??;
    /// assert_eq!(status.state, TaskState::Finished);
    /// # Ok(())
    /// # }
    /// ```
    pub fn spawn<F, Fut>(&self, name: impl Into<String>, factory: F, policy: RestartPolicy) -> Result<TaskId>
    where
        F: Fn(TaskContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = TaskResult> + Send + 'static,
    {
        let name = name.into();
        let mut registry = self.registry();
        if self.shared.token.is_cancelled() {
            return Err(Error::ShutDown);
        }
        let id = TaskId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let (status, record) = Record::new(id, name.clone(), self.shared.token.child_token());
        let context = TaskContext::new(name.into(), record.token.clone());
        registry.add(record)?;
        let supervisor = Supervisor::new(Arc::clone(&self.shared), context, Arc::new(factory), policy, status);
        // Counted before the lock is given back, so that a shutdown cannot miss it.
        let run = self.shared.tasks.track_future(supervisor.run());
        drop(registry);
        // It ends by itself, so that its handle is not needed.
        drop(self.shared.spawner.spawn(run));
        Ok(id)
    }

    /// Puts a job into the queue. It runs on a worker; the handle gives its value.
    ///
    /// A job is cancelled by dropping its handle, by cancelling its worker, and by a shutdown: it is then dropped at its
    /// next `.await`. The token of its context tells threads that it started. A panic ends only this job.
    ///
    /// # Errors
    /// [`Error::NoWorker`]; [`Error::Overloaded`] when the queue is full; [`Error::ShutDown`].
    pub fn submit<F, Fut, T>(&self, job: F) -> Result<JobHandle<T>>
    where
        F: FnOnce(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        if self.shared.token.is_cancelled() {
            return Err(Error::ShutDown);
        }
        let name = format!("job-{}", self.next_id.fetch_add(1, Ordering::Relaxed));
        let (job, handle) = job::prepare(TaskContext::new(name.into(), self.shared.token.child_token()), job);
        self.queue.push(job)?;
        Ok(handle)
    }

    /// Tells a task to end. It does nothing to a task that has ended.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`].
    pub fn cancel(&self, name: &str) -> Result<()> {
        let token = self.registry().find(name)?.token.clone();
        token.cancel();
        Ok(())
    }

    /// What a task does, or how it ended. `None`: no such task.
    #[must_use]
    pub fn status(&self, name: &str) -> Option<TaskStatus> {
        self.registry().find(name).ok().map(Record::status)
    }

    /// All tasks that are known, in the order of their start.
    #[must_use]
    pub fn list(&self) -> Vec<TaskStatus> {
        self.registry().statuses()
    }

    /// Waits until a task has ended, and says how.
    ///
    /// # Errors
    /// [`Error::NoSuchTask`].
    ///
    /// # Cancel safety
    /// Cancel safe: it only looks.
    pub async fn wait(&self, name: &str) -> Result<TaskStatus> {
        let mut status = self.registry().find(name)?.watch();
        // A supervisor that goes leaves a last state behind.
        drop(status.wait_for(|status| status.state.has_ended()).await);
        let status = status.borrow().clone();
        Ok(status)
    }

    /// Ends everything: tells all tasks to end, waits until `deadline`, then aborts those that are left.
    ///
    /// Jobs end with [`Error::Cancelled`]. A task that does not reach an `.await` for a second after the deadline cannot
    /// be aborted: it is counted as `stuck`. The manager takes nothing afterwards. It works on any runtime and without one.
    ///
    /// # Cancel safety
    /// If this future is dropped after its first poll, all of it happens all the same; only the report is lost.
    pub async fn shutdown(&self, deadline: Duration) -> TaskReport {
        let shared = &self.shared;
        shared.set_patience(deadline);
        // First counted, then cancelled.
        let watched = self.registry().close();
        let jobs = self.queue.close();
        shared.token.cancel();
        let aborted = shared.aborted();
        match on_own_clock(Arc::clone(shared).finish(deadline)) {
            // An error only says that the thread has ended.
            Ok(ended) => drop(ended.await),
            // No thread: the timers of the runtime have to do.
            Err(_) => drop(shared.spawner.handle().spawn(Arc::clone(shared).finish(deadline)).await),
        }
        let stuck = watched.iter().filter(|status| !status.borrow().state.has_ended()).count();
        let aborted = shared.aborted().saturating_sub(aborted);
        TaskReport { ended: watched.len().saturating_sub(aborted + stuck), aborted, stuck, jobs }
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for TaskManager {
    fn drop(&mut self) {
        self.shared.token.cancel();
        self.queue.close();
    }
}

/// What [`TaskManager::shutdown`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskReport {
    /// Tasks that ended by themselves, workers included.
    pub ended: usize,
    /// Tasks that were aborted.
    pub aborted: usize,
    /// Tasks that did not reach an `.await` within a second after the deadline, and go on until they do.
    pub stuck: usize,
    /// Jobs that no worker had begun, which ended with [`Error::Cancelled`].
    pub jobs: usize,
}

const DEFAULT_CAPACITY: usize = 64;
const MAX_CAPACITY: usize = 65_536;
const WORKER_BACKOFF: Backoff = Backoff { initial: Duration::from_millis(10), max: Duration::from_secs(1) };

#[cfg(test)]
mod tests;
