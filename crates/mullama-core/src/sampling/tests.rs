//! Ranges, serde and the greedy short cut.

use proptest::prelude::*;

use super::sampler::argmax;
use super::*;

type Change = fn(&mut SamplingParams, f32);

const FIELDS: [(&str, Change); 18] = [
    ("temperature", |p, v| p.temperature = v),
    ("dynatemp_range", |p, v| p.dynatemp_range = v),
    ("dynatemp_exponent", |p, v| p.dynatemp_exponent = v),
    ("top_p", |p, v| p.top_p = v),
    ("min_p", |p, v| p.min_p = v),
    ("top_n_sigma", |p, v| p.top_n_sigma = v),
    ("typical_p", |p, v| p.typical_p = v),
    ("xtc_probability", |p, v| p.xtc_probability = v),
    ("xtc_threshold", |p, v| p.xtc_threshold = v),
    ("repeat_penalty", |p, v| p.repeat_penalty = v),
    ("frequency_penalty", |p, v| p.frequency_penalty = v),
    ("presence_penalty", |p, v| p.presence_penalty = v),
    ("dry_multiplier", |p, v| p.dry_multiplier = v),
    ("dry_base", |p, v| p.dry_base = v),
    ("mirostat_tau", |p, v| p.mirostat_tau = v),
    ("mirostat_eta", |p, v| p.mirostat_eta = v),
    ("adaptive_target", |p, v| p.adaptive_target = v),
    ("adaptive_decay", |p, v| p.adaptive_decay = v),
];

#[test]
fn no_field_takes_what_is_not_a_number_or_far_out() {
    for (name, change) in FIELDS {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 999_999.0] {
            let mut params = SamplingParams::default();
            change(&mut params, value);
            match params.validate() {
                Err(Error::InvalidParameter { name: named, .. }) => assert_eq!(named, name),
                other => panic!("{name} = {value}: {other:?}"),
            }
        }
    }
}

#[test]
fn integers_are_checked_too() {
    let bad = [
        SamplingParams { repeat_last_n: i32::MAX, ..Default::default() },
        SamplingParams { repeat_last_n: -2, ..Default::default() },
        SamplingParams { dry_penalty_last_n: i32::MIN, ..Default::default() },
        SamplingParams { top_k: u32::MAX, ..Default::default() },
        SamplingParams { min_keep: u32::MAX, ..Default::default() },
        SamplingParams { dry_sequence_breakers: vec!["x".repeat(41)], ..Default::default() },
        SamplingParams { dry_sequence_breakers: vec![String::new(); 65], ..Default::default() },
        SamplingParams {
            logit_bias: vec![LogitBias { token: TokenId(1), bias: Some(f32::NAN) }],
            ..Default::default()
        },
        SamplingParams { logit_bias: vec![LogitBias { token: TokenId(1), bias: Some(101.0) }], ..Default::default() },
        SamplingParams { samplers: vec![SamplerKind::TopK; 2], ..Default::default() },
    ];
    for params in bad {
        assert!(matches!(params.validate(), Err(Error::InvalidParameter { .. })), "{params:?}");
    }
}

#[test]
fn serde_uses_the_servers_names_and_refuses_others() {
    let text = serde_json::to_value(SamplingParams::default()).unwrap();
    for name in ["top_k", "repeat_last_n", "dry_sequence_breakers", "typical_p", "adaptive_target"] {
        assert!(text.get(name).is_some(), "{name}");
    }
    assert_eq!(serde_json::from_value::<SamplingParams>(text).unwrap(), SamplingParams::default());
    assert!(serde_json::from_str::<SamplingParams>(r#"{"temperatur": 1}"#).is_err());
    let partial: SamplingParams = serde_json::from_str(r#"{"top_k": 5}"#).unwrap();
    assert_eq!(partial, SamplingParams { top_k: 5, ..Default::default() });
}

#[test]
fn only_a_plain_greedy_choice_skips_the_chain() {
    assert!(SamplingParams::greedy().is_argmax());
    assert!(SamplingParams { ignore_eos: true, ..SamplingParams::greedy() }.is_argmax());
    let not = [
        SamplingParams::default(),
        SamplingParams { repeat_penalty: 1.1, ..SamplingParams::greedy() },
        SamplingParams { dry_multiplier: 0.5, ..SamplingParams::greedy() },
        SamplingParams { mirostat: Mirostat::V2, ..SamplingParams::greedy() },
        SamplingParams { xtc_probability: 0.5, ..SamplingParams::greedy() },
        SamplingParams { dynatemp_range: 0.5, ..SamplingParams::greedy() },
        SamplingParams { samplers: vec![SamplerKind::TopK], ..SamplingParams::greedy() },
    ];
    for params in not {
        assert!(!params.is_argmax(), "{params:?}");
    }
}

proptest! {
    #[test]
    fn argmax_is_the_first_largest(mut values in prop::collection::vec(-1e6_f32..1e6, 1..200), at in any::<prop::sample::Index>()) {
        let at = at.index(values.len());
        let expected = values.iter().enumerate().fold(0, |best, (i, v)| if *v > values[best] { i } else { best });
        prop_assert_eq!(argmax(&values), i32::try_from(expected).ok());
        values[at] = f32::NAN;
        let rest = values.iter().enumerate().filter(|(_, v)| !v.is_nan());
        let expected = rest.fold(None, |best: Option<(usize, f32)>, (i, v)| match best {
            Some((_, b)) if *v <= b => best,
            _ => Some((i, *v)),
        });
        prop_assert_eq!(argmax(&values), expected.map(|(i, _)| i32::try_from(i).unwrap()));
    }
}

#[test]
fn rows_without_a_number_give_no_token() {
    assert_eq!(argmax(&[]), None);
    assert_eq!(argmax(&[f32::NAN; 40]), None);
    assert_eq!(argmax(&[f32::NEG_INFINITY; 40]), None);
    assert_eq!(argmax(&[f32::NAN, -3.0, f32::NEG_INFINITY]), Some(1));
}
