//! How tokens are chosen: core's own parameters, whose fields are listed here.

use crate::field::{Field, Kind, foreign, number, whole};

/// The fields of [`SamplingParams`](mullama_core::SamplingParams), but for `grammar`, which each request has for itself.
pub(crate) const SAMPLING: &[Field] = foreign! {
    NextRequest:
    "seed", whole(0, u32::MAX as i128), "Seed of the random choice. Unset (default): one is drawn for each request.";
    "temperature", number(0.0, 10.0), "Higher is more random; 0 always takes the most likely token. Default 0.8.";
    "dynatemp_range", number(0.0, 10.0), "The temperature moves within +- this range with the entropy. Default 0, off.";
    "dynatemp_exponent", number(0.0, 10.0), "Exponent of the dynamic temperature. Default 1.";
    "top_k", whole(0, i32::MAX as i128), "Only the k most likely tokens; 0 keeps all. Default 40.";
    "top_p", number(0.0, 1.0), "Only the most likely tokens that together have this probability. Default 0.95; 1 is off.";
    "min_p", number(0.0, 1.0), "Only tokens with at least this share of the best one's probability. Default 0.05.";
    "top_n_sigma", number(-1e6, 100.0), "Only tokens within n standard deviations of the best logit; negative is off. Default -1.";
    "typical_p", number(0.0, 1.0), "Locally typical sampling. Default 1, off.";
    "xtc_probability", number(0.0, 1.0), "Exclude top choices: the probability of doing so at a token. Default 0, off.";
    "xtc_threshold", number(0.0, 1.0), "Exclude top choices: tokens above this probability. Default 0.1.";
    "min_keep", whole(0, 1 << 20), "The samplers keep at least this many tokens. Default 0.";
    "repeat_last_n", whole(-1, 1 << 20), "Tokens back that the penalties look at; -1 is the whole context. Default 64.";
    "repeat_penalty", number(1e-6, 10.0), "Divides the logits of repeated tokens. Default 1, off.";
    "frequency_penalty", number(-2.0, 2.0), "Subtracted for each time that a token occurred. Default 0.";
    "presence_penalty", number(-2.0, 2.0), "Subtracted once when a token occurred. Default 0.";
    "dry_multiplier", number(0.0, 100.0), "DRY, against repetition: strength. Default 0, off.";
    "dry_base", number(0.0, 100.0), "DRY: base of the growth. Default 1.75.";
    "dry_allowed_length", whole(0, 1 << 20), "DRY: repetitions up to this many tokens are free. Default 2.";
    "dry_penalty_last_n", whole(-1, 1 << 20), "DRY: tokens back; -1 is the whole context. Default 64.";
    "dry_sequence_breakers", Kind::List(&Kind::Text), "DRY: texts that end a repetition, at most 16 of at most 40 bytes.";
    "mirostat", Kind::Names(&["off", "v1", "v2"]), "Mirostat replaces the chain: only temperature stays. Default `off`.";
    "mirostat_tau", number(1e-6, 100.0), "Mirostat: target entropy. Default 5.";
    "mirostat_eta", number(0.0, 1.0), "Mirostat: learning rate. Default 0.1.";
    "adaptive_target", number(-1e6, 1.0), "Adaptive-p: aims at tokens of this probability; negative is off. Default -1.";
    "adaptive_decay", number(0.0, 0.99), "Adaptive-p: how slowly it adapts. Default 0.9.";
    "samplers", Kind::List(&Kind::Names(SAMPLERS)), "The samplers of the chain in their order, each at most once.";
    "logit_bias", Kind::Sections(BIAS), "Added to the logits of tokens: `{ token = 15, bias = -1.5 }`. Default: none.";
    "ignore_eos", Kind::Flag, "Never choose a token that ends the answer. Default false.";
};

const BIAS: &[Field] = foreign! {
    NextRequest:
    "token", whole(0, i32::MAX as i128), "The token's number.";
    "bias", number(-100.0, 100.0), "What is added; without it the token is never chosen.";
};

const SAMPLERS: &[&str] = &[
    "penalties",
    "dry",
    "top_n_sigma",
    "top_k",
    "typ_p",
    "top_p",
    "min_p",
    "xtc",
    "temperature",
    "infill",
    "adaptive_p",
];
