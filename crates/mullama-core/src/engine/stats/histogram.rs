//! Histograms that one thread writes and others read without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a quantity was distributed, when it was read.
///
/// Buckets grow with the values: four to each doubling. Only those that hold something are listed.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct HistogramSnapshot {
    /// Buckets with a count above 0, in rising order, without overlap.
    pub buckets: Vec<HistogramBucket>,
    /// Values recorded: the sum of the buckets' counts.
    pub count: u64,
    /// Sum of the values, in their unit. It may be one value ahead of or behind `count`.
    pub sum: f64,
}

/// One bucket of a [`HistogramSnapshot`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HistogramBucket {
    /// Lower bound, inclusive.
    pub lower: f64,
    /// Upper bound, exclusive. At most 1.25 times `lower`, but for the lowest bucket, which begins at 0. The highest
    /// bucket also holds what is beyond it: durations above 2.4 hours, amounts above 8.5 thousand million.
    pub upper: f64,
    /// Values in this bucket alone.
    pub count: u64,
}

impl HistogramSnapshot {
    /// Estimates the value that a share `q` (0 to 1) of the values does not exceed; `None` without values.
    ///
    /// Interpolated within one bucket, the one that holds the exact quantile (the value of rank `ceil(q * count)`), so
    /// it lies between 0.8 and 1.25 times the exact one. Below 1.024 µs (durations) or 1 (amounts) it is wrong by at
    /// most that much, and nothing beyond the highest bucket is told apart.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count == 0 || q.is_nan() {
            return None;
        }
        let rank = (q.clamp(0.0, 1.0) * self.count as f64).max(1.0);
        let mut below = 0.0;
        for bucket in &self.buckets {
            let count = bucket.count as f64;
            if below + count >= rank {
                return Some(bucket.lower + (bucket.upper - bucket.lower) * (rank - below) / count);
            }
            below += count;
        }
        // Counts beyond 2^53 may round the rank above their sum.
        self.buckets.last().map(|bucket| bucket.upper)
    }

    /// The mean of the values, which no bucket rounds; `None` without values.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }

    /// How many values are below `bound`, for cumulative histograms such as Prometheus has.
    ///
    /// Exact for powers of two (of 1.024 µs for durations), which are bounds of buckets; else a bucket that `bound`
    /// cuts counts as below it. Prometheus' `le` includes the bound: for whole amounts up to 3 ask for those below 4.
    #[must_use]
    pub fn below(&self, bound: f64) -> u64 {
        self.buckets.iter().take_while(|bucket| bucket.lower < bound).map(|bucket| bucket.count).sum()
    }
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub(crate) struct Durations(Histogram);

impl Durations {
    /// Two atomic additions.
    pub(crate) fn record(&self, duration: Duration) {
        self.0.add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// In seconds.
    pub(crate) fn snapshot(&self) -> HistogramSnapshot {
        self.0.snapshot(1e-9)
    }
}

/// A histogram of amounts and rates.
#[derive(Debug, Default)]
pub(crate) struct Amounts(Histogram);

impl Amounts {
    /// Two atomic additions.
    pub(crate) fn record_value(&self, value: u64) {
        self.0.add(value.saturating_mul(1 << FIRST_OCTAVE));
    }

    /// `amount` per second. Nothing is recorded for a time of zero.
    pub(crate) fn record_rate(&self, amount: u64, time: Duration) {
        let scaled = (u128::from(amount) << FIRST_OCTAVE) * 1_000_000_000;
        if let Some(rate) = scaled.checked_div(time.as_nanos()) {
            self.0.add(u64::try_from(rate).unwrap_or(u64::MAX));
        }
    }

    /// In the unit recorded.
    pub(crate) fn snapshot(&self) -> HistogramSnapshot {
        self.0.snapshot(1.0 / f64::from(1_u32 << FIRST_OCTAVE))
    }
}

/// Counts of whole numbers: nanoseconds, or 1/1024 of an amount.
///
/// There is no total count beside the buckets: a reader between two writes would see them differ.
#[derive(Debug)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    fn add(&self, value: u64) {
        self.buckets[bucket_of(value)].fetch_add(1, Ordering::Relaxed);
        // An outlier is cut to the range, so that one cannot wrap the sum.
        self.sum.fetch_add(value.min(LARGEST), Ordering::Relaxed);
    }

    fn snapshot(&self, unit: f64) -> HistogramSnapshot {
        let mut snapshot =
            HistogramSnapshot { sum: self.sum.load(Ordering::Relaxed) as f64 * unit, ..HistogramSnapshot::default() };
        for (index, bucket) in self.buckets.iter().enumerate() {
            let count = bucket.load(Ordering::Relaxed);
            if count > 0 {
                let (lower, upper) = (lower_bound(index) as f64 * unit, lower_bound(index + 1) as f64 * unit);
                snapshot.buckets.push(HistogramBucket { lower, upper, count });
                snapshot.count += count;
            }
        }
        snapshot
    }
}

/// Bucket 0 is below the first octave; then come four for each octave.
fn bucket_of(value: u64) -> usize {
    if value < 1 << FIRST_OCTAVE {
        return 0;
    }
    let value = value.min(LARGEST);
    let octave = value.ilog2();
    let quarter = (value >> (octave - 2)) & 3;
    (octave - FIRST_OCTAVE) as usize * 4 + quarter as usize + 1
}

fn lower_bound(index: usize) -> u64 {
    let Some(index) = index.checked_sub(1) else { return 0 };
    (4 + (index as u64 & 3)) << (FIRST_OCTAVE as usize + index / 4 - 2)
}

/// 1.024 µs, or an amount of 1.
const FIRST_OCTAVE: u32 = 10;
/// 2.4 hours, or an amount of 2^33.
const OCTAVES: u32 = 33;
const LARGEST: u64 = (1 << (FIRST_OCTAVE + OCTAVES)) - 1;
const BUCKETS: usize = OCTAVES as usize * 4 + 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_between_the_bounds_of_its_bucket() {
        let around = |bound: u64| [bound.saturating_sub(1), bound, bound + 1];
        for value in (0..BUCKETS).flat_map(|index| around(lower_bound(index))).filter(|value| *value <= LARGEST) {
            let index = bucket_of(value);
            assert!(lower_bound(index) <= value && value < lower_bound(index + 1), "{value} in {index}");
            assert!(index == 0 || lower_bound(index + 1) * 4 <= lower_bound(index) * 5, "{index} is too wide");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
        assert_eq!(lower_bound(BUCKETS), LARGEST + 1);
    }

    #[test]
    fn cumulative_counts_are_exact_at_powers_of_two() {
        let histogram = Amounts::default();
        (0..200).for_each(|value| histogram.record_value(value));
        let snapshot = histogram.snapshot();
        for power in 0..8 {
            assert_eq!(snapshot.below(f64::from(1_u32 << power)), 1 << power);
        }
        assert_eq!(snapshot.below(1e9), 200);
        assert_eq!(snapshot.below(0.0), 0);
    }

    #[test]
    fn rates_below_one_are_told_from_zero_in_the_mean() {
        let histogram = Amounts::default();
        histogram.record_rate(1, Duration::from_secs(2));
        histogram.record_rate(3, Duration::ZERO);
        histogram.record_rate(640, Duration::from_secs(10));
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.count, snapshot.sum), (2, 64.5));
    }
}
