//! The blocking token loop.

mod decoder;
mod event;
mod params;
mod stop;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub use decoder::TextDecoder;
pub use event::{FinishReason, Summary, Timings, TokenEvent, TokenLogprob, Usage};
pub use params::{GenerationParams, Prompt};

use crate::context::{CancelToken, Context};
use crate::error::{Error, Result};
use crate::grammar::Grammar;
use crate::sampling::{Sampler, TemplateState};
use crate::tokenizer::{EncodeOptions, TokenId, Tokenizer};
use stop::StopMatcher;

/// A running generation: an iterator of [`TokenEvent`]s, the last of which is [`TokenEvent::Done`]. Each call of `next`
/// computes until there is an event, and blocks meanwhile. Dropping it ends the generation; the context keeps what was
/// computed.
///
/// After an error nothing follows; what came before it is valid.
#[derive(Debug)]
pub struct Generation<'a> {
    context: &'a mut Context,
    tokenizer: Tokenizer,
    sampler: Sampler,
    decoder: TextDecoder,
    stops: StopMatcher,
    /// Control tokens whose names are part of the text, because the template's parser looks for them.
    shown: Vec<TokenId>,
    limits: Limits,
    prompt: Vec<TokenId>,
    /// Sampled, told, not yet computed.
    pending: Option<TokenId>,
    piece: Vec<u8>,
    events: VecDeque<TokenEvent>,
    progress: Progress,
    phase: Phase,
}

#[derive(Debug)]
struct Limits {
    max_tokens: Option<u32>,
    top_logprobs: Option<u8>,
    context_shift: bool,
    keep: usize,
    cache_prompt: bool,
    deadline: Option<Instant>,
}

#[derive(Debug)]
struct Progress {
    cached: usize,
    generated: u32,
    started: Instant,
    prompt_done: Option<Instant>,
    stop: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Prompt,
    Tokens,
    Over,
}

