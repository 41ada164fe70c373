//! Messages of a conversation.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::grammar::json_depth;
use crate::media::{AudioBuffer, ImageBuffer};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// Instructions.
    System,
    /// Instructions, under OpenAI's newer name.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

/// One message. Build it with [`ChatMessage::user`] and its like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said, in parts.
    #[serde(default)]
    pub content: Vec<ContentPart>,
    /// What the model thought before it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// Tools that the model wants called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// In a tool's message: the call that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// In a tool's message: the tool's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ContentPart {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// A picture.
    Image {
        /// The picture.
        image: ImageBuffer,
    },
    /// A sound.
    Audio {
        /// The sound.
        audio: AudioBuffer,
    },
}

/// A call that the model asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names the call, so that the result can refer to it.
    pub id: String,
    /// What to call.
    pub function: FunctionCall,
}

/// A function and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// The function's name.
    pub name: String,
    /// The arguments: JSON text, as the model wrote it. It may be invalid: parse it with care.
    pub arguments: String,
}

impl ChatMessage {
    /// Instructions for the model.
    pub fn system(text: impl Into<String>) -> Self {
        Self::of(Role::System, text)
    }

    /// What the person says.
    pub fn user(text: impl Into<String>) -> Self {
        Self::of(Role::User, text)
    }

    /// What the model said.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::of(Role::Assistant, text)
    }

    /// The result of a tool call.
    pub fn tool(tool_call_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self { tool_call_id: Some(tool_call_id.into()), ..Self::of(Role::Tool, text) }
    }

    /// A message of one text.
    pub fn of(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            content: vec![ContentPart::Text { text: text.into() }],
            reasoning_content: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            name: None,
        }
    }

    /// The text parts, one after the other.
    #[must_use]
    pub fn text(&self) -> String {
        let texts = self.content.iter().filter_map(|part| match part {
            ContentPart::Text { text } => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// OpenAI's shape, which llama.cpp's chat engine reads.
    pub(super) fn write(&self) -> Result<Value> {
        for call in &self.tool_calls {
            // Templates get the arguments as a tree, which llama.cpp builds recursively.
            let depth = json_depth(&call.function.arguments);
            if depth > MAX_ARGUMENT_DEPTH {
                return Err(Error::parameter("arguments", format!("{depth} levels deep"), "at most 128 levels deep"));
            }
        }
        let mut message = json!({ "role": self.role, "content": self.write_content()? });
        if let Some(reasoning) = &self.reasoning_content {
            message["reasoning_content"] = reasoning.as_str().into();
        }
        if !self.tool_calls.is_empty() {
            let calls = self
                .tool_calls
                .iter()
                .map(|call| json!({ "id": call.id, "type": "function", "function": call.function }));
            message["tool_calls"] = calls.collect();
        }
        if let Some(id) = &self.tool_call_id {
            message["tool_call_id"] = id.as_str().into();
        }
        if let Some(name) = &self.name {
            message["name"] = name.as_str().into();
        }
        Ok(message)
    }

    fn write_content(&self) -> Result<Value> {
        match self.content.as_slice() {
            [] => Ok(Value::Null),
            [ContentPart::Text { text }] => Ok(text.as_str().into()),
            parts => parts.iter().map(write_part).collect(),
        }
    }
}

fn write_part(part: &ContentPart) -> Result<Value> {
    match part {
        ContentPart::Text { text } => Ok(json!({ "type": "text", "text": text })),
        ContentPart::Image { .. } | ContentPart::Audio { .. } => Err(Error::Unsupported {
            what: "a picture or a sound in a chat message",
            reason: "this version renders text only; mullama-vision will take media",
        }),
    }
}

const MAX_ARGUMENT_DEPTH: usize = 128;
