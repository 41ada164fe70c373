//! A conversation's answer as chunks.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use mullama_core::{ChatDelta, TokenLogprob, ToolCallDelta};

use crate::answering::{Answering, End, Event};
use crate::error::Dialect;
use crate::sse;
use crate::state::AppState;
use crate::wire::chat::{
    ChatCompletionRequest, ChunkChoice, ChunkHead, ChunkRest, Delta, FunctionChunk, FunctionKind, ToolCallChunk,
};
use crate::wire::logprobs::ChatLogprobs;
use crate::wire::usage::{Timings, Usage};

/// What a request says of its stream.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    usage: bool,
}

impl Options {
    pub(super) fn of(request: &ChatCompletionRequest) -> Self {
        Self { usage: request.stream_options.and_then(|options| options.include_usage) == Some(true) }
    }
}

pub(super) fn response(state: &AppState, answering: Answering, options: Options) -> Response {
    let choices = (0..answering.len()).map(|_| Choice::default()).collect();
    let head = sse::Head::new(&ChunkHead {
        id: &answering.id,
        object: "chat.completion.chunk",
        created: answering.created,
        model: &answering.model,
        system_fingerprint: &answering.fingerprint,
    });
    let out = BytesMut::with_capacity(ROOM);
    let chunks = Chunks { answering, head, out, options, choices, usage: Usage::default(), stage: Stage::Going };
    sse::response(chunks, Duration::from_millis(state.config().keep_alive_ms))
}

struct Chunks {
    answering: Answering,
    /// The same bytes in each chunk.
    head: sse::Head,
    /// What is written next; its memory is used again when it was taken.
    out: BytesMut,
    options: Options,
    choices: Vec<Choice>,
    usage: Usage,
    stage: Stage,
}

#[derive(Debug, Default)]
struct Choice {
    begun: bool,
    /// Calls of tools that began.
    calls: usize,
    /// Of tokens whose text is not certain yet.
    logprobs: Vec<TokenLogprob>,
}

/// What comes with a delta.
#[derive(Debug, Default)]
struct Beside {
    finish_reason: Option<&'static str>,
    logprobs: Option<ChatLogprobs>,
    timings: Option<Timings>,
}

impl Choice {
    /// Clients count calls from 0, and lose or break on pieces of those that they have not seen begin.
    fn follows(&mut self, delta: &ChatDelta) -> bool {
        let ChatDelta::ToolCall(call) = delta else { return true };
        if call.id.is_some() && call.name.is_some() && call.index == self.calls {
            self.calls += 1;
            return true;
        }
        call.index < self.calls
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Going,
    Over,
}

impl Stream for Chunks {
    type Item = Bytes;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = self.get_mut();
        while this.stage == Stage::Going {
            let event = ready!(this.answering.poll_next(context));
            this.out.reserve(ROOM);
            match event {
                Some(Ok((index, Event::Tokens(delta)))) => {
                    this.choices[index].logprobs.extend(delta.logprobs);
                    this.deltas(index, delta.deltas);
                }
                Some(Ok((index, Event::End(end)))) => this.end(index, *end),
                Some(Err(error)) => {
                    // No `[DONE]`: a client must not take this for the whole answer.
                    let error = this.answering.failed(error);
                    sse::append(&mut this.out, &error.body(Dialect::OpenAi));
                    this.stage = Stage::Over;
                }
                None => {
                    if this.options.usage {
                        let usage = this.usage;
                        this.chunk(&[], Some(Some(usage)), None);
                    }
                    this.out.extend_from_slice(&sse::DONE);
                    this.stage = Stage::Over;
                }
            }
            if !this.out.is_empty() {
                return Poll::Ready(Some(this.out.split().freeze()));
            }
        }
        Poll::Ready(None)
    }
}

impl Chunks {
    fn deltas(&mut self, index: usize, deltas: Vec<ChatDelta>) {
        for delta in deltas {
            if !self.choices[index].follows(&delta) {
                tracing::warn!(id = %self.answering.id, "the backend sent a piece of a call that never began");
                continue;
            }
            self.begin(index);
            let logprobs = std::mem::take(&mut self.choices[index].logprobs);
            let logprobs = ChatLogprobs::of(&logprobs);
            self.one(index, write(delta), Beside { logprobs, ..Beside::default() });
        }
    }

    /// The role comes once, before all else of a choice.
    fn begin(&mut self, index: usize) {
        if !std::mem::replace(&mut self.choices[index].begun, true) {
            let delta = Delta { role: Some("assistant"), content: Some(Cow::Borrowed("")), ..Delta::default() };
            self.one(index, delta, Beside::default());
            self.answering.warnings.clear();
        }
    }

    fn end(&mut self, index: usize, end: End) {
        let last = end.done.last;
        self.choices[index].logprobs.extend(last.logprobs);
        self.begin(index);
        self.deltas(index, last.deltas);
        let logprobs = std::mem::take(&mut self.choices[index].logprobs);
        let timings = Timings::of(&end.done.summary);
        self.usage.add(&end.done.summary.usage, end.reasoning_tokens);
        let (finish_reason, logprobs) = (Some(end.finish_reason), ChatLogprobs::of(&logprobs));
        self.one(index, Delta::default(), Beside { finish_reason, logprobs, timings: Some(timings) });
    }

    fn one(&mut self, index: usize, delta: Delta<'_>, beside: Beside) {
        let Beside { finish_reason, logprobs, timings } = beside;
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let usage = self.options.usage.then_some(None);
        self.chunk(&[ChunkChoice { index, delta, finish_reason, logprobs }], usage, timings);
    }

    fn chunk(&mut self, choices: &[ChunkChoice<'_>], usage: Option<Option<Usage>>, timings: Option<Timings>) {
        let rest = ChunkRest { choices, usage, timings, warnings: &self.answering.warnings };
        self.head.append(&mut self.out, &rest);
    }
}

fn write(delta: ChatDelta) -> Delta<'static> {
    match delta {
        ChatDelta::Content(text) => Delta { content: Some(text.into()), ..Delta::default() },
        ChatDelta::ReasoningContent(text) => Delta { reasoning_content: Some(text.into()), ..Delta::default() },
        ChatDelta::ToolCall(ToolCallDelta { index, id, name, arguments }) => {
            let kind = id.is_some().then_some(FunctionKind::Function);
            let function = FunctionChunk { name: name.map(Cow::Owned), arguments: arguments.into() };
            let call = ToolCallChunk { index, id: id.map(Cow::Owned), kind, function };
            Delta { tool_calls: vec![call], ..Delta::default() }
        }
        _ => Delta::default(),
    }
}

/// Bytes of a chunk, mostly.
const ROOM: usize = 512;
