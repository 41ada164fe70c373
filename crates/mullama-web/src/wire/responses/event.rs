//! The events of a response that is streamed.

use serde::Serialize;

use super::output::{OutputItem, OutputText, ReasoningText, ResponseObject};
use crate::wire::logprobs::TokenLogprob;

/// One event. Its name is also the name of the server-sent event.
#[derive(Debug, Serialize)]
pub(crate) struct Event<'a> {
    #[serde(rename = "type")]
    pub(crate) name: &'static str,
    /// Rises by one from 0.
    pub(crate) sequence_number: u64,
    #[serde(flatten)]
    pub(crate) body: Body<'a>,
}

/// What an event tells.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Body<'a> {
    /// `response.created`, `.in_progress`, `.completed`, `.incomplete`, `.failed`.
    Response { response: &'a ResponseObject },
    /// `response.output_item.added`, `.done`.
    Item { output_index: usize, item: &'a OutputItem },
    /// `response.content_part.added`, `.done`.
    Part { item_id: &'a str, output_index: usize, content_index: usize, part: Part<'a> },
    /// `response.output_text.delta`.
    TextDelta {
        item_id: &'a str,
        output_index: usize,
        content_index: usize,
        delta: &'a str,
        logprobs: &'a [TokenLogprob],
    },
    /// `response.output_text.done`.
    TextDone {
        item_id: &'a str,
        output_index: usize,
        content_index: usize,
        text: &'a str,
        logprobs: &'a [TokenLogprob],
    },
    /// `response.reasoning_text.delta`.
    ThoughtDelta { item_id: &'a str, output_index: usize, content_index: usize, delta: &'a str },
    /// `response.reasoning_text.done`.
    ThoughtDone { item_id: &'a str, output_index: usize, content_index: usize, text: &'a str },
    /// `response.function_call_arguments.delta`.
    ArgumentsDelta { item_id: &'a str, output_index: usize, delta: &'a str },
    /// `response.function_call_arguments.done`.
    ArgumentsDone { item_id: &'a str, output_index: usize, name: &'a str, arguments: &'a str },
}

/// A part of an item.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Part<'a> {
    Text(&'a OutputText),
    Thought(&'a ReasoningText),
}
