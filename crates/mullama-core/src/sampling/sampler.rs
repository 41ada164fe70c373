//! One generation's choice of tokens.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{LogitBias, SamplingParams};
use crate::error::{Error, Result};
use crate::ffi::{ContextPtr, SampleError, SamplerPtr};
use crate::grammar::{DEADLINE, Grammar};
use crate::model::Model;
use crate::prepare::Preparer;
use crate::tokenizer::TokenId;

/// What a rendered chat prompt tells the sampler: how the answer begins, and how thinking is marked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TemplateState {
    pub(crate) generation_prompt: String,
    pub(crate) thinking_start_tag: String,
    pub(crate) thinking_end_tags: Vec<String>,
    pub(crate) reasoning_budget: Option<u32>,
    pub(crate) reasoning_control: bool,
}

impl TemplateState {
    pub(super) fn write(&self, into: &mut Map<String, Value>) {
        into.insert("generation_prompt".to_owned(), self.generation_prompt.clone().into());
        into.insert("thinking_start_tag".to_owned(), self.thinking_start_tag.clone().into());
        into.insert("thinking_end_tags".to_owned(), self.thinking_end_tags.clone().into());
        let budget = self.reasoning_budget.and_then(|tokens| i32::try_from(tokens).ok()).unwrap_or(-1);
        into.insert("reasoning_budget_tokens".to_owned(), budget.into());
        into.insert("reasoning_control".to_owned(), self.reasoning_control.into());
    }

    /// Only the chain can make the model end its thoughts, and only by the tags of its template.
    fn may_end_reasoning(&self) -> bool {
        !self.thinking_end_tags.is_empty() && (self.reasoning_budget.is_some() || self.reasoning_control)
    }
}

/// Where rows of logits come from: a context of llama.cpp, or a script in tests.
pub(crate) trait Rows {
    /// Output row `row` of the last batch (-1 the last one).
    fn logits(&mut self, row: i32) -> Option<&[f32]>;
    /// The context, which a chain reads for itself.
    fn context(&mut self) -> Option<&mut ContextPtr>;
}

impl Rows for ContextPtr {
    fn logits(&mut self, row: i32) -> Option<&[f32]> {
        Self::logits(self, row)
    }

    fn context(&mut self) -> Option<&mut ContextPtr> {
        Some(self)
    }
}

/// One generation's choice of tokens.
#[derive(Debug)]
pub(crate) enum Sampler {
    /// The largest logit, but for those of tokens that are not to come; what the chain would choose, without the chain.
    Argmax {
        banned: Arc<[TokenId]>,
    },
    Chain(Chain),
}

#[derive(Debug)]
pub(crate) struct Chain {
    /// Gone after a failure.
    sampler: Option<SamplerPtr>,
    /// For lazy grammars with patterns: `std::regex` recurses for each character of the answer, so accepting a token
    /// needs a large stack.
    deep: Option<Arc<Preparer>>,
    /// Tokens accepted: the pattern is matched against all of their text.
    accepted: u32,
}

impl Chain {
    fn sampler(&mut self) -> Result<&mut SamplerPtr> {
        self.sampler.as_mut().ok_or_else(|| Error::Sample { reason: "the sampler failed before".to_owned() })
    }

    fn accept(&mut self, token: TokenId, generated: bool) -> Result<()> {
        let outcome = match &self.deep {
            Some(preparer) if generated => {
                self.accepted += 1;
                if self.accepted > MAX_WATCHED {
                    let reason =
                        format!("a grammar's pattern has watched {MAX_WATCHED} tokens; use a word as the trigger");
                    return Err(Error::Sample { reason });
                }
                let Some(mut sampler) = self.sampler.take() else { return self.sampler().map(drop) };
                let (sampler, outcome) = preparer.run("grammar trigger", DEADLINE, move || {
                    let outcome = sampler.accept(token.0, generated);
                    (sampler, outcome)
                })?;
                self.sampler = Some(sampler);
                outcome
            }
            _ => self.sampler()?.accept(token.0, generated),
        };
        outcome.map_err(|reason| Error::Sample { reason })
    }
}

