//! Items of a conversation: read from requests, taken from answers, written as messages.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::{ApiError, ApiResult};
use crate::wire::chat::{FunctionCall, FunctionKind, Message, MessageContent, MessagePart, MessageRole, ToolCall};
use crate::wire::responses::TextOrList;
use crate::wire::responses::input::{InputItem, InputPart, InputRole};
use crate::wire::responses::output::OutputItem;

/// An item that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Message { role: InputRole, texts: Vec<String> },
    Thought(String),
    Call { call_id: String, name: String, arguments: String },
    CallOutput { call_id: String, texts: Vec<String> },
}

/// Reads the items of a request. `find` finds those that it names by their ids.
pub(super) fn read(
    input: TextOrList<InputItem>,
    mut find: impl FnMut(&str) -> Option<Arc<Item>>,
) -> ApiResult<Vec<Arc<Item>>> {
    let items = match input {
        TextOrList::Text(text) => {
            return Ok(vec![Arc::new(Item::Message { role: InputRole::User, texts: vec![text] })]);
        }
        TextOrList::List(items) => items,
    };
    let mut named = HashSet::new();
    let mut list = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        if item.kind.as_deref() == Some("item_reference") {
            let param = format!("input[{index}].id");
            let Some(id) = item.id else { return Err(missing(param, "item_reference", "id")) };
            let Some(found) = find(&id) else {
                return Err(ApiError::invalid(param, format!("Item with id '{id}' not found.")).code("item_not_found"));
            };
            // Each is there once: so what a request unfolds to is no more than what is stored.
            if named.contains(&id) {
                return Err(ApiError::invalid(param, format!("Item with id '{id}' is in `input` twice.")));
            }
            named.insert(id);
            list.push(found);
        } else if let Some(item) = one(index, item)? {
            list.push(Arc::new(item));
        }
    }
    Ok(list)
}

/// An item; `None` of one that says nothing.
fn one(index: usize, item: InputItem) -> ApiResult<Option<Item>> {
    let field = |name: &str| format!("input[{index}].{name}");
    match item.kind.as_deref() {
        None | Some("message") => {
            let role = item.role.ok_or_else(|| missing(field("role"), "message", "role"))?;
            let content = item.content.ok_or_else(|| missing(field("content"), "message", "content"))?;
            let texts = texts(content, &field("content"))?;
            if texts.is_empty() && role != InputRole::Assistant {
                return Err(ApiError::invalid(field("content"), "A message of this role needs content."));
            }
            Ok(Some(Item::Message { role, texts }))
        }
        Some("reasoning") => {
            let mut said = match item.content {
                Some(content) => texts(content, &field("content"))?,
                None => Vec::new(),
            };
            if said.is_empty() {
                said = texts(TextOrList::List(item.summary.unwrap_or_default()), &field("summary"))?;
            }
            Ok((!said.is_empty()).then(|| Item::Thought(said.join("\n"))))
        }
        Some("function_call") => Ok(Some(Item::Call {
            call_id: item.call_id.ok_or_else(|| missing(field("call_id"), "function_call", "call_id"))?,
            name: item.name.ok_or_else(|| missing(field("name"), "function_call", "name"))?,
            arguments: item.arguments.unwrap_or_default(),
        })),
        Some("function_call_output") => {
            let output = item.output.ok_or_else(|| missing(field("output"), "function_call_output", "output"))?;
            let call_id = item.call_id.ok_or_else(|| missing(field("call_id"), "function_call_output", "call_id"))?;
            let mut texts = texts(output, &field("output"))?;
            if texts.is_empty() {
                texts.push(String::new());
            }
            Ok(Some(Item::CallOutput { call_id, texts }))
        }
        Some(other) => {
            let message = format!(
                "Items of type `{other}` are not taken here; message, reasoning, function_call, function_call_output \
                 and item_reference are."
            );
            Err(ApiError::unsupported(field("type"), message))
        }
    }
}

fn texts(content: TextOrList<InputPart>, param: &str) -> ApiResult<Vec<String>> {
    match content {
        TextOrList::Text(text) => Ok(vec![text]),
        TextOrList::List(parts) => {
            parts.into_iter().enumerate().map(|(at, part)| text(part, &format!("{param}[{at}]"))).collect()
        }
    }
}

fn text(part: InputPart, param: &str) -> ApiResult<String> {
    match part.kind.as_deref() {
        Some(kind @ ("input_text" | "output_text" | "text" | "summary_text" | "reasoning_text")) => {
            part.text.ok_or_else(|| missing(format!("{param}.text"), kind, "text"))
        }
        Some(kind @ "refusal") => part.refusal.ok_or_else(|| missing(format!("{param}.refusal"), kind, "refusal")),
        Some("input_image" | "input_audio" | "input_file") => {
            let message = "This server reads text only: it takes no pictures, no sound and no files.";
            Err(ApiError::unsupported(param.to_owned(), message))
        }
        Some(other) => {
            let message = format!("Parts of type `{other}` are not known; input_text and output_text are.");
            Err(ApiError::invalid(format!("{param}.type"), message))
        }
        None => Err(ApiError::invalid(format!("{param}.type"), "A part needs a `type`: input_text, for instance.")),
    }
}

