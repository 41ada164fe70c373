//! A histogram of times that many threads write.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::text::{Bounds, Counts, Label, Scale, Text};

/// Counts of times, by powers of two of nanoseconds. Two atomic additions for each.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// The last one counts what is above all bounds.
    buckets: [AtomicU64; BUCKETS + 1],
    sum_ns: AtomicU64,
}

impl Times {
    pub(super) fn record(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).min(LONGEST);
        // The smallest power that it does not exceed.
        let power = ns.saturating_sub(1).checked_ilog2().map_or(0, |below| below + 1);
        let bucket = power.saturating_sub(FIRST).min(LAST + 1 - FIRST);
        self.buckets[bucket as usize].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    pub(super) fn write(&self, text: &mut Text, name: &str, labels: &[Label<'_>]) {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let counts = Counts {
            bounds: Bounds { scale: Scale::Time, first: FIRST, last: LAST },
            below: |power: u32| counts.iter().take((power + 1 - FIRST) as usize).sum(),
            count: counts.iter().sum(),
            sum: self.sum_ns.load(Ordering::Relaxed) as f64 * 1e-9,
        };
        text.histogram(name, labels, &counts);
    }
}

/// 1.05 ms.
const FIRST: u32 = 20;
/// 550 s.
const LAST: u32 = 39;
const BUCKETS: usize = (LAST - FIRST + 1) as usize;
/// 2.4 hours: what one outlier adds to the sum at most, so that it cannot wrap.
const LONGEST: u64 = 1 << 43;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_from_the_first_bound_that_it_does_not_exceed() {
        let bound = |power: u32| Duration::from_nanos(1 << power);
        for (time, expected) in [
            (Duration::ZERO, 0),
            (bound(20), 0),
            (bound(20) + Duration::from_nanos(1), 1),
            (bound(21), 1),
            (bound(39), 19),
            (bound(39) + Duration::from_nanos(1), 20),
            (Duration::MAX, 20),
        ] {
            let times = Times::default();
            times.record(time);
            let filled = times.buckets.iter().position(|bucket| bucket.load(Ordering::Relaxed) == 1);
            assert_eq!(filled, Some(expected), "{time:?}");
        }
    }
}
