//! Chat completions.

mod answer;
mod tools;

use std::fmt;

use mullama_core::ReasoningFormat;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::sampling::request_with_sampling;
use crate::extract::objects;
pub(crate) use answer::{
    AnswerMessage, ChatCompletion, Choice, ChunkChoice, ChunkHead, ChunkRest, Delta, FunctionChunk, ToolCallChunk,
};
pub(crate) use tools::{FunctionCall, FunctionKind, FunctionSpec, ToolCall, ToolChoice, ToolSpec};

request_with_sampling! {
    /// POST /v1/chat/completions.
    pub struct ChatCompletionRequest {
        /// The model's name; without one the server's first.
        pub model: Option<String>,
        /// The conversation, oldest first.
        #[schema(required)]
        pub messages: Option<Vec<Message>>,
        /// Functions that the model may call.
        pub tools: Option<Vec<ToolSpec>>,
        /// none, auto, required, one function, or a choice of them.
        pub tool_choice: Option<ToolChoice>,
        /// May it ask for several calls at once?
        pub parallel_tool_calls: Option<bool>,
        /// The form of the answer.
        pub response_format: Option<ResponseFormat>,
        /// A JSON schema of the answer (llama.cpp's name for it).
        #[schema(value_type = Option<Object>)]
        pub json_schema: Option<Value>,
        /// Tokens to generate at most; the older name.
        pub max_tokens: Option<i64>,
        /// Tokens to generate at most; wins over `max_tokens`.
        pub max_completion_tokens: Option<i64>,
        /// Answers to give. 1 to 8.
        pub n: Option<i64>,
        /// Send the answer as it comes.
        pub stream: Option<bool>,
        /// More of the stream.
        pub stream_options: Option<StreamOptions>,
        /// Tell the log-probability of each token.
        pub logprobs: Option<bool>,
        /// And of so many of the likeliest in its place. 0 to 20.
        pub top_logprobs: Option<i64>,
        /// none, minimal, low, medium, high or xhigh: how long the model thinks, where its template can be told.
        pub reasoning_effort: Option<ReasoningEffort>,
        /// none, auto or deepseek: what becomes of the model's thoughts.
        pub reasoning_format: Option<ReasoningKind>,
        /// Tokens of thought after which the model is made to answer; -1 is no limit.
        pub reasoning_budget: Option<i64>,
        /// The thoughts may be ended while they come: POST /v1/chat/completions/{id}/control. Default false.
        pub reasoning_control: Option<bool>,
        /// Values for the template: scalars, by name.
        #[schema(value_type = Option<Object>)]
        pub chat_template_kwargs: Option<Map<String, Value>>,
        /// End the prompt with the beginning of the model's turn. Default true.
        pub add_generation_prompt: Option<bool>,
        /// The last message is the model's own, to be continued.
        pub continue_final_message: Option<bool>,
        /// Accepted; times come with the last chunk of each choice.
        pub timings_per_token: Option<bool>,
        /// Accepted, unused.
        pub user: Option<String>,
        /// Accepted, unused.
        #[schema(value_type = Option<Object>)]
        pub metadata: Option<Value>,
        /// Accepted, unused: nothing is stored.
        pub store: Option<bool>,
        /// "flex" is for work that nobody waits for: other requests go first.
        pub service_tier: Option<String>,
        /// Accepted, unused.
        pub verbosity: Option<String>,
    }
}

/// More of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub(crate) struct StreamOptions {
    /// A last chunk tells the tokens.
    pub include_usage: Option<bool>,
}

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub(crate) struct Message {
    /// Who speaks.
    pub role: MessageRole,
    /// What is said.
    pub content: Option<MessageContent>,
    /// What the model thought before.
    pub reasoning_content: Option<String>,
    /// The same under another name.
    pub reasoning: Option<String>,
    /// A refusal of the model; read as its text.
    pub refusal: Option<String>,
    /// Calls that the model asked for.
    pub tool_calls: Option<Vec<ToolCall>>,
    /// In a tool's message: the call that it answers.
    pub tool_call_id: Option<String>,
    /// Who speaks, by name; in a tool's message the tool.
    pub name: Option<String>,
}

impl Message {
    /// A message in which only something is said.
    pub(crate) fn new(role: MessageRole, content: MessageContent) -> Self {
        Self {
            role,
            content: Some(content),
            reasoning_content: None,
            reasoning: None,
            refusal: None,
            tool_calls: None,
            tool_call_id: None,
            name: None,
        }
    }
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MessageRole {
    /// Instructions.
    System,
    /// Instructions, under the newer name.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The result of a tool.
    Tool,
    /// The same, as it was called before.
    Function,
}

/// What is said: a text, or parts.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum MessageContent {
    /// A text.
    Text(String),
    /// Parts.
    Parts(Vec<MessagePart>),
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum MessagePart {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// A refusal; read as text.
    Refusal {
        /// The text.
        refusal: String,
    },
    /// A picture. Not taken by this server yet: 400.
    ImageUrl {
        /// Where it is: `{"url"}`, or the address itself.
        #[schema(value_type = Object)]
        image_url: Value,
    },
    /// A sound. Not taken by this server yet: 400.
    InputAudio {
        /// `{"data", "format"}`.
        #[schema(value_type = Object)]
        input_audio: Value,
    },
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ResponseFormat {
    /// Any text.
    Text,
    /// A JSON object; with `schema` by that schema, as llama.cpp's server takes it.
    JsonObject {
        /// JSON schema.
        #[schema(value_type = Option<Object>)]
        schema: Option<Value>,
    },
    /// JSON by a schema.
    JsonSchema {
        /// The schema and how strict it is.
        #[serde(deserialize_with = "objects")]
        json_schema: SchemaSpec,
    },
}

/// A schema of an answer.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub(crate) struct SchemaSpec {
    /// Its name; unused.
    pub name: Option<String>,
    /// What it is for; unused.
    pub description: Option<String>,
    /// JSON schema.
    #[schema(value_type = Option<Object>)]
    pub schema: Option<Value>,
    /// Refuse a schema that cannot be enforced whole; otherwise `warnings` tells what is relaxed.
    pub strict: Option<bool>,
}

/// How long the model thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ReasoningEffort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
}

/// What becomes of the model's thoughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ReasoningKind {
    /// They stay in the text.
    None,
    /// They go to `reasoning_content`.
    Auto,
    /// The same.
    Deepseek,
}

impl From<ReasoningKind> for ReasoningFormat {
    fn from(kind: ReasoningKind) -> Self {
        match kind {
            ReasoningKind::None => Self::None,
            ReasoningKind::Auto => Self::Auto,
            ReasoningKind::Deepseek => Self::Deepseek,
        }
    }
}

impl<'de> Deserialize<'de> for MessageContent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct TextOrParts;
        impl<'de> Visitor<'de> for TextOrParts {
            type Value = MessageContent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of parts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(MessageContent::Text(text.to_owned()))
            }

            fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(MessageContent::Text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(MessageContent::Parts)
            }
        }
        from.deserialize_any(TextOrParts)
    }
}
