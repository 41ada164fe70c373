//! How large the workloads are.

use std::time::Duration;

use serde::Serialize;
use serde::ser::Serializer;

use crate::cli::bench::Bench;

/// Sizes of all workloads; they are part of the report.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Sizes {
    /// Pairs of runs that are counted.
    pub(super) pairs: u32,
    pub(super) seed: u64,
    /// Numbers of streams at once.
    pub(super) streams: Vec<u32>,
    /// Words of a prompt.
    pub(super) prompt_words: u32,
    /// Tokens of an answer.
    pub(super) answer_tokens: u32,
    /// Requests of the prefix sweeps, and how many are sent at a time.
    pub(super) prefix_requests: u32,
    pub(super) prefix_at_once: u32,
    /// Words that all of them begin with, and words that only one has.
    pub(super) shared_words: u32,
    pub(super) own_words: u32,
    pub(super) prefix_answer_tokens: u32,
    /// Long prompts of the mixed sweep.
    pub(super) long_prompts: u32,
    pub(super) long_prompt_tokens: u32,
    pub(super) short_prompt_tokens: u32,
    #[serde(serialize_with = "seconds")]
    pub(super) short_every: Duration,
    #[serde(serialize_with = "seconds")]
    pub(super) stall: Duration,
    /// Tokens that one stream alone generates, and beside a busy program.
    pub(super) single_tokens: u32,
    pub(super) contended_tokens: u32,
    /// The longest context that is taken unless one is given.
    #[serde(skip)]
    pub(super) length: u32,
    /// Between two sides. An engine takes all cores when others have left them alone for a second.
    #[serde(skip)]
    pub(super) settle: Duration,
}

impl Sizes {
    pub(super) fn of(args: &Bench, seed: u64) -> Self {
        let mut sizes = if args.quick { Self::quick() } else { Self::full() };
        let set = |size: &mut u32, given: Option<u32>| *size = given.unwrap_or(*size);
        set(&mut sizes.pairs, args.pairs);
        set(&mut sizes.prompt_words, args.prompt);
        if let Some(tokens) = args.tokens {
            sizes.answer_tokens = tokens;
            sizes.single_tokens = tokens.saturating_mul(4);
            sizes.contended_tokens = sizes.single_tokens;
        }
        sizes.stall = args.stall.unwrap_or(sizes.stall);
        if !args.streams.is_empty() {
            sizes.streams.clone_from(&args.streams);
        }
        sizes.seed = seed;
        sizes
    }

    /// Requests that are sent at once at most.
    pub(super) fn at_once(&self) -> u32 {
        self.streams.iter().copied().max().unwrap_or(1).max(self.prefix_at_once)
    }

    fn full() -> Self {
        Self {
            pairs: 5,
            seed: 0,
            streams: vec![1, 2, 4, 8, 16],
            prompt_words: 64,
            answer_tokens: 64,
            prefix_requests: 64,
            prefix_at_once: 16,
            shared_words: 800,
            own_words: 32,
            prefix_answer_tokens: 32,
            long_prompts: 8,
            long_prompt_tokens: 2_000,
            short_prompt_tokens: 20,
            short_every: Duration::from_millis(150),
            stall: Duration::from_secs(10),
            single_tokens: 256,
            contended_tokens: 256,
            length: 2_560,
            settle: Duration::from_millis(1_500),
        }
    }

    fn quick() -> Self {
        Self {
            pairs: 1,
            streams: vec![1, 2],
            prompt_words: 8,
            answer_tokens: 8,
            prefix_requests: 4,
            prefix_at_once: 2,
            shared_words: 48,
            own_words: 8,
            prefix_answer_tokens: 4,
            long_prompts: 2,
            long_prompt_tokens: 120,
            short_every: Duration::from_millis(20),
            stall: Duration::from_millis(100),
            single_tokens: 16,
            // Threads that lose their cores take long for each.
            contended_tokens: 3,
            length: 512,
            settle: Duration::ZERO,
            ..Self::full()
        }
    }
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}
