//! Answers as Ollama tells them: one JSON object a line, or all in one.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_core::Stream;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use mullama_async::TokenDelta;
use mullama_core::{ChatDelta, ChatMessage, TokenLogprob as CoreLogprob};
use serde::Serialize;
use serde_json::{Map, Value};

use super::time::{nanos, nanos_of_ms, now};
use crate::answering::{Answering, End, Event};
use crate::error::{ApiResult, Dialect};
use crate::wire::anthropic::object;
use crate::wire::logprobs::TokenLogprob;
use crate::wire::ollama::{OllamaAnswer, OllamaReply, ReplyCall, ReplyFunction};

/// To what it is an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// POST /api/chat.
    Chat,
    /// POST /api/generate, with the model's template.
    Generate,
    /// POST /api/generate without it: text is all there is.
    Raw,
}

/// Says what happened in Ollama's words.
#[derive(Debug)]
pub(super) struct Writer {
    kind: Kind,
    begun: Instant,
    load: Duration,
    /// Of tokens whose text is not certain yet.
    logprobs: Vec<CoreLogprob>,
}

pub(super) fn response(answering: Answering, writer: Writer) -> Response {
    let mut response = Response::new(Body::from_stream(Lines { answering, writer, over: false }));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx would hold small pieces back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Waits for the whole answer.
pub(super) async fn whole(mut answering: Answering, mut writer: Writer) -> ApiResult<OllamaAnswer> {
    let mut end = answering.whole_one().await?;
    let last = std::mem::take(&mut end.done.last);
    writer.logprobs = last.logprobs;
    let message = match writer.kind {
        Kind::Raw => ChatMessage::assistant(last.text),
        Kind::Chat | Kind::Generate => end.done.message.take().unwrap_or_else(|| ChatMessage::assistant("")),
    };
    let text = message.text();
    let thinking = message.reasoning_content.clone().unwrap_or_default();
    let calls = calls(message, &end);
    Ok(writer.conclude(writer.piece(&answering.model, (thinking, text), calls), &end))
}

/// An answer in which nothing is said.
pub(super) fn empty(kind: Kind, model: &str) -> OllamaAnswer {
    piece(kind, model, (String::new(), String::new()), Vec::new())
}

fn piece(kind: Kind, model: &str, (thinking, text): (String, String), calls: Vec<ReplyCall>) -> OllamaAnswer {
    let thinking = Some(thinking).filter(|thinking| !thinking.is_empty());
    let answer = OllamaAnswer { model: model.to_owned(), created_at: now(), ..OllamaAnswer::default() };
    match kind {
        Kind::Chat => {
            let message = OllamaReply { role: "assistant", content: text, thinking, tool_calls: calls };
            OllamaAnswer { message: Some(message), ..answer }
        }
        Kind::Generate | Kind::Raw => OllamaAnswer { response: Some(text), thinking, ..answer },
    }
}

struct Lines {
    answering: Answering,
    writer: Writer,
    over: bool,
}

impl Stream for Lines {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.over {
            let event = ready!(self.answering.poll_next(context));
            let mut out = BytesMut::new();
            let Self { answering, writer, over } = &mut *self;
            match event {
                Some(Ok((_, Event::Tokens(delta)))) => {
                    if let Some(piece) = writer.more(&answering.model, delta) {
                        line(&mut out, &piece);
                    }
                }
                Some(Ok((_, Event::End(end)))) => {
                    for piece in writer.end(&answering.model, *end) {
                        line(&mut out, &piece);
                    }
                }
                Some(Err(error)) => {
                    // No `done`: a client must not take this for the whole answer.
                    let error = answering.failed(error);
                    line(&mut out, &error.body(Dialect::Ollama));
                    *over = true;
                }
                None => *over = true,
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(out.freeze())));
            }
        }
        Poll::Ready(None)
    }
}

