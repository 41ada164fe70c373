//! How the next token is chosen.

mod sampler;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::grammar::Grammar;
use crate::tokenizer::{TokenId, Tokenizer};
pub(crate) use sampler::{Rows, Sampler, TemplateState};

/// How tokens are chosen: every sampler of llama.cpp, with the names, defaults and meaning of llama.cpp's server.
///
/// ```
/// use mullama_core::SamplingParams;
///
/// let params = SamplingParams { temperature: 0.7, seed: Some(42), ..Default::default() };
/// params.validate()?;
/// assert!(SamplingParams { top_p: 1.5, ..Default::default() }.validate().is_err());
/// # Ok::<(), mullama_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplingParams {
    /// Seed of the random choice; `None` (default) draws one, which the summary of the generation names.
    pub seed: Option<u32>,
    /// Higher is more random; 0 always takes the most likely token. 0..=10, default 0.8.
    pub temperature: f32,
    /// Dynamic temperature: the temperature moves within +- this range with the entropy. 0 (off, default)..=10.
    pub dynatemp_range: f32,
    /// Exponent of the dynamic temperature. 0..=10, default 1.
    pub dynatemp_exponent: f32,
    /// Only the k most likely tokens; 0 keeps all. Default 40.
    pub top_k: u32,
    /// Only the most likely tokens that together have this probability. 0..=1, default 0.95, 1 is off.
    pub top_p: f32,
    /// Only tokens with at least this share of the best one's probability. 0 (off)..=1, default 0.05.
    pub min_p: f32,
    /// Only tokens whose logit is within n standard deviations of the best; negative (default -1) is off. Up to 100.
    pub top_n_sigma: f32,
    /// Locally typical sampling. 0..=1, default 1 (off).
    pub typical_p: f32,
    /// Exclude top choices: the probability of doing so at a token. 0 (off, default)..=1.
    pub xtc_probability: f32,
    /// Exclude top choices: tokens above this probability are excluded, but for the last. 0..=1, default 0.1.
    pub xtc_threshold: f32,
    /// The samplers above keep at least this many tokens. Default 0.
    pub min_keep: u32,
    /// Tokens back that the penalties look at; 0 is off, -1 the whole context. Default 64.
    pub repeat_last_n: i32,
    /// Divides the logits of repeated tokens. 0 (exclusive)..=10, default 1 (off).
    pub repeat_penalty: f32,
    /// Subtracted for each time that a token occurred. -2..=2, default 0.
    pub frequency_penalty: f32,
    /// Subtracted once when a token occurred. -2..=2, default 0.
    pub presence_penalty: f32,
    /// DRY ("don't repeat yourself"): strength; 0 (default) is off. 0..=100.
    pub dry_multiplier: f32,
    /// DRY: base of the growth. 0..=100, default 1.75.
    pub dry_base: f32,
    /// DRY: repetitions up to this many tokens are free. Default 2.
    pub dry_allowed_length: u32,
    /// DRY: tokens back that are looked at; 0 is off, -1 the whole context. Default 64.
    pub dry_penalty_last_n: i32,
    /// DRY: texts that end a repetition. At most 16 of at most 40 bytes. Default: line feed, ':', '"', '*'.
    pub dry_sequence_breakers: Vec<String>,
    /// Mirostat replaces the chain: only temperature stays. Default off.
    pub mirostat: Mirostat,
    /// Mirostat: target entropy. 0 (exclusive)..=100, default 5.
    pub mirostat_tau: f32,
    /// Mirostat: learning rate. 0..=1, default 0.1.
    pub mirostat_eta: f32,
    /// Adaptive-p: aims at tokens of about this probability; negative (default -1) is off. Takes part only when
    /// `samplers` names it. Up to 1.
    pub adaptive_target: f32,
    /// Adaptive-p: how slowly it adapts. 0..=0.99, default 0.9.
    pub adaptive_decay: f32,
    /// The samplers of the chain in their order, each at most once. The temperature's place matters most.
    pub samplers: Vec<SamplerKind>,
    /// Added to the logits of tokens before all else. At most 4,096.
    pub logit_bias: Vec<LogitBias>,
    /// Never choose a token that ends the answer. Default false.
    pub ignore_eos: bool,
    /// What the text must follow.
    pub grammar: Option<Grammar>,
}

/// Which Mirostat, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mirostat {
    /// The chain of samplers.
    #[default]
    Off,
    /// Mirostat.
    V1,
    /// Mirostat 2.0.
    V2,
}

/// A sampler of the chain, under llama.cpp's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SamplerKind {
    /// Repeat, frequency and presence penalties.
    Penalties,
    /// DRY.
    Dry,
    /// Top-n-sigma.
    TopNSigma,
    /// Top-k.
    TopK,
    /// Locally typical.
    #[serde(rename = "typ_p", alias = "typical_p")]
    TypicalP,
    /// Top-p (nucleus).
    TopP,
    /// Min-p.
    MinP,
    /// XTC.
    Xtc,
    /// Temperature, with its dynamic range.
    Temperature,
    /// Merges tokens with a common prefix, for fill in the middle. Its work grows with the square of the tokens that
    /// reach it, so top-k with a `top_k` of 1 to 1,000 must stand before it; not together with a grammar.
    Infill,
    /// Adaptive-p; chooses the token itself.
    AdaptiveP,
}

