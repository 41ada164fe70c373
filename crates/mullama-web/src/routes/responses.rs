//! POST /v1/responses and what belongs to it.

mod items;
mod store;
mod stream;
mod translate;

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use mullama_async::{BackendPrompt, TokenDelta};
use mullama_core::{ChatDelta, ChatMessage, Summary, TokenLogprob as CoreLogprob};
use tokio::time::Instant;

use self::items::Item;
pub(crate) use self::store::ResponseStore;
use self::store::{Entry, Turn};
use self::translate::Prepared;
use crate::answering::{Answering, Caller, End, Event};
use crate::error::{ApiError, ApiResult};
use crate::extract::ApiJson;
use crate::id;
use crate::state::{AppState, now};
use crate::wire::logprobs::TokenLogprob;
use crate::wire::responses::ResponseRequest;
use crate::wire::responses::output::{
    DeletedResponse, IncompleteDetails, InputTokens, ItemStatus, OutputItem, OutputText, ReasoningText, ResponseObject,
    ResponseStatus, ResponseUsage,
};

/// Answers a text or a conversation.
#[utoipa::path(
    post, path = "/v1/responses", tag = "OpenAI", request_body = ResponseRequest,
    responses(
        (status = 200, description = "The response; with `stream` as server-sent events", content(
            (ResponseObject = "application/json"),
            (String = "text/event-stream"),
        )),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(request): ApiJson<ResponseRequest>,
) -> ApiResult<Response> {
    let stream = request.stream == Some(true);
    let prepared = translate::prepare(&state, caller.notes.key_name(), request)?;
    let Prepared { work, mut response, previous, items } = prepared;
    let mut answering = Answering::start(&state, &caller, work).await?;
    response.id.clone_from(&answering.id);
    response.created_at = answering.created;
    response.model.clone_from(&answering.model);
    response.warnings = std::mem::take(&mut answering.warnings);
    let key = caller.notes.key_name().map(str::to_owned);
    let keeper = response.store.then(|| Keeper { state: state.clone(), key, previous, items });
    if stream {
        answering.first().await?;
        return Ok(stream::response(&state, answering, response, keeper));
    }
    let body = whole(answering, response, keeper).await?;
    Ok(json(body))
}

/// Counts the tokens of what would be answered.
#[utoipa::path(
    post, path = "/v1/responses/input_tokens", tag = "OpenAI", request_body = ResponseRequest,
    responses(
        (status = 200, description = "The tokens of the prompt", body = InputTokens),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn input_tokens(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(request): ApiJson<ResponseRequest>,
) -> ApiResult<Json<InputTokens>> {
    let Prepared { work, .. } = translate::prepare(&state, caller.notes.key_name(), request)?;
    caller.notes.model(&work.model);
    let prompt = work.requests.into_iter().next().map(|request| request.prompt);
    let Some(BackendPrompt::Chat(chat)) = prompt else {
        return Err(ApiError::internal("a response without a conversation"));
    };
    let rendered = state.backend().apply_template(&work.model, chat).await;
    let rendered = rendered.map_err(|error| ApiError::from(error).formed_by(work.checks.form))?;
    Ok(Json(InputTokens { object: "response.input_tokens", input_tokens: rendered.tokens }))
}

/// Tells a response that is kept.
#[utoipa::path(
    get, path = "/v1/responses/{id}", tag = "OpenAI", params(("id" = String, Path, description = "`resp_...`")),
    responses(
        (status = 200, description = "The response", body = ResponseObject),
        (status = 404, description = "There is none, or no more", body = crate::wire::error::ErrorBody),
    ),
)]
pub(crate) async fn retrieve(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> ApiResult<Response> {
    if query.unwrap_or_default().split('&').any(|pair| pair == "stream=true") {
        return Err(ApiError::unsupported("stream", "A response that is kept cannot be streamed again."));
    }
    let body = state.responses().body(&id, caller.notes.key_name(), Instant::now());
    body.map(json).ok_or_else(|| unknown(&id))
}

/// Forgets a response.
#[utoipa::path(
    delete, path = "/v1/responses/{id}", tag = "OpenAI", params(("id" = String, Path, description = "`resp_...`")),
    responses(
        (status = 200, description = "It is forgotten", body = DeletedResponse),
        (status = 404, description = "There is none, or no more", body = crate::wire::error::ErrorBody),
    ),
)]
pub(crate) async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Json<DeletedResponse>> {
    if state.responses().remove(&id, caller.notes.key_name(), Instant::now()) {
        Ok(Json(DeletedResponse { id, object: "response", deleted: true }))
    } else {
        Err(unknown(&id))
    }
}

fn unknown(id: &str) -> ApiError {
    ApiError::not_found(format!("Response with id '{id}' not found.")).param("id")
}