fn missing(param: String, kind: &str, field: &str) -> ApiError {
    ApiError::invalid(param, format!("An item or part of type `{kind}` needs `{field}`."))
}

impl Item {
    /// What the model gave, for the next turn.
    pub(super) fn of(output: &OutputItem) -> Self {
        match output {
            OutputItem::Reasoning { content, .. } => {
                Self::Thought(content.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join("\n"))
            }
            OutputItem::Message { content, .. } => Self::Message {
                role: InputRole::Assistant,
                texts: content.iter().map(|part| part.text.clone()).collect(),
            },
            OutputItem::FunctionCall { call_id, name, arguments, .. } => {
                Self::Call { call_id: call_id.clone(), name: name.clone(), arguments: arguments.clone() }
            }
        }
    }

    /// What it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let texts = |texts: &[String]| texts.iter().map(|text| text.capacity() + size_of::<String>()).sum::<usize>();
        let told = match self {
            Self::Message { texts: told, .. } => texts(told),
            Self::Thought(text) => text.capacity(),
            Self::Call { call_id, name, arguments } => call_id.capacity() + name.capacity() + arguments.capacity(),
            Self::CallOutput { call_id, texts: told } => call_id.capacity() + texts(told),
        };
        // And the two counters of its `Arc`.
        told + size_of::<Self>() + 2 * size_of::<usize>()
    }
}

/// The messages of a conversation.
pub(super) fn messages<'a>(instructions: Option<&str>, items: impl IntoIterator<Item = &'a Arc<Item>>) -> Vec<Message> {
    let mut list = Messages::default();
    if let Some(text) = instructions {
        list.done.push(said(MessageRole::System, &[text.to_owned()]));
        list.lead = true;
    }
    for item in items {
        list.add(item);
    }
    list.flush();
    list.done
}

/// Items of the model are gathered: what it thought, said and called in one turn is one message.
#[derive(Default)]
struct Messages {
    done: Vec<Message>,
    turn: Option<Message>,
    /// There are only instructions yet.
    lead: bool,
}

impl Messages {
    fn add(&mut self, item: &Item) {
        match item {
            Item::Message { role: InputRole::Assistant, texts } => {
                let turn = self.turn(|turn| turn.content.is_none() && turn.tool_calls.is_none());
                turn.content = said(MessageRole::Assistant, texts).content;
            }
            Item::Thought(text) => {
                let turn = self.turn(|turn| turn.content.is_none() && turn.tool_calls.is_none());
                match &mut turn.reasoning_content {
                    Some(before) => {
                        before.push('\n');
                        before.push_str(text);
                    }
                    none => *none = Some(text.clone()),
                }
            }
            Item::Call { call_id, name, arguments } => {
                let function = FunctionCall { name: name.clone(), arguments: arguments.clone() };
                let call = ToolCall { id: call_id.clone(), kind: FunctionKind::Function, function };
                self.turn(|_| true).tool_calls.get_or_insert_default().push(call);
            }
            Item::CallOutput { call_id, texts } => {
                self.flush();
                let message = said(MessageRole::Tool, texts);
                self.done.push(Message { tool_call_id: Some(call_id.clone()), ..message });
            }
            Item::Message { role, texts } => {
                self.flush();
                self.person(*role, texts);
            }
        }
    }

    fn person(&mut self, role: InputRole, texts: &[String]) {
        let role = match role {
            InputRole::System => MessageRole::System,
            InputRole::Developer => MessageRole::Developer,
            InputRole::User | InputRole::Assistant => MessageRole::User,
        };
        // Many templates take instructions only once, at the beginning.
        if self.lead
            && role != MessageRole::User
            && let Some(Message { content: Some(MessageContent::Text(before)), .. }) = self.done.last_mut()
        {
            before.push_str("\n\n");
            before.push_str(&texts.join("\n\n"));
            return;
        }
        self.lead = false;
        self.done.push(said(role, texts));
    }

    /// The model's turn that goes on, if more fits into it, or a new one.
    fn turn(&mut self, fits: impl Fn(&Message) -> bool) -> &mut Message {
        self.lead = false;
        if self.turn.as_ref().is_some_and(|turn| !fits(turn)) {
            self.flush();
        }
        self.turn.get_or_insert_with(|| Message { content: None, ..said(MessageRole::Assistant, &[]) })
    }

    fn flush(&mut self) {
        self.lead &= self.turn.is_none();
        self.done.extend(self.turn.take());
    }
}

fn said(role: MessageRole, texts: &[String]) -> Message {
    let content = match texts {
        [text] => MessageContent::Text(text.clone()),
        texts => MessageContent::Parts(texts.iter().map(|text| MessagePart::Text { text: text.clone() }).collect()),
    };
    Message::new(role, content)
}
