//! The loop around one task: run, catch, pause, run again, end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::select;
use tokio::sync::watch;
use tokio::task::JoinError;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::context::{TaskContext, TaskResult};
use super::restart::RestartPolicy;
use super::status::{TaskState, TaskStatus};
use crate::error::panic_message;
use crate::runtime::Spawner;

/// What all tasks of a manager share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) spawner: Spawner,
    /// Everything that runs for the manager: supervisors, runs, jobs.
    pub(super) tasks: TaskTracker,
    /// Tells everything to end.
    pub(super) token: CancellationToken,
    /// Ends what has been told and has not ended.
    pub(super) abort: CancellationToken,
    /// How long a task may take to end once it is told to, in milliseconds.
    patience: AtomicU64,
    aborted: AtomicUsize,
}

impl Shared {
    pub(super) fn new(spawner: Spawner, token: CancellationToken) -> Self {
        let shared = Self {
            spawner,
            tasks: TaskTracker::new(),
            token,
            abort: CancellationToken::new(),
            patience: AtomicU64::new(0),
            aborted: AtomicUsize::new(0),
        };
        shared.set_patience(PATIENCE);
        shared
    }

    /// Starts a part of a task, which ends with its handle.
    pub(super) fn spawn_part<F>(&self, future: F) -> AbortOnDropHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        AbortOnDropHandle::new(self.spawner.handle().spawn(self.tasks.track_future(future)))
    }

    /// Waits for everything until `deadline`, aborts the rest, and waits a little longer.
    ///
    /// # Cancel safety
    /// Not cancel safe: what has not ended by itself may then go on for its patience.
    pub(super) async fn finish(self: Arc<Self>, deadline: Duration) {
        self.tasks.close();
        if timeout(deadline, self.tasks.wait()).await.is_err() {
            self.abort.cancel();
            // What is left after it is reported as stuck.
            drop(timeout(ABORT_GRACE, self.tasks.wait()).await);
        }
    }

    pub(super) fn set_patience(&self, patience: Duration) {
        self.patience.store(u64::try_from(patience.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn aborted(&self) -> usize {
        self.aborted.load(Ordering::Relaxed)
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.patience.load(Ordering::Relaxed))
    }
}

/// Owns a task for as long as it may run.
pub(super) struct Supervisor {
    shared: Arc<Shared>,
    context: TaskContext,
    factory: Arc<Factory>,
    policy: RestartPolicy,
    status: LastState,
}

impl Supervisor {
    pub(super) fn new<F, Fut>(
        shared: Arc<Shared>,
        context: TaskContext,
        factory: Arc<F>,
        policy: RestartPolicy,
        status: watch::Sender<TaskStatus>,
    ) -> Self
    where
        F: Fn(TaskContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = TaskResult> + Send + 'static,
    {
        let factory = Arc::new(move |context| -> Run { Box::pin(factory(context)) });
        Self { shared, context, factory, policy, status: LastState(status) }
    }

    pub(super) async fn run(self) {
        let (mut restarts, mut failures) = (0, 0);
        let state = loop {
            let began = Instant::now();
            let end = self.attempt(restarts).await;
            if let End::Failed(error) = &end {
                tracing::warn!(task = self.context.name(), restarts, error, "task failed");
                self.status.0.send_modify(|status| status.last_error = Some(error.clone()));
            }
            if self.context.is_cancelled() || matches!(end, End::Cancelled) {
                break TaskState::Cancelled;
            }
            let failed = matches!(end, End::Failed(_));
            if !failed || began.elapsed() >= self.policy.healthy() {
                failures = 0;
            }
            let Some(pause) = self.policy.next(failed, restarts, failures) else {
                break match end {
                    End::Failed(error) => TaskState::Failed { error },
                    End::Finished | End::Cancelled => TaskState::Finished,
                };
            };
            self.status.0.send_modify(|status| status.state = TaskState::Waiting(pause));
            select! {
                biased;
                () = self.context.cancelled() => break TaskState::Cancelled,
                () = sleep(pause) => {}
            }
            failures = if failed { failures.saturating_add(1) } else { 0 };
            restarts = restarts.saturating_add(1);
            self.status.0.send_modify(|status| {
                status.state = TaskState::Running;
                status.restarts = restarts;
                status.started = SystemTime::now();
            });
        };
        tracing::debug!(task = self.context.name(), ?state, "task ended");
        self.end(state);
    }

    /// One run, in a task of its own, so that a panic ends only that.
    async fn attempt(&self, number: u32) -> End {
        if self.context.is_cancelled() {
            return End::Cancelled;
        }
        let (context, factory) = (self.context.attempt_number(number), Arc::clone(&self.factory));
        let mut run = self.shared.spawn_part(async move { factory(context).await });
        select! {
            biased;
            ended = &mut run => return ended.into(),
            () = self.context.cancelled() => {}
        }
        select! {
            biased;
            ended = &mut run => return ended.into(),
            () = self.shared.abort.cancelled() => {}
            () = sleep(self.shared.patience()) => {}
        }
        run.abort();
        match run.await {
            Err(error) if error.is_cancelled() => {
                self.shared.aborted.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(task = self.context.name(), "task was told to end, did not, and was aborted");
                End::Cancelled
            }
            ended => ended.into(),
        }
    }

    /// Says the last state after everything else of the task is gone.
    fn end(self, state: TaskState) {
        let Self { factory, status, .. } = self;
        drop(factory);
        status.0.send_modify(|status| status.state = state);
    }
}

/// How a run ended.
enum End {
    Finished,
    Failed(String),
    Cancelled,
}

impl From<Result<TaskResult, JoinError>> for End {
    fn from(ended: Result<TaskResult, JoinError>) -> Self {
        match ended.map_err(JoinError::try_into_panic) {
            Ok(Ok(())) => Self::Finished,
            Ok(Err(error)) => Self::Failed(error.to_string()),
            Err(Ok(panic)) => Self::Failed(format!("panicked: {}", panic_message(&*panic))),
            Err(Err(_)) => Self::Cancelled,
        }
    }
}

/// Leaves `Cancelled` behind when the supervisor goes without an end: its runtime was shut down.
struct LastState(watch::Sender<TaskStatus>);

impl Drop for LastState {
    fn drop(&mut self) {
        self.0.send_if_modified(|status| {
            let lost = !status.state.has_ended();
            if lost {
                status.state = TaskState::Cancelled;
            }
            lost
        });
    }
}

type Run = Pin<Box<dyn Future<Output = TaskResult> + Send>>;
type Factory = dyn Fn(TaskContext) -> Run + Send + Sync;

/// For tasks that are cancelled without a shutdown, which brings a time of its own.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long an aborted task has to reach its next `.await`.
const ABORT_GRACE: Duration = Duration::from_secs(1);
