//! The number of threads in force: the policy, fed with the loop's own steps and the load of others.

use std::time::{Duration, Instant};

use super::threads::{LoadMeter, Step, ThreadGovernor, ThreadPolicy};
use crate::prepare::cores;

/// Decides after each step how many threads the next one has.
#[derive(Debug)]
pub(crate) struct Threads {
    governor: ThreadGovernor,
    meter: LoadMeter,
    looked: Option<Instant>,
    /// Since when there is nothing to compute.
    rested: Option<Instant>,
    fixed: bool,
}

impl Threads {
    /// `single`, `batch`: the most for one token, and for more.
    pub(crate) fn new(single: u32, batch: u32, policy: ThreadPolicy) -> Self {
        let mut meter = LoadMeter::new();
        let fixed = policy == ThreadPolicy::Fixed || single.max(batch) <= 1;
        if !fixed {
            meter.read(Instant::now());
        }
        let known = meter.cores().unwrap_or_else(|| u32::try_from(cores()).unwrap_or(1));
        Self { governor: ThreadGovernor::new(single, batch, policy, known), meter, looked: None, rested: None, fixed }
    }

    /// For those who set the clock themselves: nothing ever changes.
    #[cfg(test)]
    pub(crate) fn fixed() -> Self {
        Self::new(1, 1, ThreadPolicy::Fixed)
    }

    /// There is nothing to compute: what others do from now on takes nothing from us.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.rested.get_or_insert(now);
    }

    /// A step begins.
    pub(crate) fn begin(&mut self, now: Instant) {
        let Some(since) = self.rested.take().filter(|_| !self.fixed) else { return };
        // A short rest changes little of what is measured; beginning anew after each would never measure anything.
        if now.saturating_duration_since(since) > SHORT_REST {
            self.meter.restart(now);
            self.looked = Some(now);
        }
    }

    /// Takes a step into account; the new numbers for one token and for more, if they changed.
    pub(crate) fn step(&mut self, now: Instant, tokens: usize, elapsed: Duration) -> Option<(u32, u32)> {
        if self.fixed {
            return None;
        }
        let (single, batch) = self.governor.threads();
        let threads = if tokens > 1 { batch } else { single };
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        let by_step = self.governor.step(now, Step { threads, tokens, elapsed });
        let due = self.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LOOK);
        let by_load = due.then(|| {
            self.looked = Some(now);
            let others = self.meter.read(now);
            self.governor.load(now, others)
        });
        by_load.flatten().or(by_step)
    }
}

const SHORT_REST: Duration = Duration::from_millis(100);
/// How often the load of others is looked at.
const LOOK: Duration = Duration::from_millis(250);
