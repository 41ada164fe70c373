//! The bounded queue between those who submit jobs and the workers.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::job::Job;
use crate::error::{Error, Result};

#[derive(Debug)]
pub(super) struct JobQueue {
    capacity: usize,
    state: Mutex<State>,
    /// One permit a job, and a few more for jobs that are gone.
    ready: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    workers: u32,
    closed: bool,
    /// The moving mean of what a job keeps a worker for.
    mean: Option<Duration>,
}

impl JobQueue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default(), ready: Semaphore::new(0) }
    }

    /// Puts a job at the end. A full queue first loses the jobs that nobody waits for any more.
    pub(super) fn push(&self, job: Job) -> Result<()> {
        let gone = self.try_push(job)?;
        // Their values may do anything when they are dropped: not under the lock.
        drop(gone);
        self.ready.add_permits(1);
        Ok(())
    }

    fn try_push(&self, job: Job) -> Result<VecDeque<Job>> {
        let mut state = self.state();
        if state.closed {
            return Err(Error::ShutDown);
        }
        if state.workers == 0 {
            return Err(Error::NoWorker);
        }
        let mut gone = VecDeque::new();
        if state.jobs.len() >= self.capacity {
            let (cancelled, waiting) = state.jobs.drain(..).partition(Job::is_cancelled);
            (gone, state.jobs) = (cancelled, waiting);
        }
        if state.jobs.len() >= self.capacity {
            return Err(Error::Overloaded { capacity: self.capacity, retry_after: state.retry_after() });
        }
        state.jobs.push_back(job);
        Ok(gone)
    }

    /// The next job that somebody waits for; `None` when the queue is closed.
    ///
    /// # Cancel safety
    /// Cancel safe: a job is taken in the poll that returns it.
    pub(super) async fn take(&self) -> Option<Job> {
        loop {
            self.ready.acquire().await.ok()?.forget();
            let job = self.state().jobs.pop_front();
            if let Some(job) = job.filter(|job| !job.is_cancelled()) {
                return Some(job);
            }
        }
    }

    /// Notes how long a job kept its worker.
    pub(super) fn note(&self, took: Duration) {
        let mut state = self.state();
        state.mean = Some(state.mean.map_or(took, |mean| (mean * 7 + took) / 8));
    }

    /// Counts a worker for as long as it keeps the value.
    pub(super) fn join(self: Arc<Self>) -> Place {
        self.state().workers += 1;
        Place(self)
    }

    /// Refuses jobs from now on and drops those that wait; gives their number.
    pub(super) fn close(&self) -> usize {
        self.ready.close();
        let jobs = {
            let mut state = self.state();
            state.closed = true;
            std::mem::take(&mut state.jobs)
        };
        jobs.iter().filter(|job| !job.is_cancelled()).count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// When the first of the workers is likely to take a job.
    fn retry_after(&self) -> Duration {
        let mean = self.mean.unwrap_or(FIRST_GUESS);
        (mean / self.workers.max(1)).clamp(SOONEST, LATEST)
    }
}

/// A worker at the queue. When the last one leaves, the jobs that wait end: nobody would run them.
#[derive(Debug)]
pub(super) struct Place(Arc<JobQueue>);

impl Drop for Place {
    fn drop(&mut self) {
        let jobs = {
            let mut state = self.0.state();
            state.workers -= 1;
            if state.workers == 0 { std::mem::take(&mut state.jobs) } else { VecDeque::new() }
        };
        drop(jobs);
    }
}

const FIRST_GUESS: Duration = Duration::from_secs(1);
const SOONEST: Duration = Duration::from_millis(10);
const LATEST: Duration = Duration::from_secs(60);
