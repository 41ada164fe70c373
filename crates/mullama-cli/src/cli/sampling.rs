//! Flags about how tokens are chosen, named after the fields of `GenerationParams` and `SamplingParams`.

use clap::Args;
use mullama_core::{GenerationParams, LogitBias, Mirostat, SamplerKind, TokenId};

use super::number::{count, float, signed, whole};

/// How long a generation goes on, and how its tokens are chosen. What is not given stays at its default.
#[derive(Debug, Args)]
#[command(next_help_heading = "Generation")]
pub(crate) struct SamplingArgs {
    /// Tokens to generate at most [default: until the model ends]
    #[arg(long, value_name = "N", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) max_tokens: Option<u32>,
    /// A text that ends the answer; may be repeated
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) stop: Vec<String>,
    /// End after this time with what there is; exit code 5
    #[arg(long, value_name = "SECONDS", value_parser = milliseconds, allow_hyphen_values = true)]
    pub(crate) timeout: Option<u64>,
    /// --timeout in milliseconds
    #[arg(long, value_name = "MS", value_parser = whole::<u64>(1..=MAX_MS), allow_hyphen_values = true, conflicts_with = "timeout")]
    pub(crate) timeout_ms: Option<u64>,
    /// When the context is full, forget half of it and go on
    #[arg(long)]
    pub(crate) context_shift: bool,
    /// Tokens at the beginning that --context-shift keeps [default: 0]
    #[arg(long, value_name = "N", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) keep: Option<u32>,
    /// Compute every prompt anew, also what it has in common with the last one
    #[arg(long)]
    pub(crate) no_cache_prompt: bool,
    /// With --json: log-probabilities, of this many of the likeliest tokens too, 0 to 20
    #[arg(long, value_name = "N", value_parser = whole::<u8>(0..=20), allow_hyphen_values = true)]
    pub(crate) top_logprobs: Option<u8>,
    /// Higher is more random, 0 takes the likeliest token [default: 0.8; embedded model: 0]
    #[arg(long, value_name = "X", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) temperature: Option<f32>,
    /// Only the N likeliest tokens; 0 or -1 is off [default: 40]
    #[arg(long, value_name = "N", value_parser = whole::<i64>(-1..=i64::from(i32::MAX)), allow_hyphen_values = true)]
    pub(crate) top_k: Option<i64>,
    /// Only the likeliest tokens that have this probability together [default: 0.95]
    #[arg(long, value_name = "P", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) top_p: Option<f32>,
    /// Only tokens with this share of the best one's probability [default: 0.05]
    #[arg(long, value_name = "P", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) min_p: Option<f32>,
    /// The samplers keep at least this many tokens [default: 0]
    #[arg(long, value_name = "N", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) min_keep: Option<u32>,
    /// Seed of the random choices; -1 draws one [default: drawn; --json names it]
    #[arg(long, value_name = "N", value_parser = whole::<i64>(-1..=i64::from(u32::MAX)), allow_hyphen_values = true)]
    pub(crate) seed: Option<i64>,
    /// Divides the logits of repeated tokens [default: 1, off]
    #[arg(long, value_name = "X", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) repeat_penalty: Option<f32>,
    /// Tokens that the penalties look back; -1 is the whole context [default: 64]
    #[arg(long, value_name = "N", value_parser = signed(), allow_hyphen_values = true)]
    pub(crate) repeat_last_n: Option<i32>,
    /// Subtracted for each time that a token occurred [default: 0]
    #[arg(long, value_name = "X", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) frequency_penalty: Option<f32>,
    /// Subtracted once if a token occurred [default: 0]
    #[arg(long, value_name = "X", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) presence_penalty: Option<f32>,
    /// Locally typical sampling [default: 1, off]
    #[arg(long, value_name = "P", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) typical_p: Option<f32>,
    /// Only tokens within N standard deviations of the best logit [default: -1, off]
    #[arg(long, value_name = "N", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) top_n_sigma: Option<f32>,
    /// XTC: probability of excluding the top choices [default: 0, off]
    #[arg(long, value_name = "P", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) xtc_probability: Option<f32>,
    /// XTC: tokens above this probability are top choices [default: 0.1]
    #[arg(long, value_name = "P", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) xtc_threshold: Option<f32>,
    /// Dynamic temperature: how far it moves [default: 0, off]
    #[arg(long, value_name = "X", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) dynatemp_range: Option<f32>,
    /// Dynamic temperature: exponent [default: 1]
    #[arg(long, value_name = "X", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) dynatemp_exponent: Option<f32>,
    /// DRY, against repetition: strength [default: 0, off]
    #[arg(long, value_name = "X", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) dry_multiplier: Option<f32>,
    /// DRY: base of the growth [default: 1.75]
    #[arg(long, value_name = "X", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) dry_base: Option<f32>,
    /// DRY: repetitions up to this length are free [default: 2]
    #[arg(long, value_name = "TOKENS", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) dry_allowed_length: Option<u32>,
    /// DRY: tokens to look back; -1 is the whole context [default: 64]
    #[arg(long, value_name = "N", value_parser = signed(), allow_hyphen_values = true)]
    pub(crate) dry_penalty_last_n: Option<i32>,
    /// DRY: a text that ends a repetition; may be repeated [default: line feed, : " *]
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) dry_sequence_breakers: Vec<String>,
    /// Mirostat: off, v1 or v2 (0, 1, 2); replaces the samplers but temperature [default: off]
    #[arg(long, value_name = "VERSION", value_parser = mirostat)]
    pub(crate) mirostat: Option<Mirostat>,
    /// Mirostat: target entropy [default: 5]
    #[arg(long, value_name = "X", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) mirostat_tau: Option<f32>,
    /// Mirostat: learning rate [default: 0.1]
    #[arg(long, value_name = "X", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) mirostat_eta: Option<f32>,
    /// Adaptive-p: aim at tokens of this probability; needs its place in --samplers [default: -1, off]
    #[arg(long, value_name = "P", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) adaptive_target: Option<f32>,
    /// Adaptive-p: how slowly it adapts [default: 0.9]
    #[arg(long, value_name = "X", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) adaptive_decay: Option<f32>,
    /// Added to a token's logit, -100 to 100; -inf or none forbids the token; may be repeated
    #[arg(long, value_name = "TOKEN=BIAS", value_parser = logit_bias)]
    pub(crate) logit_bias: Vec<LogitBias>,
    /// The samplers in their order, with commas between: penalties,dry,top_n_sigma,top_k,typ_p,top_p,min_p,xtc,temperature
    /// is the default; infill and adaptive_p are the others
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = sampler)]
    pub(crate) samplers: Vec<SamplerKind>,
    /// Never choose a token that ends the answer
    #[arg(long)]
    pub(crate) ignore_eos: bool,
}

