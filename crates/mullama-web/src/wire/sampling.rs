//! How tokens are chosen: the fields that all requests for text have, with OpenAI's and llama.cpp's names.

use std::collections::BTreeMap;

use mullama_core::{GenerationParams, Grammar, LogitBias, Mirostat, SamplerKind, SamplingParams, TokenId};
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult};

/// The fields of sampling: hands the list of them to another macro, behind what else that one is given.
macro_rules! with_sampling_fields {
    ($then:path, $given:tt) => {
        $then! {
            $given
            /// 0 is greedy. 0 to 10, default 0.8.
            temperature: f32,
            /// Nucleus. 0 to 1, default 0.95.
            top_p: f32,
            /// Only the k likeliest; 0 keeps all. Default 40.
            top_k: i64,
            /// 0 to 1, default 0.05.
            min_p: f32,
            /// Locally typical. 0 to 1, default 1.
            typical_p: f32,
            /// Negative is off. Default -1.
            top_n_sigma: f32,
            /// 0 to 1, default 0.
            xtc_probability: f32,
            /// 0 to 1, default 0.1.
            xtc_threshold: f32,
            /// 0 is off.
            dynatemp_range: f32,
            /// Default 1.
            dynatemp_exponent: f32,
            /// Divides the logits of tokens that occurred. Default 1.
            repeat_penalty: f32,
            /// Tokens back that the penalties see; -1 is all. Default 64.
            repeat_last_n: i32,
            /// -2 to 2, default 0.
            presence_penalty: f32,
            /// -2 to 2, default 0.
            frequency_penalty: f32,
            /// 0 is off.
            dry_multiplier: f32,
            /// Default 1.75.
            dry_base: f32,
            /// Default 2.
            dry_allowed_length: u32,
            /// Tokens back; -1 is all. Default 64.
            dry_penalty_last_n: i32,
            /// Texts that end a repetition.
            dry_sequence_breakers: Vec<String>,
            /// 0 (off), 1 or 2.
            mirostat: u8,
            /// Default 5.
            mirostat_tau: f32,
            /// Default 0.1.
            mirostat_eta: f32,
            /// Negative is off.
            adaptive_target: f32,
            /// Default 0.9.
            adaptive_decay: f32,
            /// Tokens that are kept at least. Default 0.
            min_keep: u32,
            /// The chain, by names.
            samplers: Vec<String>,
            /// -1 draws one.
            seed: i64,
            /// Added to the logits of tokens, by their numbers: `{"50256": -100}`, or llama.cpp's `[[50256, -100]]`,
            /// where `false` forbids the token.
            #[schema(value_type = Option<Object>)]
            logit_bias: crate::wire::sampling::Biases,
            /// Never choose a token that ends the answer.
            ignore_eos: bool,
            /// One text, or up to 16, that end the answer.
            stop: crate::wire::loose::OneOrMany<String>,
            /// Do not compute again what is known of the prompt. Default true.
            cache_prompt: bool,
            /// A grammar in GBNF that the answer follows.
            grammar: String,
            /// Tokens at the beginning that stay when the context is shifted.
            n_keep: i64,
        }
    };
}
pub(crate) use with_sampling_fields;

