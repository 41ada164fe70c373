//! How an engine is made.

use serde::{Deserialize, Serialize};

use super::threads::ThreadPolicy;
use crate::context::ContextParams;
use crate::error::{Error, Result};

/// How an engine is made. Plain data; [`EngineBuilder`](crate::EngineBuilder) is the ordinary way to set it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineParams {
    /// Requests that are computed together, each in a sequence of its own. 1..=64, default 4. `n_seq_max`.
    pub sequences: u32,
    /// Requests that wait at most; one more is refused with [`Error::Overloaded`]. 1..=100,000, default 64.
    pub queue: u32,
    /// How sequences share the memory for keys and values. Default: each has its own.
    pub kv_layout: KvLayout,
    /// Tokens that all sequences together hold, with [`KvLayout::Unified`]. 0 (default): `sequences` times
    /// `context.length`. When it is used up the youngest request is set back and computed again later.
    pub kv_capacity: u32,
    /// Bytes of host memory for prefixes that had to leave the context. 0 keeps none. Default 512 MiB.
    pub host_cache_bytes: u64,
    /// How long a running stream should wait for its next token while prompts of others are computed, in ms: prompts are
    /// cut to fit. 1..=60,000, default 50. A goal, not a bound: where many streams run, a step takes as long as they take
    /// alone, and up to the target more for prompts; and up to nine times the target where streams got their tokens early
    /// and a burst of prompts comes, or where many prompts wait and several can be ended at once.
    pub inter_token_target_ms: u32,
    /// Events that a reader may be behind before its generation is paused. 1..=65,536, default 64.
    pub event_buffer: u32,
    /// A generation whose reader takes nothing for this long, with its buffer full, is ended with
    /// [`Error::Timeout`], in ms. `None`: never. Default 30,000.
    pub reader_timeout_ms: Option<u64>,
    /// How many threads compute. Default: fewer than [`ContextParams::threads`] while other programs need the cores.
    pub thread_policy: ThreadPolicy,
    /// Guessing tokens ahead. Default: off.
    pub speculation: Speculation,
    /// The context. `length` is that of one sequence, `batch` that of all together.
    pub context: ContextParams,
}

impl Default for EngineParams {
    fn default() -> Self {
        Self {
            sequences: 4,
            queue: 64,
            kv_layout: KvLayout::PerSequence,
            kv_capacity: 0,
            host_cache_bytes: 512 << 20,
            inter_token_target_ms: 50,
            event_buffer: 64,
            reader_timeout_ms: Some(30_000),
            thread_policy: ThreadPolicy::default(),
            speculation: Speculation::default(),
            context: ContextParams::default(),
        }
    }
}

/// How sequences share the memory for keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KvLayout {
    /// Each sequence has `context.length` cells of its own. Attention reads only its own: faster, the more so the longer
    /// the texts are. A prefix that is held by another sequence is copied, not computed.
    #[default]
    PerSequence,
    /// All take from one pool of `kv_capacity` cells; a common prefix is held once. For many long texts that share most of
    /// what they hold, or where memory is short. Attention goes over all cells that are held, those of finished requests
    /// included. On the CPU such texts are computed fastest without flash attention, which then reads the common prefix
    /// once for all. `kv_unified`.
    Unified,
}

/// Guessing tokens ahead, so that one step can give several. The tokens are those that would have come without: each is
/// chosen from the model's own numbers, and a wrong guess is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Speculation {
    /// None.
    #[default]
    Off,
    /// What followed the last few tokens where they stood before. Costs nothing where there is no such place; for texts
    /// that repeat their input (code, summaries, extraction).
    PromptLookup {
        /// Tokens that must be the same, at least. 1..=16; 3 is usual.
        ngram: u32,
        /// Tokens guessed at most. 1..=16; 8 is usual.
        tokens: u32,
    },
    /// What a smaller model with the same vocabulary would say; see
    /// [`EngineBuilder::draft`](crate::EngineBuilder::draft).
    Draft {
        /// Tokens guessed at most. 1..=16; 8 is usual.
        tokens: u32,
    },
}

impl Speculation {
    /// Tokens guessed at most.
    pub(crate) fn tokens(self) -> u32 {
        match self {
            Self::Off => 0,
            Self::PromptLookup { tokens, .. } | Self::Draft { tokens } => tokens,
        }
    }

    /// Output rows of a sequence at most.
    pub(crate) fn rows(self) -> u32 {
        1 + self.tokens()
    }
}

impl EngineParams {
    /// Checks every field against its range; those of the context are checked against the model when the engine starts.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] names the field.
    pub fn validate(&self) -> Result<()> {
        let within = |name, value: u32, low: u32, high: u32, expected| {
            if (low..=high).contains(&value) { Ok(()) } else { Err(Error::parameter(name, value, expected)) }
        };
        within("sequences", self.sequences, 1, MAX_SEQUENCES, "1..=64")?;
        within("queue", self.queue, 1, 100_000, "1..=100,000 requests")?;
        within("inter_token_target_ms", self.inter_token_target_ms, 1, 60_000, "1..=60,000 ms")?;
        within("event_buffer", self.event_buffer, 1, 1 << 16, "1..=65,536 events")?;
        within("kv_capacity", self.kv_capacity, 0, 1 << 24, "0 (sequences times length) to 16,777,216 tokens")?;
        if self.kv_capacity > 0 && self.kv_layout == KvLayout::PerSequence {
            return Err(Error::parameter("kv_capacity", self.kv_capacity, "0 where each sequence has its own cells"));
        }
        if self.reader_timeout_ms == Some(0) {
            return Err(Error::parameter("reader_timeout_ms", 0, "at least 1 ms, or none"));
        }
        match self.speculation {
            Speculation::Off => Ok(()),
            Speculation::PromptLookup { ngram, tokens } => {
                within("speculation.ngram", ngram, 1, 16, "1..=16 tokens")?;
                within("speculation.tokens", tokens, 1, 16, "1..=16 tokens")
            }
            Speculation::Draft { tokens } => within("speculation.tokens", tokens, 1, 16, "1..=16 tokens"),
        }
    }

    /// Cells of the whole context. `context`: resolved.
    pub(crate) fn cells(&self, context: &ContextParams) -> u32 {
        match self.kv_capacity {
            0 => context.length.saturating_mul(self.sequences),
            cells => cells,
        }
    }
}

const MAX_SEQUENCES: u32 = 64;
