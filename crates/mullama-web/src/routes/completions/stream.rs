//! A completion as it comes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use mullama_async::TokenDelta;

use super::{Plan, told};
use crate::answering::{Answering, Event};
use crate::error::Dialect;
use crate::sse;
use crate::state::AppState;
use crate::wire::completion::{Completion, CompletionChoice};
use crate::wire::usage::{Timings, Usage};

pub(super) fn response(state: &AppState, answering: Answering, plan: Plan, usage: bool) -> Response {
    let offsets =
        (0..answering.len()).map(|index| plan.echo.get(index / plan.computed).map_or(0, |echo| echo.chars().count()));
    let chunks = Chunks {
        offsets: offsets.collect(),
        begun: vec![plan.echo.is_empty(); answering.len()],
        answering,
        plan,
        tell_usage: usage,
        usage: Usage::default(),
        prompt_tokens: 0,
        over: false,
    };
    sse::response(chunks, Duration::from_millis(state.config().keep_alive_ms))
}

struct Chunks {
    answering: Answering,
    plan: Plan,
    /// Was the prompt given back?
    begun: Vec<bool>,
    /// Characters told of each choice.
    offsets: Vec<usize>,
    tell_usage: bool,
    usage: Usage,
    prompt_tokens: u32,
    over: bool,
}

impl Stream for Chunks {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        while !self.over {
            let event = ready!(self.answering.poll_next(context));
            let mut out = BytesMut::with_capacity(256);
            match event {
                Some(Ok((index, Event::Tokens(delta)))) => {
                    if !delta.text.is_empty() || !delta.logprobs.is_empty() {
                        self.piece(&mut out, index, &delta, None);
                    }
                }
                Some(Ok((index, Event::End(end)))) => {
                    let summary = &end.done.summary;
                    self.usage.add(&summary.usage, 0);
                    if index % self.plan.computed == 0 {
                        self.prompt_tokens = self.prompt_tokens.saturating_add(summary.usage.prompt_tokens);
                    }
                    let how = Some((end.finish_reason, Timings::of(summary)));
                    self.piece(&mut out, index, &end.done.last, how);
                }
                Some(Err(error)) => {
                    let error = self.answering.failed(error);
                    sse::append(&mut out, &error.body(Dialect::OpenAi));
                    self.over = true;
                }
                None => {
                    if self.tell_usage {
                        let mut usage = self.usage;
                        usage.prompt_tokens = self.prompt_tokens;
                        usage.total_tokens = usage.prompt_tokens.saturating_add(usage.completion_tokens);
                        sse::append(&mut out, &self.chunk(Vec::new(), Some(usage), None));
                    }
                    out.extend_from_slice(&sse::DONE);
                    self.over = true;
                }
            }
            if !out.is_empty() {
                return Poll::Ready(Some(out.freeze()));
            }
        }
        Poll::Ready(None)
    }
}

impl Chunks {
    fn piece(&mut self, out: &mut BytesMut, index: usize, delta: &TokenDelta, end: Option<(&'static str, Timings)>) {
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let mut whole = String::new();
        if !std::mem::replace(&mut self.begun[index], true) {
            whole.push_str(self.plan.echo.get(index / self.plan.computed).map_or("", String::as_str));
        }
        whole.push_str(&delta.text);
        let logprobs = told(&delta.logprobs, self.offsets[index]);
        self.offsets[index] += delta.text.chars().count();
        let (finish_reason, timings) = end.unzip();
        let choice = CompletionChoice { index: number, text: whole, finish_reason, logprobs };
        sse::append(out, &self.chunk(vec![choice], None, timings));
        self.answering.warnings.clear();
    }

    fn chunk(&self, choices: Vec<CompletionChoice>, usage: Option<Usage>, timings: Option<Timings>) -> Completion {
        Completion {
            id: self.answering.id.clone(),
            object: "text_completion",
            created: self.answering.created,
            model: self.answering.model.clone(),
            choices,
            usage,
            system_fingerprint: self.answering.fingerprint.to_string(),
            timings,
            warnings: self.answering.warnings.clone(),
        }
    }
}