impl<'a> Generation<'a> {
    pub(crate) fn new(context: &'a mut Context, prompt: &Prompt<'_>, params: &GenerationParams) -> Result<Self> {
        params.validate()?;
        let tokenizer = context.model().tokenizer();
        let mut sampling = params.sampling.clone();
        let mut stops = params.stop.clone();
        let tokens = match prompt {
            Prompt::Text(text) => tokenizer.encode(text, EncodeOptions { add_special: true, parse_special: true })?,
            Prompt::Tokens(tokens) => {
                tokens.iter().try_for_each(|token| tokenizer.check(*token).map(drop))?;
                tokens.to_vec()
            }
            Prompt::Chat(chat) => {
                stops.extend_from_slice(chat.stops());
                if sampling.grammar.is_none() {
                    sampling.grammar = chat.grammar().cloned();
                }
                tokenizer.encode(chat.text(), EncodeOptions { add_special: true, parse_special: true })?
            }
        };
        if tokens.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if tokens.len() > context.length() {
            return Err(Error::PromptTooLong { got: tokens.len(), limit: context.length() });
        }
        let state = match prompt {
            Prompt::Chat(chat) if params.sampling.grammar.is_some() => {
                // The caller's own grammar begins with the answer, not with what the template wrote before it.
                Some(TemplateState { generation_prompt: String::new(), ..chat.state().clone() })
            }
            Prompt::Chat(chat) => Some(chat.state().clone()),
            _ => None,
        };
        let mut sampler = Sampler::new(context.model(), &sampling, state.as_ref(), context.length())?;
        sampler.see_prompt(&tokens)?;
        let shown = preserved(&tokenizer, sampling.grammar.as_ref())?;
        Ok(Self {
            limits: Limits {
                max_tokens: params.max_tokens,
                top_logprobs: params.top_logprobs,
                context_shift: params.context_shift,
                keep: params.keep as usize + usize::from(tokenizer.adds_bos()),
                cache_prompt: params.cache_prompt,
                deadline: params.timeout_ms.map(|ms| Instant::now() + Duration::from_millis(ms)),
            },
            context,
            tokenizer,
            sampler,
            decoder: TextDecoder::new(),
            stops: StopMatcher::new(stops),
            shown,
            prompt: tokens,
            pending: None,
            piece: Vec::with_capacity(32),
            events: VecDeque::with_capacity(4),
            progress: Progress { cached: 0, generated: 0, started: Instant::now(), prompt_done: None, stop: None },
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
        let token = self.sampler.next(&mut self.context.ptr, -1)?;
        self.progress.generated += 1;
        let logprobs = match self.limits.top_logprobs {
            Some(top) => Some(self.logprobs(token, top)?),
            None => None,
        };
        if self.tokenizer.is_end_of_generation(token) {
            let text = self.rest_of_text();
            self.events.push_back(TokenEvent::Token { token, text, logprobs });
            self.finish(FinishReason::Stop);
            return Ok(());
        }
        self.piece.clear();
        let show = self.shown.contains(&token);
        self.tokenizer.append_piece(token, show, &mut self.piece)?;
        let last = self.is_last()?;
        let decoded = self.decoder.push(&self.piece);
        let (mut text, stop) = self.stops.push(&decoded);
        if last.is_some() && stop.is_none() {
            text.push_str(&self.rest_of_text());
        }
        self.events.push_back(TokenEvent::Token { token, text, logprobs });
        if let Some(stop) = stop {
            self.progress.stop = Some(stop);
            self.finish(FinishReason::Stop);
        } else if let Some(reason) = last {
            self.finish(reason);
        } else {
            self.pending = Some(token);
        }
        Ok(())
    }

    /// Why no token can follow this one, if so; makes room in the context first where that is asked for.
    fn is_last(&mut self) -> Result<Option<FinishReason>> {
        if self.limits.max_tokens.is_some_and(|max| self.progress.generated >= max) {
            return Ok(Some(FinishReason::Length));
        }
        if self.context.tokens().len() < self.context.length() {
            return Ok(None);
        }
        let shifted = self.limits.context_shift && self.context.shift(self.limits.keep);
        if !shifted && self.context.tokens().is_empty() {
            return Err(Error::Internal { what: "the context was lost in a shift".to_owned() });
        }
        Ok((!shifted).then_some(FinishReason::Length))
    }

    /// Log-probabilities before any sampler changed them.
    fn logprobs(&mut self, token: TokenId, top: u8) -> Result<TokenLogprob> {
        let logits =
            self.context.ptr.logits(-1).ok_or_else(|| Error::Sample { reason: "there are no logits".to_owned() })?;
        event::logprobs(logits, token, top, |token| self.tokenizer.piece(token, true).unwrap_or_default())
    }

    /// What decoder and stop matcher have held back.
    fn rest_of_text(&mut self) -> String {
        let tail = self.decoder.finish();
        let (mut text, stop) = self.stops.push(&tail);
        if stop.is_none() {
            text.push_str(&self.stops.finish());
        }
        text
    }

    /// Ends where no token event takes the rest of the text along.
    fn end(&mut self, reason: FinishReason) {
        let text = self.rest_of_text();
        if !text.is_empty() {
            self.events.push_back(TokenEvent::Text { text });
        }
        self.finish(reason);
    }

    fn finish(&mut self, finish_reason: FinishReason) {
        self.phase = Phase::Over;
        let now = Instant::now();
        let prompt_done = self.progress.prompt_done.unwrap_or(now);
        let computed = self.prompt.len() - self.progress.cached;
        self.events.push_back(TokenEvent::Done(Summary {
            finish_reason,
            stop: self.progress.stop.take(),
            seed: self.sampler.seed(),
            usage: Usage::new(self.prompt.len(), self.progress.cached, self.progress.generated),
            timings: Timings::new(
                computed,
                prompt_done - self.progress.started,
                self.progress.generated,
                now - prompt_done,
            ),
        }));
    }
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

/// The tokens that a grammar's maker wants to see in the text.
fn preserved(tokenizer: &Tokenizer, grammar: Option<&Grammar>) -> Result<Vec<TokenId>> {
    let mut tokens = Vec::new();
    for text in grammar.iter().flat_map(|grammar| grammar.preserved_tokens()) {
        let ids = tokenizer.encode(text, EncodeOptions { add_special: false, parse_special: true })?;
        if let [token] = ids[..] {
            tokens.push(token);
        }
    }
    Ok(tokens)
}
