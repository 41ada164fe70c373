//! What one generation makes of its rows of logits: tokens, text, an end. The same for one caller and for many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::event::{self, FinishReason, Summary, Timings, TokenEvent, TokenLogprob, Usage};
use super::params::{GenerationParams, Prompt};
use super::{StopMatcher, TextDecoder};
use crate::error::{Error, Result};
use crate::grammar::Grammar;
use crate::model::Model;
use crate::sampling::{Rows, Sampler, TemplateState};
use crate::tokenizer::{EncodeOptions, TokenId, Tokenizer};

/// What a writer asks of a vocabulary.
pub(crate) trait Vocabulary {
    /// Does this token end the answer?
    fn is_end(&self, token: TokenId) -> bool;
    /// Appends the token's bytes; those of a special one only with `special`.
    fn append(&self, token: TokenId, special: bool, into: &mut Vec<u8>) -> Result<()>;
}

impl Vocabulary for Tokenizer {
    fn is_end(&self, token: TokenId) -> bool {
        self.is_end_of_generation(token)
    }

    fn append(&self, token: TokenId, special: bool, into: &mut Vec<u8>) -> Result<()> {
        self.append_piece(token, special, into)
    }
}

/// One generation's sampler, text, stop strings and count.
#[derive(Debug)]
pub(crate) struct Writer<V> {
    vocabulary: V,
    sampler: Sampler,
    /// Set from elsewhere: the thoughts are to end.
    thought_enough: Arc<AtomicBool>,
    decoder: TextDecoder,
    stops: StopMatcher,
    /// Control tokens whose names are part of the text, because the template's parser looks for them.
    shown: Vec<TokenId>,
    max_tokens: Option<u32>,
    top_logprobs: Option<u8>,
    piece: Vec<u8>,
    generated: u32,
    stop: Option<String>,
}

/// A token, chosen and not yet told.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) token: TokenId,
    logprobs: Option<TokenLogprob>,
}

/// Times that a summary tells of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) prompt: std::time::Duration,
    pub(crate) generation: std::time::Duration,
}

impl Writer<Tokenizer> {
    /// Tokenizes the prompt, checks the parameters and builds the sampler. `context_length`: what -1 means for penalties.
    pub(crate) fn prepare(
        model: &Model,
        prompt: &Prompt<'_>,
        params: &GenerationParams,
        context_length: usize,
    ) -> Result<(Vec<TokenId>, Self)> {
        params.validate()?;
        let tokenizer = model.tokenizer();
        let mut sampling = params.sampling.clone();
        let mut stops = params.stop.clone();
        let encode = |text: &str| {
            // Of shorter ones the error tells the exact number.
            let fewest = if text.len() > LONG_TEXT { tokenizer.fewest_tokens(text) } else { 0 };
            if fewest > context_length {
                return Err(Error::PromptTooLong { got: fewest, exact: false, limit: context_length });
            }
            tokenizer.encode(text, EncodeOptions { add_special: true, parse_special: true })
        };
        let tokens = match prompt {
            Prompt::Text(text) => encode(text)?,
            Prompt::Tokens(tokens) => {
                tokens.iter().try_for_each(|token| tokenizer.check("prompt", *token).map(drop))?;
                tokens.to_vec()
            }
            Prompt::Chat(chat) => {
                stops.extend_from_slice(chat.stops());
                if sampling.grammar.is_none() {
                    sampling.grammar = chat.grammar().cloned();
                }
                encode(chat.text())?
            }
        };
        if tokens.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if tokens.len() > context_length {
            return Err(Error::PromptTooLong { got: tokens.len(), exact: true, limit: context_length });
        }
        let state = match prompt {
            Prompt::Chat(chat) if params.sampling.grammar.is_some() => {
                // The caller's own grammar begins with the answer, not with what the template wrote before it.
                Some(TemplateState { generation_prompt: String::new(), ..chat.state().clone() })
            }
            Prompt::Chat(chat) => Some(chat.state().clone()),
            _ => None,
        };
        let mut sampler = Sampler::new(model, &sampling, state.as_ref(), context_length)?;
        sampler.see_prompt(&tokens)?;
        let shown = preserved(&tokenizer, sampling.grammar.as_ref())?;
        Ok((tokens, Self::new(tokenizer, sampler, stops, shown, params)))
    }
}