/// A number added to a token's logit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LogitBias {
    /// The token.
    pub token: TokenId,
    /// -100..=100; `None` forbids the token.
    pub bias: Option<f32>,
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            seed: None,
            temperature: 0.8,
            dynatemp_range: 0.0,
            dynatemp_exponent: 1.0,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            top_n_sigma: -1.0,
            typical_p: 1.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            min_keep: 0,
            repeat_last_n: 64,
            repeat_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            dry_multiplier: 0.0,
            dry_base: 1.75,
            dry_allowed_length: 2,
            dry_penalty_last_n: 64,
            dry_sequence_breakers: ["\n", ":", "\"", "*"].map(str::to_owned).to_vec(),
            mirostat: Mirostat::Off,
            mirostat_tau: 5.0,
            mirostat_eta: 0.1,
            adaptive_target: -1.0,
            adaptive_decay: 0.9,
            samplers: vec![
                SamplerKind::Penalties,
                SamplerKind::Dry,
                SamplerKind::TopNSigma,
                SamplerKind::TopK,
                SamplerKind::TypicalP,
                SamplerKind::TopP,
                SamplerKind::MinP,
                SamplerKind::Xtc,
                SamplerKind::Temperature,
            ],
            logit_bias: Vec::new(),
            ignore_eos: false,
            grammar: None,
        }
    }
}

impl SamplingParams {
    /// Always the most likely token.
    #[must_use]
    pub fn greedy() -> Self {
        Self { temperature: 0.0, ..Self::default() }
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] names the field; [`Error::Grammar`].
    pub fn validate(&self) -> Result<()> {
        for (name, value, low, high, expected) in [
            ("temperature", self.temperature, 0.0, 10.0, "0..=10"),
            ("dynatemp_range", self.dynatemp_range, 0.0, 10.0, "0..=10"),
            ("dynatemp_exponent", self.dynatemp_exponent, 0.0, 10.0, "0..=10"),
            ("top_p", self.top_p, 0.0, 1.0, "0..=1"),
            ("min_p", self.min_p, 0.0, 1.0, "0..=1"),
            ("top_n_sigma", self.top_n_sigma, -1.0e6, 100.0, "at most 100; negative is off"),
            ("typical_p", self.typical_p, 0.0, 1.0, "0..=1"),
            ("xtc_probability", self.xtc_probability, 0.0, 1.0, "0..=1"),
            ("xtc_threshold", self.xtc_threshold, 0.0, 1.0, "0..=1"),
            ("repeat_penalty", self.repeat_penalty, 1.0e-6, 10.0, "above 0, at most 10"),
            ("frequency_penalty", self.frequency_penalty, -2.0, 2.0, "-2..=2"),
            ("presence_penalty", self.presence_penalty, -2.0, 2.0, "-2..=2"),
            ("dry_multiplier", self.dry_multiplier, 0.0, 100.0, "0..=100"),
            ("dry_base", self.dry_base, 0.0, 100.0, "0..=100"),
            ("mirostat_tau", self.mirostat_tau, 1.0e-6, 100.0, "above 0, at most 100"),
            ("mirostat_eta", self.mirostat_eta, 0.0, 1.0, "0..=1"),
            ("adaptive_target", self.adaptive_target, -1.0e6, 1.0, "at most 1; negative is off"),
            ("adaptive_decay", self.adaptive_decay, 0.0, 0.99, "0..=0.99"),
        ] {
            // A NaN is in no range.
            if !(low..=high).contains(&value) {
                return Err(Error::parameter(name, value, expected));
            }
        }
        for (name, value) in [("repeat_last_n", self.repeat_last_n), ("dry_penalty_last_n", self.dry_penalty_last_n)] {
            if !(-1..=1 << 20).contains(&value) {
                return Err(Error::parameter(name, value, "-1 (the whole context) to 1,048,576"));
            }
        }
        if self.top_k > i32::MAX.unsigned_abs() {
            return Err(Error::parameter("top_k", self.top_k, "0..=2,147,483,647"));
        }
        if self.min_keep > 1 << 20 || self.dry_allowed_length > 1 << 20 {
            let value = self.min_keep.max(self.dry_allowed_length);
            return Err(Error::parameter(
                if self.min_keep > 1 << 20 { "min_keep" } else { "dry_allowed_length" },
                value,
                "0..=1,048,576",
            ));
        }
        if self.dry_sequence_breakers.len() > 16 || self.dry_sequence_breakers.iter().any(|text| text.len() > 40) {
            let given = format!("{} texts", self.dry_sequence_breakers.len());
            return Err(Error::parameter("dry_sequence_breakers", given, "at most 16 texts of at most 40 bytes"));
        }
        if let Some((at, kind)) =
            self.samplers.iter().enumerate().find(|(at, kind)| self.samplers[..*at].contains(kind))
        {
            return Err(Error::parameter("samplers", format!("{kind:?} again at {at}"), "each sampler at most once"));
        }
        self.validate_bias()?;
        self.grammar.as_ref().map_or(Ok(()), Grammar::validate)
    }

