//! How a runtime is described before it starts.

use std::io;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::{MullamaRuntime, Spawner};
use crate::error::{Error, Result, panic_message};

/// Describes a [`MullamaRuntime`]; [`MullamaRuntime::new`] begins one. Values are checked by [`build`](Self::build).
#[derive(Debug, Clone)]
#[must_use = "nothing starts before `build`"]
pub struct RuntimeBuilder {
    worker_threads: usize,
    max_blocking_threads: usize,
    thread_name: String,
    thread_stack_size: Option<usize>,
    shutdown_timeout: Duration,
}

impl RuntimeBuilder {
    /// Threads that run async tasks: 1 to 1024, or 0 (default) for as many as the machine has cores.
    pub fn worker_threads(mut self, threads: usize) -> Self {
        self.worker_threads = threads;
        self
    }

    /// The most threads for blocking work, the workers not counted: 1 to 16384. Default 512.
    ///
    /// They start when they are needed and end after ten seconds without work.
    pub fn max_blocking_threads(mut self, threads: usize) -> Self {
        self.max_blocking_threads = threads;
        self
    }

    /// The name of every thread. Default `mullama`; Linux shows its first 15 bytes.
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread_name = name.into();
        self
    }

    /// Stack of every thread, in bytes: at least 64 KiB. Default: tokio's, 2 MiB.
    pub fn thread_stack_size(mut self, bytes: usize) -> Self {
        self.thread_stack_size = Some(bytes);
        self
    }

    /// How long [`MullamaRuntime::shutdown`] may take when it is given no deadline. Default 10 s.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Starts the worker threads.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`]; [`Error::Runtime`] when the system refuses the threads.
    pub fn build(self) -> Result<MullamaRuntime> {
        self.validate()?;
        let workers = match self.worker_threads {
            0 => thread::available_parallelism().map_or(1, NonZero::get).min(MAX_WORKERS),
            threads => threads,
        };
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(workers).max_blocking_threads(self.max_blocking_threads).thread_name(self.thread_name);
        if let Some(bytes) = self.thread_stack_size {
            builder.thread_stack_size(bytes);
        }
        // tokio panics when the system gives no thread.
        let runtime = catch_unwind(AssertUnwindSafe(|| builder.enable_all().build()))
            .unwrap_or_else(|panic| Err(io::Error::other(panic_message(&*panic))))
            .map_err(|source| Error::Runtime { source })?;
        Ok(MullamaRuntime {
            spawner: Spawner::new(runtime.handle().clone()),
            runtime: Some(runtime),
            shutdown: CancellationToken::new(),
            shutdown_timeout: self.shutdown_timeout,
            started: Instant::now(),
        })
    }

    fn validate(&self) -> Result<()> {
        if self.worker_threads > MAX_WORKERS {
            return Err(Error::parameter("worker_threads", self.worker_threads, "1 to 1024, or 0 for one per core"));
        }
        if !(1..=MAX_BLOCKING).contains(&self.max_blocking_threads) {
            return Err(Error::parameter("max_blocking_threads", self.max_blocking_threads, "1 to 16384"));
        }
        if self.thread_name.contains('\0') {
            return Err(Error::parameter("thread_name", self.thread_name.escape_default(), "without a NUL character"));
        }
        match self.thread_stack_size {
            Some(bytes) if bytes < MIN_STACK => {
                Err(Error::parameter("thread_stack_size", bytes, "at least 65536 bytes"))
            }
            _ => Ok(()),
        }
    }
}

impl Default for RuntimeBuilder {
    fn default() -> Self {
        Self {
            worker_threads: 0,
            max_blocking_threads: 512,
            thread_name: "mullama".to_owned(),
            thread_stack_size: None,
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

const MAX_WORKERS: usize = 1024;
const MAX_BLOCKING: usize = 16_384;
const MIN_STACK: usize = 64 << 10;
