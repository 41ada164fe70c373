//! Clients that go on until they are told to stop, and who waits for them.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::commands::bench::side::{Request, Side};
use crate::error::Result;

/// How clients and the one who waits for them talk.
#[derive(Debug, Default)]
pub(super) struct Watch {
    ready: AtomicUsize,
    over: AtomicBool,
}

impl Watch {
    /// One more has come as far as it should.
    pub(super) fn ready(&self) {
        self.ready.fetch_add(1, Ordering::SeqCst);
    }

    /// Are so many ready, or is it over?
    pub(super) fn is_ready(&self, count: usize) -> bool {
        self.ready.load(Ordering::SeqCst) >= count || self.is_over()
    }

    /// Waits until so many are ready; no longer when it is over.
    pub(super) fn wait(&self, count: usize) {
        while !self.is_ready(count) {
            std::thread::sleep(STEP);
        }
    }

    /// All are to stop.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Runs a client; when it fails, it is over for all.
    pub(super) fn client<T>(&self, client: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut ending = self.ending();
        let result = client();
        ending.armed = result.is_err();
        result
    }

    /// It is over for all when this is dropped.
    pub(super) fn ending(&self) -> Ending<'_> {
        Ending { watch: self, armed: true }
    }

    /// Asks again and again, until it is over and one more text has come: what was overdue then must be seen. Ready
    /// with the text number `ready`. The times of the texts of each answer.
    pub(super) fn keep_asking(&self, side: &dyn Side, request: &Request, ready: usize) -> Result<Vec<Vec<Instant>>> {
        let mut answers = Vec::new();
        let mut count = 0;
        while !self.is_over() {
            let seen = side.ask(request, &mut |_| {
                count += 1;
                if count == ready {
                    self.ready();
                }
                if self.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            answers.push(seen.texts);
        }
        Ok(answers)
    }
}

/// Ends it for all, also where a client panics.
#[derive(Debug)]
pub(super) struct Ending<'a> {
    watch: &'a Watch,
    armed: bool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.watch.end();
        }
    }
}

const STEP: Duration = Duration::from_millis(1);
