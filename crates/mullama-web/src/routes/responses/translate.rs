//! A request for a response to the chat's request, and the chat's errors back.

use std::collections::BTreeMap;
use std::sync::Arc;

use mullama_async::{BackendPrompt, BackendRequest};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::items::{self, Item};
use super::store::Turn;
use crate::answering::{Work, priority};
use crate::error::{ApiError, ApiResult};
use crate::routes::chat::translate::{Translated, translate};
use crate::state::AppState;
use crate::wire::chat::{
    ChatCompletionRequest, FunctionKind, FunctionSpec, ResponseFormat, SchemaSpec, ToolChoice, ToolSpec,
};
use crate::wire::responses::ResponseRequest;
use crate::wire::responses::input::{FunctionTool, Include, ServiceTier, TextFormat, Truncation};
use crate::wire::responses::output::{ResponseObject, ResponseStatus};
use crate::wire::sampling::limit;

/// A request that was read.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) work: Work,
    /// Without what only the answer tells.
    pub(super) response: ResponseObject,
    /// The conversation before `items`.
    pub(super) previous: Option<Arc<Turn>>,
    pub(super) items: Vec<Arc<Item>>,
}

pub(super) fn prepare(state: &AppState, key: Option<&str>, mut request: ResponseRequest) -> ApiResult<Prepared> {
    refuse(&request)?;
    let model = state.resolve(request.model.as_deref())?;
    let (previous, items) = conversation(state, key, &mut request)?;
    let before = previous.as_ref().map(|turn| turn.conversation()).unwrap_or_default();
    let messages = items::messages(request.instructions.as_deref(), before.into_iter().chain(&items));
    let mut chat = chat(&request)?;
    chat.messages = Some(messages);
    let response = response(&mut request);
    // The conversation carries it.
    chat.grammar = request.grammar.take();
    let adapters = request.lora.take().map(|list| list.iter().map(|one| (one.id, one.scale)).collect());
    let mut params = request.sampling().over(&state.config().defaults)?;
    let Translated { chat, params: limits, checks, warnings } = translate(state, chat)?;
    params.max_tokens = limits.max_tokens;
    params.top_logprobs = limits.top_logprobs;
    params.sampling.grammar = None;
    params.context_shift |= response.truncation == Truncation::Auto;
    let response =
        ResponseObject { temperature: params.sampling.temperature, top_p: params.sampling.top_p, ..response };
    let one = BackendRequest {
        prompt: BackendPrompt::Chat(Box::new(chat)),
        params,
        priority: priority((response.service_tier == ServiceTier::Flex).then_some("flex")),
        adapters,
        cache_salt: None,
        event_buffer: None,
    };
    let work = Work { model, prefix: "resp_", requests: vec![one], checks, warnings };
    Ok(Prepared { work, response, previous, items })
}

/// What is not done here.
fn refuse(request: &ResponseRequest) -> ApiResult<()> {
    if request.background == Some(true) {
        return Err(ApiError::unsupported("background", "Nothing is answered in the background here; use `stream`."));
    }
    if request.conversation.is_some() {
        let message = "There are no stored conversations here; `previous_response_id` continues one.";
        return Err(ApiError::unsupported("conversation", message));
    }
    if request.prompt.is_some() {
        return Err(ApiError::unsupported("prompt", "There are no stored prompts here; give `input`."));
    }
    request.metadata.as_ref().map_or(Ok(()), metadata)
}

fn metadata(metadata: &BTreeMap<String, String>) -> ApiResult<()> {
    if metadata.len() > 16 {
        let message = format!("`metadata` has {} names, but may have 16.", metadata.len());
        return Err(ApiError::invalid("metadata", message));
    }
    for (name, text) in metadata {
        let length = name.chars().count();
        if length > 64 {
            return Err(ApiError::invalid("metadata", format!("A name has {length} characters, but may have 64.")));
        }
        let length = text.chars().count();
        if length > 512 {
            let message = format!("The text of `{name}` has {length} characters, but may have 512.");
            return Err(ApiError::invalid(format!("metadata.{name}"), message));
        }
    }
    Ok(())
}

type Conversation = (Option<Arc<Turn>>, Vec<Arc<Item>>);

fn conversation(state: &AppState, key: Option<&str>, request: &mut ResponseRequest) -> ApiResult<Conversation> {
    let now = Instant::now();
    let store = state.responses();
    let previous = match &request.previous_response_id {
        None => None,
        Some(id) => Some(store.turn(id, key, now).ok_or_else(|| {
            let message = format!("Previous response with id '{id}' not found.");
            ApiError::invalid("previous_response_id", message).code("previous_response_not_found")
        })?),
    };
    let input = request.input.take().ok_or_else(|| ApiError::invalid("input", "`input` is missing."))?;
    let items = items::read(input, |id| store.item(id, key, now))?;
    if items.is_empty() {
        return Err(ApiError::invalid("input", "`input` is empty; give a text, or at least one item."));
    }
    Ok((previous, items))
}

