//! Ollama's API, as far as its clients need it to talk to models: nothing is fetched, made or deleted by it.

pub(crate) mod embed;
pub(crate) mod generate;
mod lines;
pub(crate) mod models;
#[cfg(test)]
mod tests;
mod time;
mod translate;

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use mullama_async::{BackendPrompt, BackendRequest};

use crate::answering::{Answering, Caller, Work};
use crate::error::{ApiError, ApiResult};
use crate::extract::ApiJson;
use crate::routes::chat::translate::Translated;
use crate::state::AppState;
use crate::wire::ollama::{KeepAlive, OllamaAnswer, OllamaChatRequest};
use lines::{Kind, Writer};

/// Answers a conversation.
#[utoipa::path(
    post, path = "/api/chat", tag = "Ollama", request_body = OllamaChatRequest,
    responses(
        (status = 200, description = "The answer; unless `stream` is false as one JSON object a line", content(
            (OllamaAnswer = "application/json"),
            (OllamaAnswer = "application/x-ndjson"),
        )),
        crate::wire::error::OllamaFailures,
    ),
)]
pub(crate) async fn chat(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(mut request): ApiJson<OllamaChatRequest>,
) -> ApiResult<Response> {
    let begun = Instant::now();
    let model = resolve(&state, request.model.as_deref())?;
    if request.messages.as_ref().is_none_or(Vec::is_empty) {
        return idle(&state, &caller, model, request.keep_alive, Kind::Chat).await;
    }
    let streamed = request.stream.take() != Some(false);
    let translated = crate::routes::chat::translate::translate(&state, translate::chat(request)?)?;
    let load = load(&state, &model, begun).await?;
    let writer = Writer::new(Kind::Chat, begun, load);
    let answering = start(&state, &caller, model, translated).await?;
    answer(answering, writer, streamed).await
}

/// Hands a conversation in.
async fn start(state: &AppState, caller: &Caller, model: String, from: Translated) -> ApiResult<Answering> {
    let Translated { chat, params, checks, warnings } = from;
    let request = BackendRequest { params, ..BackendRequest::new(BackendPrompt::Chat(Box::new(chat))) };
    Answering::start(state, caller, Work { model, prefix: PREFIX, requests: vec![request], checks, warnings }).await
}

async fn answer(mut answering: Answering, writer: Writer, streamed: bool) -> ApiResult<Response> {
    if streamed {
        answering.first().await?;
        return Ok(lines::response(answering, writer));
    }
    Ok(Json(lines::whole(answering, writer).await?).into_response())
}

/// A request without anything to answer loads the model, or unloads it. The answer is never a stream.
async fn idle(
    state: &AppState,
    caller: &Caller,
    model: String,
    keep_alive: Option<KeepAlive>,
    kind: Kind,
) -> ApiResult<Response> {
    caller.notes.model(&model);
    let done_reason = if keep_alive.is_some_and(|keep| keep.is_zero) {
        // Requests that run come to their end before. Who does not want to wait for them goes away: the model stays then.
        state.backend().unload(&model, UNLOAD).await?;
        "unload"
    } else {
        state.backend().load(&model).await?;
        "load"
    };
    Ok(Json(OllamaAnswer { done: true, done_reason: Some(done_reason), ..lines::empty(kind, &model) }).into_response())
}

/// Loads the model, so that the time it takes can be told. Gives the time since the request's beginning.
async fn load(state: &AppState, model: &str, begun: Instant) -> ApiResult<Duration> {
    state.backend().load(model).await?;
    Ok(begun.elapsed())
}

/// The model that a request means; Ollama's clients put `:latest` behind names without a tag.
fn resolve(state: &AppState, asked: Option<&str>) -> ApiResult<String> {
    let bare = asked.and_then(|name| name.strip_suffix(":latest"));
    let found = state.resolve(asked).or_else(|error| bare.map_or(Err(error), |name| state.resolve(Some(name))));
    found.map_err(|mut error| {
        // Clients that look for Ollama's words offer to fetch the model then.
        error.message = format!("model '{}' not found", asked.unwrap_or_default());
        error
    })
}

/// Only the log and the list of running answers have it: Ollama's answers have no id.
const PREFIX: &str = "ollama-";
const UNLOAD: Duration = Duration::from_secs(600);

/// 400 for a field that has something in it.
fn not_taken(name: &'static str, given: bool, why: &str) -> ApiResult<()> {
    if given { Err(ApiError::unsupported(name, format!("`{name}` is not taken: {why}."))) } else { Ok(()) }
}
