//! What the pieces of an answer are in the language of events.
//!
//! A reasoning item ends where the text or a call begins. The message and the calls stay open until the answer ends:
//! until then its parse may still add to any of them.

use std::collections::BTreeMap;

use bytes::BytesMut;
use http::StatusCode;
use mullama_async::TokenDelta;
use mullama_core::{ChatDelta, ToolCallDelta};

use super::super::{TextLogprobs, call, conclude, said, thought};
use crate::answering::End;
use crate::error::ApiError;
use crate::id;
use crate::sse;
use crate::wire::logprobs::TokenLogprob;
use crate::wire::responses::event::{Body, Event, Part};
use crate::wire::responses::output::{
    ItemStatus, OutputItem, OutputText, ReasoningText, ResponseError, ResponseObject, ResponseStatus,
};

/// Writes the events of one response.
#[derive(Debug)]
pub(super) struct Writer {
    response: ResponseObject,
    numbered: Numbered,
    /// The items that go on.
    thought: Option<usize>,
    message: Option<usize>,
    calls: BTreeMap<usize, usize>,
    logprobs: TextLogprobs,
}

/// The number of the next event.
#[derive(Debug, Default)]
struct Numbered(u64);

impl Writer {
    pub(super) fn new(response: ResponseObject) -> Self {
        Self {
            response,
            numbered: Numbered::default(),
            thought: None,
            message: None,
            calls: BTreeMap::new(),
            logprobs: TextLogprobs::default(),
        }
    }

    pub(super) fn response(&self) -> &ResponseObject {
        &self.response
    }

    pub(super) fn begin(&mut self, out: &mut BytesMut) {
        self.numbered.write(out, "response.created", Body::Response { response: &self.response });
        self.numbered.write(out, "response.in_progress", Body::Response { response: &self.response });
    }

    pub(super) fn tokens(&mut self, out: &mut BytesMut, mut delta: TokenDelta) {
        let mut logprobs = self.logprobs.take(&mut delta);
        for delta in delta.deltas {
            match delta {
                ChatDelta::ReasoningContent(text) => self.more_thought(out, &text),
                ChatDelta::Content(text) => self.more_text(out, &text, std::mem::take(&mut logprobs)),
                ChatDelta::ToolCall(delta) => self.more_call(out, delta),
                _ => {}
            }
        }
    }

    /// Ends all items. What the response is now can be kept; [`Writer::last`] tells it.
    pub(super) fn finish(&mut self, out: &mut BytesMut, end: End) {
        let End { finish_reason, reasoning_tokens, done } = end;
        self.tokens(out, done.last);
        if self.response.output.is_empty() {
            self.more_text(out, "", Vec::new());
        }
        let open: Vec<usize> = (0..self.response.output.len()).filter(|index| self.is_open(*index)).collect();
        conclude(&mut self.response, finish_reason, &done.summary, reasoning_tokens);
        for index in open {
            self.told(out, index);
        }
    }

