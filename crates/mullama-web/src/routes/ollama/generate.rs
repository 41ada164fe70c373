//! POST /api/generate.

use std::time::Instant;

use axum::extract::State;
use axum::response::Response;
use mullama_async::{BackendPrompt, BackendRequest};
use mullama_core::GenerationParams;

use super::lines::{Kind, Writer};
use super::{PREFIX, answer, idle, load, not_taken, resolve, start, translate};
use crate::answering::{Answering, Caller, Work};
use crate::error::{ApiError, ApiResult};
use crate::extract::ApiJson;
use crate::routes::completions::form;
use crate::state::AppState;
use crate::wire::ollama::{OllamaAnswer, OllamaGenerateRequest};
use crate::wire::sampling::{limit, range};

/// Answers a prompt.
#[utoipa::path(
    post, path = "/api/generate", tag = "Ollama", request_body = OllamaGenerateRequest,
    responses(
        (status = 200, description = "The answer; unless `stream` is false as one JSON object a line", content(
            (OllamaAnswer = "application/json"),
            (OllamaAnswer = "application/x-ndjson"),
        )),
        crate::wire::error::OllamaFailures,
    ),
)]
pub(crate) async fn generate(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(mut request): ApiJson<OllamaGenerateRequest>,
) -> ApiResult<Response> {
    let begun = Instant::now();
    let model = resolve(&state, request.model.as_deref())?;
    check(&request)?;
    if !is_given(&request.prompt) && !is_given(&request.suffix) {
        return idle(&state, &caller, model, request.keep_alive, Kind::Generate).await;
    }
    let streamed = request.stream.take() != Some(false);
    let raw = request.raw == Some(true) || is_given(&request.suffix);
    if !raw {
        let with_template = crate::routes::chat::translate::translate(&state, translate::generate(request.clone())?)?;
        let loaded = load(&state, &model, begun).await?;
        if has_template(&state, &model) {
            let writer = Writer::new(Kind::Generate, begun, loaded);
            return answer(start(&state, &caller, model, with_template).await?, writer, streamed).await;
        }
        if is_given(&request.system) {
            return Err(ApiError::unsupported("system", "This model has no chat template, which `system` needs."));
        }
    }
    let (work, loaded) = (plain(&state, &model, request)?, load(&state, &model, begun).await?);
    let answering = Answering::start(&state, &caller, work).await?;
    answer(answering, Writer::new(Kind::Raw, begun, loaded), streamed).await
}

fn is_given(text: &Option<String>) -> bool {
    text.as_ref().is_some_and(|text| !text.is_empty())
}

fn check(request: &OllamaGenerateRequest) -> ApiResult<()> {
    let some = |list: Option<bool>| list == Some(false);
    not_taken("images", some(request.images.as_ref().map(Vec::is_empty)), "this server reads text only")?;
    not_taken("context", some(request.context.as_ref().map(Vec::is_empty)), "send the conversation to /api/chat")?;
    not_taken("template", is_given(&request.template), "the model's own is used; `raw` goes without it")?;
    if request.raw == Some(true) {
        not_taken("system", is_given(&request.system), "with `raw` the model gets the prompt alone")?;
    }
    if is_given(&request.suffix) {
        not_taken("system", is_given(&request.system), "with `suffix` the model gets prompt and suffix alone")?;
    }
    Ok(())
}

/// A backend that tells nothing of a model is believed to have one.
fn has_template(state: &AppState, model: &str) -> bool {
    let models = state.backend().models();
    let info = models.into_iter().find(|one| one.name == model).and_then(|one| one.info);
    info.is_none_or(|info| info.chat_template.is_some())
}

/// Work for the prompt as it is.
fn plain(state: &AppState, model: &str, mut from: OllamaGenerateRequest) -> ApiResult<Work> {
    let mut options = translate::options(from.options.take().unwrap_or_default())?;
    let mut params: GenerationParams = options.sampling().over(&state.config().defaults)?;
    params.max_tokens = limit("num_predict", options.max_tokens)?.or(params.max_tokens);
    params.top_logprobs = top_logprobs(from.logprobs, from.top_logprobs)?;
    let (checks, warnings) = form(&mut params, translate::form(from.format.take())?, "format")?;
    let prompt = from.prompt.unwrap_or_default();
    let prompt = match from.suffix.filter(|text| !text.is_empty()) {
        Some(suffix) => BackendPrompt::Infill { prefix: prompt, suffix },
        None => BackendPrompt::Text(prompt),
    };
    let request = BackendRequest { params, ..BackendRequest::new(prompt) };
    Ok(Work { model: model.to_owned(), prefix: PREFIX, requests: vec![request], checks, warnings })
}

fn top_logprobs(wanted: Option<bool>, top: Option<i64>) -> ApiResult<Option<u8>> {
    if wanted != Some(true) {
        return Ok(None);
    }
    let top = top.unwrap_or(0);
    let count = u8::try_from(top).ok().filter(|count| *count <= 20);
    count.map(Some).ok_or_else(|| range("top_logprobs", top, "0 to 20"))
}
