//! The stream of one scripted answer.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use mullama_core::{
    ChatDelta, ChatMessage, ContentPart, Error as CoreError, FinishReason, FunctionCall, Summary, TokenLogprob,
    ToolCall,
};
use tokio::task::coop;
use tokio::time::{Instant, Sleep};

use super::Script;
use super::model::{Control, Model, Outcome};
use super::text::{noise, piece_id, text_of};
use crate::backend::{BackendEvent, BackendPrompt, BackendRequest, BackendSummary, TokenDelta};
use crate::error::{Error, Result};

/// What one answer will be.
#[derive(Debug)]
pub(super) struct Plan {
    pieces: Pieces,
    count: u32,
    interval: Duration,
    end: End,
}

#[derive(Debug)]
enum Pieces {
    /// Each the same.
    Same(String),
    Listed(Vec<ChatDelta>),
}

/// What comes after the last token.
#[derive(Debug, Clone, Copy)]
enum End {
    Done(FinishReason),
    Never,
    Fail(fn() -> Error),
    Nothing,
    Twice,
}

impl Plan {
    /// Of a script that takes requests; `None` for the others.
    pub(super) fn of(script: Script) -> Option<Self> {
        let same = |text, count, interval, end| Some(Self { pieces: Pieces::Same(text), count, interval, end });
        let listed = |deltas: Vec<ChatDelta>, interval| {
            let calls = deltas.iter().any(|delta| matches!(delta, ChatDelta::ToolCall(call) if call.id.is_some()));
            let reason = if calls { FinishReason::ToolCalls } else { FinishReason::Stop };
            let count = u32::try_from(deltas.len()).unwrap_or(u32::MAX);
            Some(Self { pieces: Pieces::Listed(deltas), count, interval, end: End::Done(reason) })
        };
        let word = || super::text::WORD.to_owned();
        match script {
            Script::Tokens { count, interval, text } => same(text, count, interval, End::Done(FinishReason::Stop)),
            Script::Answer { deltas, interval } => listed(deltas, interval),
            Script::Noise => listed(noise(), Duration::ZERO),
            Script::Hang => same(String::new(), 0, Duration::ZERO, End::Never),
            Script::Stall { after, interval, text } => same(text, after, interval, End::Never),
            Script::FailAfter { tokens, interval, error } => same(word(), tokens, interval, End::Fail(error)),
            Script::NoDone { tokens } => same(word(), tokens, Duration::ZERO, End::Nothing),
            Script::DoneTwice { tokens } => same(word(), tokens, Duration::ZERO, End::Twice),
            Script::Refuse(_) | Script::Loading | Script::Overloaded => None,
        }
    }

    /// Leaves out the thoughts that would come next. Are there any?
    fn end_thoughts(&mut self, sent: u32) -> bool {
        let Pieces::Listed(deltas) = &mut self.pieces else { return false };
        let from = usize::try_from(sent).unwrap_or(usize::MAX).min(deltas.len());
        let thoughts = deltas.iter().skip(from).take_while(|delta| matches!(delta, ChatDelta::ReasoningContent(_)));
        let count = thoughts.count();
        deltas.drain(from..from + count);
        self.count = self.count.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
        count > 0
    }
}

/// The events of one answer.
pub(super) struct Answer {
    model: Arc<Model>,
    control: Arc<Control>,
    plan: Plan,
    /// Tokens at most.
    limit: Option<u32>,
    chat: bool,
    /// May its thoughts be ended?
    thoughts_end: bool,
    top_logprobs: Option<u8>,
    /// What came so far.
    sent: u32,
    text: String,
    reasoning: String,
    calls: Vec<ToolCall>,
    started: Instant,
    first: Option<Instant>,
    deadline: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// Comes without waiting, before all else.
    ready: VecDeque<BackendEvent>,
    /// Off the model's list: what is in `ready` is all that comes.
    ended: bool,
}

