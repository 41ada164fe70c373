//! What is generated from, and for how long.

use serde::{Deserialize, Serialize};

use crate::chat::ChatPrompt;
use crate::error::{Error, Result};
use crate::sampling::SamplingParams;
use crate::tokenizer::TokenId;

/// What a generation starts from.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Prompt<'a> {
    /// Text as it is; special tokens are added where the model wants them, and their names are read as such.
    Text(&'a str),
    /// Tokens, as they are.
    Tokens(&'a [TokenId]),
    /// A rendered conversation; its grammar and stop strings come along.
    Chat(&'a ChatPrompt),
}

impl<'a> From<&'a str> for Prompt<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Prompt<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [TokenId]> for Prompt<'a> {
    fn from(tokens: &'a [TokenId]) -> Self {
        Self::Tokens(tokens)
    }
}

impl<'a> From<&'a Vec<TokenId>> for Prompt<'a> {
    fn from(tokens: &'a Vec<TokenId>) -> Self {
        Self::Tokens(tokens)
    }
}

impl<'a> From<&'a ChatPrompt> for Prompt<'a> {
    fn from(chat: &'a ChatPrompt) -> Self {
        Self::Chat(chat)
    }
}

/// How long a generation goes on, and how its tokens are chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerationParams {
    /// Tokens to generate at most; `None` (default): until the model ends or the context is full. At least 1.
    pub max_tokens: Option<u32>,
    /// Texts that end the answer; they are not part of it. At most 16 of 1 to 256 bytes. Default: none.
    pub stop: Vec<String>,
    /// Tell the log-probability of each token, and of this many of the likeliest in its place. 0..=20. Default: `None`.
    pub top_logprobs: Option<u8>,
    /// Do not compute again what the context already holds of the prompt. Default true. Results may differ in the last
    /// bits from those without, because other batches are computed.
    pub cache_prompt: bool,
    /// When the context is full: forget half of it and go on, instead of ending. Default false. Models whose positions
    /// cannot be moved end all the same.
    pub context_shift: bool,
    /// When the context is shifted: tokens at the beginning that stay, besides BOS. Default 0. `n_keep`.
    pub keep: u32,
    /// End after this time, in ms, with what there is. Looked at between batches. At most a year. Default: `None`.
    pub timeout_ms: Option<u64>,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
}

impl Default for GenerationParams {
    fn default() -> Self {
        Self {
            max_tokens: None,
            stop: Vec::new(),
            top_logprobs: None,
            cache_prompt: true,
            context_shift: false,
            keep: 0,
            timeout_ms: None,
            sampling: SamplingParams::default(),
        }
    }
}

impl GenerationParams {
    /// Always the most likely token, at most `max_tokens` of them.
    #[must_use]
    pub fn greedy(max_tokens: u32) -> Self {
        Self { max_tokens: Some(max_tokens), sampling: SamplingParams::greedy(), ..Self::default() }
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] names the field; [`Error::Grammar`].
    pub fn validate(&self) -> Result<()> {
        if self.max_tokens == Some(0) {
            return Err(Error::parameter("max_tokens", 0, "at least 1, or none for no limit"));
        }
        if self.stop.len() > 16 {
            return Err(Error::parameter("stop", self.stop.len(), "at most 16 texts"));
        }
        if let Some(stop) = self.stop.iter().find(|stop| stop.is_empty() || stop.len() > 256) {
            return Err(Error::parameter("stop", format!("a text of {} bytes", stop.len()), "texts of 1 to 256 bytes"));
        }
        if self.top_logprobs.is_some_and(|top| top > 20) {
            return Err(Error::parameter("top_logprobs", self.top_logprobs.unwrap_or(0), "0..=20"));
        }
        if self.timeout_ms.is_some_and(|ms| ms > MAX_TIMEOUT_MS) {
            return Err(Error::parameter(
                "timeout_ms",
                self.timeout_ms.unwrap_or(0),
                "at most a year (31,536,000,000 ms)",
            ));
        }
        self.sampling.validate()
    }
}

const MAX_TIMEOUT_MS: u64 = 365 * 24 * 3_600 * 1_000;
