//! Puts load on a side: clients that each send a request, read its answer, and send the next.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::measure::{self, Metric, Metrics};
use super::side::{Request, Seen, Side};
use crate::error::{Error, Result};

/// What came of a load.
#[derive(Debug)]
pub(super) struct Run {
    wall: Duration,
    pub(super) seen: Vec<Seen>,
}

/// Sends all requests, `clients` of them at a time.
pub(super) fn run(side: &dyn Side, requests: &[Request], clients: usize) -> Result<Run> {
    let next = AtomicUsize::new(0);
    let client = || {
        let mut seen = Vec::new();
        while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
            match side.ask(request, &mut |_| ControlFlow::Continue(())) {
                Ok(one) => seen.push(one),
                Err(error) => {
                    // The others end with what they have in hand.
                    next.store(requests.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(seen)
    };
    let start = Instant::now();
    let seen = thread::scope(|scope| {
        let clients = clients.min(requests.len());
        let clients = (0..clients).map(|_| spawn(scope, client)).collect::<Result<Vec<_>>>()?;
        clients.into_iter().map(join).collect::<Result<Vec<Vec<Seen>>>>()
    })?;
    Ok(Run { wall: start.elapsed(), seen: seen.into_iter().flatten().collect() })
}

/// A client's thread.
pub(super) fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    client: impl FnOnce() -> Result<T> + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, Result<T>>> {
    let thread = thread::Builder::new().name("client".to_owned()).spawn_scoped(scope, client);
    Ok(thread.map_err(mullama_core::Error::Thread)?)
}

/// What a client's thread brings.
pub(super) fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    let gone = |_| Error::Core(mullama_core::Error::Internal { what: "a client of the bench panicked".to_owned() });
    thread.join().map_err(gone)?
}

impl Run {
    pub(super) fn tokens_per_second(&self) -> f64 {
        let tokens: f64 = self.seen.iter().map(|seen| f64::from(seen.tokens)).sum();
        tokens / self.wall.as_secs_f64().max(1e-9)
    }

    /// From sending to the first text, in ms.
    pub(super) fn first(&self) -> Vec<f64> {
        self.seen.iter().map(first).collect()
    }

    /// From text to text, in ms.
    fn gaps(&self) -> Vec<f64> {
        self.seen.iter().flat_map(|seen| seen.texts.windows(2)).map(|pair| milliseconds(pair[1] - pair[0])).collect()
    }

    /// Throughput and what each client waited.
    pub(super) fn rates_and_times(&self) -> Metrics {
        let (first, gaps) = (self.first(), self.gaps());
        Metrics::default()
            .with(Metric::Throughput, self.tokens_per_second())
            .with(Metric::FirstMedian, measure::percentile(&first, 0.50))
            .with(Metric::FirstP95, measure::percentile(&first, 0.95))
            .with(Metric::GapMedian, measure::percentile(&gaps, 0.50))
            .with(Metric::GapP95, measure::percentile(&gaps, 0.95))
    }

    /// Throughput, and what of the prompts was not computed.
    pub(super) fn rates_and_cache(&self) -> Metrics {
        let first = self.first();
        let sum = |of: fn(&Seen) -> u32| self.seen.iter().map(|seen| f64::from(of(seen))).sum();
        Metrics::default()
            .with(Metric::Throughput, self.tokens_per_second())
            .with(Metric::FirstMedian, measure::percentile(&first, 0.50))
            .with(Metric::FirstP95, measure::percentile(&first, 0.95))
            .with(Metric::PromptTokens, sum(|seen| seen.prompt))
            .with(Metric::CachedTokens, sum(|seen| seen.cached))
    }
}

/// From sending to the first text, in ms; to the end where there was none.
pub(super) fn first(seen: &Seen) -> f64 {
    milliseconds(seen.texts.first().copied().unwrap_or(seen.ended) - seen.sent)
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
