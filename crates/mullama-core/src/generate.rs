//! The blocking token loop.

mod decoder;
mod event;
mod params;
mod stop;
mod writer;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use decoder::TextDecoder;
pub use event::{FinishReason, Summary, Timings, TokenEvent, TokenLogprob, Usage};
pub use params::{GenerationParams, Prompt};
pub(crate) use stop::StopMatcher;
pub(crate) use writer::{Spent, Vocabulary, Writer};

use crate::context::{CancelToken, Context};
use crate::error::{Error, Result};
use crate::tokenizer::{TokenId, Tokenizer};

/// A running generation: an iterator of [`TokenEvent`]s, the last of which is [`TokenEvent::Done`]. Each call of `next`
/// computes until there is an event, and blocks meanwhile. Dropping it ends the generation; the context keeps what was
/// computed.
///
/// After an error nothing follows; what came before it is valid.
#[derive(Debug)]
pub struct Generation<'a> {
    context: &'a mut Context,
    writer: Writer<Tokenizer>,
    limits: Limits,
    prompt: Vec<TokenId>,
    /// Sampled, told, not yet computed.
    pending: Option<TokenId>,
    events: VecDeque<TokenEvent>,
    progress: Progress,
    phase: Phase,
}

#[derive(Debug)]
struct Limits {
    context_shift: bool,
    keep: usize,
    cache_prompt: bool,
    deadline: Option<Instant>,
}

#[derive(Debug)]
struct Progress {
    cached: usize,
    started: Instant,
    prompt_done: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Prompt,
    Tokens,
    Over,
}

impl<'a> Generation<'a> {
    pub(crate) fn new(context: &'a mut Context, prompt: &Prompt<'_>, params: &GenerationParams) -> Result<Self> {
        let (prompt, writer) = Writer::prepare(context.model(), prompt, params, context.length())?;
        Ok(Self {
            limits: Limits {
                context_shift: params.context_shift,
                keep: params.keep as usize + usize::from(context.model().tokenizer().adds_bos()),
                cache_prompt: params.cache_prompt,
                deadline: params.timeout_ms.map(|ms| Instant::now() + Duration::from_millis(ms)),
            },
            context,
            writer,
            prompt,
            pending: None,
            events: VecDeque::with_capacity(4),
            progress: Progress { cached: 0, started: Instant::now(), prompt_done: None },
            phase: Phase::Prompt,
        })
    }

    /// Stops this generation from another thread.
    #[must_use]
    pub fn cancel_token(&self) -> CancelToken {
        self.context.cancel_token()
    }

    /// Tokens in the prompt.
    #[must_use]
    pub fn prompt_tokens(&self) -> &[TokenId] {
        &self.prompt
    }

    /// Runs to the end and returns the text.
    ///
    /// # Errors
    /// Those of the iteration; the text up to then is lost, so iterate where it matters.
    pub fn text(self) -> Result<String> {
        self.complete().map(|(text, _)| text)
    }

    /// Runs to the end and returns the text and what it took.
    ///
    /// # Errors
    /// As [`Generation::text`].
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

    /// Computes until there is an event.
    fn advance(&mut self) -> Result<()> {
        match self.phase {
            Phase::Prompt => {
                self.progress.started = Instant::now();
                let cached = self.context.keep_common_prefix(&self.prompt, self.limits.cache_prompt);
                self.progress.cached = cached;
                self.phase = Phase::Tokens;
                if !self.compute_prompt(cached)? {
                    return Ok(());
                }
                self.progress.prompt_done = Some(Instant::now());
            }
            Phase::Tokens => {
                if let Some(token) = self.pending.take()
                    && !self.compute(&[token])?
                {
                    return Ok(());
                }
            }
            Phase::Over => return Ok(()),
        }
        self.choose()
    }

    /// In pieces of one batch, so that a deadline is seen between them.
    fn compute_prompt(&mut self, cached: usize) -> Result<bool> {
        let prompt = std::mem::take(&mut self.prompt);
        let step = self.context.params().batch as usize;
        let outcome = prompt[cached..]
            .chunks(step.max(1))
            .try_fold(true, |going, chunk| if going { self.compute(chunk) } else { Ok(false) });
        self.prompt = prompt;
        outcome
    }

    /// False: the generation has ended (cancelled, timed out).
    fn compute(&mut self, tokens: &[TokenId]) -> Result<bool> {
        if self.limits.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            self.end(FinishReason::Timeout);
            return Ok(false);
        }
        match self.context.append(tokens) {
            Ok(()) => Ok(true),
            Err(Error::Cancelled) => {
                self.end(FinishReason::Cancelled);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes the next token from the logits and tells of it.
    fn choose(&mut self) -> Result<()> {
        let chosen = self.writer.choose(&mut self.context.ptr, -1)?;
        let token = chosen.token;
        let (context, limits) = (&mut *self.context, &self.limits);
        let (event, end) = self.writer.tell(chosen, || has_room(context, limits))?;
        self.events.push_back(event);
        match end {
            Some(reason) => self.finish(reason),
            None => self.pending = Some(token),
        }
        Ok(())
    }

    /// Ends where no token event takes the rest of the text along.
    fn end(&mut self, reason: FinishReason) {
        let text = self.writer.rest_of_text();
        if !text.is_empty() {
            self.events.push_back(TokenEvent::Text { text });
        }
        self.finish(reason);
    }

    fn finish(&mut self, reason: FinishReason) {
        self.phase = Phase::Over;
        let now = Instant::now();
        let prompt_done = self.progress.prompt_done.unwrap_or(now);
        let spent = Spent { prompt: prompt_done - self.progress.started, generation: now - prompt_done };
        self.events.push_back(self.writer.summary(reason, self.prompt.len(), self.progress.cached, spent));
    }
}

/// Can another token follow? Makes room in the context first where that is asked for.
fn has_room(context: &mut Context, limits: &Limits) -> Result<bool> {
    if context.tokens().len() < context.length() {
        return Ok(true);
    }
    let shifted = limits.context_shift && context.shift(limits.keep);
    if !shifted && context.tokens().is_empty() {
        return Err(Error::Internal { what: "the context was lost in a shift".to_owned() });
    }
    Ok(shifted)
}

impl Iterator for Generation<'_> {
    type Item = Result<TokenEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Ok(event));
            }
            if self.phase == Phase::Over {
                return None;
            }
            if let Err(error) = self.advance() {
                self.phase = Phase::Over;
                return Some(Err(error));
            }
        }
    }
}

impl std::iter::FusedIterator for Generation<'_> {}
