//! Chat completions.

mod answer;

use std::fmt;

use mullama_core::ReasoningFormat;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, from_value};
use utoipa::ToSchema;

use super::sampling::request_with_sampling;
pub(crate) use answer::{
    AnswerMessage, ChatCompletion, Choice, ChunkChoice, ChunkHead, ChunkRest, Delta, FunctionChunk, ToolCallChunk,
};

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

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub(crate) struct ToolSpec {
    /// Always "function".
    #[serde(rename = "type", default)]
    pub kind: FunctionKind,
    /// It.
    pub function: FunctionSpec,
}

/// The only kind of tool there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FunctionKind {
    /// A function.
    #[default]
    Function,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub(crate) struct FunctionSpec {
    /// Its name.
    pub name: String,
    /// What it does, for the model to read.
    pub description: Option<String>,
    /// JSON schema of its arguments.
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Value>,
    /// Refuse a schema that cannot be enforced whole.
    pub strict: Option<bool>,
}

/// Whether the model calls tools, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToolChoice {
    /// As it likes.
    Auto,
    /// It must not.
    None,
    /// It must.
    Required,
    /// It must call this one.
    Named(String),
    /// It may, or must, call one of these.
    Allowed {
        /// Must it?
        required: bool,
        /// Their names.
        names: Vec<String>,
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

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ToolCall {
    /// Names the call.
    #[serde(default)]
    pub id: String,
    /// Always "function".
    #[serde(rename = "type", default)]
    pub kind: FunctionKind,
    /// What is called.
    pub function: FunctionCall,
}

/// A function and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct FunctionCall {
    /// Its name.
    pub name: String,
    /// JSON text.
    #[serde(default)]
    pub arguments: String,
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

impl<'de> Deserialize<'de> for ToolChoice {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct NameOrObject;
        impl<'de> Visitor<'de> for NameOrObject {
            type Value = ToolChoice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "\"none\", \"auto\", \"required\", {\"type\":\"function\",...} or {\"type\":\"allowed_tools\",...}",
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "auto" => Ok(ToolChoice::Auto),
                    "none" => Ok(ToolChoice::None),
                    "required" | "any" => Ok(ToolChoice::Required),
                    other => Err(E::unknown_variant(other, &["none", "auto", "required"])),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                #[derive(Deserialize)]
                #[serde(tag = "type", rename_all = "snake_case")]
                enum Object {
                    Function { function: Option<Name>, name: Option<String> },
                    AllowedTools { allowed_tools: Option<Value>, mode: Option<Mode>, tools: Option<Vec<Tool>> },
                }
                #[derive(Deserialize)]
                struct Name {
                    name: String,
                }
                #[derive(Deserialize)]
                struct Allowed {
                    mode: Mode,
                    tools: Vec<Tool>,
                }
                #[derive(Deserialize, Clone, Copy, PartialEq)]
                #[serde(rename_all = "lowercase")]
                enum Mode {
                    Auto,
                    Required,
                }
                /// `{"type":"function","function":{"name"}}`, or the Responses API's `{"type":"function","name"}`.
                #[derive(Deserialize)]
                struct Tool {
                    function: Option<Name>,
                    name: Option<String>,
                }
                let name = |function: Option<Name>, name: Option<String>| {
                    name.or(function.map(|function| function.name)).ok_or_else(|| A::Error::missing_field("name"))
                };
                match Object::deserialize(MapAccessDeserializer::new(map))? {
                    Object::Function { function, name: given } => name(function, given).map(ToolChoice::Named),
                    Object::AllowedTools { allowed_tools, mode, tools } => {
                        let listed = |tools| (mode.unwrap_or(Mode::Auto), tools);
                        let (mode, tools) = match allowed_tools {
                            Some(list @ Value::Array(_)) => listed(from_value(list).map_err(A::Error::custom)?),
                            Some(object) => {
                                let Allowed { mode, tools } = from_value(object).map_err(A::Error::custom)?;
                                (mode, tools)
                            }
                            None => listed(tools.ok_or_else(|| A::Error::missing_field("tools"))?),
                        };
                        let names =
                            tools.into_iter().map(|tool| name(tool.function, tool.name)).collect::<Result<_, _>>()?;
                        Ok(ToolChoice::Allowed { required: mode == Mode::Required, names })
                    }
                }
            }
        }
        from.deserialize_any(NameOrObject)
    }
}

impl utoipa::PartialSchema for ToolChoice {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
        let names = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["none", "auto", "required"]));
        let object = ObjectBuilder::new()
            .description(Some("`{\"type\":\"function\",\"function\":{\"name\"}}`, or `allowed_tools`"));
        OneOfBuilder::new().item(names).item(object).into()
    }
}

impl ToSchema for ToolChoice {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tool_choices_have_five_forms() {
        let read = |json: &str| serde_json::from_str::<ToolChoice>(json);
        assert_eq!(read(r#""none""#).unwrap(), ToolChoice::None);
        assert_eq!(read(r#""required""#).unwrap(), ToolChoice::Required);
        let named = ToolChoice::Named("f".to_owned());
        assert_eq!(read(r#"{"type":"function","function":{"name":"f"}}"#).unwrap(), named);
        assert_eq!(read(r#"{"type":"function","name":"f"}"#).unwrap(), named);
        let allowed = r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#;
        let expected = ToolChoice::Allowed { required: true, names: vec!["f".to_owned()] };
        assert_eq!(read(allowed).unwrap(), expected);
        for list in ["allowed_tools", "tools"] {
            let json =
                format!(r#"{{"type":"allowed_tools","mode":"required","{list}":[{{"type":"function","name":"f"}}]}}"#);
            assert_eq!(read(&json).unwrap(), expected);
        }
        for wrong in [
            r#""sometimes""#,
            "7",
            "{}",
            r#"{"type":"function"}"#,
            r#"{"type":"allowed_tools","allowed_tools":7}"#,
            "[]",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