/// JSON has no line breaks.
fn line(to: &mut BytesMut, value: &impl Serialize) {
    let before = to.len();
    if let Err(error) = serde_json::to_writer((&mut *to).writer(), value) {
        tracing::error!(%error, "a line cannot be written as JSON");
        to.truncate(before);
        to.put_slice(b"{\"error\":\"internal error\"}");
    }
    to.put_slice(b"\n");
}

impl Writer {
    /// `begun`: when the request came. `load`: until the model was loaded.
    pub(super) fn new(kind: Kind, begun: Instant, load: Duration) -> Self {
        Self { kind, begun, load, logprobs: Vec::new() }
    }

    /// What came with some tokens; nothing as long as no text is certain.
    pub(super) fn more(&mut self, model: &str, delta: TokenDelta) -> Option<OllamaAnswer> {
        self.logprobs.extend(delta.logprobs);
        let said = match self.kind {
            Kind::Raw => (String::new(), delta.text),
            Kind::Chat | Kind::Generate => said(&delta.deltas),
        };
        if said.0.is_empty() && said.1.is_empty() {
            return None;
        }
        let piece = self.piece(model, said, Vec::new());
        Some(OllamaAnswer { logprobs: self.take_logprobs(), ..piece })
    }

    /// What had been held back, the calls, and the numbers.
    pub(super) fn end(&mut self, model: &str, mut end: End) -> Vec<OllamaAnswer> {
        let last = std::mem::take(&mut end.done.last);
        let mut pieces: Vec<_> = self.more(model, last).into_iter().collect();
        let calls = end.done.message.take().map(|message| calls(message, &end)).unwrap_or_default();
        if !calls.is_empty() {
            pieces.push(self.piece(model, (String::new(), String::new()), calls));
        }
        pieces.push(self.conclude(empty(self.kind, model), &end));
        pieces
    }

    fn piece(&self, model: &str, said: (String, String), calls: Vec<ReplyCall>) -> OllamaAnswer {
        piece(self.kind, model, said, calls)
    }

    fn conclude(&mut self, answer: OllamaAnswer, end: &End) -> OllamaAnswer {
        let summary = &end.done.summary;
        OllamaAnswer {
            logprobs: self.take_logprobs(),
            done: true,
            done_reason: Some(if end.finish_reason == "length" { "length" } else { "stop" }),
            total_duration: Some(nanos(self.begun.elapsed())),
            load_duration: Some(nanos(self.load)),
            prompt_eval_count: Some(summary.usage.prompt_tokens),
            prompt_eval_duration: Some(nanos_of_ms(summary.timings.prompt_ms)),
            eval_count: Some(summary.usage.completion_tokens),
            eval_duration: Some(nanos_of_ms(summary.timings.predicted_ms)),
            ..answer
        }
    }

    fn take_logprobs(&mut self) -> Vec<TokenLogprob> {
        std::mem::take(&mut self.logprobs).iter().map(TokenLogprob::of).collect()
    }
}

/// Thoughts and text. Calls are told whole, at the end.
fn said(deltas: &[ChatDelta]) -> (String, String) {
    let (mut thinking, mut text) = (String::new(), String::new());
    for delta in deltas {
        match delta {
            ChatDelta::ReasoningContent(more) => thinking.push_str(more),
            ChatDelta::Content(more) => text.push_str(more),
            _ => {}
        }
    }
    (thinking, text)
}

/// A call that was cut off is none.
fn calls(message: ChatMessage, end: &End) -> Vec<ReplyCall> {
    let cut = end.finish_reason == "length";
    let is_object = |arguments: &str| serde_json::from_str::<Map<String, Value>>(arguments).is_ok();
    let calls = message.tool_calls.into_iter().filter(|call| !cut || is_object(&call.function.arguments));
    let reply = |(index, call): (usize, mullama_core::ToolCall)| {
        let arguments = object(&call.function.arguments);
        ReplyCall { id: call.id, function: ReplyFunction { index, name: call.function.name, arguments } }
    };
    calls.enumerate().map(reply).collect()
}
