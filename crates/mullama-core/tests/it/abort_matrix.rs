//! Values that make llama.cpp abort, throw or compute nonsense: each ends in its typed error, and the process lives.
//!
//! Every case runs in this one process: one abort would end the whole run. Files are in `bad_files.rs`, texts in
//! `tokenizing.rs`, templates in `chat.rs`, adapters in `adapters.rs`.

use mullama_core::{
    ContextParams, Error, FlashAttention, GenerationParams, Grammar, GrammarTrigger, KvType, LogitBias, Mirostat,
    SamplerKind, SamplingParams, TokenId,
};

use crate::shared;

#[test]
fn context_parameters_out_of_range_are_named() {
    let model = shared::tiny();
    let d = ContextParams::default;
    let bad: [(&str, ContextParams); 9] = [
        ("length", ContextParams { length: u32::MAX, ..d() }),
        ("batch", ContextParams { batch: 0, ..d() }),
        ("batch", ContextParams { batch: 65_537, ..d() }),
        ("micro_batch", ContextParams { micro_batch: 0, ..d() }),
        ("threads", ContextParams { threads: 100_000, ..d() }),
        ("threads_batch", ContextParams { threads_batch: 513, ..d() }),
        ("rope_freq_base", ContextParams { rope_freq_base: f32::NAN, ..d() }),
        ("rope_freq_scale", ContextParams { rope_freq_scale: -1.0, ..d() }),
        ("kv_type_v", ContextParams { kv_type_v: KvType::Q8_0, flash_attention: FlashAttention::Off, ..d() }),
    ];
    for (field, params) in bad {
        match model.context().params(params).build() {
            Err(Error::InvalidParameter { name, .. }) => assert_eq!(name, field),
            other => panic!("{field}: {other:?}"),
        }
    }
}

#[test]
fn every_number_format_of_the_cache_works_or_is_refused() {
    let models = [Some(shared::tiny()), shared::model("models/llm/stories260K-f32.gguf")];
    for model in models.into_iter().flatten() {
        for kind in [
            KvType::F32,
            KvType::F16,
            KvType::Bf16,
            KvType::Q8_0,
            KvType::Q5_1,
            KvType::Q5_0,
            KvType::Q4_1,
            KvType::Q4_0,
            KvType::Iq4Nl,
        ] {
            for flash in [FlashAttention::Auto, FlashAttention::On, FlashAttention::Off] {
                match model.context().length(256).kv_type(kind).flash_attention(flash).build() {
                    Ok(mut context) => {
                        let text = context.generate("Once", &GenerationParams::greedy(4)).unwrap().text();
                        assert!(text.is_ok(), "{kind:?} {flash:?}: {text:?}");
                    }
                    Err(Error::CreateContext { .. } | Error::InvalidParameter { .. }) => {}
                    Err(other) => panic!("{kind:?} {flash:?}: {other}"),
                }
            }
        }
    }
}

#[test]
fn a_context_that_cannot_be_had_is_an_error() {
    // 16 million tokens of this model are 80 GiB of keys and values.
    let built = shared::tiny().context().length(1 << 24).build();
    assert!(matches!(built, Err(Error::CreateContext { .. }) | Ok(_)), "{built:?}");
}

fn generate(sampling: SamplingParams) -> Result<String, Error> {
    let model = shared::tiny();
    let mut context = model.context().length(256).build()?;
    let params = GenerationParams { max_tokens: Some(24), sampling, ..Default::default() };
    context.generate("Hello", &params)?.text()
}

