//! What a request is to get, computed by itself.

use super::scripted::{END, Letters, Script};
use crate::engine::decoder::Shape;
use crate::generate::{FinishReason, Vocabulary as _};
use crate::tokenizer::TokenId;

/// A request, as plain data.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) prompt: Vec<TokenId>,
    pub(crate) batch: bool,
    pub(crate) cache: bool,
    pub(crate) max_tokens: Option<u32>,
    pub(crate) stop: Vec<String>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) shift: bool,
    pub(crate) keep: usize,
    pub(crate) salt: u8,
    pub(crate) adapters: u8,
    pub(crate) buffer: usize,
    /// Does its reader take everything after each turn?
    pub(crate) reads: bool,
}

impl Ask {
    /// `tokens` of answer to a prompt, at most, for a reader who takes everything.
    pub(crate) fn new(prompt: Vec<TokenId>, tokens: u32) -> Self {
        Self {
            prompt,
            batch: false,
            cache: true,
            max_tokens: Some(tokens),
            stop: Vec::new(),
            timeout_ms: None,
            shift: false,
            keep: 0,
            salt: 0,
            adapters: 0,
            buffer: 64,
            reads: true,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) text: String,
    pub(crate) reason: FinishReason,
    pub(crate) stop: Option<String>,
    /// All that it has in its context, one after the other: each what was left by a shift, and what followed.
    pub(crate) contexts: Vec<Vec<TokenId>>,
}

/// One token after the other, without a cache, a batch or anybody else.
pub(crate) fn expected(script: Script, shape: Shape, ask: &Ask) -> Expected {
    let mut context = ask.prompt.clone();
    let (mut contexts, mut tokens) = (Vec::new(), Vec::new());
    let (reason, stop) = loop {
        let token = script.next(context.iter().copied());
        tokens.push(token);
        if token == END {
            break (FinishReason::Stop, None);
        }
        if let Some(stop) = first_stop(&whole_characters(&tokens), &ask.stop) {
            break (FinishReason::Stop, Some(stop.1));
        }
        if ask.max_tokens.is_some_and(|max| tokens.len() >= max as usize) {
            break (FinishReason::Length, None);
        }
        if context.len() >= shape.length {
            let keep = ask.keep.min(context.len());
            let half = (context.len() - keep) / 2;
            if !ask.shift || !shape.partial_removal || half == 0 {
                break (FinishReason::Length, None);
            }
            contexts.push(context.clone());
            context.drain(keep..keep + half);
        }
        context.push(token);
    };
    contexts.push(context);
    let mut text = text(&tokens);
    if let Some((at, _)) = first_stop(&text, &ask.stop) {
        text.truncate(at);
    }
    Expected { tokens, text, reason, stop, contexts }
}

/// The text of tokens, half characters replaced.
pub(crate) fn text(tokens: &[TokenId]) -> String {
    String::from_utf8_lossy(&bytes(tokens)).into_owned()
}

/// Without a half character at the end.
fn whole_characters(tokens: &[TokenId]) -> String {
    let bytes = bytes(tokens);
    let bytes = bytes.strip_suffix(&[0xC3]).unwrap_or(&bytes);
    String::from_utf8_lossy(bytes).into_owned()
}

fn bytes(tokens: &[TokenId]) -> Vec<u8> {
    let mut bytes = Vec::new();
    tokens.iter().filter(|token| **token != END).for_each(|token| Letters.append(*token, false, &mut bytes).unwrap());
    bytes
}

/// Where the first of `stops` begins. Of those that begin there, the one that is named first.
fn first_stop(text: &str, stops: &[String]) -> Option<(usize, String)> {
    let found = stops.iter().filter_map(|stop| text.find(stop.as_str()).map(|at| (at, stop.clone())));
    found.min_by_key(|(at, _)| *at)
}
