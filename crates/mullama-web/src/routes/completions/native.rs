//! POST /completion and /infill, with llama.cpp's names.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use mullama_async::{BackendPrompt, BackendRequest, TokenDelta};
use mullama_core::{FinishReason, TokenId, TokenLogprob as CoreLogprob};

use super::form;
use crate::answering::{Answering, Caller, End, Event, Work};
use crate::error::{ApiError, ApiResult, Dialect};
use crate::extract::ApiJson;
use crate::sse;
use crate::state::AppState;
use crate::wire::completion::{NativeAnswer, NativeCompletion, NativeCompletionRequest};
use crate::wire::logprobs::TokenLogprob;
use crate::wire::loose::{Inputs, TextOrTokens};
use crate::wire::sampling::{limit, range};
use crate::wire::usage::Timings;

/// Continues a text.
#[utoipa::path(
    post, path = "/completion", tag = "llama.cpp", request_body = NativeCompletionRequest,
    responses(
        (status = 200, description = "The answer; with `stream` as server-sent events", content(
            (NativeAnswer = "application/json"),
            (String = "text/event-stream"),
        )),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn completion(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(mut request): ApiJson<NativeCompletionRequest>,
) -> ApiResult<Response> {
    let prompts = request.prompt.take().map(Inputs::into_vec).unwrap_or_default();
    if prompts.is_empty() {
        return Err(ApiError::invalid("prompt", "`prompt` is empty; give a text or tokens."));
    }
    let prompts = prompts.into_iter().map(|prompt| match prompt {
        TextOrTokens::Text(text) => BackendPrompt::Text(text),
        TextOrTokens::Tokens(tokens) => BackendPrompt::Tokens(tokens.into_iter().map(TokenId).collect()),
    });
    answer(&state, &caller, request, prompts.collect()).await
}

/// Fills the gap between two texts.
#[utoipa::path(
    post, path = "/infill", tag = "llama.cpp", request_body = NativeCompletionRequest,
    responses(
        (status = 200, description = "As POST /completion", content(
            (NativeCompletion = "application/json"),
            (String = "text/event-stream"),
        )),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn infill(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(mut request): ApiJson<NativeCompletionRequest>,
) -> ApiResult<Response> {
    let missing = |name: &'static str| ApiError::invalid(name, format!("`{name}` is missing."));
    let mut prefix = request.input_prefix.take().ok_or_else(|| missing("input_prefix"))?;
    let suffix = request.input_suffix.take().ok_or_else(|| missing("input_suffix"))?;
    match request.prompt.take() {
        None => {}
        // What was written of the gap so far.
        Some(Inputs::Text(text)) => prefix.push_str(&text),
        Some(_) => return Err(ApiError::invalid("prompt", "`prompt` must be a text here.")),
    }
    answer(&state, &caller, request, vec![BackendPrompt::Infill { prefix, suffix }]).await
}

async fn answer(
    state: &AppState,
    caller: &Caller,
    mut request: NativeCompletionRequest,
    prompts: Vec<BackendPrompt>,
) -> ApiResult<Response> {
    let model = state.resolve(request.model.as_deref())?;
    if prompts.len() > state.config().max_inputs {
        let message = format!("{} prompts are more than {}.", prompts.len(), state.config().max_inputs);
        return Err(ApiError::invalid("prompt", message));
    }
    let mut params = request.sampling().over(&state.config().defaults)?;
    let limited = request.n_predict.or(request.max_tokens).filter(|tokens| *tokens != -1);
    params.max_tokens = limit("n_predict", limited)?;
    params.top_logprobs = match request.n_probs.unwrap_or(0) {
        0 => None,
        top => Some(u8::try_from(top).ok().filter(|top| *top <= 20).ok_or_else(|| range("n_probs", top, "0 to 20"))?),
    };
    if let Some(ms) = request.t_max_predict_ms.filter(|ms| *ms > 0) {
        params.timeout_ms = u64::try_from(ms).ok();
    }
    let (checks, warnings) = form(&mut params, request.json_schema.take(), "json_schema")?;
    let adapters = request.lora.take().map(|list| list.iter().map(|one| (one.id, one.scale)).collect::<Vec<_>>());
    let several = prompts.len() > 1;
    let requests = prompts.into_iter().map(|prompt| BackendRequest {
        params: params.clone(),
        adapters: adapters.clone(),
        ..BackendRequest::new(prompt)
    });
    let work = Work { model, prefix: "cmpl-", requests: requests.collect(), checks, warnings };
    let tokens = request.return_tokens == Some(true);
    let mut answering = Answering::start(state, caller, work).await?;
    if request.stream == Some(true) {
        answering.first().await?;
        return Ok(sse::response(pieces(answering, tokens), Duration::from_millis(state.config().keep_alive_ms)));
    }
    let ends = answering.whole().await?.into_iter().enumerate();
    let whole = ends.map(|(index, end)| piece(&answering, index, Event::End(end.into()), tokens));
    let mut whole: Vec<NativeCompletion> = whole.collect();
    let one = if several { None } else { whole.pop() };
    Ok(Json(one.map_or(NativeAnswer::Several(whole), |one| NativeAnswer::One(one.into()))).into_response())
}

fn pieces(answering: Answering, tell_tokens: bool) -> impl futures_core::Stream<Item = Bytes> + Send {
    stream::unfold(Some(answering), move |answering| async move {
        let mut answering = answering?;
        match answering.next().await? {
            Ok((index, event)) => {
                let piece = piece(&answering, index, event, tell_tokens);
                Some((sse::data(&piece), Some(answering)))
            }
            Err(error) => {
                let error = answering.failed(error);
                Some((sse::data(&error.body(Dialect::OpenAi)), None))
            }
        }
    })
}

fn piece(answering: &Answering, index: usize, event: Event, tell_tokens: bool) -> NativeCompletion {
    let number = u32::try_from(index).unwrap_or(u32::MAX);
    let base = |delta: TokenDelta| NativeCompletion {
        index: number,
        content: delta.text,
        tokens: if tell_tokens { delta.tokens.iter().map(|token| token.0).collect() } else { Vec::new() },
        id_slot: -1,
        model: answering.model.clone(),
        tokens_predicted: answering.tokens(index),
        tokens_evaluated: answering.prompt_tokens(),
        completion_probabilities: probabilities(&delta.logprobs),
        ..NativeCompletion::default()
    };
    match event {
        Event::Tokens(delta) => base(delta),
        Event::End(end) => {
            let End { done, finish_reason, .. } = *end;
            let summary = done.summary;
            let stop_type = match (finish_reason, &summary.stop, summary.finish_reason) {
                (_, Some(_), _) => "word",
                (_, _, FinishReason::Stop) => "eos",
                ("length", ..) => "limit",
                _ => "none",
            };
            NativeCompletion {
                stop: true,
                tokens_predicted: summary.usage.completion_tokens,
                tokens_evaluated: summary.usage.prompt_tokens,
                stop_type: Some(stop_type),
                stopping_word: Some(summary.stop.clone().unwrap_or_default()),
                tokens_cached: Some(summary.usage.cached_tokens),
                truncated: Some(false),
                timings: Some(Timings::of(&summary)),
                ..base(done.last)
            }
        }
    }
}

fn probabilities(from: &[CoreLogprob]) -> Vec<TokenLogprob> {
    from.iter().map(TokenLogprob::of).collect()
}