impl<V: Vocabulary> Writer<V> {
    pub(crate) fn new(
        vocabulary: V,
        sampler: Sampler,
        stops: Vec<String>,
        shown: Vec<TokenId>,
        params: &GenerationParams,
    ) -> Self {
        Self {
            vocabulary,
            sampler,
            thought_enough: Arc::default(),
            decoder: TextDecoder::new(),
            stops: StopMatcher::new(stops),
            shown,
            max_tokens: params.max_tokens,
            top_logprobs: params.top_logprobs,
            piece: Vec::with_capacity(32),
            generated: 0,
            stop: None,
        }
    }

    /// Set it, and the model ends its thoughts with its next tokens, or as soon as it begins to think.
    pub(crate) fn thought_enough(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.thought_enough)
    }

    /// Tokens generated so far.
    pub(crate) fn generated(&self) -> u32 {
        self.generated
    }

    /// Tokens that may still come; `None` without a limit.
    pub(crate) fn remaining(&self) -> Option<u32> {
        self.max_tokens.map(|max| max.saturating_sub(self.generated))
    }

    /// Takes the next token from output row `row`.
    pub(crate) fn choose(&mut self, rows: &mut impl Rows, row: i32) -> Result<Chosen> {
        // The wish stays until there are thoughts to end: it may come before they begin.
        if self.thought_enough.load(Ordering::Relaxed) && self.sampler.end_reasoning() {
            self.thought_enough.store(false, Ordering::Relaxed);
        }
        let token = self.sampler.next(rows, row)?;
        self.generated += 1;
        let logprobs = match self.top_logprobs {
            None => None,
            Some(top) => {
                let logits =
                    rows.logits(row).ok_or_else(|| Error::Sample { reason: "there are no logits".to_owned() })?;
                let bytes = |token| {
                    let mut bytes = Vec::new();
                    self.vocabulary.append(token, true, &mut bytes).map(|()| bytes).unwrap_or_default()
                };
                Some(event::logprobs(logits, token, top, bytes)?)
            }
        };
        Ok(Chosen { token, logprobs })
    }

    /// Tells of a chosen token, and why none follows it, if so. `has_room`: can the context take another? It is asked
    /// only where that matters, and may make room.
    pub(crate) fn tell(
        &mut self,
        chosen: Chosen,
        has_room: impl FnOnce() -> Result<bool>,
    ) -> Result<(TokenEvent, Option<FinishReason>)> {
        let Chosen { token, logprobs } = chosen;
        if self.vocabulary.is_end(token) {
            let text = self.rest_of_text();
            return Ok((TokenEvent::Token { token, text, logprobs }, Some(FinishReason::Stop)));
        }
        self.piece.clear();
        let show = self.shown.contains(&token);
        self.vocabulary.append(token, show, &mut self.piece)?;
        let out_of_tokens = self.remaining() == Some(0);
        let last = (out_of_tokens || !has_room()?).then_some(FinishReason::Length);
        let decoded = self.decoder.push(&self.piece);
        let (mut text, stop) = self.stops.push(&decoded);
        let end = match stop {
            Some(stop) => {
                self.stop = Some(stop);
                Some(FinishReason::Stop)
            }
            None => {
                if last.is_some() {
                    text.push_str(&self.rest_of_text());
                }
                last
            }
        };
        Ok((TokenEvent::Token { token, text, logprobs }, end))
    }

    /// What decoder and stop matcher have held back.
    pub(crate) fn rest_of_text(&mut self) -> String {
        let tail = self.decoder.finish();
        let (mut text, stop) = self.stops.push(&tail);
        if stop.is_none() {
            text.push_str(&self.stops.finish());
        }
        text
    }

    /// The last event. `prompt`: its tokens, of which `cached` were not computed.
    pub(crate) fn summary(
        &mut self,
        finish_reason: FinishReason,
        prompt: usize,
        cached: usize,
        spent: Spent,
    ) -> TokenEvent {
        TokenEvent::Done(Summary {
            finish_reason,
            stop: self.stop.take(),
            seed: self.sampler.seed(),
            usage: Usage::new(prompt, cached, self.generated),
            timings: Timings::new(prompt - cached, spent.prompt, self.generated, spent.generation),
        })
    }
}

/// Bytes that are tokenized in some tens of milliseconds.
const LONG_TEXT: usize = 1 << 16;

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
