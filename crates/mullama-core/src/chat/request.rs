//! What is rendered: a conversation, tools, and the form that the answer shall have.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::message::ChatMessage;
use crate::error::{Error, Result};
use crate::grammar::{Grammar, check_schema};

/// A conversation to render.
///
/// ```
/// use mullama_core::{ChatMessage, ChatRequest, ResponseFormat};
///
/// let request = ChatRequest {
///     response_format: ResponseFormat::JsonObject,
///     ..ChatRequest::new([ChatMessage::user("Make JSON with name Anna and age 7.")])
/// };
/// # let _ = request;
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChatRequest {
    /// The messages, oldest first.
    pub messages: Vec<ChatMessage>,
    /// Tools that the model may call.
    pub tools: Vec<Tool>,
    /// Whether it may, must or must not. Default: it may.
    pub tool_choice: ToolChoice,
    /// May it ask for several calls at once? `None` (default): if the template knows how to.
    pub parallel_tool_calls: Option<bool>,
    /// The form of the answer. Default: text.
    pub response_format: ResponseFormat,
    /// A grammar for the answer; not together with tools or a response format.
    pub grammar: Option<Grammar>,
    /// What becomes of the model's thoughts in the parsed answer. Default: [`ReasoningFormat::Auto`].
    pub reasoning_format: ReasoningFormat,
    /// Ask templates that know both ways to think first. Default true.
    pub enable_thinking: bool,
    /// Show the model its earlier thoughts again, in templates that can leave them out. Default true.
    pub preserve_reasoning: bool,
    /// Tokens of thought after which the model is made to answer; `None` (default) is no limit.
    pub reasoning_budget: Option<u32>,
    /// The thoughts may be ended while they come ([`CancelHandle::end_reasoning`](crate::CancelHandle::end_reasoning)).
    /// Default false; then greedy answers come by a shorter way. llama.cpp's `reasoning_control`.
    pub reasoning_control: bool,
    /// End the prompt with the beginning of the model's turn. Default true.
    pub add_generation_prompt: bool,
    /// The last message is the model's own, to be continued. Default false.
    pub continue_final_message: bool,
    /// Values for the template (`chat_template_kwargs`): null, booleans, numbers and texts.
    pub template_args: Map<String, Value>,
    /// The clock of llama.cpp's chat engine; `None` (default) is now. Templates that print a date by `strftime_now` read the
    /// machine's clock all the same.
    pub now: Option<SystemTime>,
}

impl Default for ChatRequest {
    fn default() -> Self {
        Self {
            messages: Vec::new(),
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            parallel_tool_calls: None,
            response_format: ResponseFormat::Text,
            grammar: None,
            reasoning_format: ReasoningFormat::Auto,
            enable_thinking: true,
            preserve_reasoning: true,
            reasoning_budget: None,
            reasoning_control: false,
            add_generation_prompt: true,
            continue_final_message: false,
            template_args: Map::new(),
            now: None,
        }
    }
}

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does, for the model to read.
    #[serde(default)]
    pub description: String,
    /// JSON schema of its arguments.
    #[serde(default)]
    pub parameters: Value,
}

/// Whether the model calls tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ToolChoice {
    /// As it likes.
    #[default]
    Auto,
    /// It must.
    Required,
    /// It must not.
    None,
}

/// The form of the answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResponseFormat {
    /// Any text.
    #[default]
    Text,
    /// A JSON object.
    JsonObject,
    /// JSON by a schema.
    JsonSchema {
        /// The schema.
        schema: Value,
    },
}

/// What becomes of the model's thoughts in the parsed answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReasoningFormat {
    /// They stay in the text, with their tags.
    None,
    /// They go to [`ChatMessage::reasoning_content`].
    #[default]
    Auto,
    /// The same.
    Deepseek,
}

impl ChatRequest {
    /// A request with these messages and all else at its default.
    pub fn new(messages: impl IntoIterator<Item = ChatMessage>) -> Self {
        Self { messages: messages.into_iter().collect(), ..Self::default() }
    }

    /// The shim's request.
    pub(super) fn write(&self) -> Result<String> {
        if self.messages.is_empty() {
            return Err(Error::parameter("messages", "empty", "at least one message"));
        }
        let messages = self.messages.iter().map(ChatMessage::write).collect::<Result<Vec<_>>>()?;
        let now = self.now.unwrap_or_else(SystemTime::now);
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut request = json!({
            "messages": messages,
            "tool_choice": self.tool_choice,
            "parallel_tool_calls": self.parallel_tool_calls,
            "json_schema": self.write_schema()?,
            "grammar": self.grammar.as_ref().map(|grammar| grammar.validate().map(|()| grammar.as_gbnf())).transpose()?,
            "reasoning_format": self.reasoning_format,
            "enable_thinking": self.enable_thinking,
            "add_generation_prompt": self.add_generation_prompt,
            "continue_final_message": self.continue_final_message,
            "chat_template_kwargs": self.write_template_args()?,
            "now": now,
        });
        if !self.tools.is_empty() {
            request["tools"] = self.write_tools()?;
        }
        Ok(request.to_string())
    }

    fn write_schema(&self) -> Result<Option<String>> {
        match &self.response_format {
            ResponseFormat::Text => Ok(None),
            ResponseFormat::JsonObject => Ok(Some(r#"{"type":"object"}"#.to_owned())),
            ResponseFormat::JsonSchema { schema } => check_schema(schema).map(Some),
        }
    }

    fn write_tools(&self) -> Result<Value> {
        if self.tools.len() > MAX_TOOLS {
            return Err(Error::parameter("tools", self.tools.len(), "at most 128 tools"));
        }
        let write = |tool: &Tool| {
            if tool.name.is_empty() || tool.name.len() > 128 {
                return Err(Error::parameter("tools", &tool.name, "names of 1 to 128 bytes"));
            }
            check_schema(&tool.parameters)?;
            let parameters = if tool.parameters.is_null() { json!({}) } else { tool.parameters.clone() };
            let function = json!({ "name": tool.name, "description": tool.description, "parameters": parameters });
            Ok(json!({ "type": "function", "function": function }))
        };
        self.tools.iter().map(write).collect()
    }

    /// Pairs of name and JSON text.
    fn write_template_args(&self) -> Result<Value> {
        let write = |(name, value): (&String, &Value)| {
            if value.is_array() || value.is_object() || name.len() > 128 {
                return Err(Error::parameter("template_args", name, "names up to 128 bytes with scalar values"));
            }
            Ok(json!([name, value.to_string()]))
        };
        let mut pairs = self.template_args.iter().map(write).collect::<Result<Vec<_>>>()?;
        if !self.template_args.contains_key("preserve_reasoning") {
            pairs.push(json!(["preserve_reasoning", self.preserve_reasoning.to_string()]));
        }
        Ok(pairs.into())
    }
}

const MAX_TOOLS: usize = 128;
