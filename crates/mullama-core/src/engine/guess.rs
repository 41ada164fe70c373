//! Guessing tokens ahead.

mod draft;
mod lookup;

pub(crate) use draft::Drafter;

use super::decoder::Slot;
use super::params::Speculation;
use crate::tokenizer::TokenId;

/// Where guesses come from.
#[derive(Debug)]
pub(crate) enum Guess {
    Off,
    Lookup { ngram: usize, tokens: usize },
    Draft { drafter: Box<Drafter>, tokens: usize },
}

/// A sequence, what it holds, and how many guesses are wanted.
pub(crate) type Want<'a> = (Slot, &'a [TokenId], usize);

impl Guess {
    pub(crate) fn new(speculation: Speculation, drafter: Option<Drafter>) -> Self {
        match (speculation, drafter) {
            (Speculation::PromptLookup { ngram, tokens }, _) => {
                Self::Lookup { ngram: ngram as usize, tokens: tokens as usize }
            }
            (Speculation::Draft { tokens }, Some(drafter)) => {
                Self::Draft { drafter: Box::new(drafter), tokens: tokens as usize }
            }
            _ => Self::Off,
        }
    }

    /// Guesses at most.
    pub(crate) fn most(&self) -> usize {
        match self {
            Self::Off => 0,
            Self::Lookup { tokens, .. } | Self::Draft { tokens, .. } => *tokens,
        }
    }

    /// Has it sequences of its own?
    pub(crate) fn has_draft(&self) -> bool {
        matches!(self, Self::Draft { .. })
    }

    /// What may follow each sequence; no more than is wanted.
    pub(crate) fn propose(&mut self, wants: &[Want<'_>]) -> Vec<Vec<TokenId>> {
        match self {
            Self::Off => vec![Vec::new(); wants.len()],
            Self::Lookup { ngram, .. } => {
                wants.iter().map(|(_, tokens, most)| lookup::follow(tokens, *ngram, *most).to_vec()).collect()
            }
            Self::Draft { drafter, .. } => drafter.propose(wants),
        }
    }
}