impl Answer {
    pub(super) fn new(model: Arc<Model>, control: Arc<Control>, plan: Plan, request: &BackendRequest) -> Self {
        let chat = match &request.prompt {
            BackendPrompt::Chat(chat) => Some(chat),
            _ => None,
        };
        let started = Instant::now();
        let patience = request.params.timeout_ms.map(Duration::from_millis);
        Self {
            limit: request.params.max_tokens,
            chat: chat.is_some(),
            thoughts_end: chat.is_some_and(|chat| chat.reasoning_control),
            top_logprobs: request.params.top_logprobs,
            model,
            control,
            plan,
            sent: 0,
            text: String::new(),
            reasoning: String::new(),
            calls: Vec::new(),
            started,
            first: None,
            deadline: patience.and_then(|patience| started.checked_add(patience)),
            timer: Box::pin(tokio::time::sleep_until(started)),
            ready: VecDeque::new(),
            ended: false,
        }
    }

    /// Tokens of the whole answer.
    fn count(&self) -> u32 {
        self.limit.map_or(self.plan.count, |limit| limit.min(self.plan.count))
    }

    fn end(&self) -> End {
        if self.count() < self.plan.count { End::Done(FinishReason::Length) } else { self.plan.end }
    }

    /// The next token, or what stands at the end.
    fn step(&mut self) -> Option<Result<BackendEvent>> {
        // The wish is kept until there are thoughts to end, and those that come later are others.
        if self.thoughts_end && self.control.has_thought_enough() && self.plan.end_thoughts(self.sent) {
            self.control.thoughts_ended();
        }
        if self.sent < self.count() {
            let event = BackendEvent::Tokens(self.token());
            return Some(Ok(event));
        }
        match self.end() {
            End::Done(reason) => Some(self.finish(reason)),
            End::Fail(error) => {
                self.leave(Outcome::Failed);
                Some(Err(error()))
            }
            // Never is waited for, not asked for.
            End::Nothing | End::Never => {
                self.leave(Outcome::Failed);
                None
            }
            End::Twice => {
                let done = match self.finish(FinishReason::Stop) {
                    Ok(done) => done,
                    Err(error) => return Some(Err(error)),
                };
                let again: Vec<BackendEvent> =
                    (0..self.plan.count).map(|_| BackendEvent::Tokens(self.token())).chain([done.clone()]).collect();
                self.ready.extend(again);
                Some(Ok(done))
            }
        }
    }

    fn token(&mut self) -> TokenDelta {
        let (index, delta) = match &self.plan.pieces {
            Pieces::Same(text) => (0, ChatDelta::Content(text.clone())),
            Pieces::Listed(deltas) => {
                let index = usize::try_from(self.sent).unwrap_or(usize::MAX);
                (index, deltas.get(index).cloned().unwrap_or_else(|| ChatDelta::Content(String::new())))
            }
        };
        self.sent += 1;
        self.model.generate();
        self.first.get_or_insert_with(Instant::now);
        let token = piece_id(index);
        let mut told = TokenDelta { tokens: vec![token], ..TokenDelta::default() };
        if self.chat || matches!(delta, ChatDelta::Content(_)) {
            text_of(&delta).clone_into(&mut told.text);
        }
        if let Some(top) = self.top_logprobs {
            let one =
                TokenLogprob { token, bytes: told.text.clone().into_bytes(), logprob: 0.0, top_logprobs: Vec::new() };
            let top_logprobs = if top > 0 { vec![one.clone()] } else { Vec::new() };
            told.logprobs = vec![TokenLogprob { top_logprobs, ..one }];
        }
        if self.chat {
            self.add(&delta);
            told.deltas = vec![delta];
        }
        told
    }

    /// Adds to the message.
    fn add(&mut self, delta: &ChatDelta) {
        match delta {
            ChatDelta::Content(text) => self.text.push_str(text),
            ChatDelta::ReasoningContent(text) => self.reasoning.push_str(text),
            ChatDelta::ToolCall(call) => match (&call.id, self.calls.get_mut(call.index)) {
                (_, Some(known)) => known.function.arguments.push_str(&call.arguments),
                (Some(id), None) => {
                    let name = call.name.clone().unwrap_or_default();
                    let function = FunctionCall { name, arguments: call.arguments.clone() };
                    self.calls.push(ToolCall { id: id.clone(), function });
                }
                // Of a call that never began.
                (None, None) => {}
            },
            _ => {}
        }
    }

