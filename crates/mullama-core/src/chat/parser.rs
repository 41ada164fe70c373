//! Answers to messages: content, thoughts and tool calls, whole or while they come.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::message::{ChatMessage, FunctionCall, Role, ToolCall};
use crate::error::{Error, Result};
use crate::ffi::ChatParserPtr;
use crate::grammar::json_depth_within;
use crate::prepare::Preparer;

/// Parses one answer, as it comes or at the end.
///
/// While the answer comes, everything so far is parsed anew at each [`ChatParser::push`], as llama.cpp's server does:
/// the cost grows with the square of the answer's length.
#[derive(Debug)]
pub struct ChatParser {
    ptr: Arc<ChatParserPtr>,
    preparer: Arc<Preparer>,
    text: String,
    /// What the deltas so far add up to.
    told: Message,
    /// Of a message that is continued: what the parse tells of its beginning, which is not the model's answer.
    begun: Message,
    ids: Vec<String>,
}

/// What is new in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ChatDelta {
    /// More of the text.
    Content(String),
    /// More of the model's thoughts.
    ReasoningContent(String),
    /// More of a tool call, or the beginning of one.
    ToolCall(ToolCallDelta),
}

/// More of a tool call. Id and name come once, whole, first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCallDelta {
    /// Which of the message's calls.
    pub index: usize,
    /// The call's id, with its first delta.
    pub id: Option<String>,
    /// The function's name, with the first delta.
    pub name: Option<String>,
    /// More of the arguments' JSON text.
    pub arguments: String,
}