fn json(body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Keeps a response when it is whole.
#[derive(Debug)]
struct Keeper {
    state: AppState,
    key: Option<String>,
    previous: Option<Arc<Turn>>,
    items: Vec<Arc<Item>>,
}

impl Keeper {
    fn keep(self, response: &ResponseObject, body: Bytes) {
        let Self { state, key, previous, mut items } = self;
        items.extend(response.output.iter().map(|item| Arc::new(Item::of(item))));
        let item_ids = response.output.iter().map(|item| item.id().to_owned()).collect();
        let entry = Entry { id: response.id.clone(), key, body, items, item_ids, previous };
        state.responses().put(entry, Instant::now());
    }
}

/// Waits for the whole response.
async fn whole(mut answering: Answering, mut response: ResponseObject, keeper: Option<Keeper>) -> ApiResult<Bytes> {
    let mut reader = TextLogprobs::default();
    let mut logprobs = Vec::new();
    while let Some(event) = answering.next().await {
        match event?.1 {
            Event::Tokens(mut delta) => logprobs.extend(reader.take(&mut delta)),
            Event::End(end) => {
                let End { finish_reason, reasoning_tokens, mut done } = *end;
                logprobs.extend(reader.take(&mut done.last));
                let message = done.message.unwrap_or_else(|| ChatMessage::assistant(""));
                response.output = output(message, std::mem::take(&mut logprobs));
                conclude(&mut response, finish_reason, &done.summary, reasoning_tokens);
            }
        }
    }
    let body = write(&response)?;
    if let Some(keeper) = keeper {
        keeper.keep(&response, body.clone());
    }
    Ok(body)
}

fn write(response: &ResponseObject) -> ApiResult<Bytes> {
    let body = serde_json::to_vec(response);
    body.map(Bytes::from).map_err(|error| ApiError::internal(format!("a response cannot be written: {error}")))
}

/// The items of an answer.
fn output(message: ChatMessage, logprobs: Vec<TokenLogprob>) -> Vec<OutputItem> {
    let text = message.text();
    let mut items = Vec::new();
    if let Some(text) = message.reasoning_content {
        let mut item = thought();
        if let OutputItem::Reasoning { content, .. } = &mut item {
            content.push(ReasoningText { text });
        }
        items.push(item);
    }
    if !text.is_empty() || (items.is_empty() && message.tool_calls.is_empty()) {
        let mut item = said();
        if let OutputItem::Message { content, .. } = &mut item {
            content.push(OutputText { text, logprobs, ..OutputText::default() });
        }
        items.push(item);
    }
    items.extend(message.tool_calls.into_iter().map(|made| {
        let mut item = call(made.id, made.function.name);
        if let OutputItem::FunctionCall { arguments, .. } = &mut item {
            *arguments = made.function.arguments;
        }
        item
    }));
    items
}

/// An empty reasoning item.
fn thought() -> OutputItem {
    OutputItem::Reasoning {
        id: id::new("rs_"),
        status: ItemStatus::InProgress,
        summary: Vec::new(),
        content: Vec::new(),
    }
}

/// An empty message.
fn said() -> OutputItem {
    OutputItem::Message { id: id::new("msg_"), status: ItemStatus::InProgress, role: "assistant", content: Vec::new() }
}

/// A call without arguments.
fn call(call_id: String, name: String) -> OutputItem {
    OutputItem::FunctionCall {
        id: id::new("fc_"),
        status: ItemStatus::InProgress,
        call_id,
        name,
        arguments: String::new(),
    }
}

/// The end of a response: what it took, and where it and the items that were open stand.
fn conclude(response: &mut ResponseObject, finish_reason: &str, summary: &Summary, reasoning_tokens: u32) {
    response.usage = Some(ResponseUsage::of(&summary.usage, reasoning_tokens));
    let mut last = ItemStatus::Completed;
    if finish_reason == "length" {
        last = ItemStatus::Incomplete;
        response.status = ResponseStatus::Incomplete;
        response.incomplete_details = Some(IncompleteDetails { reason: "max_output_tokens" });
    } else {
        response.status = ResponseStatus::Completed;
        response.completed_at = Some(now());
    }
    for status in response.output.iter_mut().rev().map(OutputItem::status) {
        if *status == ItemStatus::InProgress {
            *status = std::mem::replace(&mut last, ItemStatus::Completed);
        }
    }
}

/// Tells the log-probabilities of text from those of thoughts and calls.
#[derive(Debug, Default)]
struct TextLogprobs {
    /// Of tokens of which it is not certain yet what they mean.
    open: Vec<CoreLogprob>,
}

impl TextLogprobs {
    /// Those of the text that became certain.
    fn take(&mut self, delta: &mut TokenDelta) -> Vec<TokenLogprob> {
        self.open.append(&mut delta.logprobs);
        let text = delta.deltas.iter().any(|delta| matches!(delta, ChatDelta::Content(_)));
        let certain = if delta.deltas.is_empty() { Vec::new() } else { std::mem::take(&mut self.open) };
        if text { certain.iter().map(TokenLogprob::of).collect() } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests;