#[test]
fn sampling_parameters_out_of_range_are_named() {
    let d = SamplingParams::default;
    let bad: [(&str, SamplingParams); 14] = [
        ("temperature", SamplingParams { temperature: f32::NAN, ..d() }),
        ("temperature", SamplingParams { temperature: 999_999.0, ..d() }),
        ("temperature", SamplingParams { temperature: -1.0, ..d() }),
        ("top_p", SamplingParams { top_p: -1.0, ..d() }),
        ("min_p", SamplingParams { min_p: f32::INFINITY, ..d() }),
        ("typical_p", SamplingParams { typical_p: f32::NAN, ..d() }),
        ("repeat_penalty", SamplingParams { repeat_penalty: 0.0, ..d() }),
        ("repeat_last_n", SamplingParams { repeat_last_n: i32::MAX, ..d() }),
        ("xtc_probability", SamplingParams { xtc_probability: f32::NAN, ..d() }),
        ("mirostat_tau", SamplingParams { mirostat: Mirostat::V2, mirostat_tau: f32::NAN, ..d() }),
        ("mirostat_eta", SamplingParams { mirostat: Mirostat::V1, mirostat_eta: f32::NAN, ..d() }),
        ("dry_base", SamplingParams { dry_base: f32::NAN, ..d() }),
        ("adaptive_decay", SamplingParams { adaptive_decay: 1.0, ..d() }),
        (
            "logit_bias",
            SamplingParams { logit_bias: vec![LogitBias { token: TokenId(1), bias: Some(f32::NAN) }], ..d() },
        ),
    ];
    for (field, params) in bad {
        match generate(params) {
            Err(Error::InvalidParameter { name, .. }) => assert_eq!(name, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    for token in [-1, 1_024, i32::MAX] {
        let params = SamplingParams { logit_bias: vec![LogitBias { token: TokenId(token), bias: Some(1.0) }], ..d() };
        assert!(matches!(generate(params), Err(Error::UnknownToken { .. })), "{token}");
    }
}

#[test]
fn values_at_the_ends_of_their_ranges_generate() {
    let d = SamplingParams::default;
    let edges = [
        SamplingParams { temperature: 10.0, ..d() },
        SamplingParams { top_k: 0, top_p: 1.0, min_p: 0.0, ..d() },
        SamplingParams { top_k: i32::MAX.unsigned_abs(), ..d() },
        SamplingParams { top_p: 0.0, ..d() },
        SamplingParams { min_p: 1.0, ..d() },
        SamplingParams { typical_p: 0.0, ..d() },
        SamplingParams { top_n_sigma: 0.0, ..d() },
        SamplingParams { xtc_probability: 1.0, xtc_threshold: 0.0, ..d() },
        SamplingParams { min_keep: 1 << 20, ..d() },
        SamplingParams {
            repeat_last_n: -1,
            dry_penalty_last_n: -1,
            repeat_penalty: 10.0,
            dry_multiplier: 100.0,
            ..d()
        },
        SamplingParams { repeat_penalty: 1.0e-6, repeat_last_n: 1 << 20, ..d() },
        SamplingParams { dry_multiplier: 1.0, dry_base: 100.0, dry_allowed_length: 1 << 20, ..d() },
        SamplingParams { dry_multiplier: 1.0, dry_sequence_breakers: Vec::new(), ..d() },
        SamplingParams { dynatemp_range: 10.0, dynatemp_exponent: 0.0, ..d() },
        SamplingParams { mirostat: Mirostat::V1, mirostat_tau: 1.0e-6, mirostat_eta: 1.0, ..d() },
        SamplingParams { mirostat: Mirostat::V2, mirostat_tau: 100.0, ..d() },
        SamplingParams { samplers: Vec::new(), ..d() },
        SamplingParams { samplers: vec![SamplerKind::AdaptiveP], adaptive_target: 1.0, adaptive_decay: 0.0, ..d() },
        SamplingParams { samplers: vec![SamplerKind::TopK, SamplerKind::Infill], ..d() },
        SamplingParams { samplers: vec![SamplerKind::Temperature], temperature: 0.0, ..d() },
    ];
    for params in edges {
        let shown = format!("{params:?}");
        assert!(generate(params).is_ok(), "{shown}");
    }
}

#[test]
fn when_no_token_is_left_the_generation_fails_and_the_process_lives() {
    let forbid_all = (0..1_024).map(|id| LogitBias { token: TokenId(id), bias: None }).collect::<Vec<_>>();
    for temperature in [0.0, 0.8] {
        let params = SamplingParams { logit_bias: forbid_all.clone(), temperature, ..Default::default() };
        assert!(matches!(generate(params), Err(Error::NoToken)));
    }
    // A grammar whose only text the vocabulary cannot write: no byte fallback, no such character.
    let Some(model) = shared::model("models/llm/babyllama-tok105-q8_0.gguf") else { return };
    for temperature in [0.0, 0.8] {
        let mut context = model.context().length(64).build().unwrap();
        let sampling = SamplingParams {
            temperature,
            grammar: Some(Grammar::gbnf("root ::= \"日本\"").unwrap()),
            ..Default::default()
        };
        let params = GenerationParams { max_tokens: Some(8), sampling, ..Default::default() };
        let error = context.generate("Once", &params).unwrap().text().unwrap_err();
        assert!(matches!(error, Error::NoToken | Error::Sample { .. }), "{error}");
    }
}

#[test]
fn infill_goes_with_what_it_can_bear_only() {
    let infill = vec![SamplerKind::TopK, SamplerKind::Temperature, SamplerKind::Infill];
    let grammar = Some(Grammar::gbnf("root ::= [a-z]+ \".\"").unwrap());
    let bad = [
        // llama.cpp's infill makes up an end token, at which the grammar aborts the process.
        SamplingParams { samplers: infill.clone(), grammar, temperature: 10.0, ..Default::default() },
        SamplingParams { samplers: vec![SamplerKind::Infill], ..Default::default() },
        SamplingParams { samplers: infill.clone(), top_k: 0, ..Default::default() },
        SamplingParams { samplers: vec![SamplerKind::Dry; 2], ..Default::default() },
    ];
    for params in bad {
        assert!(matches!(generate(params), Err(Error::InvalidParameter { name: "samplers", .. })));
    }
    assert!(generate(SamplingParams { samplers: infill, ..Default::default() }).is_ok());
}

#[test]
fn a_grammar_that_is_complete_ends_the_answer() {
    let with = |gbnf: &str, ignore_eos| SamplingParams {
        grammar: Some(Grammar::gbnf(gbnf).unwrap()),
        ignore_eos,
        ..SamplingParams::greedy()
    };
    assert_eq!(generate(with("root ::= \"yes\"", false)).unwrap(), "yes");
    // Without the end token nothing can follow.
    assert!(matches!(generate(with("root ::= \"yes\"", true)), Err(Error::NoToken)));
}

#[test]
fn broken_grammars_are_refused_with_llama_cpps_reason() {
    let model = shared::tiny();
    for (gbnf, word) in [
        ("root ::= ", ""),
        ("root = \"a\"", "::="),
        ("root ::= (\"a\"", ""),
        ("root ::= \"a", ""),
        ("root ::= other", "other"),
        ("start ::= \"a\"", "root"),
        ("root ::= root \"a\" | \"b\"", "left"),
        ("root ::= \"a\"{100000}", "repetitions"),
        ("root ::= [z-a", ""),
        ("root ::= \"\\q\"", "escape"),
        ("root ::= \"\\x4", ""),
        ("root ::= *", ""),
        ("root ::= <[99999999999999]>", "token"),
        ("::=", ""),
    ] {
        let grammar = Grammar::gbnf(gbnf).unwrap();
        match grammar.check(&model) {
            Err(Error::Grammar { reason }) => assert!(reason.contains(word), "{gbnf}: {reason}"),
            Ok(()) if gbnf == "root ::= " => continue, // llama.cpp takes it
            other => panic!("{gbnf}: {other:?}"),
        }
        let used = generate(SamplingParams { grammar: Some(grammar), ..SamplingParams::greedy() });
        assert!(matches!(used, Err(Error::Grammar { .. })), "{gbnf}: {used:?}");
    }
    let deep = format!("root ::= {}\"a\"{}", "(".repeat(64), ")".repeat(64));
    Grammar::gbnf(deep).unwrap().check(&model).unwrap();
    assert!(matches!(Grammar::gbnf("root ::= \"a\"{5,2}"), Err(Error::Grammar { .. })));
    // Serde is no way around the limits.
    for kind in ["user", "output_format", "tool_calls"] {
        let smuggled = serde_json::json!({ "gbnf": "(".repeat(500_000), "kind": kind });
        let params = SamplingParams { grammar: Some(serde_json::from_value(smuggled).unwrap()), ..Default::default() };
        assert!(matches!(generate(params), Err(Error::Grammar { .. })), "{kind}");
    }
    // Many ways to read the same text: each character would take longer than the one before.
    let chain: String = (0..1_500).map(|n| format!("r{n} ::= \"a\" r{} | r{}\n", n + 1, n + 1)).collect();
    let doubling: String = (0..40).map(|n| format!("a{n} ::= a{} | a{}\n", n + 1, n + 1)).collect();
    for ambiguous in [
        format!("root ::= a0\n{doubling}a40 ::= \"a\"\n"),
        "root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"d\"".to_owned(),
        format!("root ::= {}", "\"a\"{0,2000} ".repeat(500)),
    ] {
        let refused = Grammar::gbnf(ambiguous).and_then(|grammar| grammar.check(&model));
        assert!(matches!(refused, Err(Error::Grammar { .. } | Error::Timeout { .. })), "{refused:?}");
    }
    let ambiguous = Grammar::gbnf(format!("root ::= r0\n{chain}r1500 ::= \"a\"\n")).unwrap();
    let refused = generate(SamplingParams { grammar: Some(ambiguous), ..SamplingParams::greedy() });
    assert!(matches!(refused, Err(Error::Grammar { .. } | Error::Timeout { .. })), "{refused:?}");
}

#[test]
fn lazy_grammars_wait_for_their_trigger() {
    let grammar = || Grammar::gbnf("root ::= \"15.\"").unwrap();
    assert!(matches!(grammar().lazy([]), Err(Error::Grammar { .. })));
    let bad = [GrammarTrigger::Word(String::new()), GrammarTrigger::Pattern("x".repeat(5_000))];
    for trigger in bad {
        assert!(matches!(grammar().lazy([trigger]), Err(Error::Grammar { .. })));
    }
    let broken = grammar().lazy([GrammarTrigger::Pattern("(".to_owned())]).unwrap();
    assert!(matches!(
        generate(SamplingParams { grammar: Some(broken), ..SamplingParams::greedy() }),
        Err(Error::Grammar { .. })
    ));
    let unknown = grammar().lazy([GrammarTrigger::Token(TokenId(99_999))]).unwrap();
    assert!(matches!(
        generate(SamplingParams { grammar: Some(unknown), ..SamplingParams::greedy() }),
        Err(Error::UnknownToken { .. })
    ));

    let model = shared::tiny();
    let prompt = "<|im_start|>user\nWhat is 7 + 8?<|im_end|>\n<|im_start|>assistant\n";
    let answer = |gbnf: &str, trigger: &str| {
        let grammar = Grammar::gbnf(gbnf).unwrap().lazy([GrammarTrigger::Word(trigger.to_owned())]).unwrap();
        let sampling = SamplingParams { grammar: Some(grammar), ..SamplingParams::greedy() };
        let params = GenerationParams { max_tokens: Some(24), sampling, ..Default::default() };
        model.context().build().unwrap().generate(prompt, &params).unwrap().text().unwrap()
    };
    assert_eq!(answer("root ::= \"never\"", "zebra"), "7 + 8 = 15.");
    // From its trigger on the text follows the grammar.
    assert_eq!(answer("root ::= \"= \" \"yes\"", "= "), "7 + 8 = yes");
}

#[test]
fn a_pattern_that_recurses_over_a_long_answer_does_not_exhaust_the_callers_stack() {
    let Some(model) = shared::model("models/llm/stories260K-f32.gguf") else { return };
    // llama.cpp matches the pattern with std::regex against the whole answer after each token.
    let grammar = Grammar::gbnf("root ::= \"x\"").unwrap();
    let grammar = grammar.lazy([GrammarTrigger::PatternFull("[\\s\\S]*(zebra)[\\s\\S]*".to_owned())]).unwrap();
    let sampling = SamplingParams { grammar: Some(grammar), ignore_eos: true, ..SamplingParams::greedy() };
    let params = GenerationParams { max_tokens: Some(4_000), context_shift: true, sampling, ..Default::default() };
    let mut context = model.context().length(256).build().unwrap();
    let text = context.generate("Once upon a time", &params).unwrap().text().unwrap();
    assert!(text.len() > 8_000, "{}", text.len());
}

#[test]
fn schemas_beyond_the_limits_are_refused_and_hard_ones_end() {
    let properties: serde_json::Map<_, _> =
        (0..257).map(|n| (format!("p{n}"), serde_json::json!({ "type": "string" }))).collect();
    let deep = (0..100).fold(serde_json::json!({}), |inner, _| serde_json::json!({ "items": inner }));
    let broken = [
        serde_json::json!({ "type": "object", "properties": properties }),
        deep,
        serde_json::json!({ "$ref": "file:///etc/passwd" }),
        serde_json::json!({ "description": "x".repeat(70_000) }),
        serde_json::json!({ "type": "unknown" }),
        serde_json::json!({ "$ref": "#/definitions/none" }),
    ];
    for schema in broken {
        assert!(matches!(Grammar::json_schema(&schema), Err(Error::Grammar { .. })), "{schema:.100}");
    }
    let circle =
        serde_json::json!({ "$ref": "#/definitions/a", "definitions": { "a": { "$ref": "#/definitions/a" } } });
    if let Ok(grammar) = Grammar::json_schema(&circle) {
        let _either_way = grammar.check(&shared::tiny());
    }
    // 256 optional properties are the most that is taken.
    let many: serde_json::Map<_, _> =
        (0..256).map(|n| (format!("p{n}"), serde_json::json!({ "type": "integer" }))).collect();
    Grammar::json_schema(&serde_json::json!({ "type": "object", "properties": many })).unwrap();
}

#[test]
fn generation_parameters_out_of_range_are_named() {
    let model = shared::tiny();
    let mut context = model.context().length(64).build().unwrap();
    let d = GenerationParams::default;
    let bad: [(&str, GenerationParams); 6] = [
        ("timeout_ms", GenerationParams { timeout_ms: Some(u64::MAX), ..d() }),
        ("max_tokens", GenerationParams { max_tokens: Some(0), ..d() }),
        ("stop", GenerationParams { stop: vec![String::new()], ..d() }),
        ("stop", GenerationParams { stop: vec!["x".repeat(257)], ..d() }),
        ("stop", GenerationParams { stop: vec!["x".to_owned(); 17], ..d() }),
        ("top_logprobs", GenerationParams { top_logprobs: Some(21), ..d() }),
    ];
    for (field, params) in bad {
        match context.generate("Hello", &params) {
            Err(Error::InvalidParameter { name, .. }) => assert_eq!(name, field),
            other => panic!("{field}: {other:?}"),
        }
    }
    let huge = GenerationParams {
        max_tokens: Some(u32::MAX),
        keep: u32::MAX,
        context_shift: true,
        timeout_ms: Some(100),
        ..d()
    };
    assert!(context.generate("Hello", &huge).unwrap().text().is_ok());
    let unused: GenerationParams = serde_json::from_str(r#"{"max_tokens": 5, "sampling": {"top_k": 1}}"#).unwrap();
    assert_eq!((unused.max_tokens, unused.sampling.top_k), (Some(5), 1));
}
