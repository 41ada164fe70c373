//! A response and its items.

use std::collections::BTreeMap;

use mullama_core::Usage as CoreUsage;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::input::{FunctionTool, ReasoningConfig, ServiceTier, TextConfig, Truncation};
use crate::wire::chat::ToolChoice;
use crate::wire::logprobs::TokenLogprob;

/// A response. What the request said, or what was taken for it, is given back.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ResponseObject {
    /// `resp_...`.
    pub(crate) id: String,
    /// Always "response".
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created_at: u64,
    /// Seconds since 1970; only of one that is completed.
    pub(crate) completed_at: Option<u64>,
    /// Where it stands.
    pub(crate) status: ResponseStatus,
    /// Why it failed.
    pub(crate) error: Option<ResponseError>,
    /// Why it is incomplete.
    pub(crate) incomplete_details: Option<IncompleteDetails>,
    /// The model's name.
    pub(crate) model: String,
    /// What the model gave.
    pub(crate) output: Vec<OutputItem>,
    /// Tokens; null until the end.
    pub(crate) usage: Option<ResponseUsage>,
    /// What was relaxed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
    /// Always false.
    pub(crate) background: bool,
    /// As asked.
    pub(crate) instructions: Option<String>,
    /// As asked.
    pub(crate) max_output_tokens: Option<i64>,
    /// As asked.
    pub(crate) max_tool_calls: Option<i64>,
    /// As asked; true if nothing was said.
    pub(crate) parallel_tool_calls: bool,
    /// As asked.
    pub(crate) previous_response_id: Option<String>,
    /// As asked.
    pub(crate) prompt_cache_key: Option<String>,
    /// As asked.
    pub(crate) reasoning: ReasoningConfig,
    /// As asked.
    pub(crate) safety_identifier: Option<String>,
    /// flex or default.
    pub(crate) service_tier: ServiceTier,
    /// Is it kept?
    pub(crate) store: bool,
    /// What was sampled with.
    pub(crate) temperature: f32,
    /// As asked.
    pub(crate) text: TextConfig,
    /// As asked.
    #[schema(value_type = ToolChoice)]
    pub(crate) tool_choice: Value,
    /// As asked.
    pub(crate) tools: Vec<FunctionTool>,
    /// As asked.
    pub(crate) top_logprobs: i64,
    /// What was sampled with.
    pub(crate) top_p: f32,
    /// As asked.
    pub(crate) truncation: Truncation,
    /// As asked.
    pub(crate) user: Option<String>,
    /// As asked.
    pub(crate) metadata: BTreeMap<String, String>,
}

/// Where a response stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResponseStatus {
    /// It is being given.
    InProgress,
    /// The model ended it.
    Completed,
    /// A limit ended it.
    Incomplete,
    /// An error ended it.
    Failed,
}

/// Why a response failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ResponseError {
    /// server_error, rate_limit_exceeded or invalid_prompt.
    pub(crate) code: &'static str,
    /// What happened.
    pub(crate) message: String,
}

/// Why a response is incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct IncompleteDetails {
    /// Always "max_output_tokens": this limit, the end of the context, or that of the request's time.
    pub(crate) reason: &'static str,
}

/// An item that the model gave.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum OutputItem {
    /// What it thought.
    Reasoning {
        /// `rs_...`.
        id: String,
        /// Where it stands.
        status: ItemStatus,
        /// Always empty.
        summary: Vec<ReasoningText>,
        /// The thoughts: one part.
        content: Vec<ReasoningText>,
    },
    /// What it said.
    Message {
        /// `msg_...`.
        id: String,
        /// Where it stands.
        status: ItemStatus,
        /// Always "assistant".
        role: &'static str,
        /// The text: one part.
        content: Vec<OutputText>,
    },
    /// A call that it asks for.
    FunctionCall {
        /// `fc_...`.
        id: String,
        /// Where it stands.
        status: ItemStatus,
        /// Names the call in its result.
        call_id: String,
        /// The function.
        name: String,
        /// JSON text.
        arguments: String,
    },
}

/// Where an item stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ItemStatus {
    /// More may come.
    InProgress,
    /// It is whole.
    Completed,
    /// It was cut.
    Incomplete,
}

/// Text of an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename = "output_text")]
pub(crate) struct OutputText {
    /// The text.
    pub(crate) text: String,
    /// Always empty.
    #[schema(value_type = Vec<Object>)]
    pub(crate) annotations: Vec<Value>,
    /// How likely the tokens were, if asked for.
    pub(crate) logprobs: Vec<TokenLogprob>,
}

/// Text of thoughts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "type", rename = "reasoning_text")]
pub(crate) struct ReasoningText {
    /// The text.
    pub(crate) text: String,
}

/// Tokens of a response.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ResponseUsage {
    /// Of the prompt.
    pub(crate) input_tokens: u32,
    /// More of the prompt.
    pub(crate) input_tokens_details: InputTokensDetails,
    /// Generated.
    pub(crate) output_tokens: u32,
    /// More of the answer.
    pub(crate) output_tokens_details: OutputTokensDetails,
    /// Both.
    pub(crate) total_tokens: u32,
}

/// More of a prompt's tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct InputTokensDetails {
    /// Tokens that were known and not computed again.
    pub(crate) cached_tokens: u32,
    /// Always 0: what is kept of a prompt is not counted.
    pub(crate) cache_write_tokens: u32,
}

/// More of an answer's tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OutputTokensDetails {
    /// Tokens of thought.
    pub(crate) reasoning_tokens: u32,
}

/// How many tokens a request has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct InputTokens {
    /// Always "response.input_tokens".
    pub(crate) object: &'static str,
    /// Of the prompt.
    pub(crate) input_tokens: u32,
}

/// What was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DeletedResponse {
    /// The response.
    pub(crate) id: String,
    /// Always "response".
    pub(crate) object: &'static str,
    /// Always true.
    pub(crate) deleted: bool,
}

impl OutputItem {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Reasoning { id, .. } | Self::Message { id, .. } | Self::FunctionCall { id, .. } => id,
        }
    }

    pub(crate) fn status(&mut self) -> &mut ItemStatus {
        match self {
            Self::Reasoning { status, .. } | Self::Message { status, .. } | Self::FunctionCall { status, .. } => status,
        }
    }
}

impl ResponseUsage {
    pub(crate) fn of(usage: &CoreUsage, reasoning_tokens: u32) -> Self {
        Self {
            input_tokens: usage.prompt_tokens,
            input_tokens_details: InputTokensDetails { cached_tokens: usage.cached_tokens, cache_write_tokens: 0 },
            output_tokens: usage.completion_tokens,
            output_tokens_details: OutputTokensDetails { reasoning_tokens },
            total_tokens: usage.prompt_tokens.saturating_add(usage.completion_tokens),
        }
    }
}
