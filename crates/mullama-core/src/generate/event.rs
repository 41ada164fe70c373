//! What a generation tells.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::tokenizer::TokenId;

/// One event of a generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenEvent {
    /// A token was chosen. The one that ends the answer comes too, without text of its own.
    Token {
        /// It.
        token: TokenId,
        /// The text that became certain with it: maybe empty (half a character, or what may be a stop string), maybe
        /// more than the token's own.
        text: String,
        /// Its log-probability, if asked for.
        logprobs: Option<TokenLogprob>,
    },
    /// Text that had been held back when the generation was cancelled or its time was over.
    Text {
        /// The text.
        text: String,
    },
    /// The last event.
    Done(Summary),
}

/// How a generation ended and what it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Summary {
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// The stop string that ended it, if one did.
    pub stop: Option<String>,
    /// The seed of the random choices; `None` where there were none.
    pub seed: Option<u32>,
    /// Tokens.
    pub usage: Usage,
    /// Time.
    pub timings: Timings,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FinishReason {
    /// The model ended it, or a stop string came.
    Stop,
    /// `max_tokens` or the end of the context was reached.
    Length,
    /// The model wants tools called. A [`Generation`](crate::Generation) knows tokens, not messages, and so never says
    /// this; who parses the answer does.
    ToolCalls,
    /// The caller cancelled.
    Cancelled,
    /// Its time was over.
    Timeout,
}

impl FinishReason {
    /// OpenAI's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
        }
    }
}

impl std::fmt::Display for FinishReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tokens of a generation, under OpenAI's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Of these, tokens that the context still held.
    pub cached_tokens: u32,
    /// Tokens generated, the end token included.
    pub completion_tokens: u32,
    /// Prompt and completion.
    pub total_tokens: u32,
}

impl Usage {
    pub(super) fn new(prompt: usize, cached: usize, completion_tokens: u32) -> Self {
        let prompt_tokens = u32::try_from(prompt).unwrap_or(u32::MAX);
        let cached_tokens = u32::try_from(cached).unwrap_or(u32::MAX);
        let total_tokens = prompt_tokens.saturating_add(completion_tokens);
        Self { prompt_tokens, cached_tokens, completion_tokens, total_tokens }
    }
}

/// Time of a generation, under the names of llama.cpp's server. Wall clock; times in ms.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Timings {
    /// Tokens of the prompt that were computed.
    pub prompt_n: u32,
    /// The time it took.
    pub prompt_ms: f64,
    /// Tokens of the prompt per second.
    pub prompt_per_second: f64,
    /// Tokens generated.
    pub predicted_n: u32,
    /// The time it took, the caller's own time between events included.
    pub predicted_ms: f64,
    /// Tokens generated per second.
    pub predicted_per_second: f64,
}

impl Timings {
    pub(super) fn new(prompt: usize, prompt_time: Duration, predicted_n: u32, predicted_time: Duration) -> Self {
        let prompt_n = u32::try_from(prompt).unwrap_or(u32::MAX);
        let rate = |n: u32, time: Duration| if time.is_zero() { 0.0 } else { f64::from(n) / time.as_secs_f64() };
        Self {
            prompt_n,
            prompt_ms: prompt_time.as_secs_f64() * 1e3,
            prompt_per_second: rate(prompt_n, prompt_time),
            predicted_n,
            predicted_ms: predicted_time.as_secs_f64() * 1e3,
            predicted_per_second: rate(predicted_n, predicted_time),
        }
    }
}

/// How likely a token was, by the model alone, before any sampler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// The token.
    pub token: TokenId,
    /// Its bytes; special tokens by name.
    pub bytes: Vec<u8>,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// The likeliest tokens in its place, likeliest first.
    pub top_logprobs: Vec<Self>,
}

/// Log-softmax of a row, for the chosen token and the `top` likeliest.
pub(super) fn logprobs(
    logits: &[f32],
    chosen: TokenId,
    top: u8,
    bytes: impl Fn(TokenId) -> Vec<u8>,
) -> Result<TokenLogprob> {
    let index = usize::try_from(chosen.0).ok().filter(|index| *index < logits.len());
    let index = index.ok_or_else(|| Error::Internal { what: format!("no logit of token {chosen}") })?;
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - largest).exp()).sum();
    #[expect(clippy::cast_possible_truncation, reason = "a logarithm of a probability is far within f32")]
    let logprob = |logit: f32| (f64::from(logit - largest) - sum.ln()) as f32;

    let mut order: Vec<usize> = (0..logits.len()).collect();
    let top = usize::from(top).min(order.len());
    let descending = |a: &usize, b: &usize| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b));
    if top > 0 && top < order.len() {
        order.select_nth_unstable_by(top - 1, descending);
    }
    order.truncate(top);
    order.sort_unstable_by(descending);
    let entry = |index: usize| {
        let token = TokenId(i32::try_from(index).unwrap_or(-1));
        TokenLogprob { token, bytes: bytes(token), logprob: logprob(logits[index]), top_logprobs: Vec::new() }
    };
    let top_logprobs = order.into_iter().map(entry).collect();
    Ok(TokenLogprob { token: chosen, bytes: bytes(chosen), logprob: logprob(logits[index]), top_logprobs })
}
