//! From the engine's thread to a reader: a bounded channel that can be blocked on and awaited.

use std::pin::Pin;
use std::sync; // `gate` names it, and is compiled on another one in tests
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use async_channel::{Receiver, Sender};
use futures_core::Stream;

use super::Shared;
use crate::chat::ChatPrompt;
use crate::error::{Error, Result};
use crate::generate::{Summary, TokenEvent};
use gate::Gate;

mod gate;

/// The engine's end. Sending never waits: there is always room for what one step gives.
#[derive(Debug)]
pub(crate) struct Outlet {
    sender: Sender<Result<TokenEvent>>,
    gate: Arc<Gate>,
    limit: usize,
}

impl Outlet {
    pub(crate) fn new(limit: usize) -> (Self, Inlet) {
        let (sender, receiver) = async_channel::bounded(limit + STEP);
        let gate = Arc::new(Gate::default());
        let inlet = Inlet { receiver: Box::pin(receiver), gate: Arc::clone(&gate), limit };
        (Self { sender, gate, limit }, inlet)
    }

    /// Events after a pause are not sent before the reader has made room, so none is lost.
    pub(crate) fn send(&self, event: Result<TokenEvent>) {
        let outcome = self.sender.try_send(event);
        debug_assert!(
            !matches!(outcome, Err(async_channel::TrySendError::Full(_))),
            "a step gives at most {STEP} events"
        );
    }

    /// Is the reader so far behind that its sequence is to pause? To be asked before each step that may send.
    pub(crate) fn is_paused(&self) -> bool {
        self.gate.pause(|| self.sender.len(), self.limit)
    }

    /// Events that the reader has not taken.
    pub(crate) fn held(&self) -> usize {
        self.sender.len()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.gate.is_cancelled()
    }
}

/// The reader's end.
#[derive(Debug)]
pub(crate) struct Inlet {
    receiver: Pin<Box<Receiver<Result<TokenEvent>>>>,
    gate: Arc<Gate>,
    limit: usize,
}

impl Inlet {
    /// `thought_enough`: what ends the thoughts of the request's writer.
    pub(super) fn handle(&self, engine: Arc<Shared>, thought_enough: Arc<AtomicBool>) -> CancelHandle {
        CancelHandle { gate: Arc::clone(&self.gate), thought_enough, engine }
    }
}

/// A reader who does not wait.
#[cfg(test)]
impl Inlet {
    pub(crate) fn take(&self) -> Option<Result<TokenEvent>> {
        let event = self.receiver.try_recv().ok();
        self.gate.taken(|| self.receiver.len(), self.limit);
        event
    }

    pub(crate) fn held(&self) -> usize {
        self.receiver.len()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.gate.is_paused()
    }

    /// Will nothing more be sent?
    pub(crate) fn has_ended(&self) -> bool {
        self.receiver.is_closed()
    }

    pub(crate) fn cancel(&self) {
        self.gate.cancel();
    }
}

/// What an engine tells of one request: [`TokenEvent`]s, the last of which is [`TokenEvent::Done`], or an error, after
/// which nothing comes.
///
/// It is a blocking iterator, and can be polled by any async runtime ([`GenerationStream::poll_event`]; mullama-async's
/// `TokenStream` is a `Stream` over it). Dropping it cancels the request: the engine stops computing it with the next
/// step.
#[derive(Debug)]
pub struct GenerationStream {
    inlet: Inlet,
    handle: CancelHandle,
    id: u64,
    prompt_tokens: u32,
    chat: Option<Box<ChatPrompt>>,
    over: bool,
}

/// Stops a request, or its thoughts, from elsewhere.
#[derive(Debug, Clone)]
pub struct CancelHandle {
    gate: Arc<Gate>,
    thought_enough: Arc<AtomicBool>,
    engine: Arc<Shared>,
}

impl CancelHandle {
    /// Ends the request with [`FinishReason::Cancelled`](crate::FinishReason::Cancelled), before the engine's next step.
    pub fn cancel(&self) {
        self.gate.cancel();
        self.engine.wake();
    }

    /// Makes the model end its thoughts and go on to the answer: the tokens of its template's end tag come next, or as
    /// soon as it begins to think. Without effect where
    /// [`ChatRequest::reasoning_control`](crate::ChatRequest::reasoning_control) was not set.
    pub fn end_reasoning(&self) {
        self.thought_enough.store(true, Ordering::Relaxed);
    }
}

impl GenerationStream {
    /// `handle`: made by [`Inlet::handle`] of this inlet.
    pub(super) fn new(
        inlet: Inlet,
        handle: CancelHandle,
        id: u64,
        prompt_tokens: usize,
        chat: Option<Box<ChatPrompt>>,
    ) -> Self {
        let prompt_tokens = u32::try_from(prompt_tokens).unwrap_or(u32::MAX);
        Self { inlet, handle, id, prompt_tokens, chat, over: false }
    }

    /// The request's number in its engine, from 1.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Tokens of the prompt.
    #[must_use]
    pub fn prompt_tokens(&self) -> u32 {
        self.prompt_tokens
    }

    /// The rendered conversation, where the request was one: its parser reads the answer.
    #[must_use]
    pub fn chat(&self) -> Option<&ChatPrompt> {
        self.chat.as_deref()
    }

    /// Stops this request from elsewhere.
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.handle.clone()
    }

    /// The next event, for async runtimes; `None` after the last.
    pub fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<TokenEvent>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let event = ready!(self.inlet.receiver.as_mut().poll_next(context));
        Poll::Ready(self.took(event))
    }

    /// Blocks until the end and returns the text.
    ///
    /// # Errors
    /// Those of the request; the text up to then is lost, so iterate where it matters.
    pub fn text(self) -> Result<String> {
        self.complete().map(|(text, _)| text)
    }

    /// Blocks until the end and returns the text and what it took.
    ///
    /// # Errors
    /// As [`GenerationStream::text`].
    pub fn complete(self) -> Result<(String, Summary)> {
        let mut whole = String::new();
        for event in self {
            match event? {
                TokenEvent::Token { text, .. } | TokenEvent::Text { text } => whole.push_str(&text),
                TokenEvent::Done(summary) => return Ok((whole, summary)),
            }
        }
        Err(Error::Internal { what: "a generation ended without a summary".to_owned() })
    }

    fn took(&mut self, event: Option<Result<TokenEvent>>) -> Option<Result<TokenEvent>> {
        let inlet = &self.inlet;
        if inlet.gate.taken(|| inlet.receiver.len(), inlet.limit) {
            self.handle.engine.wake();
        }
        match event {
            Some(Ok(TokenEvent::Done(_)) | Err(_)) => self.over = true,
            Some(Ok(_)) => {}
            // The engine's thread has ended without a word.
            None if !self.over => {
                self.over = true;
                return Some(Err(self.handle.engine.stopped()));
            }
            None => {}
        }
        event
    }
}

impl Iterator for GenerationStream {
    type Item = Result<TokenEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let event = self.inlet.receiver.recv_blocking().ok();
        self.took(event)
    }
}

impl std::iter::FusedIterator for GenerationStream {}

impl Drop for GenerationStream {
    fn drop(&mut self) {
        if !self.over {
            self.handle.cancel();
        }
    }
}

/// Events of one step at most: a token for each guess and one more, the rest of the text, the end.
const STEP: usize = 24;

#[cfg(test)]
mod tests;