/// All but the messages and the sampling.
fn chat(request: &ResponseRequest) -> ApiResult<ChatCompletionRequest> {
    limit("max_output_tokens", request.max_output_tokens)?;
    let asked = request.include.as_ref().is_some_and(|list| list.contains(&Include::TextLogprobs));
    let logprobs = asked || request.top_logprobs.is_some_and(|top| top != 0);
    let tools = request.tools.iter().flatten().enumerate().map(|(index, one)| tool(index, one));
    Ok(ChatCompletionRequest {
        tools: Some(tools.collect::<ApiResult<_>>()?),
        tool_choice: request.tool_choice.clone(),
        parallel_tool_calls: request.parallel_tool_calls,
        response_format: request.text.as_ref().and_then(|text| text.format.as_ref()).map(format),
        max_completion_tokens: request.max_output_tokens,
        logprobs: logprobs.then_some(true),
        top_logprobs: request.top_logprobs,
        reasoning_effort: request.reasoning.and_then(|reasoning| reasoning.effort).map(Into::into),
        ..ChatCompletionRequest::default()
    })
}

fn tool(index: usize, from: &FunctionTool) -> ApiResult<ToolSpec> {
    if from.kind != "function" {
        let message = format!("Tools of type `{}` are not known here; `function` is.", from.kind);
        return Err(ApiError::unsupported(format!("tools[{index}].type"), message));
    }
    if from.name.is_empty() {
        return Err(ApiError::invalid(format!("tools[{index}].name"), "A function needs a `name`."));
    }
    let function = FunctionSpec {
        name: from.name.clone(),
        description: from.description.clone(),
        parameters: from.parameters.clone(),
        strict: from.strict,
    };
    Ok(ToolSpec { kind: FunctionKind::Function, function })
}

fn format(from: &TextFormat) -> ResponseFormat {
    match from {
        TextFormat::Text => ResponseFormat::Text,
        TextFormat::JsonObject => ResponseFormat::JsonObject { schema: None },
        TextFormat::JsonSchema { name, description, schema, strict } => ResponseFormat::JsonSchema {
            json_schema: SchemaSpec {
                name: Some(name.clone()),
                description: description.clone(),
                schema: Some(schema.clone()),
                strict: *strict,
            },
        },
    }
}

/// What is given back of the request.
fn response(request: &mut ResponseRequest) -> ResponseObject {
    let mut text = request.text.take().unwrap_or_default();
    text.format.get_or_insert(TextFormat::Text);
    let mut reasoning = request.reasoning.unwrap_or_default();
    reasoning.summary = reasoning.summary.or(reasoning.generate_summary);
    let flex = request.service_tier == Some(ServiceTier::Flex);
    ResponseObject {
        id: String::new(),
        object: "response",
        created_at: 0,
        completed_at: None,
        status: ResponseStatus::InProgress,
        error: None,
        incomplete_details: None,
        model: String::new(),
        output: Vec::new(),
        usage: None,
        warnings: Vec::new(),
        background: false,
        instructions: request.instructions.take(),
        max_output_tokens: request.max_output_tokens,
        max_tool_calls: request.max_tool_calls,
        parallel_tool_calls: request.parallel_tool_calls.unwrap_or(true),
        previous_response_id: request.previous_response_id.take(),
        prompt_cache_key: request.prompt_cache_key.take(),
        reasoning,
        safety_identifier: request.safety_identifier.take(),
        service_tier: if flex { ServiceTier::Flex } else { ServiceTier::Default },
        store: request.store.unwrap_or(true),
        temperature: 0.0,
        text,
        tool_choice: choice(request.tool_choice.as_ref()),
        tools: request.tools.take().unwrap_or_default(),
        top_logprobs: request.top_logprobs.unwrap_or(0),
        top_p: 0.0,
        truncation: request.truncation.unwrap_or_default(),
        user: request.user.take(),
        metadata: request.metadata.take().unwrap_or_default(),
    }
}

fn choice(choice: Option<&ToolChoice>) -> Value {
    match choice {
        None | Some(ToolChoice::Auto) => "auto".into(),
        Some(ToolChoice::None) => "none".into(),
        Some(ToolChoice::Required) => "required".into(),
        Some(ToolChoice::Named(name)) => json!({ "type": "function", "name": name }),
        Some(ToolChoice::Allowed { required, names }) => {
            let tools: Vec<_> = names.iter().map(|name| json!({ "type": "function", "name": name })).collect();
            json!({ "type": "allowed_tools", "mode": if *required { "required" } else { "auto" }, "tools": tools })
        }
    }
}
