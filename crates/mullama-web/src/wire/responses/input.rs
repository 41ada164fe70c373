//! The pieces of a request for a response.
//!
//! Items, parts and tools are read as one struct each, whatever their `type`: so that a wrong field is told with its
//! whole path, and a `type` that is not taken here is told as such. Which fields a type needs is checked when they are
//! used.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::TextOrList;
use crate::wire::chat::ReasoningEffort;

/// An item of a conversation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct InputItem {
    /// message (also when it is not given), reasoning, function_call, function_call_output or item_reference.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// The item's id: needed by a reference, unused otherwise.
    pub(crate) id: Option<String>,
    /// Accepted, unused.
    pub(crate) status: Option<String>,
    /// Of a message: who speaks.
    pub(crate) role: Option<InputRole>,
    /// Of a message: what is said. Of a reasoning item: what the model thought.
    pub(crate) content: Option<TextOrList<InputPart>>,
    /// Of a reasoning item: read where there is no `content`.
    pub(crate) summary: Option<Vec<InputPart>>,
    /// Of a call and its result: names the call.
    pub(crate) call_id: Option<String>,
    /// Of a call: the function.
    pub(crate) name: Option<String>,
    /// Of a call: JSON text.
    pub(crate) arguments: Option<String>,
    /// Of a call's result: what the function gave.
    pub(crate) output: Option<TextOrList<InputPart>>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum InputRole {
    /// The person.
    User,
    /// The model.
    Assistant,
    /// Instructions.
    System,
    /// Instructions, under the newer name.
    Developer,
}

/// A part of an item.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct InputPart {
    /// input_text, output_text, refusal, reasoning_text or summary_text. Pictures, sounds and files are 400.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// The text.
    pub(crate) text: Option<String>,
    /// The text of a refusal.
    pub(crate) refusal: Option<String>,
    /// Accepted, unused.
    #[schema(value_type = Option<Vec<Object>>)]
    pub(crate) annotations: Option<Value>,
    /// Accepted, unused.
    #[schema(value_type = Option<Vec<Object>>)]
    pub(crate) logprobs: Option<Value>,
}

/// A function that the model may call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct FunctionTool {
    /// function.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
    /// What it does, for the model to read.
    pub(crate) description: Option<String>,
    /// JSON schema of its arguments.
    #[schema(value_type = Option<Object>)]
    pub(crate) parameters: Option<Value>,
    /// Refuse a schema that cannot be enforced whole.
    pub(crate) strict: Option<bool>,
}

/// The form of an answer's text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct TextConfig {
    /// Any text, a JSON object, or JSON by a schema. Default: any text.
    pub(crate) format: Option<TextFormat>,
    /// Accepted, unused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) verbosity: Option<Verbosity>,
}

/// What a text must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum TextFormat {
    /// Any text.
    Text,
    /// A JSON object.
    JsonObject,
    /// JSON by a schema.
    JsonSchema {
        /// The schema's name; unused.
        name: String,
        /// What it is for; unused.
        #[serde(default)]
        description: Option<String>,
        /// JSON schema.
        #[schema(value_type = Object)]
        schema: Value,
        /// Refuse a schema that cannot be enforced whole; otherwise `warnings` tells what is relaxed.
        #[serde(default)]
        strict: Option<bool>,
    },
}

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verbosity {
    Low,
    Medium,
    High,
}

/// How the model thinks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct ReasoningConfig {
    /// How long, where the model's template can be told; none: not at all.
    pub(crate) effort: Option<Effort>,
    /// Accepted: thoughts are told whole, as `content` of a reasoning item; its `summary` is empty.
    pub(crate) summary: Option<SummaryKind>,
    /// The same under its older name.
    #[serde(skip_serializing)]
    pub(crate) generate_summary: Option<SummaryKind>,
}

/// How long the model thinks. The longest that templates know is xhigh; max is told to them as that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

impl From<Effort> for ReasoningEffort {
    fn from(effort: Effort) -> Self {
        match effort {
            Effort::None => Self::None,
            Effort::Minimal => Self::Minimal,
            Effort::Low => Self::Low,
            Effort::Medium => Self::Medium,
            Effort::High => Self::High,
            Effort::Xhigh | Effort::Max => Self::Xhigh,
        }
    }
}

/// A summary of thoughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SummaryKind {
    Auto,
    Concise,
    Detailed,
}

/// What happens at the end of the context.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Truncation {
    /// The oldest tokens go.
    Auto,
    /// The answer ends.
    #[default]
    Disabled,
}

/// Which requests go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ServiceTier {
    Auto,
    Default,
    Flex,
    Scale,
    Priority,
    Fast,
    Ultrafast,
}

/// What may be told beside the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) enum Include {
    #[serde(rename = "message.output_text.logprobs")]
    TextLogprobs,
    #[serde(rename = "reasoning.encrypted_content")]
    EncryptedReasoning,
    #[serde(rename = "message.input_image.image_url")]
    InputImageUrl,
    #[serde(rename = "file_search_call.results")]
    FileSearchResults,
    #[serde(rename = "web_search_call.results")]
    WebSearchResults,
    #[serde(rename = "web_search_call.action.sources")]
    WebSearchSources,
    #[serde(rename = "computer_call_output.output.image_url")]
    ComputerImageUrl,
    #[serde(rename = "code_interpreter_call.outputs")]
    CodeOutputs,
}

/// More of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct StreamExtras {
    /// Accepted, unused: nothing is obfuscated.
    pub(crate) include_obfuscation: Option<bool>,
}
