//! Anthropic's request to that of a chat completion.

use serde_json::{Map, Value};

use crate::error::{ApiError, ApiResult};
use crate::wire::anthropic::{
    DocumentSource, MessagesBlock, MessagesRequest, MessagesRole, MessagesThinking, MessagesTool, MessagesToolChoice,
    MessagesTurn, OutputEffort, OutputFormat, ResultBlock, SystemBlock, TextOrBlocks,
};
use crate::wire::chat::{
    ChatCompletionRequest, FunctionCall, FunctionKind, FunctionSpec, Message, MessageContent, MessagePart, MessageRole,
    ReasoningEffort, ResponseFormat, SchemaSpec, ToolCall, ToolChoice, ToolSpec,
};
use crate::wire::loose::OneOrMany;

pub(super) fn request(from: MessagesRequest) -> ApiResult<ChatCompletionRequest> {
    let turns = from.messages.unwrap_or_default();
    if turns.is_empty() {
        return Err(ApiError::invalid("messages", "`messages` is empty; give at least one message."));
    }
    let mut messages = Messages::default();
    if let Some(system) = from.system {
        messages.system(system);
    }
    for (index, turn) in turns.into_iter().enumerate() {
        messages.turn(index, turn)?;
    }
    let messages = messages.finish();
    let continued = messages.last().filter(|message| message.role == MessageRole::Assistant);
    if continued.is_some_and(|message| message.tool_calls.is_some()) {
        return Err(ApiError::invalid("messages", "The last message calls a tool; its result must follow."));
    }
    let (tool_choice, parallel_tool_calls) = choice(from.tool_choice);
    let config = from.output_config.unwrap_or_default();
    let form = config.format.or(from.output_format);
    let mut request = ChatCompletionRequest {
        continue_final_message: continued.map(|_| true),
        messages: Some(messages),
        tools: from.tools.map(tools).transpose()?,
        tool_choice,
        parallel_tool_calls,
        response_format: form.map(response_format),
        max_tokens: from.max_tokens,
        stop: from.stop_sequences.map(OneOrMany::Many),
        temperature: from.temperature,
        top_p: from.top_p,
        top_k: from.top_k,
        reasoning_effort: config.effort.map(effort),
        ..ChatCompletionRequest::default()
    };
    if let Some(how) = from.thinking {
        thinking(&mut request, how)?;
    }
    Ok(request)
}

/// The conversation as it is made.
#[derive(Debug, Default)]
struct Messages(Vec<Message>);

impl Messages {
    fn system(&mut self, system: TextOrBlocks<SystemBlock>) {
        let text = match system {
            TextOrBlocks::Text(text) => text,
            TextOrBlocks::Blocks(blocks) => {
                let texts: Vec<String> = blocks.into_iter().map(|SystemBlock::Text { text }| text).collect();
                texts.join("\n")
            }
        };
        if !text.is_empty() {
            self.0.push(message(MessageRole::System, vec![MessagePart::Text { text }]));
        }
    }

    fn turn(&mut self, index: usize, turn: MessagesTurn) -> ApiResult<()> {
        let blocks = match turn.content {
            TextOrBlocks::Text(text) => vec![MessagesBlock::Text { text }],
            TextOrBlocks::Blocks(blocks) => blocks,
        };
        match turn.role {
            MessagesRole::Assistant => self.assistant(index, blocks),
            MessagesRole::User => self.other(index, MessageRole::User, blocks),
            MessagesRole::System => self.other(index, MessageRole::System, blocks),
        }
    }

    fn assistant(&mut self, index: usize, blocks: Vec<MessagesBlock>) -> ApiResult<()> {
        let (mut content, mut calls, mut thoughts) = (Vec::new(), Vec::new(), Vec::new());
        for (at, block) in blocks.into_iter().enumerate() {
            match block {
                MessagesBlock::Text { text } => content.push(MessagePart::Text { text }),
                MessagesBlock::Thinking { thinking } => thoughts.push(thinking),
                MessagesBlock::RedactedThinking => {}
                MessagesBlock::ToolUse { id, name, input } => {
                    let function = FunctionCall { name, arguments: Value::Object(input).to_string() };
                    calls.push(ToolCall { id, kind: FunctionKind::Function, function });
                }
                other => return Err(refuse(&other, "the model's own message", &place(index, at))),
            }
        }
        let mut new = message(MessageRole::Assistant, content);
        new.tool_calls = Some(calls).filter(|calls| !calls.is_empty());
        new.reasoning_content = Some(thoughts.join("\n")).filter(|text| !text.is_empty());
        self.push(new);
        Ok(())
    }