    /// llama.cpp's infill sampler aborts the process where its end token is none, or is one that a grammar forbids.
    fn check_infill(&self, tokenizer: &Tokenizer) -> Result<()> {
        let Some(at) = self.samplers.iter().position(|kind| *kind == SamplerKind::Infill) else { return Ok(()) };
        let refuse = |expected| Err(Error::parameter("samplers", "infill", expected));
        if self.mirostat != Mirostat::Off {
            return Ok(()); // it takes no part
        }
        if self.grammar.is_some() {
            return refuse("without infill where there is a grammar");
        }
        if tokenizer.eot().is_none() && tokenizer.eos().is_none() {
            return refuse("without infill: this vocabulary has no end token");
        }
        if !self.samplers[..at].contains(&SamplerKind::TopK) || !(1..=1_000).contains(&self.top_k) {
            return refuse("with top_k of 1..=1,000 before infill");
        }
        Ok(())
    }

    fn validate_bias(&self) -> Result<()> {
        if self.logit_bias.len() > 4_096 {
            return Err(Error::parameter("logit_bias", self.logit_bias.len(), "at most 4,096 tokens"));
        }
        for LogitBias { bias, .. } in &self.logit_bias {
            if let Some(bias) = bias
                && !(-100.0..=100.0).contains(bias)
            {
                return Err(Error::parameter("logit_bias", bias, "-100..=100, or none to forbid the token"));
            }
        }
        Ok(())
    }

    /// Is the choice simply the largest logit? Then no chain need run.
    fn is_argmax(&self) -> bool {
        self.temperature <= 0.0
            && self.grammar.is_none()
            && self.logit_bias.is_empty()
            && self.mirostat == Mirostat::Off
            && (self.repeat_penalty - 1.0).abs() < f32::EPSILON
            && self.frequency_penalty == 0.0
            && self.presence_penalty == 0.0
            && self.dry_multiplier == 0.0
            && self.xtc_probability == 0.0
            && self.dynatemp_range == 0.0
            && (self.typical_p - 1.0).abs() < f32::EPSILON
            && self.samplers.contains(&SamplerKind::Temperature)
            && !self.samplers.iter().any(|kind| matches!(kind, SamplerKind::Infill | SamplerKind::AdaptiveP))
    }

    /// The shim's parameters.
    fn write(&self, context_length: usize, template: Option<&TemplateState>) -> Map<String, Value> {
        let last = |n: i32| if n < 0 { i32::try_from(context_length).unwrap_or(i32::MAX) } else { n };
        let mirostat = match self.mirostat {
            Mirostat::Off => 0,
            Mirostat::V1 => 1,
            Mirostat::V2 => 2,
        };
        let biases: Vec<Value> = self.logit_bias.iter().map(|one| json!([one.token, one.bias])).collect();
        let Value::Object(mut map) = json!({
            "temperature": self.temperature,
            "dynatemp_range": self.dynatemp_range,
            "dynatemp_exponent": self.dynatemp_exponent,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "min_p": self.min_p,
            "top_n_sigma": self.top_n_sigma,
            "typical_p": self.typical_p,
            "xtc_probability": self.xtc_probability,
            "xtc_threshold": self.xtc_threshold,
            "min_keep": self.min_keep,
            "repeat_last_n": last(self.repeat_last_n),
            "repeat_penalty": self.repeat_penalty,
            "frequency_penalty": self.frequency_penalty,
            "presence_penalty": self.presence_penalty,
            "dry_multiplier": self.dry_multiplier,
            "dry_base": self.dry_base,
            "dry_allowed_length": self.dry_allowed_length,
            "dry_penalty_last_n": last(self.dry_penalty_last_n),
            "dry_sequence_breakers": self.dry_sequence_breakers,
            "mirostat": mirostat,
            "mirostat_tau": self.mirostat_tau,
            "mirostat_eta": self.mirostat_eta,
            "adaptive_target": self.adaptive_target,
            "adaptive_decay": self.adaptive_decay,
            "samplers": self.samplers,
            "logit_bias": biases,
            "ignore_eos": self.ignore_eos,
        }) else {
            return Map::new();
        };
        if let Some(seed) = self.seed {
            map.insert("seed".to_owned(), seed.into());
        }
        if let Some(grammar) = &self.grammar {
            grammar.write(&mut map);
        }
        if let Some(template) = template {
            template.write(&mut map);
        }
        map
    }
}

#[cfg(test)]
mod tests;