    pub(super) fn fail(&mut self, error: &ApiError) {
        let code = match error.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_exceeded",
            status if status.is_client_error() => "invalid_prompt",
            _ => "server_error",
        };
        self.response.status = ResponseStatus::Failed;
        self.response.error = Some(ResponseError { code, message: error.message.clone() });
        for item in &mut self.response.output {
            let status = item.status();
            if *status == ItemStatus::InProgress {
                *status = ItemStatus::Incomplete;
            }
        }
    }

    /// The event that ends the stream.
    pub(super) fn last(&mut self, out: &mut BytesMut) {
        let name = match self.response.status {
            ResponseStatus::Incomplete => "response.incomplete",
            ResponseStatus::Failed => "response.failed",
            ResponseStatus::Completed | ResponseStatus::InProgress => "response.completed",
        };
        self.numbered.write(out, name, Body::Response { response: &self.response });
    }

    fn more_thought(&mut self, out: &mut BytesMut, delta: &str) {
        let output_index = match self.thought {
            Some(index) => index,
            None => self.open(out, thought()),
        };
        self.thought = Some(output_index);
        if let OutputItem::Reasoning { id: item_id, content, .. } = &mut self.response.output[output_index]
            && let Some(part) = content.last_mut()
        {
            part.text.push_str(delta);
            let body = Body::ThoughtDelta { item_id, output_index, content_index: 0, delta };
            self.numbered.write(out, "response.reasoning_text.delta", body);
        }
    }

    fn more_text(&mut self, out: &mut BytesMut, delta: &str, mut logprobs: Vec<TokenLogprob>) {
        self.end_thought(out);
        let output_index = match self.message {
            Some(index) => index,
            None => self.open(out, said()),
        };
        self.message = Some(output_index);
        if let OutputItem::Message { id: item_id, content, .. } = &mut self.response.output[output_index]
            && let Some(part) = content.last_mut()
        {
            part.text.push_str(delta);
            if !delta.is_empty() {
                let body = Body::TextDelta { item_id, output_index, content_index: 0, delta, logprobs: &logprobs };
                self.numbered.write(out, "response.output_text.delta", body);
            }
            part.logprobs.append(&mut logprobs);
        }
    }

    fn more_call(&mut self, out: &mut BytesMut, delta: ToolCallDelta) {
        self.end_thought(out);
        let output_index = match self.calls.get(&delta.index) {
            Some(index) => *index,
            None => {
                let call_id = delta.id.unwrap_or_else(|| id::new("call_"));
                self.open(out, call(call_id, delta.name.unwrap_or_default()))
            }
        };
        self.calls.insert(delta.index, output_index);
        if let OutputItem::FunctionCall { id: item_id, arguments, .. } = &mut self.response.output[output_index]
            && !delta.arguments.is_empty()
        {
            arguments.push_str(&delta.arguments);
            let body = Body::ArgumentsDelta { item_id, output_index, delta: &delta.arguments };
            self.numbered.write(out, "response.function_call_arguments.delta", body);
        }
    }

    /// Tells of a new item, and of its part: clients count on both before the first delta.
    fn open(&mut self, out: &mut BytesMut, item: OutputItem) -> usize {
        let output_index = self.response.output.len();
        self.numbered.write(out, "response.output_item.added", Body::Item { output_index, item: &item });
        self.response.output.push(item);
        let (text, thought) = (OutputText::default(), ReasoningText::default());
        match &mut self.response.output[output_index] {
            OutputItem::Reasoning { id: item_id, content, .. } => {
                let body = Body::Part { item_id, output_index, content_index: 0, part: Part::Thought(&thought) };
                self.numbered.write(out, "response.content_part.added", body);
                content.push(thought);
            }
            OutputItem::Message { id: item_id, content, .. } => {
                let body = Body::Part { item_id, output_index, content_index: 0, part: Part::Text(&text) };
                self.numbered.write(out, "response.content_part.added", body);
                content.push(text);
            }
            OutputItem::FunctionCall { .. } => {}
        }
        output_index
    }

    fn end_thought(&mut self, out: &mut BytesMut) {
        if let Some(index) = self.thought.take() {
            *self.response.output[index].status() = ItemStatus::Completed;
            self.told(out, index);
        }
    }

    /// Tells an item that has ended.
    fn told(&mut self, out: &mut BytesMut, output_index: usize) {
        let item = &self.response.output[output_index];
        match item {
            OutputItem::Reasoning { id: item_id, content, .. } => {
                for (content_index, part) in content.iter().enumerate() {
                    let body = Body::ThoughtDone { item_id, output_index, content_index, text: &part.text };
                    self.numbered.write(out, "response.reasoning_text.done", body);
                    let body = Body::Part { item_id, output_index, content_index, part: Part::Thought(part) };
                    self.numbered.write(out, "response.content_part.done", body);
                }
            }
            OutputItem::Message { id: item_id, content, .. } => {
                for (content_index, part) in content.iter().enumerate() {
                    let (text, logprobs) = (part.text.as_str(), part.logprobs.as_slice());
                    let body = Body::TextDone { item_id, output_index, content_index, text, logprobs };
                    self.numbered.write(out, "response.output_text.done", body);
                    let body = Body::Part { item_id, output_index, content_index, part: Part::Text(part) };
                    self.numbered.write(out, "response.content_part.done", body);
                }
            }
            OutputItem::FunctionCall { id: item_id, name, arguments, .. } => {
                let body = Body::ArgumentsDone { item_id, output_index, name, arguments };
                self.numbered.write(out, "response.function_call_arguments.done", body);
            }
        }
        self.numbered.write(out, "response.output_item.done", Body::Item { output_index, item });
    }

    fn is_open(&mut self, index: usize) -> bool {
        *self.response.output[index].status() == ItemStatus::InProgress
    }
}

impl Numbered {
    fn write(&mut self, out: &mut BytesMut, name: &'static str, body: Body<'_>) {
        let event = Event { name, sequence_number: self.0, body };
        self.0 += 1;
        out.extend_from_slice(&sse::named(name, &event));
    }
}

#[cfg(test)]
mod tests;
