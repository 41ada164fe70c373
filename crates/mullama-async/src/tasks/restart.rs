//! When a task runs again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What happens when a task ends without having been cancelled.
///
/// ```
/// use mullama_async::{Backoff, RestartPolicy};
///
/// let policy = RestartPolicy::OnFailure { max_restarts: 5, backoff: Backoff::default() };
/// assert_ne!(policy, RestartPolicy::default());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RestartPolicy {
    /// It has ended.
    #[default]
    Never,
    /// After an error or a panic it runs again, so many times in all.
    OnFailure {
        /// Restarts, not counting the first run.
        max_restarts: u32,
        /// The pauses between them.
        backoff: Backoff,
    },
    /// It runs again, however it ended, until it is cancelled.
    Always {
        /// The pauses between the runs. A run without an error is followed by the shortest.
        backoff: Backoff,
    },
}

impl RestartPolicy {
    /// The pause before the next run; `None`: there is none. `failures`: those in a row before this end.
    pub(super) fn next(self, failed: bool, restarts: u32, failures: u32) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::OnFailure { max_restarts, backoff } => {
                (failed && restarts < max_restarts).then(|| backoff.delay(failures))
            }
            Self::Always { backoff } => Some(backoff.delay(if failed { failures } else { 0 })),
        }
    }

    /// A run as long as this begins a new row of failures.
    pub(super) fn healthy(self) -> Duration {
        match self {
            Self::Never => Duration::ZERO,
            Self::OnFailure { backoff, .. } | Self::Always { backoff } => backoff.max,
        }
    }
}

/// Pauses that double from one failure in a row to the next.
///
/// A run that lasted at least `max` begins again with `initial`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The first pause, at least a millisecond. Default 100 ms.
    pub initial: Duration,
    /// The longest pause. Default 30 s.
    pub max: Duration,
}

impl Backoff {
    fn delay(self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        self.initial.max(SHORTEST).saturating_mul(factor).min(self.max.max(SHORTEST))
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Duration::from_millis(100), max: Duration::from_secs(30) }
    }
}

/// A task that fails at once must not take a whole core.
const SHORTEST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = Backoff { initial: Duration::from_millis(50), max: Duration::from_millis(350) };
        let delays: Vec<_> = (0..5).map(|failures| backoff.delay(failures).as_millis()).collect();
        assert_eq!(delays, [50, 100, 200, 350, 350]);
        assert_eq!(backoff.delay(u32::MAX), backoff.max);
        let zero = Backoff { initial: Duration::ZERO, max: Duration::ZERO };
        assert_eq!(zero.delay(9), SHORTEST);
    }

    #[test]
    fn each_policy_restarts_what_it_says() {
        let backoff = Backoff::default();
        let limited = RestartPolicy::OnFailure { max_restarts: 2, backoff };
        assert_eq!(RestartPolicy::Never.next(true, 0, 0), None);
        assert_eq!(limited.next(false, 0, 0), None);
        assert_eq!(limited.next(true, 1, 1), Some(backoff.initial * 2));
        assert_eq!(limited.next(true, 2, 2), None);
        assert_eq!(RestartPolicy::Always { backoff }.next(false, 1_000, 7), Some(backoff.initial));
    }
}