/// The parse, in the shape of `common_chat_msg::to_json_oaicompat`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Message {
    #[serde(default, deserialize_with = "null_is_empty")]
    content: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    reasoning_content: String,
    #[serde(default)]
    tool_calls: Vec<Call>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Call {
    #[serde(default)]
    id: String,
    function: Function,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Function {
    #[serde(default)]
    name: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    arguments: String,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Option::<String>::deserialize(from).map(Option::unwrap_or_default)
}

impl ChatParser {
    pub(super) fn new(rendered: &str, continued: bool, preparer: Arc<Preparer>) -> Result<Self> {
        let ptr = ChatParserPtr::new(rendered).map_err(|what| Error::Internal { what })?;
        let (told, begun) = (Message::default(), Message::default());
        let mut parser = Self { ptr: Arc::new(ptr), preparer, text: String::new(), told, begun, ids: Vec::new() };
        if continued {
            parser.begun = parser.run(true).unwrap_or_default();
            parser.told = parser.begun.clone();
        }
        Ok(parser)
    }

    /// Parses a whole answer.
    ///
    /// # Errors
    /// [`Error::ChatParse`] when the answer does not have the template's form; [`Error::Timeout`].
    pub fn parse(mut self, answer: &str) -> Result<ChatMessage> {
        self.text.push_str(answer);
        self.finish().map(|(_, message)| message)
    }

    /// Takes the next piece of the answer and tells what can now be said for certain: a piece of a tag, for instance, is
    /// held back. A text that cannot be parsed (yet) gives nothing; [`ChatParser::finish`] says what is wrong with it.
    ///
    /// # Errors
    /// [`Error::Timeout`]; [`Error::Overloaded`].
    pub fn push(&mut self, piece: &str) -> Result<Vec<ChatDelta>> {
        self.text.push_str(piece);
        match self.run(true) {
            Ok(message) => Ok(self.tell(message)),
            Err(Error::ChatParse { .. }) => Ok(Vec::new()),
            Err(other) => Err(other),
        }
    }

    /// The answer is complete: the last deltas, and the message.
    ///
    /// # Errors
    /// As [`ChatParser::parse`]. The parser is used up, also by an error: take [`ChatParser::answer`] before, where the
    /// raw text matters.
    pub fn finish(self) -> Result<(Vec<ChatDelta>, ChatMessage)> {
        let parsed = self.run(false)?;
        Ok(self.conclude(parsed))
    }

    fn conclude(mut self, mut parsed: Message) -> (Vec<ChatDelta>, ChatMessage) {
        let deltas = self.tell(parsed.clone());
        let without = |text: &mut String, begun: &str| {
            if text.starts_with(begun) {
                text.drain(..begun.len());
            }
        };
        without(&mut parsed.content, &self.begun.content);
        without(&mut parsed.reasoning_content, &self.begun.reasoning_content);
        let calls = parsed.tool_calls.into_iter().enumerate().map(|(index, call)| ToolCall {
            id: self.id(index, &call.id),
            function: FunctionCall { name: call.function.name, arguments: call.function.arguments },
        });
        let tool_calls = calls.collect();
        let mut message = ChatMessage::assistant(parsed.content);
        message.role = Role::Assistant;
        message.reasoning_content = Some(parsed.reasoning_content).filter(|text| !text.is_empty());
        message.tool_calls = tool_calls;
        (deltas, message)
    }

    /// The answer was cut (at its token limit, by its caller): what can be said of what there is. What cannot be read in
    /// the template's form is content.
    ///
    /// # Errors
    /// [`Error::Timeout`]; [`Error::Overloaded`].
    pub fn finish_cut(self) -> Result<(Vec<ChatDelta>, ChatMessage)> {
        match self.run(true) {
            Ok(parsed) => Ok(self.conclude(parsed)),
            Err(Error::ChatParse { .. }) => {
                let content = format!("{}{}", self.begun.content, self.text);
                Ok(self.conclude(Message { content, ..Message::default() }))
            }
            Err(other) => Err(other),
        }
    }

    /// Another one that has read and told the same: for who wants to try [`ChatParser::finish`] and still have this one
    /// when that fails.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            ptr: Arc::clone(&self.ptr),
            preparer: Arc::clone(&self.preparer),
            text: self.text.clone(),
            told: self.told.clone(),
            begun: self.begun.clone(),
            ids: self.ids.clone(),
        }
    }

    /// The answer so far, unparsed.
    #[must_use]
    pub fn answer(&self) -> &str {
        &self.text
    }

    fn run(&self, partial: bool) -> Result<Message> {
        // The parser recurses with the depth of what the model wrote.
        let depth = json_depth_within(&self.text);
        if depth > MAX_DEPTH {
            let reason = format!("its brackets are {depth} deep, the limit is {MAX_DEPTH}");
            return Err(Error::ChatParse { reason });
        }
        let json = if self.text.len() <= SHORT && depth <= SHORT_DEPTH {
            self.ptr.parse(&self.text, partial)
        } else {
            let (ptr, text) = (Arc::clone(&self.ptr), self.text.clone());
            self.preparer.run("parse of an answer", DEADLINE, move || ptr.parse(&text, partial))?
        };
        super::read(&json.map_err(|reason| Error::ChatParse { reason })?)
    }

    /// The difference to what was told before. Where a parse takes something back, nothing is told until it is there
    /// again.
    fn tell(&mut self, new: Message) -> Vec<ChatDelta> {
        let mut deltas = Vec::new();
        if let Some(more) = grown(&mut self.told.reasoning_content, &new.reasoning_content) {
            deltas.push(ChatDelta::ReasoningContent(more));
        }
        if let Some(more) = grown(&mut self.told.content, &new.content) {
            deltas.push(ChatDelta::Content(more));
        }
        for (index, call) in new.tool_calls.into_iter().enumerate() {
            if call.function.name.is_empty() || index > self.told.tool_calls.len() {
                continue;
            }
            let first = index == self.told.tool_calls.len();
            if first {
                let function = Function { name: call.function.name.clone(), arguments: String::new() };
                self.told.tool_calls.push(Call { id: String::new(), function });
            }
            let more = grown(&mut self.told.tool_calls[index].function.arguments, &call.function.arguments);
            if first || more.is_some() {
                deltas.push(ChatDelta::ToolCall(ToolCallDelta {
                    index,
                    id: first.then(|| self.id(index, &call.id)),
                    name: first.then_some(call.function.name),
                    arguments: more.unwrap_or_default(),
                }));
            }
        }
        deltas
    }

    /// The id that the model gave, or one of ours; the same each time.
    fn id(&mut self, index: usize, given: &str) -> String {
        while self.ids.len() <= index {
            self.ids.push(String::new());
        }
        if self.ids[index].is_empty() {
            self.ids[index] = if given.is_empty() { new_id() } else { given.to_owned() };
        }
        self.ids[index].clone()
    }
}

/// What `new` adds to `old`, which becomes `new`; nothing if `new` does not continue `old`.
fn grown(old: &mut String, new: &str) -> Option<String> {
    let more = new.strip_prefix(old.as_str()).filter(|more| !more.is_empty())?.to_owned();
    old.push_str(&more);
    Some(more)
}

/// 128 bits from the standard library's randomly keyed hasher.
fn new_id() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("call_{:016x}{:016x}", half(), half())
}

const SHORT: usize = 1 << 10;
const SHORT_DEPTH: usize = 16;
/// Ten calls or so for each level, on 256 MiB.
const MAX_DEPTH: usize = 10_000;
const DEADLINE: Duration = Duration::from_secs(2);