impl SamplingArgs {
    /// What is given, over what the configuration says.
    ///
    /// # Errors
    /// As [`GenerationParams::validate`].
    pub(crate) fn params(&self, base: GenerationParams) -> mullama_core::Result<GenerationParams> {
        let mut params = GenerationParams {
            max_tokens: self.max_tokens.or(base.max_tokens),
            stop: if self.stop.is_empty() { base.stop } else { self.stop.clone() },
            top_logprobs: self.top_logprobs,
            context_shift: base.context_shift || self.context_shift,
            keep: self.keep.unwrap_or(base.keep),
            timeout_ms: self.timeout.or(self.timeout_ms),
            cache_prompt: base.cache_prompt && !self.no_cache_prompt,
            sampling: base.sampling,
        };
        let to = &mut params.sampling;
        macro_rules! take {
            ($($field:ident)*) => { $(if let Some(value) = self.$field { to.$field = value; })* };
        }
        take! {
            temperature top_p min_p min_keep repeat_penalty repeat_last_n frequency_penalty presence_penalty
            typical_p top_n_sigma xtc_probability xtc_threshold dynatemp_range dynatemp_exponent dry_multiplier dry_base
            dry_allowed_length dry_penalty_last_n mirostat mirostat_tau mirostat_eta adaptive_target adaptive_decay
        }
        if let Some(limit) = self.top_k {
            to.top_k = u32::try_from(limit).unwrap_or(0);
        }
        if let Some(seed) = self.seed {
            to.seed = u32::try_from(seed).ok();
        }
        to.ignore_eos |= self.ignore_eos;
        if !self.logit_bias.is_empty() {
            to.logit_bias.clone_from(&self.logit_bias);
        }
        if !self.samplers.is_empty() {
            to.samplers.clone_from(&self.samplers);
        }
        if !self.dry_sequence_breakers.is_empty() {
            to.dry_sequence_breakers.clone_from(&self.dry_sequence_breakers);
        }
        params.validate()?;
        Ok(params)
    }
}

fn milliseconds(text: &str) -> Result<u64, String> {
    let seconds: f64 = text.parse().map_err(|_| "must be a number of seconds".to_owned())?;
    if !(0.001..=MAX_SECONDS).contains(&seconds) {
        return Err(format!("must be 0.001..={MAX_SECONDS} seconds"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 1..=3.2e10")]
    Ok((seconds * 1e3).round() as u64)
}

fn mirostat(text: &str) -> Result<Mirostat, String> {
    match text {
        "off" | "0" => Ok(Mirostat::Off),
        "v1" | "1" => Ok(Mirostat::V1),
        "v2" | "2" => Ok(Mirostat::V2),
        _ => Err("must be off, v1 or v2".to_owned()),
    }
}

fn sampler(text: &str) -> Result<SamplerKind, String> {
    let name = text.trim().to_lowercase().replace('-', "_");
    serde_json::from_value(name.into()).map_err(|_| "no such sampler; --help lists them".to_owned())
}

fn logit_bias(text: &str) -> Result<LogitBias, String> {
    let (token, bias) = text.split_once('=').ok_or("must be TOKEN=BIAS")?;
    let token = token.trim().parse().map_err(|_| "TOKEN must be a token's id; `mullama tokenize` tells it")?;
    let bias = match bias.trim() {
        "none" | "-inf" | "false" => None,
        number => Some(number.parse().map_err(|_| "BIAS must be a number, -inf or none")?),
    };
    Ok(LogitBias { token: TokenId(token), bias })
}

/// One year.
const MAX_SECONDS: f64 = 31_536_000.0;
const MAX_MS: i64 = 31_536_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bias_is_a_number_or_forbids() {
        let read = |text| logit_bias(text).map(|bias| (bias.token.0, bias.bias));
        assert_eq!(read("15=-1.5"), Ok((15, Some(-1.5))));
        assert_eq!(read("15=-inf"), Ok((15, None)));
        assert_eq!(read("15=none"), Ok((15, None)));
        assert!(read("15").is_err() && read("the=1").is_err() && read("1=x").is_err());
    }

    #[test]
    fn samplers_have_llama_cpps_names_in_either_spelling() {
        assert_eq!(sampler("top-k"), Ok(SamplerKind::TopK));
        assert_eq!(sampler("typical_p"), sampler("typ_p"));
        assert!(sampler("top").is_err());
    }

    #[test]
    fn times_are_seconds_within_a_year() {
        assert_eq!(milliseconds("1.5"), Ok(1_500));
        for wrong in ["0", "-1", "NaN", "inf", "1e300", "x"] {
            assert!(milliseconds(wrong).is_err(), "{wrong}");
        }
    }
}