    fn other(&mut self, index: usize, role: MessageRole, blocks: Vec<MessagesBlock>) -> ApiResult<()> {
        if blocks.is_empty() {
            return Err(ApiError::invalid(
                format!("messages[{index}].content"),
                "A message of this role needs content.",
            ));
        }
        let mut content = Vec::new();
        for (at, block) in blocks.into_iter().enumerate() {
            let place = || place(index, at);
            match block {
                MessagesBlock::Text { text } => content.push(MessagePart::Text { text }),
                MessagesBlock::Document { source, title } => {
                    content.push(MessagePart::Text { text: document(source, title, &place())? });
                }
                // Results come before the text of their message: templates want them behind the call.
                MessagesBlock::ToolResult { tool_use_id, content, is_error } if role == MessageRole::User => {
                    let text = result(content, is_error == Some(true), &place())?;
                    self.result(tool_use_id, text);
                }
                other => return Err(refuse(&other, "a message of this role", &place())),
            }
        }
        if !content.is_empty() {
            self.push(message(role, content));
        }
        Ok(())
    }

    fn result(&mut self, id: String, text: String) {
        let calls = self.0.iter().rev().flat_map(|message| message.tool_calls.iter().flatten());
        let name = calls.into_iter().find(|call| call.id == id).map(|call| call.function.name.clone());
        let mut new = message(MessageRole::Tool, vec![MessagePart::Text { text }]);
        new.tool_call_id = Some(id);
        new.name = name;
        self.0.push(new);
    }

    /// Many templates refuse two messages of one role in a row.
    fn push(&mut self, new: Message) {
        let Some(last) = self.0.last_mut().filter(|last| last.role == new.role) else {
            self.0.push(new);
            return;
        };
        if let (Some(MessageContent::Parts(have)), Some(MessageContent::Parts(more))) = (&mut last.content, new.content)
        {
            have.extend(more);
        }
        if let Some(calls) = new.tool_calls {
            last.tool_calls.get_or_insert_default().extend(calls);
        }
        last.reasoning_content = match (last.reasoning_content.take(), new.reasoning_content) {
            (Some(have), Some(more)) => Some(format!("{have}\n{more}")),
            (have, more) => have.or(more),
        };
    }

    /// What is one text becomes one: not all templates read parts.
    fn finish(self) -> Vec<Message> {
        let plain = |mut message: Message| {
            message.content = match message.content {
                Some(MessageContent::Parts(parts)) if parts.is_empty() => None,
                Some(MessageContent::Parts(mut parts)) if parts.len() == 1 => match parts.pop() {
                    Some(MessagePart::Text { text }) => Some(MessageContent::Text(text)),
                    other => other.map(|part| MessageContent::Parts(vec![part])),
                },
                other => other,
            };
            message
        };
        self.0.into_iter().map(plain).collect()
    }
}

fn message(role: MessageRole, content: Vec<MessagePart>) -> Message {
    Message::new(role, MessageContent::Parts(content))
}

fn place(message: usize, block: usize) -> String {
    format!("messages[{message}].content[{block}]")
}

fn refuse(block: &MessagesBlock, whose: &str, place: &str) -> ApiError {
    let kind = match block {
        MessagesBlock::Image => return no_pictures(place.to_owned()),
        MessagesBlock::Text { .. } => "text",
        MessagesBlock::Document { .. } => "document",
        MessagesBlock::Thinking { .. } => "thinking",
        MessagesBlock::RedactedThinking => "redacted_thinking",
        MessagesBlock::ToolUse { .. } => "tool_use",
        MessagesBlock::ToolResult { .. } => "tool_result",
    };
    ApiError::invalid(place.to_owned(), format!("`{place}`: a block of type `{kind}` cannot be in {whose}."))
}

fn no_pictures(place: String) -> ApiError {
    ApiError::unsupported(place, "This server reads text only: it takes no pictures and no sound.")
}

