//! Ollama's requests to that of a chat completion.

use std::collections::VecDeque;

use serde_json::{Map, Value};

use crate::error::{ApiError, ApiResult};
use crate::wire::chat::{
    ChatCompletionRequest, FunctionCall, FunctionKind, Message, MessageContent, MessageRole, ResponseFormat,
    SchemaSpec, ToolCall,
};
use crate::wire::ollama::{OllamaCall, OllamaChatRequest, OllamaGenerateRequest, OllamaMessage, OllamaOptions, Think};
use crate::wire::sampling::limit;

pub(super) fn chat(from: OllamaChatRequest) -> ApiResult<ChatCompletionRequest> {
    let mut request = options(from.options.unwrap_or_default())?;
    let messages = messages(from.messages.unwrap_or_default())?;
    let last = messages.last().filter(|last| last.role == MessageRole::Assistant && last.tool_calls.is_none());
    request.continue_final_message = last.map(|_| true);
    request.messages = Some(messages);
    request.tools = from.tools;
    request.response_format = form(from.format)?.map(response_format);
    think(&mut request, from.think);
    (request.logprobs, request.top_logprobs) = logprobs(from.logprobs, from.top_logprobs);
    Ok(request)
}

/// A prompt as a conversation.
pub(super) fn generate(from: OllamaGenerateRequest) -> ApiResult<ChatCompletionRequest> {
    let system = from.system.filter(|text| !text.is_empty()).map(|text| message(MessageRole::System, text));
    let prompt = message(MessageRole::User, from.prompt.unwrap_or_default());
    let mut request = options(from.options.unwrap_or_default())?;
    request.messages = Some(system.into_iter().chain([prompt]).collect());
    request.response_format = form(from.format)?.map(response_format);
    think(&mut request, from.think);
    (request.logprobs, request.top_logprobs) = logprobs(from.logprobs, from.top_logprobs);
    Ok(request)
}

pub(super) fn options(mut from: OllamaOptions) -> ApiResult<ChatCompletionRequest> {
    let most = from.num_predict.filter(|most| *most > 0);
    limit("num_predict", most)?;
    let mut sampling = from.sampling();
    sampling.n_keep = from.num_keep.or(sampling.n_keep);
    Ok(ChatCompletionRequest { max_tokens: most, ..sampling.into() })
}

/// `format`: the schema of the answer.
pub(super) fn form(format: Option<Value>) -> ApiResult<Option<Value>> {
    match format {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if name.is_empty() => Ok(None),
        Some(Value::String(name)) if name == "json" => Ok(Some(serde_json::json!({ "type": "object" }))),
        Some(schema @ Value::Object(_)) => Ok(Some(schema)),
        Some(_) => Err(ApiError::invalid("format", "`format` must be \"json\" or a JSON schema.")),
    }
}

fn response_format(schema: Value) -> ResponseFormat {
    let json_schema = SchemaSpec { name: None, description: None, schema: Some(schema), strict: None };
    ResponseFormat::JsonSchema { json_schema }
}

fn think(request: &mut ChatCompletionRequest, think: Option<Think>) {
    match think {
        None | Some(Think::Yes) => {}
        Some(Think::No) => {
            request.chat_template_kwargs = Some(Map::from_iter([("enable_thinking".to_owned(), Value::from(false))]));
        }
        Some(Think::Effort(effort)) => request.reasoning_effort = Some(effort),
    }
}

/// Ollama passes over `top_logprobs` without `logprobs`, and its clients send both.
fn logprobs(wanted: Option<bool>, top: Option<i64>) -> (Option<bool>, Option<i64>) {
    (wanted, top.filter(|_| wanted == Some(true)))
}

fn messages(from: Vec<OllamaMessage>) -> ApiResult<Vec<Message>> {
    let mut known = Calls::default();
    let read = |(index, from): (usize, OllamaMessage)| {
        if from.images.is_some_and(|images| !images.is_empty()) {
            let param = format!("messages[{index}].images");
            return Err(ApiError::unsupported(param, "This server reads text only: it takes no pictures."));
        }
        let mut new = message(from.role, from.content.unwrap_or_default());
        new.reasoning_content = from.thinking.filter(|text| !text.is_empty());
        if let Some(calls) = from.tool_calls.filter(|calls| !calls.is_empty()) {
            new.tool_calls = Some(calls.into_iter().map(|call| known.call(call)).collect());
        }
        if from.role == MessageRole::Tool {
            (new.tool_call_id, new.name) = known.answer(from.tool_call_id, from.tool_name);
        }
        Ok(new)
    };
    from.into_iter().enumerate().map(read).collect()
}

/// Ollama's calls and results need no ids: results come in the order of the calls, or name the tool.
#[derive(Debug, Default)]
struct Calls {
    count: u32,
    /// Ids and names of calls without a result.
    open: VecDeque<(String, String)>,
}

impl Calls {
    fn call(&mut self, from: OllamaCall) -> ToolCall {
        self.count += 1;
        // Nine letters and digits: Mistral's templates take no other ids.
        let id = from.id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call{:05}", self.count));
        let name = from.function.name;
        self.open.push_back((id.clone(), name.clone()));
        let arguments = match from.function.arguments {
            Value::Null => "{}".to_owned(),
            Value::String(text) => text,
            other => other.to_string(),
        };
        ToolCall { id, kind: FunctionKind::Function, function: FunctionCall { name, arguments } }
    }

    /// The id and the name of the call that a result answers.
    fn answer(&mut self, id: Option<String>, name: Option<String>) -> (Option<String>, Option<String>) {
        let fits = |call: &(String, String)| match (&id, &name) {
            (Some(id), _) => call.0 == *id,
            (None, Some(name)) => call.1 == *name,
            (None, None) => true,
        };
        let call = self.open.iter().position(fits).and_then(|at| self.open.remove(at));
        let (called, tool) = call.unzip();
        (id.or(called), name.or(tool))
    }
}

fn message(role: MessageRole, text: String) -> Message {
    Message::new(role, MessageContent::Text(text))
}
