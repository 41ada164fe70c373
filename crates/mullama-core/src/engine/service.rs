//! How long a request keeps its sequence: what a full queue tells those whom it refuses.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A running mean, written by the loop alone.
#[derive(Debug, Default)]
pub(crate) struct ServiceTime(AtomicU64);

impl ServiceTime {
    pub(crate) fn note(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let known = self.0.load(Ordering::Relaxed);
        let next = if known == 0 { micros } else { known - known / 8 + micros / 8 };
        self.0.store(next.max(1), Ordering::Relaxed);
    }

    /// Zero before the first request has ended.
    pub(crate) fn mean(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}