    fn finish(&mut self, reason: FinishReason) -> Result<BackendEvent> {
        self.leave(Outcome::Finished(reason));
        let summary = self.summary(reason)?;
        let message = self.chat.then(|| {
            let mut message = ChatMessage::assistant(self.text.clone());
            if self.text.is_empty() && !self.calls.is_empty() {
                message.content = Vec::<ContentPart>::new();
            }
            message.reasoning_content = Some(self.reasoning.clone()).filter(|text| !text.is_empty());
            message.tool_calls.clone_from(&self.calls);
            message
        });
        let done = BackendSummary { summary, last: TokenDelta::default(), message, unparsed: None };
        Ok(BackendEvent::Done(Box::new(done)))
    }

    fn summary(&self, reason: FinishReason) -> Result<Summary> {
        let first = self.first.unwrap_or_else(Instant::now);
        let (prompt, predicted) = (first - self.started, first.elapsed());
        let rate =
            |tokens: u32, time: Duration| if time.is_zero() { 0.0 } else { f64::from(tokens) / time.as_secs_f64() };
        let prompt_tokens = self.control.prompt_tokens;
        let summary = serde_json::json!({
            "finish_reason": reason,
            "stop": null,
            "seed": null,
            "usage": {
                "prompt_tokens": prompt_tokens,
                "cached_tokens": 0,
                "completion_tokens": self.sent,
                "total_tokens": prompt_tokens.saturating_add(self.sent),
            },
            "timings": {
                "prompt_n": prompt_tokens,
                "prompt_ms": prompt.as_secs_f64() * 1e3,
                "prompt_per_second": rate(prompt_tokens, prompt),
                "predicted_n": self.sent,
                "predicted_ms": predicted.as_secs_f64() * 1e3,
                "predicted_per_second": rate(self.sent, predicted),
            },
        });
        serde_json::from_value(summary).map_err(|error| CoreError::Internal { what: error.to_string() }.into())
    }

    /// When the next token is due, counted from the beginning: a reader that was late gets what it missed.
    fn due(&self) -> Option<Instant> {
        if self.sent >= self.count() {
            return Some(self.started);
        }
        self.started.checked_add(self.plan.interval.saturating_mul(self.sent + 1))
    }

    fn leave(&mut self, outcome: Outcome) {
        if !self.ended {
            self.ended = true;
            self.model.end(self.control.id, outcome);
        }
    }
}

impl Stream for Answer {
    type Item = Result<BackendEvent>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(this.ready.pop_front().map(Ok));
        }
        this.control.register(context.waker());
        if this.control.is_killed() {
            this.ended = true;
            let retry_after = this.model.down_for();
            return Poll::Ready(Some(Err(Error::BackendDown { model: this.model.name.clone(), retry_after })));
        }
        if this.sent >= this.count() && matches!(this.end(), End::Never) {
            return Poll::Pending;
        }
        if this.control.is_stopped() {
            return Poll::Ready(Some(this.finish(FinishReason::Cancelled)));
        }
        let budget = ready!(coop::poll_proceed(context));
        let now = Instant::now();
        let due = this.due();
        if due.is_none_or(|due| due > now) {
            let Some(wake) = [due, this.deadline].into_iter().flatten().min() else { return Poll::Pending };
            if wake > now {
                if this.timer.deadline() != wake {
                    this.timer.as_mut().reset(wake);
                }
                ready!(this.timer.as_mut().poll(context));
            }
            if due.is_none_or(|due| due > wake) {
                budget.made_progress();
                return Poll::Ready(Some(this.finish(FinishReason::Timeout)));
            }
        }
        budget.made_progress();
        Poll::Ready(this.step())
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.leave(Outcome::Dropped);
    }
}
