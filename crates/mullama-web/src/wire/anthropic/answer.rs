//! Answers in Anthropic's shape, whole and as events.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct MessagesResponse {
    /// `msg_...`.
    pub(crate) id: String,
    /// Always "message".
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// Always "assistant".
    pub(crate) role: &'static str,
    /// The model's name.
    pub(crate) model: String,
    /// What it says.
    pub(crate) content: Vec<AnswerBlock>,
    /// end_turn, max_tokens, stop_sequence or tool_use; null where a stream begins.
    pub(crate) stop_reason: Option<&'static str>,
    /// The one of `stop_sequences` that ended it.
    pub(crate) stop_sequence: Option<String>,
    /// Tokens.
    pub(crate) usage: MessagesUsage,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum AnswerBlock {
    /// What the model thought.
    Thinking {
        /// The thoughts.
        thinking: String,
        /// Always empty: nothing is signed.
        signature: String,
    },
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// A call that it asks for.
    ToolUse {
        /// Names the call.
        id: String,
        /// The tool.
        name: String,
        /// The arguments. What the model wrote that is no JSON object comes whole as `raw_arguments`.
        #[schema(value_type = Object)]
        input: Map<String, Value>,
    },
}

/// Tokens of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct MessagesUsage {
    /// Of the prompt, without those that were known.
    pub(crate) input_tokens: u32,
    /// Generated.
    pub(crate) output_tokens: u32,
    /// Of the prompt: known, and not computed again.
    pub(crate) cache_read_input_tokens: u32,
    /// Always 0: keeping what was computed is not asked for apart.
    pub(crate) cache_creation_input_tokens: u32,
}

/// The answer of POST /v1/messages/count_tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct TokenCount {
    /// Of the conversation as the model gets it, tools and instructions included.
    pub(crate) input_tokens: u32,
}

/// An event of a stream.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum MessagesEvent {
    /// The first one.
    MessageStart {
        /// The answer, still empty. Its `input_tokens` are all of the prompt.
        message: MessagesResponse,
    },
    /// The stream lives.
    Ping,
    /// A block begins.
    ContentBlockStart {
        /// Its number.
        index: u32,
        /// It, still empty.
        content_block: AnswerBlock,
    },
    /// More of a block.
    ContentBlockDelta {
        /// Its number.
        index: u32,
        /// What is new.
        delta: BlockDelta,
    },
    /// A block ends.
    ContentBlockStop {
        /// Its number.
        index: u32,
    },
    /// How the answer ended.
    MessageDelta {
        /// Why.
        delta: MessageEnd,
        /// Tokens of all of it.
        usage: MessagesUsage,
    },
    /// The last one.
    MessageStop,
}

/// What is new in a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "type")]
pub(crate) enum BlockDelta {
    /// Of a text.
    #[serde(rename = "text_delta")]
    Text {
        /// More text.
        text: String,
    },
    /// Of thoughts.
    #[serde(rename = "thinking_delta")]
    Thinking {
        /// More thoughts.
        thinking: String,
    },
    /// Of a call.
    #[serde(rename = "input_json_delta")]
    InputJson {
        /// More of the arguments' JSON text.
        partial_json: String,
    },
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct MessageEnd {
    /// end_turn, max_tokens, stop_sequence or tool_use.
    pub(crate) stop_reason: &'static str,
    /// The one of `stop_sequences` that ended it.
    pub(crate) stop_sequence: Option<String>,
}

impl MessagesEvent {
    /// What server-sent events call it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::MessageStart { .. } => "message_start",
            Self::Ping => "ping",
            Self::ContentBlockStart { .. } => "content_block_start",
            Self::ContentBlockDelta { .. } => "content_block_delta",
            Self::ContentBlockStop { .. } => "content_block_stop",
            Self::MessageDelta { .. } => "message_delta",
            Self::MessageStop => "message_stop",
        }
    }
}

/// A call's arguments as an object. A client must not take what cannot be read for a call without arguments: it comes whole
/// as `raw_arguments`, which no tool's schema has.
pub(crate) fn object(arguments: &str) -> Map<String, Value> {
    if arguments.trim().is_empty() {
        return Map::new();
    }
    match serde_json::from_str(arguments) {
        Ok(Value::Object(object)) => object,
        _ => Map::from_iter([("raw_arguments".to_owned(), Value::from(arguments))]),
    }
}
