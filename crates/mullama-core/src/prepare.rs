//! Where recursion that a user shapes runs: threads with large stacks, and a deadline for each job.
//!
//! llama.cpp's pre-tokenizers (`std::regex`), its grammar parser and its template engine recurse with the length or the
//! depth of their input. On the 2 MiB stack of a Rust thread 6,000 letters in a row end the process.

use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};

/// `Break`: the caller had given up and the thread was replaced, so it ends.
type Job = Box<dyn FnOnce() -> ControlFlow<()> + Send>;

/// Two threads, started with the first job, that end when their owner is dropped.
#[derive(Debug)]
pub(crate) struct Preparer {
    workers: Mutex<Option<Workers>>,
}

#[derive(Debug)]
struct Workers {
    jobs: SyncSender<Job>,
    queue: Arc<Mutex<Receiver<Job>>>,
    /// Threads that are at a job whose caller has given up. Each is replaced by a new one, up to a limit.
    stuck: Arc<AtomicUsize>,
}

impl Preparer {
    pub(crate) const fn new() -> Self {
        Self { workers: Mutex::new(None) }
    }

    /// Runs `job` on a large stack and waits for it.
    ///
    /// C++ cannot be interrupted: a job beyond the deadline goes on on its thread, which is replaced.
    ///
    /// # Errors
    /// [`Error::Timeout`] after `limit`; [`Error::Overloaded`] when the queue is full or too many jobs never ended;
    /// [`Error::Thread`].
    pub(crate) fn run<R: Send + 'static>(
        &self,
        what: &'static str,
        limit: Duration,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R> {
        let (answer, result) = sync_channel(1);
        let state = Arc::new(AtomicUsize::new(QUEUED));
        let (jobs, stuck, queue) = self.workers()?;
        let job: Job = {
            let (state, stuck) = (Arc::clone(&state), Arc::clone(&stuck));
            Box::new(move || {
                if state.compare_exchange(QUEUED, RUNNING, Ordering::AcqRel, Ordering::Acquire).is_err() {
                    return ControlFlow::Continue(()); // nobody waits for it any more
                }
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                // A receiver that has given up is no error.
                let _ = answer.send(outcome);
                if state.swap(DONE, Ordering::AcqRel) == RUNNING {
                    return ControlFlow::Continue(());
                }
                stuck.fetch_sub(1, Ordering::AcqRel);
                ControlFlow::Break(())
            })
        };
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Error::Overloaded { capacity: QUEUE, retry_after: limit },
            TrySendError::Disconnected(_) => Error::Internal { what: "the preparation threads are gone".to_owned() },
        })?;
        match result.recv_timeout(limit) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(RecvTimeoutError::Disconnected) => {
                Err(Error::Internal { what: format!("the thread of a {what} ended") })
            }
            Err(RecvTimeoutError::Timeout) => {
                // Counted before it is said, so that the job's own count down cannot come first.
                let others = stuck.fetch_add(1, Ordering::AcqRel);
                if state.swap(ABANDONED, Ordering::AcqRel) != RUNNING {
                    stuck.fetch_sub(1, Ordering::AcqRel);
                } else if others < MAX_STUCK {
                    start(&queue)?;
                }
                Err(Error::Timeout { what, limit })
            }
        }
    }

    #[expect(clippy::type_complexity, reason = "three handles to one pool, used in one place")]
    fn workers(&self) -> Result<(SyncSender<Job>, Arc<AtomicUsize>, Arc<Mutex<Receiver<Job>>>)> {
        let mut slot = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            let (jobs, receiver) = sync_channel(QUEUE);
            let queue = Arc::new(Mutex::new(receiver));
            for _ in 0..THREADS {
                start(&queue)?;
            }
            *slot = Some(Workers { jobs, queue, stuck: Arc::new(AtomicUsize::new(0)) });
        }
        let workers = slot.as_ref().ok_or_else(|| Error::Internal { what: "no preparation threads".to_owned() })?;
        Ok((workers.jobs.clone(), Arc::clone(&workers.stuck), Arc::clone(&workers.queue)))
    }
}

/// Runs `job` on a thread of its own with a large stack, and waits without a limit: for loading.
pub(crate) fn on_own_thread<R: Send>(name: &str, job: impl FnOnce() -> R + Send) -> Result<R> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn_scoped(scope, job);
        match thread.map_err(Error::Thread)?.join() {
            Ok(value) => Ok(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn start(queue: &Arc<Mutex<Receiver<Job>>>) -> Result<()> {
    let queue = Arc::clone(queue);
    let body = move || {
        loop {
            // The lock is held while waiting, so that one idle thread at a time waits on the channel.
            let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = job else { return };
            if job().is_break() {
                return;
            }
        }
    };
    thread::Builder::new().name("mullama-prepare".to_owned()).stack_size(STACK).spawn(body).map_err(Error::Thread)?;
    Ok(())
}

/// How many hardware threads there are.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

// The life of a job.
const QUEUED: usize = 0;
const RUNNING: usize = 1;
const DONE: usize = 2;
const ABANDONED: usize = 3;

const THREADS: usize = 2;
/// Jobs that wait.
const QUEUE: usize = 64;
/// Jobs without end that are borne before new ones are refused.
const MAX_STUCK: usize = 8;
/// Address space only: pages are taken when they are used.
pub(crate) const STACK: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_beyond_its_deadline_is_left_alone_and_others_go_on() {
        let preparer = Preparer::new();
        let (release, gate) = sync_channel::<()>(0);
        let gate = Arc::new(Mutex::new(gate));
        for _ in 0..3 {
            let gate = Arc::clone(&gate);
            let wait = move || {
                let _ = gate.lock().unwrap().recv();
            };
            let error = preparer.run("test job", Duration::from_millis(20), wait).unwrap_err();
            assert!(matches!(error, Error::Timeout { .. }), "{error}");
        }
        assert_eq!(preparer.run("test job", Duration::from_secs(10), || 7).unwrap(), 7);
        drop(release);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_threads_live() {
        let preparer = Preparer::new();
        for _ in 0..4 {
            let attempt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                preparer.run("test job", Duration::from_secs(10), || panic!("on purpose"))
            }));
            assert!(attempt.is_err());
        }
        assert_eq!(preparer.run("test job", Duration::from_secs(10), || 1).unwrap(), 1);
    }

    #[test]
    fn deep_recursion_fits() {
        fn deep(n: usize) -> usize {
            let pad = std::hint::black_box([0_u8; 512]);
            if n == 0 { usize::from(pad[0]) } else { deep(n - 1) + usize::from(pad[1]) + 1 }
        }
        assert_eq!(Preparer::new().run("test job", Duration::from_secs(30), || deep(200_000)).unwrap(), 200_000);
    }
}
