//! POST /v1/messages and POST /v1/messages/count_tokens: Anthropic's API.

mod stream;
#[cfg(test)]
mod tests;
mod translate;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use mullama_async::{BackendPrompt, BackendRequest};
use mullama_core::Usage;

use crate::answering::{Answering, Caller, End, Work};
use crate::error::{ApiError, ApiResult};
use crate::extract::ApiJson;
use crate::routes::chat::translate::{Translated, translate};
use crate::state::AppState;
use crate::wire::anthropic::{
    AnswerBlock, MessagesEvent, MessagesRequest, MessagesResponse, MessagesThinking, MessagesUsage, ThinkingDisplay,
    TokenCount, object,
};

/// Answers a conversation.
#[utoipa::path(
    post, path = "/v1/messages", tag = "Anthropic", request_body = MessagesRequest,
    responses(
        (status = 200, description = "The answer; with `stream` as named server-sent events", content(
            (MessagesResponse = "application/json"),
            (MessagesEvent = "text/event-stream"),
        )),
        crate::wire::error::AnthropicFailures,
    ),
)]
pub(crate) async fn messages(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(request): ApiJson<MessagesRequest>,
) -> ApiResult<Response> {
    if request.max_tokens.is_none() {
        return Err(ApiError::invalid("max_tokens", "`max_tokens` is missing."));
    }
    let streamed = request.stream == Some(true);
    let manner = Manner::of(&request);
    let mut answering = start(&state, &caller, request).await.map_err(in_its_words)?;
    if streamed {
        let prompt_tokens = answering.prompt_tokens();
        answering.first().await?;
        return Ok(stream::response(&state, answering, manner, prompt_tokens));
    }
    Ok(Json(whole(answering, &manner).await?).into_response())
}

/// Counts the tokens of a conversation.
#[utoipa::path(
    post, path = "/v1/messages/count_tokens", tag = "Anthropic", request_body = MessagesRequest,
    responses(
        (status = 200, description = "Its tokens", body = TokenCount),
        crate::wire::error::AnthropicFailures,
    ),
)]
pub(crate) async fn count_tokens(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(request): ApiJson<MessagesRequest>,
) -> ApiResult<Json<TokenCount>> {
    let model = state.resolve(request.model.as_deref())?;
    caller.notes.model(&model);
    let Translated { chat, .. } = translate(&state, translate::request(request)?)?;
    let rendered = state.backend().apply_template(&model, Box::new(chat)).await?;
    Ok(Json(TokenCount { input_tokens: rendered.tokens }))
}

/// What of a request matters to how its answer is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Manner {
    /// A stop string of the template is none of these, and the end of a turn to a client.
    stop_sequences: Vec<String>,
    thoughts_omitted: bool,
}

impl Manner {
    fn of(request: &MessagesRequest) -> Self {
        let display = match request.thinking {
            Some(MessagesThinking::Enabled { display, .. } | MessagesThinking::Adaptive { display }) => display,
            Some(MessagesThinking::Disabled) | None => None,
        };
        Self {
            stop_sequences: request.stop_sequences.clone().unwrap_or_default(),
            thoughts_omitted: display == Some(ThinkingDisplay::Omitted),
        }
    }

    /// `stop_reason` and `stop_sequence`.
    fn reason(&self, end: &End) -> (&'static str, Option<String>) {
        match (end.finish_reason, &end.done.summary.stop) {
            ("tool_calls", _) => ("tool_use", None),
            ("length", _) => ("max_tokens", None),
            (_, Some(stop)) if self.stop_sequences.contains(stop) => ("stop_sequence", Some(stop.clone())),
            _ => ("end_turn", None),
        }
    }
}

/// Hands a conversation in.
async fn start(state: &AppState, caller: &Caller, request: MessagesRequest) -> ApiResult<Answering> {
    let model = state.resolve(request.model.as_deref())?;
    let Translated { chat, params, checks, warnings } = translate(state, translate::request(request)?)?;
    let request = BackendRequest { params, ..BackendRequest::new(BackendPrompt::Chat(Box::new(chat))) };
    let work = Work { model, prefix: "msg_", requests: vec![request], checks, warnings };
    Answering::start(state, caller, work).await
}

/// Clients look for Anthropic's words to find out that a conversation must be shortened.
fn in_its_words(mut error: ApiError) -> ApiError {
    if error.code == Some("context_length_exceeded")
        && let (Some(got), Some(limit)) = (error.more.get("n_prompt_tokens"), error.more.get("n_ctx"))
    {
        error.message = format!("prompt is too long: {got} tokens > {limit} maximum");
    }
    error
}

/// Waits for the whole answer.
async fn whole(mut answering: Answering, manner: &Manner) -> ApiResult<MessagesResponse> {
    let end = answering.whole_one().await?;
    let id = std::mem::take(&mut answering.id);
    Ok(response(id, std::mem::take(&mut answering.model), end, manner))
}

fn response(id: String, model: String, end: End, manner: &Manner) -> MessagesResponse {
    let (stop_reason, stop_sequence) = manner.reason(&end);
    let usage = usage(&end.done.summary.usage);
    let mut content = Vec::new();
    if let Some(message) = end.done.message {
        let text = message.text();
        if let Some(thinking) = message.reasoning_content.filter(|text| !text.is_empty() && !manner.thoughts_omitted) {
            content.push(AnswerBlock::Thinking { thinking, signature: String::new() });
        }
        if !text.is_empty() {
            content.push(AnswerBlock::Text { text });
        }
        let calls = message.tool_calls.into_iter().map(|call| AnswerBlock::ToolUse {
            id: call.id,
            name: call.function.name,
            input: object(&call.function.arguments),
        });
        content.extend(calls);
    }
    let stop_reason = Some(stop_reason);
    MessagesResponse { id, kind: "message", role: "assistant", model, content, stop_reason, stop_sequence, usage }
}

fn usage(from: &Usage) -> MessagesUsage {
    MessagesUsage {
        input_tokens: from.prompt_tokens.saturating_sub(from.cached_tokens),
        output_tokens: from.completion_tokens,
        cache_read_input_tokens: from.cached_tokens,
        cache_creation_input_tokens: 0,
    }
}