fn document(source: DocumentSource, title: Option<String>, place: &str) -> ApiResult<String> {
    let (kind, data) = (source.kind, source.data);
    match data.filter(|_| kind == "text") {
        Some(text) => Ok(title.map_or(text.clone(), |title| format!("{title}\n{text}"))),
        None => {
            let message =
                format!("Documents are read as plain text (`source.type` \"text\" and `data`), not as `{kind}`.");
            Err(ApiError::unsupported(format!("{place}.source"), message))
        }
    }
}

/// A tool's result as one text. Templates have no field for its failure.
fn result(content: Option<TextOrBlocks<ResultBlock>>, failed: bool, place: &str) -> ApiResult<String> {
    let text = match content {
        None => String::new(),
        Some(TextOrBlocks::Text(text)) => text,
        Some(TextOrBlocks::Blocks(blocks)) => {
            let texts = blocks.into_iter().enumerate().map(|(at, block)| {
                let place = format!("{place}.content[{at}]");
                match block {
                    ResultBlock::Text { text } => Ok(text),
                    ResultBlock::Document { source, title } => document(source, title, &place),
                    ResultBlock::Image => Err(no_pictures(place)),
                }
            });
            texts.collect::<ApiResult<Vec<_>>>()?.join("\n")
        }
    };
    Ok(if failed { format!("Error: {text}") } else { text })
}

fn tools(from: Vec<MessagesTool>) -> ApiResult<Vec<ToolSpec>> {
    let tool = |(index, tool): (usize, MessagesTool)| {
        if let Some(kind) = tool.kind.filter(|kind| kind != "custom") {
            let message =
                format!("`{kind}` is a tool of Anthropic's; this server takes tools with an `input_schema` only.");
            return Err(ApiError::unsupported(format!("tools[{index}].type"), message));
        }
        let Some(schema) = tool.input_schema else {
            return Err(ApiError::invalid(format!("tools[{index}].input_schema"), "`input_schema` is missing."));
        };
        let MessagesTool { name, description, strict, .. } = tool;
        let function = FunctionSpec { name, description, parameters: Some(schema), strict };
        Ok(ToolSpec { kind: FunctionKind::Function, function })
    };
    from.into_iter().enumerate().map(tool).collect()
}

fn choice(from: Option<MessagesToolChoice>) -> (Option<ToolChoice>, Option<bool>) {
    let (choice, single) = match from {
        None => return (None, None),
        Some(MessagesToolChoice::None) => return (Some(ToolChoice::None), None),
        Some(MessagesToolChoice::Auto { disable_parallel_tool_use }) => (ToolChoice::Auto, disable_parallel_tool_use),
        Some(MessagesToolChoice::Any { disable_parallel_tool_use }) => {
            (ToolChoice::Required, disable_parallel_tool_use)
        }
        Some(MessagesToolChoice::Tool { name, disable_parallel_tool_use }) => {
            (ToolChoice::Named(name), disable_parallel_tool_use)
        }
    };
    // Not disabled is not "must be able to": the template decides.
    (Some(choice), single.filter(|single| *single).map(|_| false))
}

fn response_format(OutputFormat::JsonSchema { schema }: OutputFormat) -> ResponseFormat {
    // Anthropic's answers always follow the schema, and have no place for a warning that they do not.
    let json_schema = SchemaSpec { name: None, description: None, schema: Some(schema), strict: Some(true) };
    ResponseFormat::JsonSchema { json_schema }
}

fn effort(from: OutputEffort) -> ReasoningEffort {
    match from {
        OutputEffort::Low => ReasoningEffort::Low,
        OutputEffort::Medium => ReasoningEffort::Medium,
        OutputEffort::High => ReasoningEffort::High,
        OutputEffort::Xhigh | OutputEffort::Max => ReasoningEffort::Xhigh,
    }
}

fn thinking(request: &mut ChatCompletionRequest, how: MessagesThinking) -> ApiResult<()> {
    match how {
        MessagesThinking::Adaptive { .. } => {}
        MessagesThinking::Disabled => {
            request.chat_template_kwargs = Some(Map::from_iter([("enable_thinking".to_owned(), Value::from(false))]));
        }
        MessagesThinking::Enabled { budget_tokens, .. } => {
            if let Some(budget) = budget_tokens.filter(|budget| !(1..=i64::from(u32::MAX)).contains(budget)) {
                let message = format!("`budget_tokens` is {budget}, but must be 1 to {}.", u32::MAX);
                return Err(ApiError::invalid("thinking.budget_tokens", message));
            }
            request.reasoning_budget = budget_tokens;
        }
    }
    Ok(())
}
