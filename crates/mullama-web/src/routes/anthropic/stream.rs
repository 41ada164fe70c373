//! A conversation's answer as Anthropic's events.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use mullama_core::{ChatDelta, ToolCallDelta};
use serde_json::Map;

use super::{Manner, usage};
use crate::answering::{Answering, End, Event};
use crate::error::Dialect;
use crate::sse;
use crate::state::AppState;
use crate::wire::anthropic::{AnswerBlock, BlockDelta, MessageEnd, MessagesEvent, MessagesResponse, MessagesUsage};

/// `prompt_tokens`: taken before the first event, which may be the last one too.
pub(super) fn response(state: &AppState, answering: Answering, manner: Manner, prompt_tokens: u32) -> Response {
    let events = Events { answering, writer: Writer::new(manner), start: Some(prompt_tokens), over: false };
    sse::response(events, Duration::from_millis(state.config().keep_alive_ms))
}

struct Events {
    answering: Answering,
    writer: Writer,
    /// Tokens of the prompt, until the first event is written.
    start: Option<u32>,
    over: bool,
}

impl Stream for Events {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(prompt_tokens) = self.start.take() {
            let (id, model) = (self.answering.id.clone(), self.answering.model.clone());
            return Poll::Ready(Some(told(begin(id, model, prompt_tokens))));
        }
        while !self.over {
            let events = match ready!(self.answering.poll_next(context)) {
                Some(Ok((_, Event::Tokens(delta)))) => self.writer.more(delta.deltas),
                Some(Ok((_, Event::End(end)))) => self.writer.end(*end),
                Some(Err(error)) => {
                    // No `message_stop`: a client must not take this for the whole answer.
                    let error = self.answering.failed(error);
                    self.over = true;
                    let body = error.body_of(Dialect::Anthropic, self.answering.request_id());
                    return Poll::Ready(Some(sse::named("error", &body)));
                }
                None => {
                    self.over = true;
                    vec![MessagesEvent::MessageStop]
                }
            };
            if !events.is_empty() {
                return Poll::Ready(Some(told(events)));
            }
        }
        Poll::Ready(None)
    }
}

fn told(events: impl IntoIterator<Item = MessagesEvent>) -> Bytes {
    let mut out = BytesMut::with_capacity(512);
    for event in events {
        out.extend_from_slice(&sse::named(event.name(), &event));
    }
    out.freeze()
}

/// The first two events.
pub(super) fn begin(id: String, model: String, prompt_tokens: u32) -> [MessagesEvent; 2] {
    let message = MessagesResponse {
        id,
        kind: "message",
        role: "assistant",
        model,
        content: Vec::new(),
        stop_reason: None,
        stop_sequence: None,
        // How many of them were known is told at the end.
        usage: MessagesUsage { input_tokens: prompt_tokens, ..MessagesUsage::default() },
    };
    [MessagesEvent::MessageStart { message }, MessagesEvent::Ping]
}

/// Blocks, one after the other.
#[derive(Debug)]
pub(super) struct Writer {
    manner: Manner,
    /// Blocks that were begun.
    begun: u32,
    open: Option<Open>,
}

/// The block that is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Thinking,
    Text,
    /// With the number of the message's call.
    Call(usize),
}

impl Writer {
    pub(super) fn new(manner: Manner) -> Self {
        Self { manner, begun: 0, open: None }
    }

    pub(super) fn more(&mut self, deltas: Vec<ChatDelta>) -> Vec<MessagesEvent> {
        let mut events = Vec::new();
        for delta in deltas {
            self.one(&mut events, delta);
        }
        events
    }

    /// What had been held back, and how it ended.
    pub(super) fn end(&mut self, mut end: End) -> Vec<MessagesEvent> {
        let mut events = self.more(std::mem::take(&mut end.done.last.deltas));
        self.close(&mut events);
        let (stop_reason, stop_sequence) = self.manner.reason(&end);
        let delta = MessageEnd { stop_reason, stop_sequence };
        events.push(MessagesEvent::MessageDelta { delta, usage: usage(&end.done.summary.usage) });
        events
    }

    fn one(&mut self, events: &mut Vec<MessagesEvent>, delta: ChatDelta) {
        match delta {
            // A block without anything in it is none.
            ChatDelta::ReasoningContent(text) | ChatDelta::Content(text) if text.is_empty() => {}
            ChatDelta::ReasoningContent(_) if self.manner.thoughts_omitted => {}
            ChatDelta::ReasoningContent(thinking) => {
                let empty = || AnswerBlock::Thinking { thinking: String::new(), signature: String::new() };
                self.open(events, Open::Thinking, empty);
                self.delta(events, BlockDelta::Thinking { thinking });
            }
            ChatDelta::Content(text) => {
                self.open(events, Open::Text, || AnswerBlock::Text { text: String::new() });
                self.delta(events, BlockDelta::Text { text });
            }
            // More of a call that is not being written: there is no block for it.
            ChatDelta::ToolCall(delta) if delta.id.is_none() && self.open != Some(Open::Call(delta.index)) => {}
            ChatDelta::ToolCall(ToolCallDelta { index, id, name, arguments }) => {
                let empty = || {
                    let (id, name) = (id.unwrap_or_default(), name.unwrap_or_default());
                    AnswerBlock::ToolUse { id, name, input: Map::new() }
                };
                self.open(events, Open::Call(index), empty);
                if !arguments.is_empty() {
                    self.delta(events, BlockDelta::InputJson { partial_json: arguments });
                }
            }
            _ => {}
        }
    }

    /// Blocks do not overlap: the one before ends where the next one begins.
    fn open(&mut self, events: &mut Vec<MessagesEvent>, block: Open, empty: impl FnOnce() -> AnswerBlock) {
        if self.open == Some(block) {
            return;
        }
        self.close(events);
        events.push(MessagesEvent::ContentBlockStart { index: self.begun, content_block: empty() });
        self.begun += 1;
        self.open = Some(block);
    }

    fn close(&mut self, events: &mut Vec<MessagesEvent>) {
        if self.open.take().is_some() {
            events.push(MessagesEvent::ContentBlockStop { index: self.begun.saturating_sub(1) });
        }
    }

    fn delta(&self, events: &mut Vec<MessagesEvent>, delta: BlockDelta) {
        events.push(MessagesEvent::ContentBlockDelta { index: self.begun.saturating_sub(1), delta });
    }
}
