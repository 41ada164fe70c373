//! A request for text under way: one or several answers to one prompt, their events merged.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use futures_core::Stream as _;
use http::request::Parts;
use mullama_async::{BackendEvent, BackendPrompt, BackendRequest, BackendStream, BackendSummary, TokenDelta};
use mullama_core::{ChatDelta, FinishReason, Priority};
use tokio::time::{Sleep, sleep_until, timeout_at};

use crate::error::{ApiError, ApiResult};
use crate::id;
use crate::names::Names;
use crate::notes::Notes;
use crate::running::Listed;
use crate::state::{AppState, now};
use crate::structured::Checks;

/// What of a request's head matters to the work.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    pub(crate) notes: Notes,
    /// How long the client, or a proxy before it, waits at most.
    timeout_ms: Option<u64>,
    names: Names,
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut timeout_ms = None;
        for name in ["x-request-timeout-ms", "x-envoy-expected-rq-timeout-ms"] {
            let Some(value) = parts.headers.get(name) else { continue };
            let ms = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok()).filter(|ms| *ms > 0);
            let ms =
                ms.ok_or_else(|| ApiError::invalid(name, format!("`{name}` must be a time in ms, at least 1.")))?;
            timeout_ms = Some(timeout_ms.map_or(ms, |known: u64| known.min(ms)));
        }
        Ok(Self { notes: Notes::of(&parts.extensions), timeout_ms, names: Names::of(parts.uri.path()) })
    }
}

impl Caller {
    /// The shorter one of the client's patience and the server's.
    fn limit_ms(&self, state: &AppState) -> Option<u64> {
        [self.timeout_ms, state.config().request_timeout_ms].into_iter().flatten().min()
    }

    /// Work that gives all or nothing, for as long as it is waited for.
    pub(crate) async fn within<T>(
        &self,
        state: &AppState,
        work: impl Future<Output = mullama_async::Result<T>>,
    ) -> ApiResult<T> {
        let started = Instant::now();
        let Some(limit) = self.limit_ms(state) else { return Ok(work.await?) };
        let done = tokio::time::timeout(Duration::from_millis(limit), work).await;
        Ok(done.map_err(|_| late(started))??)
    }
}

/// Work to be handed in.
#[derive(Debug)]
pub(crate) struct Work {
    /// The model's name, resolved.
    pub(crate) model: String,
    /// Beginning of the id: "chatcmpl-".
    pub(crate) prefix: &'static str,
    /// One for each prompt and choice, in the order in which the choices are numbered.
    pub(crate) requests: Vec<BackendRequest>,
    pub(crate) checks: Checks,
    /// What was relaxed.
    pub(crate) warnings: Vec<String>,
}

/// Answers under way. Dropping it cancels them.
#[derive(Debug)]
pub(crate) struct Answering {
    pub(crate) id: String,
    pub(crate) created: u64,
    pub(crate) model: String,
    pub(crate) fingerprint: Arc<str>,
    pub(crate) warnings: Vec<String>,
    choices: Vec<Choice>,
    /// The choice that is asked first for its next event.
    turn: usize,
    /// The first event, when it was waited for.
    first: Option<ApiResult<(usize, Event)>>,
    /// The end of all patience with an engine that does not keep its time limit.
    deadline: Option<Pin<Box<Sleep>>>,
    started: Instant,
    seen_token: bool,
    checks: Checks,
    /// The schema could not be enforced whole, which the caller was told.
    relaxed: bool,
    listed: Listed,
    notes: Notes,
    names: Names,
    state: AppState,
}

#[derive(Debug)]
struct Choice {
    /// `None` after its end.
    stream: Option<BackendStream>,
    text: String,
    reasoning_tokens: u32,
    tokens: u32,
}

/// What happened in one choice.
#[derive(Debug)]
pub(crate) enum Event {
    /// More of it.
    Tokens(TokenDelta),
    /// Its end.
    End(Box<End>),
}

/// How a choice ended.
#[derive(Debug)]
pub(crate) struct End {
    /// stop, length or tool_calls.
    pub(crate) finish_reason: &'static str,
    pub(crate) reasoning_tokens: u32,
    pub(crate) done: BackendSummary,
}

