//! How long decode calls take, by their size.

use std::time::Duration;

/// The usual time of a call for each size of batch, at one number of threads.
///
/// A bucket holds sizes of one power of two. Within it the time grows with something between none and all of the
/// tokens: weights are read once for a small batch, arithmetic dominates a large one. So times of fewer than
/// [`LARGE`] tokens are compared per square root of the tokens (wrong by at most 1.41), others per token.
#[derive(Debug, Clone, Default)]
pub(super) struct Paces([Option<f64>; BUCKETS]);

impl Paces {
    /// Takes a call into account.
    pub(super) fn learn(&mut self, tokens: u32, elapsed: Duration) {
        let pace = pace(tokens, elapsed);
        let usual = &mut self.0[bucket(tokens)];
        *usual = Some(match *usual {
            // Nothing makes a call much faster than it can be, so one that is proves that the rest were disturbed.
            Some(usual) if pace < 0.5 * usual => pace,
            // A context that grows is followed; a single call that lost its core is cut.
            Some(usual) => usual + WEIGHT * (pace.min(2.0 * usual) - usual),
            None => pace,
        });
    }

    /// Multiplies the times of each size, given by its smallest number of tokens, by a factor.
    pub(super) fn stretch(&mut self, factor: impl Fn(u32) -> f64) {
        for (index, pace) in self.0.iter_mut().enumerate() {
            *pace = pace.map(|pace| pace * factor(1 << index));
        }
    }

    /// How many times as long as usual a call took; `None` for a size not met before.
    pub(super) fn ratio(&self, tokens: u32, elapsed: Duration) -> Option<f64> {
        self.0[bucket(tokens)].map(|usual| pace(tokens, elapsed) / usual)
    }
}

fn bucket(tokens: u32) -> usize {
    (tokens.max(1).ilog2() as usize).min(BUCKETS - 1)
}

fn pace(tokens: u32, elapsed: Duration) -> f64 {
    let tokens = f64::from(tokens.max(1));
    let weight = if tokens < LARGE { tokens.sqrt() } else { tokens };
    elapsed.as_secs_f64().max(1e-9) / weight
}

const BUCKETS: usize = 20;
const LARGE: f64 = 16.0;
const WEIGHT: f64 = 0.15;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sizes: &[u32], cost: impl Fn(u32) -> f64, limit: f64) {
        let mut paces = Paces::default();
        for round in 0..200 {
            for size in sizes {
                let elapsed = Duration::from_secs_f64(cost(*size));
                if let Some(ratio) = paces.ratio(*size, elapsed) {
                    assert!(ratio < limit && ratio > 1.0 / limit, "round {round}: {size} tokens at {ratio}");
                }
                paces.learn(*size, elapsed);
            }
        }
    }

    #[test]
    fn sizes_within_a_bucket_are_comparable_whatever_the_cost_grows_with() {
        for sizes in [[4, 7], [8, 15], [7, 4]] {
            check(&sizes, |_| 0.01, 1.42);
            check(&sizes, |tokens| 0.002 * f64::from(tokens), 1.42);
        }
        check(&[256, 511, 300], |tokens| 0.002 + 0.001 * f64::from(tokens), 1.1);
    }

    #[test]
    fn a_cost_that_grows_slowly_stays_the_usual_one() {
        let mut paces = Paces::default();
        for step in 0..2_000 {
            let elapsed = Duration::from_secs_f64(0.005 * (1.0 + f64::from(step) * 0.01));
            assert!(paces.ratio(1, elapsed).is_none_or(|ratio| ratio < 1.1), "step {step}");
            paces.learn(1, elapsed);
        }
    }

    #[test]
    fn extremes_are_numbers() {
        let mut paces = Paces::default();
        paces.learn(0, Duration::ZERO);
        paces.learn(u32::MAX, Duration::MAX);
        assert_eq!(paces.ratio(1, Duration::ZERO), Some(1.0));
        assert!(paces.ratio(u32::MAX, Duration::ZERO).unwrap().is_finite());
    }
}
