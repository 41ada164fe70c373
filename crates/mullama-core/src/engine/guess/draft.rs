//! What a smaller model would say.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::Want;
use crate::context::ContextParams;
use crate::engine::decoder::{Decoder, Llama, Outcome};
use crate::engine::params::{EngineParams, Speculation};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::sampling::Rows;
use crate::tokenizer::TokenId;

/// A smaller model's context, which follows the engine's sequences.
#[derive(Debug)]
pub(crate) struct Drafter {
    decoder: Llama,
    /// What each of its sequences holds.
    held: Vec<Vec<TokenId>>,
}

impl Drafter {
    /// `context`: the engine's, resolved.
    pub(crate) fn new(draft: &Model, target: &Model, params: &EngineParams, context: &ContextParams) -> Result<Self> {
        let (ours, theirs) = (target.tokenizer(), draft.tokenizer());
        let same = ours.vocabulary_size() == theirs.vocabulary_size()
            && ours.kind() == theirs.kind()
            && (ours.bos(), ours.eos(), ours.eot()) == (theirs.bos(), theirs.eos(), theirs.eot());
        if !same {
            let reason = "its vocabulary is not that of the model it is to draft for";
            return Err(Error::Unsupported { what: "drafting with this model", reason });
        }
        if draft.is_recurrent() {
            let reason = "its state cannot take back wrong guesses";
            return Err(Error::Unsupported { what: "drafting with this model", reason });
        }
        let engine = EngineParams { speculation: Speculation::Off, kv_capacity: 0, ..params.clone() };
        let context = ContextParams { length: context.length, ..params.context.clone() }.resolve(draft)?;
        let decoder = Llama::new(draft, &engine, &context, &Arc::new(AtomicBool::new(false)))?;
        let held = vec![Vec::new(); decoder.shape().slots];
        Ok(Self { decoder, held })
    }

    /// Greedy guesses, as long as the draft model is sure of itself. A sequence that it has not caught up with gets none.
    pub(super) fn propose(&mut self, wants: &[Want<'_>]) -> Vec<Vec<TokenId>> {
        let mut guesses = vec![Vec::new(); wants.len()];
        let mut going = self.catch_up(wants);
        while !going.is_empty() {
            // Each has a row with the numbers of its next token.
            let mut next = Vec::new();
            for (want, row) in going {
                let (slot, _, most) = wants[want];
                let Some(token) = self.decoder.logits(row).and_then(likely) else { continue };
                guesses[want].push(token);
                if guesses[want].len() < most {
                    next.push((want, slot, token));
                }
            }
            self.decoder.begin();
            next.sort_by_key(|(_, slot, _)| *slot);
            let rows: Vec<_> = (0..).zip(&next).map(|(row, (want, _, _))| (*want, row)).collect();
            for (_, slot, token) in &next {
                if !self.decoder.push(*token, self.held[*slot].len(), *slot, true) {
                    return guesses;
                }
            }
            if next.is_empty() {
                return guesses;
            }
            if self.decoder.decode() != Outcome::Done {
                next.iter().for_each(|(_, slot, _)| self.forget(*slot));
                return guesses;
            }
            next.iter().for_each(|(_, slot, token)| self.held[*slot].push(*token));
            going = rows;
        }
        guesses
    }

    /// Computes what the draft model has not seen, no more than a batch of it; returns those that are up to date, with the
    /// rows of their next tokens.
    fn catch_up(&mut self, wants: &[Want<'_>]) -> Vec<(usize, i32)> {
        let mut order: Vec<_> = (0..wants.len()).filter(|want| wants[*want].2 > 0).collect();
        order.sort_by_key(|want| wants[*want].0);
        let mut free = self.decoder.shape().batch.min(CATCH_UP);
        let (mut row, mut ready, mut taken) = (0, Vec::new(), Vec::new());
        self.decoder.begin();
        for want in order {
            let (slot, tokens, _) = wants[want];
            let same = self.held[slot].iter().zip(tokens).take_while(|(a, b)| a == b).count();
            let keep = same.min(tokens.len() - 1);
            if self.held[slot].len() > keep {
                if !self.decoder.remove(slot, keep) {
                    self.forget(slot);
                    continue;
                }
                self.held[slot].truncate(keep);
            }
            let missing = &tokens[keep..];
            let take = missing.len().min(free);
            free -= take;
            for (at, token) in missing[..take].iter().enumerate() {
                let last = at + 1 == missing.len();
                if !self.decoder.push(*token, keep + at, slot, last) {
                    return Vec::new();
                }
                row += 1;
                if last {
                    ready.push((want, row - 1));
                }
            }
            taken.push((slot, missing[..take].to_vec()));
        }
        if row == 0 {
            return Vec::new();
        }
        if self.decoder.decode() != Outcome::Done {
            taken.iter().for_each(|(slot, _)| self.forget(*slot));
            return Vec::new();
        }
        for (slot, tokens) in taken {
            self.held[slot].extend(tokens);
        }
        ready
    }

    fn forget(&mut self, slot: usize) {
        // Whole sequences can always be removed.
        let _ = self.decoder.remove(slot, 0);
        self.held[slot].clear();
    }
}

/// The likeliest token, if it is likely.
fn likely(logits: &[f32]) -> Option<TokenId> {
    let (index, best) = logits.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let sum: f32 = logits.iter().map(|logit| (logit - best).exp()).sum();
    (1.0 / sum >= SURE).then_some(TokenId(i32::try_from(index).ok()?))
}

/// Probability from which a guess is worth a row.
const SURE: f32 = 0.4;
/// Tokens of prompts that the draft model reads in one step.
const CATCH_UP: usize = 256;