impl Answering {
    /// Hands all of it in. Fails as a whole: what was handed in before a failure is cancelled.
    pub(crate) async fn start(state: &AppState, caller: &Caller, work: Work) -> ApiResult<Self> {
        let Work { model, prefix, requests, checks, warnings } = work;
        caller.notes.model(&model);
        let timeout = caller.limit_ms(state);
        let started = Instant::now();
        let deadline = timeout
            .and_then(|ms| tokio::time::Instant::now().checked_add(Duration::from_millis(ms).saturating_add(GRACE)));
        let mut choices = Vec::with_capacity(requests.len());
        let thoughts_end =
            requests.iter().all(|one| matches!(&one.prompt, BackendPrompt::Chat(chat) if chat.reasoning_control));
        for mut request in requests {
            request.params.timeout_ms = [request.params.timeout_ms, timeout].into_iter().flatten().min();
            if state.config().cache_by_key {
                request.cache_salt = caller.notes.key_name().map(str::to_owned);
            }
            let submitted = state.backend().submit(&model, request);
            let stream = match deadline {
                None => submitted.await,
                Some(deadline) => timeout_at(deadline, submitted).await.map_err(|_| late(started))?,
            };
            let stream = stream.map_err(|error| ApiError::from(error).formed_by(checks.form))?;
            choices.push(Choice { stream: Some(stream), text: String::new(), reasoning_tokens: 0, tokens: 0 });
        }
        let controls = choices.iter().filter_map(|choice| choice.stream.as_ref()).map(BackendStream::control).collect();
        let id = id::new(prefix);
        let listed = state.running().list(&id, controls, caller.notes.key_name(), thoughts_end);
        Ok(Self {
            created: now(),
            fingerprint: state.fingerprint(&model),
            listed,
            id,
            model,
            relaxed: !warnings.is_empty(),
            warnings,
            choices,
            turn: 0,
            first: None,
            deadline: deadline.map(|deadline| Box::pin(sleep_until(deadline))),
            started,
            seen_token: false,
            checks,
            notes: caller.notes.clone(),
            names: caller.names,
            state: state.clone(),
        })
    }

