//! Tokens and times.

use mullama_core::{Summary, Timings as CoreTimings, Usage as CoreUsage};
use serde::Serialize;
use utoipa::ToSchema;

/// Tokens of a request, over all its choices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Usage {
    /// Of the prompt, once.
    pub prompt_tokens: u32,
    /// Generated.
    pub completion_tokens: u32,
    /// Both.
    pub total_tokens: u32,
    /// More of the prompt.
    pub prompt_tokens_details: PromptTokensDetails,
    /// More of the answer.
    pub completion_tokens_details: CompletionTokensDetails,
}

/// More of a prompt's tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct PromptTokensDetails {
    /// Tokens that were known and not computed again.
    pub cached_tokens: u32,
}

/// More of an answer's tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct CompletionTokensDetails {
    /// Tokens of thought.
    pub reasoning_tokens: u32,
}

impl Usage {
    /// Adds one choice.
    pub(crate) fn add(&mut self, usage: &CoreUsage, reasoning: u32) {
        self.prompt_tokens = usage.prompt_tokens;
        let cached = &mut self.prompt_tokens_details.cached_tokens;
        *cached = (*cached).max(usage.cached_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(usage.completion_tokens);
        let thought = &mut self.completion_tokens_details.reasoning_tokens;
        *thought = thought.saturating_add(reasoning);
        self.total_tokens = self.prompt_tokens.saturating_add(self.completion_tokens);
    }
}

/// Times, with the names of llama.cpp's server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct Timings {
    /// Tokens of the prompt that were known.
    pub cache_n: u32,
    /// Tokens of the prompt that were computed.
    pub prompt_n: u32,
    /// In ms.
    pub prompt_ms: f64,
    /// In ms.
    pub prompt_per_token_ms: f64,
    /// Tokens per second.
    pub prompt_per_second: f64,
    /// Tokens generated.
    pub predicted_n: u32,
    /// In ms.
    pub predicted_ms: f64,
    /// In ms.
    pub predicted_per_token_ms: f64,
    /// Tokens per second.
    pub predicted_per_second: f64,
}

impl Timings {
    pub(crate) fn of(summary: &Summary) -> Self {
        let CoreTimings {
            prompt_n, prompt_ms, prompt_per_second, predicted_n, predicted_ms, predicted_per_second, ..
        } = summary.timings;
        let each = |ms: f64, n: u32| if n == 0 { 0.0 } else { ms / f64::from(n) };
        Self {
            cache_n: summary.usage.cached_tokens,
            prompt_n,
            prompt_ms,
            prompt_per_token_ms: each(prompt_ms, prompt_n),
            prompt_per_second,
            predicted_n,
            predicted_ms,
            predicted_per_token_ms: each(predicted_ms, predicted_n),
            predicted_per_second,
        }
    }
}
