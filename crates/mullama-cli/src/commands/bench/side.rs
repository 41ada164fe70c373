//! Who is measured: the engine in this process, or a server. Both are seen as a client sees them.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use mullama_core::{
    Engine, EngineParams, GenerationParams, GenerationRequest, Model, Priority, SamplingParams, TokenEvent,
};

use crate::error::Result;

/// One request: always the likeliest token, and never an end before `tokens`.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) prompt: String,
    pub(super) tokens: u32,
}

/// What a client saw of one request.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) sent: Instant,
    /// When each piece of text came.
    pub(super) texts: Vec<Instant>,
    pub(super) ended: Instant,
    /// Tokens generated.
    pub(super) tokens: u32,
    /// Tokens of the prompt.
    pub(super) prompt: u32,
    /// Of these, tokens that were not computed.
    pub(super) cached: u32,
    pub(super) text: String,
}

/// Who answers.
pub(super) trait Side: Sync {
    fn name(&self) -> &str;

    /// Sends a request and reads the answer to its end. `each` is called with each piece of text, and may end it.
    fn ask(&self, request: &Request, each: &mut dyn FnMut(Instant) -> ControlFlow<()>) -> Result<Seen>;
}

/// How engines are made.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) model: Model,
    pub(super) params: EngineParams,
    /// Of all requests.
    pub(super) priority: Priority,
}

/// An engine.
#[derive(Debug)]
pub(super) struct Local {
    name: &'static str,
    pub(super) engine: Engine,
    priority: Priority,
}

impl Seen {
    /// Of a request that is sent now.
    pub(super) fn begin() -> Self {
        let sent = Instant::now();
        Self { sent, texts: Vec::new(), ended: sent, tokens: 0, prompt: 0, cached: 0, text: String::new() }
    }

    /// A piece of text came.
    pub(super) fn push(&mut self, text: &str, each: &mut dyn FnMut(Instant) -> ControlFlow<()>) -> ControlFlow<()> {
        // Half a character, or a token without text: a client sees nothing.
        if text.is_empty() {
            return ControlFlow::Continue(());
        }
        let now = Instant::now();
        self.texts.push(now);
        self.text.push_str(text);
        each(now)
    }

    /// It is over. Where nobody said how many tokens there were, each text is one.
    pub(super) fn end(mut self) -> Self {
        self.ended = Instant::now();
        if self.tokens == 0 {
            self.tokens = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        }
        self
    }
}

impl Setup {
    /// A new engine, which knows nothing yet.
    pub(super) fn start(&self) -> Result<Local> {
        self.start_as(OWN_NAME, |_| {})
    }

    /// A new engine with other parameters, and the name of what is special about it.
    pub(super) fn start_as(&self, name: &'static str, change: impl FnOnce(&mut EngineParams)) -> Result<Local> {
        let mut params = self.params.clone();
        change(&mut params);
        let engine = self.model.engine().params(params).start()?;
        Ok(Local { name, engine, priority: self.priority })
    }
}

impl Side for Local {
    fn name(&self) -> &str {
        self.name
    }

    fn ask(&self, request: &Request, each: &mut dyn FnMut(Instant) -> ControlFlow<()>) -> Result<Seen> {
        let params = GenerationParams {
            max_tokens: Some(request.tokens),
            sampling: SamplingParams { ignore_eos: true, seed: Some(1), ..SamplingParams::greedy() },
            ..Default::default()
        };
        let mut seen = Seen::begin();
        let request = GenerationRequest::new(request.prompt.as_str()).params(params).priority(self.priority);
        let stream = self.engine.submit(request)?;
        seen.prompt = stream.prompt_tokens();
        for event in stream {
            let flow = match event? {
                TokenEvent::Token { text, .. } | TokenEvent::Text { text } => seen.push(&text, each),
                TokenEvent::Done(summary) => {
                    seen.tokens = summary.usage.completion_tokens;
                    seen.cached = summary.usage.cached_tokens;
                    ControlFlow::Continue(())
                }
                _ => ControlFlow::Continue(()),
            };
            if flow.is_break() {
                break;
            }
        }
        Ok(seen.end())
    }
}

impl Drop for Local {
    /// Waits until its threads are gone, so that they do not disturb what comes next.
    fn drop(&mut self) {
        let _ = self.engine.shutdown(Duration::ZERO);
    }
}

/// What the report calls the engine.
pub(super) const OWN_NAME: &str = "mullama";