    /// Waits for the first event, but not for long: an error that comes in this time can still have a status of its own.
    pub(crate) async fn first(&mut self) -> ApiResult<()> {
        let patience = Duration::from_millis(self.state.config().first_event_timeout_ms);
        // Late: the stream begins, and what comes is told in it.
        if let Ok(Some(first)) = tokio::time::timeout(patience, self.next()).await {
            match first {
                Ok(event) => self.first = Some(Ok(event)),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next event and its choice; `None` when all choices have ended. After an error all of it is over.
    pub(crate) async fn next(&mut self) -> Option<ApiResult<(usize, Event)>> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// Waits for the ends of all choices; `last` of each has all that came, but no deltas.
    pub(crate) async fn whole(&mut self) -> ApiResult<Vec<End>> {
        let mut wholes = vec![TokenDelta::default(); self.len()];
        let mut ends: Vec<Option<End>> = (0..self.len()).map(|_| None).collect();
        while let Some(event) = self.next().await {
            match event? {
                (index, Event::Tokens(delta)) => append(&mut wholes[index], delta),
                (index, Event::End(mut end)) => {
                    let mut whole = std::mem::take(&mut wholes[index]);
                    append(&mut whole, std::mem::take(&mut end.done.last));
                    end.done.last = whole;
                    ends[index] = Some(*end);
                }
            }
        }
        let ends: Option<Vec<End>> = ends.into_iter().collect();
        ends.ok_or_else(|| ApiError::internal("an answer has no end"))
    }

    /// As [`Answering::whole`], of the only choice.
    pub(crate) async fn whole_one(&mut self) -> ApiResult<End> {
        self.whole().await?.pop().ok_or_else(|| ApiError::internal("there is no answer"))
    }

    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<ApiResult<(usize, Event)>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let count = self.choices.len();
        let mut pending = false;
        for offset in 0..count {
            let index = (self.turn + offset) % count;
            let Some(stream) = &mut self.choices[index].stream else { continue };
            match Pin::new(stream).poll_next(context) {
                Poll::Pending => pending = true,
                Poll::Ready(event) => {
                    self.turn = (index + 1) % count;
                    let event = self.take(index, event);
                    if event.is_err() {
                        self.choices.iter_mut().for_each(|choice| choice.stream = None);
                    }
                    return Poll::Ready(Some(event.map(|event| (index, event))));
                }
            }
        }
        if !pending {
            return Poll::Ready(None);
        }
        if let Some(deadline) = &mut self.deadline {
            ready!(deadline.as_mut().poll(context));
            self.choices.iter_mut().for_each(|choice| choice.stream = None);
            return Poll::Ready(Some(Err(late(self.started))));
        }
        Poll::Pending
    }

    /// How many choices there are.
    pub(crate) fn len(&self) -> usize {
        self.choices.len()
    }

    /// Tokens of a choice's prompt.
    pub(crate) fn prompt_tokens(&self) -> u32 {
        let first = self.choices.first().and_then(|choice| choice.stream.as_ref());
        first.map_or(0, BackendStream::prompt_tokens)
    }

    /// Tokens of a choice so far.
    pub(crate) fn tokens(&self, index: usize) -> u32 {
        self.choices.get(index).map_or(0, |choice| choice.tokens)
    }

    /// What the answer's head calls the request.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.notes.request_id_name()
    }

    /// An error is told inside the answer, whose status says nothing of it: counts it, and gives it in the route's words.
    pub(crate) fn failed(&self, error: ApiError) -> ApiError {
        tracing::warn!(id = %self.id, error = %error.message, "a stream ended with an error");
        self.state.metrics().error(error.kind, error.code);
        self.names.of_error(error)
    }

    fn take(&mut self, index: usize, event: Option<mullama_async::Result<BackendEvent>>) -> ApiResult<Event> {
        match event {
            Some(Ok(BackendEvent::Tokens(delta))) => {
                self.count(index, &delta);
                Ok(Event::Tokens(delta))
            }
            Some(Ok(BackendEvent::Done(done))) => {
                self.count(index, &done.last);
                self.choices[index].stream = None;
                self.end(index, *done).map(|end| Event::End(Box::new(end)))
            }
            Some(Ok(other)) => {
                Err(ApiError::internal(format!("the backend sent an event that is not known: {other:?}")))
            }
            Some(Err(error)) => Err(error.into()),
            None => Err(ApiError::internal("the backend ended an answer without a word")),
        }
    }

    fn count(&mut self, index: usize, delta: &TokenDelta) {
        let tokens = u32::try_from(delta.tokens.len()).unwrap_or(u32::MAX);
        if tokens > 0 && !self.seen_token {
            self.seen_token = true;
            self.state.metrics().first_token(&self.model, self.started.elapsed());
        }
        let choice = &mut self.choices[index];
        choice.tokens = choice.tokens.saturating_add(tokens);
        let thought = |delta: &ChatDelta| matches!(delta, ChatDelta::ReasoningContent(_));
        if !delta.deltas.is_empty() && delta.deltas.iter().all(thought) {
            choice.reasoning_tokens = choice.reasoning_tokens.saturating_add(tokens);
        }
        if self.checks.text.is_some() {
            for delta in &delta.deltas {
                if let ChatDelta::Content(text) = delta {
                    choice.text.push_str(text);
                }
            }
        }
    }

    fn end(&mut self, index: usize, done: BackendSummary) -> ApiResult<End> {
        let choice = &self.choices[index];
        let finish_reason = match done.summary.finish_reason {
            FinishReason::Stop => "stop",
            FinishReason::ToolCalls => "tool_calls",
            FinishReason::Cancelled if !self.listed.is_stopped() => {
                return Err(ApiError::unavailable("cancelled", "the server ended this answer", Duration::from_secs(1)));
            }
            FinishReason::Cancelled => "stop",
            FinishReason::Timeout if choice.tokens == 0 => {
                return Err(late(self.started));
            }
            _ => "length",
        };
        if finish_reason == "stop"
            && !self.listed.is_stopped()
            && done.summary.stop.is_none()
            && let Some(validator) = &self.checks.text
        {
            let text = done.message.as_ref().map(mullama_core::ChatMessage::text);
            match validator.check("The answer", text.as_deref().unwrap_or(&choice.text)) {
                // What could not be enforced was told to be so: the answer is what was asked for, with one warning more.
                Err(error) if self.relaxed && !validator.is_strict() => self.warnings.push(error.message),
                checked => checked?,
            }
        }
        if finish_reason == "tool_calls" {
            self.checks.calls(done.message.as_ref())?;
        }
        if let Some(reason) = &done.unparsed {
            tracing::warn!(id = %self.id, %reason, "an answer does not have its template's form; it is told as text");
        }
        Ok(End { finish_reason, reasoning_tokens: choice.reasoning_tokens, done })
    }
}

/// All but the deltas: they are together in the message.
fn append(to: &mut TokenDelta, mut more: TokenDelta) {
    to.text.push_str(&more.text);
    to.tokens.append(&mut more.tokens);
    to.logprobs.append(&mut more.logprobs);
}

fn late(started: Instant) -> ApiError {
    mullama_core::Error::Timeout { what: "the request", limit: started.elapsed() }.into()
}

/// `service_tier`: "flex" is for work that nobody waits for.
pub(crate) fn priority(service_tier: Option<&str>) -> Priority {
    match service_tier {
        Some("flex" | "batch") => Priority::Batch,
        _ => Priority::Interactive,
    }
}

/// Engines end a request at its time limit, between two of their steps. This long after it nobody waits for them any more.
const GRACE: Duration = Duration::from_secs(1);
