//! Conversations as JSON, in OpenAI's shape.

use mullama_core::{ChatMessage, FunctionCall, Role, ToolCall};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A message in OpenAI's shape.
pub(crate) fn write(message: &ChatMessage) -> Value {
    let text = message.text();
    let mut object = Map::new();
    object.insert("role".to_owned(), json!(message.role));
    let silent = text.is_empty() && !message.tool_calls.is_empty();
    object.insert("content".to_owned(), if silent { Value::Null } else { text.into() });
    if let Some(reasoning) = &message.reasoning_content {
        object.insert("reasoning_content".to_owned(), reasoning.as_str().into());
    }
    if !message.tool_calls.is_empty() {
        let calls = message.tool_calls.iter();
        let calls = calls.map(|call| json!({ "id": call.id, "type": "function", "function": call.function }));
        object.insert("tool_calls".to_owned(), calls.collect());
    }
    if let Some(id) = &message.tool_call_id {
        object.insert("tool_call_id".to_owned(), id.as_str().into());
    }
    Value::Object(object)
}

/// Messages from OpenAI's shape: an array, or an object with `messages`.
pub(crate) fn read(text: &str) -> serde_json::Result<Vec<ChatMessage>> {
    let mut json: Value = serde_json::from_str(text)?;
    if let Some(messages) = json.get_mut("messages") {
        json = messages.take();
    }
    let messages: Vec<Message> = serde_json::from_value(json)?;
    Ok(messages.into_iter().map(Message::into_message).collect())
}

#[derive(Deserialize)]
struct Message {
    role: Role,
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    tool_calls: Vec<Call>,
    #[serde(default)]
    tool_call_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<TextPart>),
}

#[derive(Deserialize)]
struct TextPart {
    text: String,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    id: String,
    function: FunctionCall,
}

impl Message {
    fn into_message(self) -> ChatMessage {
        let text = match self.content {
            None => String::new(),
            Some(Content::Text(text)) => text,
            Some(Content::Parts(parts)) => parts.into_iter().map(|part| part.text).collect(),
        };
        let mut message = ChatMessage::of(self.role, text);
        message.reasoning_content = self.reasoning_content;
        let calls = self.tool_calls.into_iter();
        message.tool_calls = calls.map(|call| ToolCall { id: call.id, function: call.function }).collect();
        message.tool_call_id = self.tool_call_id;
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut answer = ChatMessage::assistant("");
        let function = FunctionCall { name: "f".to_owned(), arguments: "{\"a\":1}".to_owned() };
        answer.tool_calls.push(ToolCall { id: "call_1".to_owned(), function });
        let messages = [ChatMessage::system("s"), ChatMessage::user("é\u{0}\"\n"), answer];
        let json = Value::Array(messages.iter().map(write).collect());
        assert_eq!(json[2]["content"], Value::Null);
        assert_eq!(read(&json.to_string()).unwrap(), messages);
        assert_eq!(read(&json!({ "messages": json }).to_string()).unwrap(), messages);
        assert!(read("{}").is_err());
    }
}
