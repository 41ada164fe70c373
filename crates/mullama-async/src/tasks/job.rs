//! Generation jobs: what is submitted, what the submitter holds, and the worker that runs them.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::select;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use super::context::{TaskContext, TaskResult};
use super::queue::JobQueue;
use super::supervisor::Shared;
use crate::error::{Error, Result, panic_message};

/// The value of a job, to be awaited on any runtime. Dropping it cancels the job.
///
/// The result is [`Error::Cancelled`] when the job's worker is cancelled or the manager shut down, and
/// [`Error::Panicked`] when its code panicked.
#[must_use = "dropping the handle cancels the job"]
pub struct JobHandle<T> {
    answer: oneshot::Receiver<Result<T>>,
    _cancel: DropGuard,
}

impl<T> Future for JobHandle<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // No answer: the job was dropped in the queue, or with its worker.
        Pin::new(&mut self.answer).poll(cx).map(|answer| answer.unwrap_or(Err(Error::Cancelled)))
    }
}

impl<T> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").finish_non_exhaustive()
    }
}

/// A job in the queue.
pub(super) struct Job {
    context: TaskContext,
    run: Box<dyn FnOnce(Arc<Shared>, TaskContext) -> Running + Send>,
}

impl Job {
    pub(super) fn is_cancelled(&self) -> bool {
        self.context.is_cancelled()
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("context", &self.context).finish_non_exhaustive()
    }
}

/// Pairs a job, whose type ends here, with the handle that gives its value.
pub(super) fn prepare<F, Fut, T>(context: TaskContext, job: F) -> (Job, JobHandle<T>)
where
    F: FnOnce(TaskContext) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let (sender, answer) = oneshot::channel();
    let handle = JobHandle { answer, _cancel: context.cancellation_token().drop_guard() };
    let inner = context.clone();
    let run = Box::new(move |shared: Arc<Shared>, worker: TaskContext| -> Running {
        Box::pin(async move {
            let value = execute(job, inner, &shared, &worker).await;
            // A submitter that is gone wants no answer.
            drop(sender.send(value));
        })
    });
    (Job { context, run }, handle)
}

/// The loop of a worker.
pub(super) async fn work(
    context: TaskContext,
    queue: Arc<JobQueue>,
    shared: Arc<Shared>,
    up: Arc<watch::Sender<bool>>,
) -> TaskResult {
    let _place = Arc::clone(&queue).join();
    up.send_replace(true);
    loop {
        let job = select! {
            biased;
            () = context.cancelled() => return Ok(()),
            // A closed queue: the token is cancelled next.
            Some(job) = queue.take() => job,
        };
        let began = Instant::now();
        (job.run)(Arc::clone(&shared), context.clone()).await;
        queue.note(began.elapsed());
    }
}

/// Runs a job in a task of its own, so that a panic ends only that, until it ends or is cancelled.
async fn execute<F, Fut, T>(job: F, context: TaskContext, shared: &Shared, worker: &TaskContext) -> Result<T>
where
    F: FnOnce(TaskContext) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let inner = context.clone();
    let mut run = shared.spawn_part(async move { job(inner).await });
    let ended = select! {
        biased;
        ended = &mut run => ended,
        () = context.cancelled() => {
            run.abort();
            run.await
        }
        () = worker.cancelled() => {
            context.cancellation_token().cancel();
            run.abort();
            run.await
        }
    };
    match ended.map_err(JoinError::try_into_panic) {
        Ok(value) => Ok(value),
        Err(Ok(panic)) => Err(Error::Panicked { task: context.name().to_owned(), message: panic_message(&*panic) }),
        Err(Err(_)) => Err(Error::Cancelled),
    }
}

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;
