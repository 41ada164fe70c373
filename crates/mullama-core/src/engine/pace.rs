//! How much of the prompts goes into one step.

use std::time::Duration;

/// Learns from the time of past steps how many prompt tokens fit into one.
///
/// The cost of a prompt token changes with the depth of its context, the number of threads, other load: so this is a
/// controller, not a model. It aims a little below the target, so that most steps end within it; where the running streams
/// alone take a good part of it, prompts get up to as much again as the target.
///
/// Small pieces cost throughput: with every piece all weights are read once more, and the running streams are computed in
/// a pass of their own. So steps are short only while somebody waits for the tokens of an interactive stream.
#[derive(Debug)]
pub(crate) struct Pace {
    target: f64,
    /// Seconds of a step without prompts.
    tokens_only: f64,
    /// Prompt tokens beside interactive streams, at the beginning of prompts and further on, where attention makes each
    /// cost several times as much; and without such streams.
    shallow: Share,
    deep: Share,
    calm: Share,
}

/// What the prompt tokens of a step are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Beside interactive streams, all at the beginning of their prompts.
    Shallow,
    /// Beside interactive streams.
    Deep,
    /// Nobody waits for a token.
    Calm,
}

#[derive(Debug, Clone, Copy)]
struct Share {
    tokens: f64,
    limit: f64,
}

impl Pace {
    /// `batch`: tokens of a batch at most; `micro`: tokens that are computed at once.
    pub(crate) fn new(target: Duration, batch: usize, micro: usize) -> Self {
        let limit = number(batch);
        Self {
            target: target.as_secs_f64(),
            tokens_only: 0.0,
            shallow: Share { tokens: FIRST.min(limit), limit },
            deep: Share { tokens: FIRST.min(limit), limit },
            // Nobody waits for a token; somebody may come, who then waits for this step.
            calm: Share { tokens: number(micro), limit },
        }
    }

    /// Prompt tokens for the next step. `patience`: how much longer than the target all streams can bear to wait this once.
    pub(crate) fn prompt_tokens(&self, kind: Kind, patience: Duration) -> usize {
        let share = match kind {
            Kind::Shallow => self.shallow,
            Kind::Deep => self.deep,
            Kind::Calm => self.calm,
        };
        let longer = patience.as_secs_f64() / room(self.target, self.tokens_only);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to the size of a batch")]
        let tokens = (share.tokens * (1.0 + longer)).min(share.limit) as usize;
        tokens.max(1)
    }

    /// What a stream can bear to wait beyond the target, after it has waited `gap` for a token: those that got their tokens
    /// early may get one late. So a burst of prompts is computed at once, as it costs least, while one prompt after the other
    /// makes streams wait no longer than an ordinary step takes.
    pub(crate) fn credit(&self, had: Duration, gap: Duration) -> Duration {
        let target = Duration::from_secs_f64(self.target);
        // Slowly: where streams go at the target, what is left over now and then must not add up to one late token in ten.
        let gain = target.saturating_sub(gap) / 4;
        (had + gain).saturating_sub(gap.saturating_sub(target)).min(self.most_credit())
    }

    /// What of a credit can be used: all of it, when it is whole.
    pub(crate) fn usable(&self, credit: Duration) -> Duration {
        if credit >= self.most_credit().mul_f64(0.9) { credit } else { Duration::ZERO }
    }

    /// What a stream begins with, and never has more of.
    pub(crate) fn most_credit(&self) -> Duration {
        Duration::from_secs_f64(self.target * BURST)
    }

    /// Tells how long a step took, with rows of `streams` running streams and tokens of prompts.
    pub(crate) fn step(&mut self, kind: Kind, streams: usize, prompt: usize, took: Duration) {
        let took = took.as_secs_f64();
        if prompt == 0 {
            let known = self.tokens_only;
            self.tokens_only = if known == 0.0 { took } else { known + (took - known) * 0.1 };
            return;
        }
        let base = if streams > 0 { self.tokens_only } else { 0.0 };
        let (share, target, least) = match kind {
            Kind::Shallow => (&mut self.shallow, self.target, LEAST),
            Kind::Deep => (&mut self.deep, self.target, LEAST),
            Kind::Calm => (&mut self.calm, self.target * CALM, CALM_LEAST),
        };
        let used = number(prompt);
        if used < share.tokens * 0.5 {
            return; // the prompts were short; this says little about longer ones
        }
        let spent = (took - base).max(took * 0.1).max(1e-6);
        let wanted = used * (room(target, base) / spent);
        // One slow step is no reason to crawl, one fast one none to jump.
        share.tokens = wanted.clamp(share.tokens * 0.5, share.tokens * 1.25).clamp(least.min(share.limit), share.limit);
    }
}

/// Seconds for prompts in a step whose streams take `base`: what is left of the target. Where many streams leave little,
/// twice what they take, up to the target: else prompts would crawl, and who waits for a first token waits longer than all
/// that is spared the others.
fn room(target: f64, base: f64) -> f64 {
    (target * AIM - base).max((base * 2.0).min(target)).max(target * 0.1)
}

#[expect(clippy::cast_precision_loss, reason = "sizes of batches")]
fn number(tokens: usize) -> f64 {
    tokens as f64
}

/// Prompt tokens of the first step beside interactive streams.
const FIRST: f64 = 32.0;
/// A prompt is never cut into smaller pieces.
const LEAST: f64 = 8.0;
/// Nor into such that cost more for each token, where nobody waits for the step.
const CALM_LEAST: f64 = 128.0;
/// Where to aim, of the target.
const AIM: f64 = 0.9;
/// How many times the target a stream may wait, once, when prompts come in a burst.
const BURST: f64 = 8.0;
/// Steps may be so many times as long while no interactive stream runs.
const CALM: f64 = 4.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prompts_get_what_is_left_or_twice_what_the_streams_take_up_to_the_target() {
        for (base, expected) in [(0.0, 0.045), (0.010, 0.035), (0.020, 0.040), (0.040, 0.050), (0.500, 0.050)] {
            assert!((room(0.050, base) - expected).abs() < 1e-9, "{base}: {}", room(0.050, base));
        }
    }

    proptest! {
        /// A machine with a fixed cost of a step and of a prompt token, and noise.
        #[test]
        fn settles_within_the_target(
            fixed_ms in 1.0_f64..60.0,
            token_us in 20.0_f64..2_000.0,
            noise in prop::collection::vec(0.8_f64..1.2, 60),
        ) {
            let mut pace = Pace::new(Duration::from_millis(50), 2_048, 512);
            let time = |tokens: usize, noise: f64| Duration::from_secs_f64((fixed_ms / 1e3 + number(tokens) * token_us / 1e6) * noise);
            for noise in &noise {
                pace.step(Kind::Shallow, 2, 0, time(2, *noise));
            }
            for noise in &noise {
                let tokens = pace.prompt_tokens(Kind::Shallow, Duration::ZERO);
                prop_assert!((1..=2_048).contains(&tokens));
                pace.step(Kind::Shallow, 2, tokens, time(tokens, *noise));
            }
            let tokens = pace.prompt_tokens(Kind::Shallow, Duration::ZERO);
            let settled = time(tokens, 1.0).as_secs_f64();
            // What the streams take, and the target; of which twice is enough where they take little.
            let fixed = fixed_ms / 1e3;
            let most = (fixed * 3.0).clamp(0.050, 0.050 + fixed);
            prop_assert!(settled < most * 1.5 || tokens <= 10, "{tokens} tokens take {settled} s");
            prop_assert!(settled > 0.025 || tokens > 2_000, "{tokens} tokens take only {settled} s");
        }
    }
}
