//! POST /v1/chat/completions.

mod stream;
pub(crate) mod translate;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use mullama_async::{BackendPrompt, BackendRequest};
use mullama_core::ChatMessage;

use crate::answering::{Answering, Caller, Work, priority};
use crate::error::{ApiError, ApiResult};
use crate::extract::ApiJson;
use crate::state::AppState;
use crate::wire::chat::{
    AnswerMessage, ChatCompletion, ChatCompletionRequest, Choice, FunctionCall, FunctionKind, ToolCall,
};
use crate::wire::logprobs::ChatLogprobs;
use crate::wire::usage::{Timings, Usage};
use translate::Translated;

/// Answers a conversation.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "OpenAI", request_body = ChatCompletionRequest,
    responses(
        (status = 200, description = "The answer; with `stream` as server-sent events of chunks", content(
            (ChatCompletion = "application/json"),
            (String = "text/event-stream"),
        )),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn completions(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(request): ApiJson<ChatCompletionRequest>,
) -> ApiResult<Response> {
    let stream = request.stream == Some(true);
    let options = stream::Options::of(&request);
    let mut answering = start(&state, &caller, request).await?;
    if stream {
        answering.first().await?;
        return Ok(stream::response(&state, answering, options));
    }
    Ok(Json(whole(answering).await?).into_response())
}

/// Hands a conversation in.
pub(crate) async fn start(state: &AppState, caller: &Caller, request: ChatCompletionRequest) -> ApiResult<Answering> {
    let work = work(state, request).await?;
    Answering::start(state, caller, work).await
}

/// The work that a request asks for.
async fn work(state: &AppState, mut request: ChatCompletionRequest) -> ApiResult<Work> {
    let model = state.resolve(request.model.as_deref())?;
    let choices = choices(state, request.n)?;
    let priority = priority(request.service_tier.as_deref());
    let adapters = request.lora.take().map(|list| list.iter().map(|one| (one.id, one.scale)).collect());
    let Translated { chat, params, checks, warnings } = translate::translate(state, request)?;
    let one = |choice: u32| {
        let mut params = params.clone();
        // Different answers need different seeds.
        params.sampling.seed = params.sampling.seed.map(|seed| seed.wrapping_add(choice));
        BackendRequest {
            prompt: BackendPrompt::Chat(Box::new(chat.clone())),
            params,
            priority,
            adapters: Option::clone(&adapters),
            cache_salt: None,
            event_buffer: None,
        }
    };
    Ok(Work { model, prefix: "chatcmpl-", requests: (0..choices).map(one).collect(), checks, warnings })
}

/// `n`.
pub(crate) fn choices(state: &AppState, n: Option<i64>) -> ApiResult<u32> {
    let most = state.config().max_choices;
    let n = n.unwrap_or(1);
    let count = u32::try_from(n).ok().filter(|count| (1..=most).contains(count));
    count.ok_or_else(|| ApiError::invalid("n", format!("`n` is {n}, but must be 1 to {most}.")))
}

/// Waits for the whole answer.
async fn whole(mut answering: Answering) -> ApiResult<ChatCompletion> {
    let ends = answering.whole().await?;
    let mut usage = Usage::default();
    let mut choices = Vec::with_capacity(ends.len());
    let mut timings = None;
    for (index, end) in (0..).zip(ends) {
        usage.add(&end.done.summary.usage, end.reasoning_tokens);
        timings.get_or_insert_with(|| Timings::of(&end.done.summary));
        choices.push(Choice {
            index,
            finish_reason: end.finish_reason,
            message: message(end.done.message.unwrap_or_else(|| ChatMessage::assistant(""))),
            logprobs: ChatLogprobs::of(&end.done.last.logprobs),
        });
    }
    Ok(ChatCompletion {
        object: "chat.completion",
        created: answering.created,
        system_fingerprint: answering.fingerprint.to_string(),
        usage,
        timings: timings.unwrap_or_default(),
        warnings: std::mem::take(&mut answering.warnings),
        choices,
        id: std::mem::take(&mut answering.id),
        model: std::mem::take(&mut answering.model),
    })
}

/// A message in OpenAI's shape.
pub(crate) fn message(from: ChatMessage) -> AnswerMessage {
    let content = from.text();
    let tool_calls: Vec<_> = from
        .tool_calls
        .into_iter()
        .map(|call| ToolCall {
            id: call.id,
            kind: FunctionKind::Function,
            function: FunctionCall { name: call.function.name, arguments: call.function.arguments },
        })
        .collect();
    AnswerMessage {
        role: "assistant",
        content: (!content.is_empty() || tool_calls.is_empty()).then_some(content),
        refusal: None,
        reasoning_content: from.reasoning_content,
        tool_calls,
    }
}
