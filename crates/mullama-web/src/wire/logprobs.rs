//! How likely tokens were.

use mullama_core::TokenLogprob as CoreLogprob;
use serde::Serialize;
use utoipa::ToSchema;

/// The log-probabilities of a piece of an answer to a conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct ChatLogprobs {
    /// Of each token.
    pub content: Vec<TokenLogprob>,
    /// Always null.
    pub refusal: Option<String>,
}

/// A token and how likely it was, by the model alone.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct TokenLogprob {
    /// Its number.
    pub id: i32,
    /// Its text.
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The likeliest tokens in its place.
    pub top_logprobs: Vec<TopLogprob>,
}

/// One of the likeliest tokens.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct TopLogprob {
    /// Its number.
    pub id: i32,
    /// Its text.
    pub token: String,
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl TokenLogprob {
    pub(crate) fn of(from: &CoreLogprob) -> Self {
        let top = |top: &CoreLogprob| TopLogprob {
            id: top.token.0,
            token: text(&top.bytes),
            logprob: finite(top.logprob),
            bytes: top.bytes.clone(),
        };
        Self {
            id: from.token.0,
            token: text(&from.bytes),
            logprob: finite(from.logprob),
            bytes: from.bytes.clone(),
            top_logprobs: from.top_logprobs.iter().map(top).collect(),
        }
    }
}

impl ChatLogprobs {
    /// Of these tokens; `None` of none.
    pub(crate) fn of(from: &[CoreLogprob]) -> Option<Self> {
        let content: Vec<_> = from.iter().map(TokenLogprob::of).collect();
        (!content.is_empty()).then_some(Self { content, refusal: None })
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// JSON has no infinity; what is impossible is told as OpenAI does.
pub(crate) fn finite(logprob: f32) -> f32 {
    if logprob.is_finite() { logprob } else { -9_999.0 }
}
