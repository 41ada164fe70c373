//! How much work is taken at once, and how much of it in a minute.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Both limits.
#[derive(Debug)]
pub(crate) struct Limits {
    capacity: AtomicUsize,
    taken: Arc<AtomicUsize>,
    rate: Rate,
}

/// A place among those that are answered; it is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

/// What a key has left: a bucket that fills evenly.
#[derive(Debug)]
struct Rate {
    /// 0: nothing is limited.
    per_minute: AtomicU32,
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// What is told of a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) limit: u32,
    pub(crate) remaining: u32,
    /// Until all is there again.
    pub(crate) reset: Duration,
    /// Until the next request is taken; `None`: this one is.
    pub(crate) retry_after: Option<Duration>,
}

impl Limits {
    pub(crate) fn new(capacity: usize, per_minute: Option<u32>) -> Self {
        let rate = Rate { per_minute: per_minute.unwrap_or(0).into(), buckets: Mutex::default() };
        Self { capacity: capacity.into(), taken: Arc::default(), rate }
    }

    /// Other limits from now on. What is taken stays so.
    pub(crate) fn set(&self, capacity: usize, per_minute: Option<u32>) {
        self.capacity.store(capacity, Ordering::Relaxed);
        self.rate.per_minute.store(per_minute.unwrap_or(0), Ordering::Relaxed);
    }

    /// A place, if there is one.
    pub(crate) fn place(&self) -> Option<Place> {
        let capacity = self.capacity();
        let take = |taken: usize| (taken < capacity).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        taken.is_ok().then(|| Place(Arc::clone(&self.taken)))
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity.load(Ordering::Relaxed)
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Counts a request of a key; `None` where nothing is limited.
    pub(crate) fn count(&self, key: &str, now: Instant) -> Option<Allowance> {
        let per_minute = self.rate.per_minute.load(Ordering::Relaxed);
        (per_minute > 0).then(|| self.rate.count(per_minute, key, now))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Rate {
    fn count(&self, per_minute: u32, key: &str, now: Instant) -> Allowance {
        let limit = f64::from(per_minute);
        let per_second = limit / 60.0;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= SWEEP {
            // Who has all left need not be remembered.
            buckets.retain(|_, bucket| bucket.filled(now, limit, per_second) < limit);
        }
        let bucket = buckets.entry(key.to_owned()).or_insert(Bucket { tokens: limit, at: now });
        bucket.tokens = bucket.filled(now, limit, per_second);
        bucket.at = now;
        let taken = bucket.tokens >= 1.0;
        if taken {
            bucket.tokens -= 1.0;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to the limit, which is u32")]
        let remaining = bucket.tokens as u32;
        let wait = |tokens: f64| Duration::from_secs_f64((tokens / per_second).max(0.0));
        Allowance {
            limit: per_minute,
            remaining,
            reset: wait(limit - bucket.tokens),
            retry_after: (!taken).then(|| wait(1.0 - bucket.tokens)),
        }
    }
}

impl Bucket {
    fn filled(self, now: Instant, limit: f64, per_second: f64) -> f64 {
        (self.tokens + now.saturating_duration_since(self.at).as_secs_f64() * per_second).min(limit)
    }
}

const SWEEP: usize = 10_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn places_come_back() {
        let limits = Limits::new(2, None);
        let (one, two) = (limits.place(), limits.place());
        assert!(one.is_some() && two.is_some() && limits.place().is_none());
        drop(one);
        assert!(limits.place().is_some());
        assert!(limits.count("key", Instant::now()).is_none());
    }

    #[test]
    fn limits_may_change_while_work_is_done() {
        let limits = Limits::new(2, None);
        let (one, two) = (limits.place(), limits.place());
        limits.set(1, Some(1));
        drop(one);
        assert!(limits.place().is_none());
        drop(two);
        assert!(limits.place().is_some());
        let now = Instant::now();
        assert_eq!(limits.count("key", now).unwrap().retry_after, None);
        assert!(limits.count("key", now).unwrap().retry_after.is_some());
        limits.set(1, Some(60));
        assert!(limits.count("key", now + Duration::from_secs(2)).unwrap().retry_after.is_none());
        limits.set(1, None);
        assert!(limits.count("key", now).is_none());
    }

    proptest! {
        /// In any minute no more than twice the limit is taken (a full bucket, and what flows in), and never less than what
        /// flows in.
        #[test]
        fn a_key_gets_its_rate(per_minute in 1_u32..600, gaps in prop::collection::vec(0_u64..3_000, 1..200)) {
            let limits = Limits::new(1, Some(per_minute));
            let start = Instant::now();
            let (mut now, mut taken) = (start, 0_u32);
            for gap in gaps {
                now += Duration::from_millis(gap);
                let allowance = limits.count("key", now).unwrap();
                prop_assert!(allowance.remaining <= per_minute);
                match allowance.retry_after {
                    None => taken += 1,
                    Some(wait) => {
                        prop_assert!(!wait.is_zero());
                        let later = limits.count("other", now).unwrap();
                        prop_assert!(later.retry_after.is_none() || later.remaining == 0);
                    }
                }
                let most = f64::from(per_minute) * (1.0 + now.duration_since(start).as_secs_f64() / 60.0);
                prop_assert!(f64::from(taken) <= most + 1e-6, "{taken} taken, at most {most}");
            }
        }

        #[test]
        fn who_waits_as_told_is_taken(per_minute in 1_u32..600) {
            let limits = Limits::new(1, Some(per_minute));
            let mut now = Instant::now();
            for _ in 0..per_minute {
                prop_assert!(limits.count("key", now).unwrap().retry_after.is_none());
            }
            let wait = limits.count("key", now).unwrap().retry_after.unwrap();
            now += wait + Duration::from_millis(1);
            prop_assert!(limits.count("key", now).unwrap().retry_after.is_none());
        }
    }
}
