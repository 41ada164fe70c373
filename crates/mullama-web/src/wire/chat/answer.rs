//! Answers to conversations, whole and in chunks.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

use super::{FunctionKind, ToolCall};
use crate::wire::logprobs::ChatLogprobs;
use crate::wire::usage::{Timings, Usage};

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ChatCompletion {
    /// `chatcmpl-...`.
    pub id: String,
    /// Always "chat.completion".
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: u64,
    /// The model's name.
    pub model: String,
    /// The answers.
    pub choices: Vec<Choice>,
    /// Tokens of all answers.
    pub usage: Usage,
    /// Names the build and the model.
    pub system_fingerprint: String,
    /// Times of the first answer.
    pub timings: Timings,
    /// What was relaxed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Choice {
    /// Its number.
    pub index: u32,
    /// It.
    pub message: AnswerMessage,
    /// stop, length or tool_calls.
    pub finish_reason: &'static str,
    /// How likely the tokens were, if asked for.
    pub logprobs: Option<ChatLogprobs>,
}

/// The model's message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AnswerMessage {
    /// Always "assistant".
    pub role: &'static str,
    /// The text; null with tool calls and no text.
    pub content: Option<String>,
    /// Always null.
    pub refusal: Option<String>,
    /// What the model thought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// Calls that it asks for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
}

/// What all pieces of an answer begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct ChunkHead<'a> {
    /// The same in all chunks.
    pub id: &'a str,
    /// Always "chat.completion.chunk".
    pub object: &'static str,
    /// Seconds since 1970; the same in all chunks.
    pub created: u64,
    /// The model's name.
    pub model: &'a str,
    /// Names the build and the model.
    pub system_fingerprint: &'a str,
}

/// What comes behind it in a piece.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ChunkRest<'a> {
    /// One choice; none in the last chunk, which tells the tokens.
    pub choices: &'a [ChunkChoice<'a>],
    /// Only when asked for: null until the last chunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Option<Usage>>,
    /// With the last piece of a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// What was relaxed; in the first chunk.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub warnings: &'a [String],
}

/// A piece of one choice.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ChunkChoice<'a> {
    /// Which choice.
    pub index: u32,
    /// What is new.
    pub delta: Delta<'a>,
    /// With the last piece.
    pub finish_reason: Option<&'static str>,
    /// How likely the tokens were, if asked for.
    pub logprobs: Option<ChatLogprobs>,
}

/// What is new in a choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Delta<'a> {
    /// In the first piece only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// More text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub content: Option<Cow<'a, str>>,
    /// More thought.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reasoning_content: Option<Cow<'a, str>>,
    /// More of a call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCallChunk<'a>>,
}

/// More of a call. `id`, `type` and `name` come once, first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ToolCallChunk<'a> {
    /// Which of the message's calls.
    pub index: usize,
    /// Its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub id: Option<Cow<'a, str>>,
    /// "function".
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<FunctionKind>,
    /// What is called.
    pub function: FunctionChunk<'a>,
}

/// More of a function and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FunctionChunk<'a> {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub name: Option<Cow<'a, str>>,
    /// More of the arguments.
    #[schema(value_type = String)]
    pub arguments: Cow<'a, str>,
}