impl Sampler {
    /// Validates, and builds the chain on a thread with a large stack when there is a grammar.
    pub(crate) fn new(
        model: &Model,
        params: &SamplingParams,
        template: Option<&TemplateState>,
        context_length: usize,
    ) -> Result<Self> {
        params.validate()?;
        let tokenizer = model.tokenizer();
        for LogitBias { token, .. } in &params.logit_bias {
            tokenizer.check("logit_bias", *token)?;
        }
        for token in params.grammar.iter().flat_map(Grammar::trigger_tokens) {
            tokenizer.check("grammar", token)?;
        }
        if params.is_argmax() && !template.is_some_and(TemplateState::may_end_reasoning) {
            let banned = if params.ignore_eos { model.end_tokens() } else { Arc::default() };
            return Ok(Self::Argmax { banned });
        }
        params.check_infill(&tokenizer)?;
        let json = Value::Object(params.write(context_length, template)).to_string();
        // Grammars and prompts are read recursively; DRY reads the whole vocabulary.
        let chain = if params.grammar.is_some() || template.is_some() || params.dry_multiplier > 0.0 {
            let made = model.prepare("grammar", DEADLINE, move |ptr| SamplerPtr::new(ptr, &json))?;
            made.map_err(
                |reason| if params.grammar.is_some() { Error::Grammar { reason } } else { Error::Sample { reason } },
            )?
        } else {
            SamplerPtr::new(model.ptr(), &json).map_err(|reason| Error::Sample { reason })?
        };
        let patterns = params.grammar.as_ref().is_some_and(Grammar::has_pattern_triggers);
        let deep = patterns.then(|| Arc::clone(&model.shared().preparer));
        Ok(Self::Chain(Chain { sampler: Some(chain), deep, accepted: 0 }))
    }

    /// The next token, from output row `row` of the last batch; accepted.
    pub(crate) fn next(&mut self, rows: &mut impl Rows, row: i32) -> Result<TokenId> {
        let token = match self {
            Self::Argmax { banned } => {
                let logits = rows.logits(row);
                let logits = logits.ok_or_else(|| Error::Sample { reason: "there are no logits".to_owned() })?;
                let best = argmax(logits).ok_or(Error::NoToken)?;
                if banned.contains(&TokenId(best)) {
                    argmax_without(logits, banned).ok_or(Error::NoToken)?
                } else {
                    best
                }
            }
            Self::Chain(chain) => {
                let context = rows.context();
                let context = context.ok_or_else(|| Error::Sample { reason: "there is no context".to_owned() })?;
                let token = chain.sampler()?.sample(context, row).map_err(|error| match error {
                    SampleError::NoToken => Error::NoToken,
                    SampleError::Failed(reason) => Error::Sample { reason },
                })?;
                chain.accept(TokenId(token), true)?;
                token
            }
        };
        Ok(TokenId(token))
    }

    /// Tells the penalties about the prompt.
    pub(crate) fn see_prompt(&mut self, tokens: &[TokenId]) -> Result<()> {
        if let Self::Chain(chain) = self {
            for token in tokens {
                chain.accept(*token, false)?;
            }
        }
        Ok(())
    }

    /// Makes the model end its thoughts with the next tokens. False: it is not thinking, or was not to be steered.
    pub(crate) fn end_reasoning(&mut self) -> bool {
        match self {
            Self::Argmax { .. } => false,
            Self::Chain(chain) => chain.sampler.as_mut().is_some_and(SamplerPtr::end_reasoning),
        }
    }

    /// The seed in use; `None` where nothing is random.
    pub(crate) fn seed(&self) -> Option<u32> {
        match self {
            Self::Argmax { .. } => None,
            Self::Chain(chain) => chain.sampler.as_ref().map(SamplerPtr::seed),
        }
    }
}

/// Some 400,000 characters, for which 256 MiB of stack suffice.
const MAX_WATCHED: u32 = 100_000;

/// As [`argmax`], of the tokens that are not banned.
fn argmax_without(logits: &[f32], banned: &[TokenId]) -> Option<i32> {
    let mut left = logits.to_vec();
    for token in banned {
        if let Some(logit) = usize::try_from(token.0).ok().and_then(|index| left.get_mut(index)) {
            *logit = f32::NEG_INFINITY;
        }
    }
    argmax(&left)
}

/// Index of the first largest finite number.
pub(super) fn argmax(logits: &[f32]) -> Option<i32> {
    // Two passes: the maximum of lanes compiles to SIMD, a search for the index does too.
    let mut lanes = [f32::NEG_INFINITY; 16];
    let chunks = logits.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = lane.max(*value); // ignores NaN
        }
    }
    let best = lanes.into_iter().chain(rest.iter().copied()).fold(f32::NEG_INFINITY, f32::max);
    if !best.is_finite() {
        return None;
    }
    #[expect(clippy::float_cmp, reason = "`best` is one of them")]
    let first = logits.iter().position(|value| *value == best);
    first.and_then(|index| i32::try_from(index).ok())
}
