//! Anthropic's messages.

mod answer;

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::extract::objects;
pub(crate) use answer::{
    AnswerBlock, BlockDelta, MessageEnd, MessagesEvent, MessagesResponse, MessagesUsage, TokenCount, object,
};

/// POST /v1/messages, and without `max_tokens` POST /v1/messages/count_tokens.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
pub(crate) struct MessagesRequest {
    /// The model's name; without one the server's first.
    pub(crate) model: Option<String>,
    /// Tokens to generate at most. At least 1; needed for an answer.
    pub(crate) max_tokens: Option<i64>,
    /// The conversation, oldest first. Neighbours of one role become one message; a last message of the model is continued.
    #[schema(required)]
    pub(crate) messages: Option<Vec<MessagesTurn>>,
    /// Instructions.
    pub(crate) system: Option<TextOrBlocks<SystemBlock>>,
    /// Tools that the model may call; only those with a schema.
    pub(crate) tools: Option<Vec<MessagesTool>>,
    /// Whether it calls them. Default: as it likes.
    pub(crate) tool_choice: Option<MessagesToolChoice>,
    /// Up to 16 texts that end the answer.
    pub(crate) stop_sequences: Option<Vec<String>>,
    /// 0 is greedy. Default 0.8.
    pub(crate) temperature: Option<f32>,
    /// Nucleus. 0 to 1, default 0.95.
    pub(crate) top_p: Option<f32>,
    /// Only the k likeliest; 0 keeps all. Default 40.
    pub(crate) top_k: Option<i64>,
    /// Whether the model thinks first. Default: as its template has it.
    pub(crate) thinking: Option<MessagesThinking>,
    /// The form of the answer, and how much thought it is worth.
    pub(crate) output_config: Option<OutputConfig>,
    /// The form of the answer; the older place.
    pub(crate) output_format: Option<OutputFormat>,
    /// Send the answer as it comes.
    pub(crate) stream: Option<bool>,
    /// Accepted, unused.
    #[schema(value_type = Option<Object>)]
    pub(crate) metadata: Option<Value>,
    /// Accepted, unused.
    pub(crate) service_tier: Option<String>,
    /// Accepted, unused: what is known of a prompt is never computed again.
    #[schema(value_type = Option<Object>)]
    pub(crate) cache_control: Option<Value>,
}

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub(crate) struct MessagesTurn {
    /// Who speaks.
    pub(crate) role: MessagesRole,
    /// What is said.
    pub(crate) content: TextOrBlocks<MessagesBlock>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MessagesRole {
    /// The person, or results of tools.
    User,
    /// The model.
    Assistant,
    /// Instructions in the midst of a conversation.
    System,
}

/// A text, or a list of blocks.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum TextOrBlocks<T> {
    /// Text.
    Text(String),
    /// Blocks.
    Blocks(Vec<T>),
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum MessagesBlock {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// A picture: 400.
    Image,
    /// A document: plain text is read, other kinds are 400.
    Document {
        /// What it holds.
        #[serde(deserialize_with = "objects")]
        source: DocumentSource,
        /// What it is called.
        title: Option<String>,
    },
    /// What the model thought before.
    Thinking {
        /// The thoughts.
        thinking: String,
    },
    /// Thoughts that only Anthropic's server can read: passed over.
    RedactedThinking,
    /// A call that the model asked for.
    ToolUse {
        /// Names the call.
        id: String,
        /// The tool.
        name: String,
        /// The arguments.
        #[serde(default)]
        #[schema(value_type = Object)]
        input: Map<String, Value>,
    },
    /// What a tool gave.
    ToolResult {
        /// The call that it answers.
        tool_use_id: String,
        /// The result.
        #[serde(default, deserialize_with = "objects")]
        content: Option<TextOrBlocks<ResultBlock>>,
        /// Did the tool fail?
        is_error: Option<bool>,
    },
}

/// A part of a tool's result.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ResultBlock {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// A picture: 400.
    Image,
    /// A document: plain text is read, other kinds are 400.
    Document {
        /// What it holds.
        #[serde(deserialize_with = "objects")]
        source: DocumentSource,
        /// What it is called.
        title: Option<String>,
    },
}

/// What a document holds.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub(crate) struct DocumentSource {
    /// "text": `data` is the text itself. Others are 400.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The text.
    pub(crate) data: Option<String>,
}

/// A part of the instructions.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum SystemBlock {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
}

/// A tool that the model may call.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub(crate) struct MessagesTool {
    /// "custom", or absent: others are tools that Anthropic's server or models bring along, and are 400.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    /// Its name.
    pub(crate) name: String,
    /// What it does, for the model to read.
    pub(crate) description: Option<String>,
    /// JSON schema of its arguments.
    #[schema(required, value_type = Option<Object>)]
    pub(crate) input_schema: Option<Value>,
    /// Refuse a schema that cannot be enforced whole.
    pub(crate) strict: Option<bool>,
}

/// Whether the model calls tools.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum MessagesToolChoice {
    /// As it likes.
    Auto {
        /// One call at most.
        disable_parallel_tool_use: Option<bool>,
    },
    /// It must.
    Any {
        /// One call at most.
        disable_parallel_tool_use: Option<bool>,
    },
    /// It must call this one.
    Tool {
        /// The tool.
        name: String,
        /// One call at most.
        disable_parallel_tool_use: Option<bool>,
    },
    /// It must not.
    None,
}

/// Whether the model thinks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum MessagesThinking {
    /// It does.
    Enabled {
        /// Tokens of thought after which it is made to answer; at least 1. Default: no limit.
        budget_tokens: Option<i64>,
        /// Are its thoughts told? Default: yes.
        display: Option<ThinkingDisplay>,
    },
    /// It does not, where its template can be told.
    Disabled,
    /// As its template has it.
    Adaptive {
        /// Are its thoughts told? Default: yes.
        display: Option<ThinkingDisplay>,
    },
}

/// Are thoughts told?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ThinkingDisplay {
    /// Yes; as they are, not summarized.
    Summarized,
    /// No.
    Omitted,
}

/// The form of the answer, and how much thought it is worth.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
pub(crate) struct OutputConfig {
    /// For templates that can be told.
    pub(crate) effort: Option<OutputEffort>,
    /// The form.
    pub(crate) format: Option<OutputFormat>,
}

/// How much thought the answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OutputEffort {
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// More.
    Xhigh,
    /// The most; told to templates as `xhigh`.
    Max,
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum OutputFormat {
    /// JSON by a schema; one that cannot be enforced whole is 400.
    JsonSchema {
        /// JSON schema.
        #[schema(value_type = Object)]
        schema: Value,
    },
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOrBlocks<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextOrBlocksVisitor(PhantomData))
    }
}

struct TextOrBlocksVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TextOrBlocksVisitor<T> {
    type Value = TextOrBlocks<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of blocks")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(TextOrBlocks::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(TextOrBlocks::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(TextOrBlocks::Blocks)
    }
}