/// Declares a request: its own fields, and those of sampling. serde's `flatten` would lose the names of fields that nobody
/// reads, and the paths of wrong ones.
macro_rules! request_with_sampling {
    ($(#[$meta:meta])* pub struct $name:ident { $($own:tt)* }) => {
        crate::wire::sampling::with_sampling_fields!(crate::wire::sampling::declare_request, {
            $(#[$meta])* pub struct $name {
                $($own)*
                /// Adapters of this request, in the place of those in force.
                pub lora: Option<Vec<crate::wire::sampling::LoraScale>>,
                /// Accepted; the engine chooses.
                pub id_slot: Option<i64>,
            }
        });
    };
}
pub(crate) use request_with_sampling;

/// The same without the fields of a request; to be handed to [`with_sampling_fields`].
macro_rules! declare_request {
    (
        { $(#[$meta:meta])* pub struct $name:ident { $($(#[$own_meta:meta])* pub $own:ident: $own_kind:ty,)* } }
        $($(#[$field_meta:meta])* $field:ident: $kind:ty,)*
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Deserialize, utoipa::ToSchema)]
        pub(crate) struct $name {
            $($(#[$own_meta])* pub(crate) $own: $own_kind,)*
            $($(#[$field_meta])* pub(crate) $field: Option<$kind>,)*
        }

        impl $name {
            /// Takes what is the same in all requests for text.
            pub(crate) fn sampling(&mut self) -> crate::wire::sampling::Sampling {
                crate::wire::sampling::Sampling { $($field: self.$field.take(),)* }
            }
        }

        impl From<crate::wire::sampling::Sampling> for $name {
            fn from(sampling: crate::wire::sampling::Sampling) -> Self {
                Self { $($field: sampling.$field,)* ..Self::default() }
            }
        }
    };
}
pub(crate) use declare_request;

macro_rules! declare_sampling {
    ({} $($(#[$field_meta:meta])* $field:ident: $kind:ty,)*) => {
        /// The fields of [`request_with_sampling`].
        #[derive(Debug, Clone, Default, PartialEq)]
        pub(crate) struct Sampling {
            $(pub(crate) $field: Option<$kind>,)*
        }
    };
}
with_sampling_fields!(declare_sampling, {});

impl Sampling {
    /// Puts what is given over `defaults`, and checks all of it.
    pub(crate) fn over(self, defaults: &GenerationParams) -> ApiResult<GenerationParams> {
        let mut params = defaults.clone();
        let sampling = &mut params.sampling;
        let set = |to: &mut f32, from: Option<f32>| *to = from.unwrap_or(*to);
        set(&mut sampling.temperature, self.temperature);
        set(&mut sampling.top_p, self.top_p);
        set(&mut sampling.min_p, self.min_p);
        set(&mut sampling.typical_p, self.typical_p);
        set(&mut sampling.top_n_sigma, self.top_n_sigma);
        set(&mut sampling.xtc_probability, self.xtc_probability);
        set(&mut sampling.xtc_threshold, self.xtc_threshold);
        set(&mut sampling.dynatemp_range, self.dynatemp_range);
        set(&mut sampling.dynatemp_exponent, self.dynatemp_exponent);
        set(&mut sampling.repeat_penalty, self.repeat_penalty);
        set(&mut sampling.presence_penalty, self.presence_penalty);
        set(&mut sampling.frequency_penalty, self.frequency_penalty);
        set(&mut sampling.dry_multiplier, self.dry_multiplier);
        set(&mut sampling.dry_base, self.dry_base);
        set(&mut sampling.mirostat_tau, self.mirostat_tau);
        set(&mut sampling.mirostat_eta, self.mirostat_eta);
        set(&mut sampling.adaptive_target, self.adaptive_target);
        set(&mut sampling.adaptive_decay, self.adaptive_decay);
        sampling.repeat_last_n = self.repeat_last_n.unwrap_or(sampling.repeat_last_n);
        sampling.dry_penalty_last_n = self.dry_penalty_last_n.unwrap_or(sampling.dry_penalty_last_n);
        sampling.dry_allowed_length = self.dry_allowed_length.unwrap_or(sampling.dry_allowed_length);
        sampling.min_keep = self.min_keep.unwrap_or(sampling.min_keep);
        sampling.ignore_eos = self.ignore_eos.unwrap_or(sampling.ignore_eos);
        if let Some(k) = self.top_k {
            // llama.cpp takes everything below 1 for "all".
            sampling.top_k =
                if k < 1 { 0 } else { u32::try_from(k).map_err(|_| range("top_k", k, "up to 4,294,967,295"))? };
        }
        if let Some(breakers) = self.dry_sequence_breakers {
            sampling.dry_sequence_breakers = breakers;
        }
        if let Some(kind) = self.mirostat {
            sampling.mirostat = match kind {
                0 => Mirostat::Off,
                1 => Mirostat::V1,
                2 => Mirostat::V2,
                other => return Err(range("mirostat", other, "0, 1 or 2")),
            };
        }
        if let Some(names) = self.samplers {
            sampling.samplers = names.iter().map(|name| sampler(name)).collect::<ApiResult<_>>()?;
        }
        if let Some(seed) = self.seed {
            sampling.seed = seed_of(seed);
        }
        if let Some(biases) = self.logit_bias {
            sampling.logit_bias = biases.0;
        }
        if let Some(grammar) = self.grammar.filter(|grammar| !grammar.is_empty()) {
            let grammar = Grammar::gbnf(grammar).map_err(|error| ApiError::from(error).param("grammar"))?;
            sampling.grammar = Some(grammar);
        }
        if let Some(stop) = self.stop {
            params.stop = stop.into_vec();
        }
        params.cache_prompt = self.cache_prompt.unwrap_or(params.cache_prompt);
        if let Some(keep) = self.n_keep {
            // -1 is all of the prompt.
            params.keep = u32::try_from(keep).unwrap_or(u32::MAX);
        }
        params.validate()?;
        Ok(params)
    }
}

/// `max_tokens` and its like: at least 1.
pub(crate) fn limit(name: &'static str, value: Option<i64>) -> ApiResult<Option<u32>> {
    let check = |value: i64| u32::try_from(value).ok().filter(|value| *value > 0 && *value <= MAX_TOKENS);
    value.map(|value| check(value).ok_or_else(|| range(name, value, "1 to 16,777,216"))).transpose()
}

pub(crate) fn range(name: &'static str, value: impl std::fmt::Display, expected: &str) -> ApiError {
    ApiError::invalid(name, format!("`{name}` is {value}, but must be {expected}."))
}

fn sampler(name: &str) -> ApiResult<SamplerKind> {
    serde_json::from_value(name.into()).map_err(|_| {
        let known = "penalties, dry, top_n_sigma, top_k, typ_p, top_p, min_p, xtc, temperature, infill, adaptive_p";
        ApiError::invalid("samplers", format!("`{name}` is not a sampler; there are {known}."))
    })
}

/// OpenAI's seeds are 64 bits wide, llama.cpp's 32; negative ones draw.
fn seed_of(seed: i64) -> Option<u32> {
    let seed = u64::try_from(seed).ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "folded, so that large seeds still differ")]
    let folded = (seed ^ (seed >> 32)) as u32;
    Some(if folded == u32::MAX { 0 } else { folded })
}

/// An adapter of a request.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, ToSchema)]
pub(crate) struct LoraScale {
    /// Its number in GET /lora-adapters.
    pub id: usize,
    /// How strongly it counts.
    pub scale: f32,
}

/// Numbers to add to logits.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Biases(pub(crate) Vec<LogitBias>);

impl<'de> Deserialize<'de> for Biases {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct MapOrPairs;
        impl<'de> Visitor<'de> for MapOrPairs {
            type Value = Biases;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of token numbers and biases, or a list of pairs")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Biases, A::Error> {
                let mut biases = BTreeMap::new();
                while let Some((token, bias)) = map.next_entry::<String, Bias>()? {
                    let token: i32 = token
                        .parse()
                        .map_err(|_| A::Error::custom(format!("`{token}` is not the number of a token")))?;
                    biases.insert(token, bias.0);
                }
                let list = biases.into_iter().map(|(token, bias)| LogitBias { token: TokenId(token), bias });
                Ok(Biases(list.collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Biases, A::Error> {
                let mut biases = Vec::new();
                while let Some((token, bias)) = list.next_element::<(i32, Bias)>()? {
                    biases.push(LogitBias { token: TokenId(token), bias: bias.0 });
                }
                Ok(Biases(biases))
            }
        }
        from.deserialize_any(MapOrPairs)
    }
}

/// A number, or `false` for never.
struct Bias(Option<f32>);

impl<'de> Deserialize<'de> for Bias {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct NumberOrFalse;
        impl Visitor<'_> for NumberOrFalse {
            type Value = Bias;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number, or false")
            }

            fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Bias, E> {
                if value { Err(E::custom("`true` says nothing; give a number, or false")) } else { Ok(Bias(None)) }
            }

            #[expect(clippy::cast_possible_truncation, reason = "the range is checked with all the others")]
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Bias, E> {
                Ok(Bias(Some(value as f32)))
            }

            #[expect(clippy::cast_precision_loss, reason = "as above")]
            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Bias, E> {
                Ok(Bias(Some(value as f32)))
            }

            #[expect(clippy::cast_precision_loss, reason = "as above")]
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Bias, E> {
                Ok(Bias(Some(value as f32)))
            }
        }
        from.deserialize_any(NumberOrFalse)
    }
}

const MAX_TOKENS: u32 = 1 << 24;

/// Sampling with OpenAI's meaning of what is not given.
pub(crate) fn defaults() -> GenerationParams {
    GenerationParams { sampling: SamplingParams::default(), ..GenerationParams::default() }
}
