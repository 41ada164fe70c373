//! Values outside their ranges, and requests for too much: each is 400 with the field's name.

use std::time::Duration;

use mullama_async::{Script, ScriptedBackend};
use mullama_web::WebConfig;
use serde_json::{Value, json};

use crate::client::{App, CHAT, MODEL, chat};

/// Fields of sampling, values that are taken, and values that are not.
fn sampling() -> Vec<(&'static str, Vec<Value>, Vec<Value>)> {
    let far = || json!(999_999);
    let share = |name| (name, vec![json!(0), json!(1), json!(0.5)], vec![json!(-0.1), json!(1.1), far(), json!(-1)]);
    let ten = |name| (name, vec![json!(0), json!(10)], vec![json!(-0.1), json!(10.1), far()]);
    let hundred = |name| (name, vec![json!(0), json!(100)], vec![json!(-0.1), json!(100.1), far()]);
    let penalty = |name| (name, vec![json!(-2), json!(2)], vec![json!(-2.1), json!(2.1), far(), json!(-999_999)]);
    let back = |name| {
        let wrong = vec![json!(-2), json!(1_048_577), json!(i32::MAX), json!(i64::from(i32::MAX) + 1), json!(0.5)];
        (name, vec![json!(-1), json!(0), json!(1_048_576)], wrong)
    };
    let whole = |name| (name, vec![json!(0), json!(1_048_576)], vec![json!(-1), json!(1_048_577), json!(u64::MAX)]);
    vec![
        ten("temperature"),
        ten("dynatemp_range"),
        ten("dynatemp_exponent"),
        share("top_p"),
        share("min_p"),
        share("typical_p"),
        share("xtc_probability"),
        share("xtc_threshold"),
        share("mirostat_eta"),
        ("top_n_sigma", vec![json!(-1), json!(100)], vec![json!(100.1), far()]),
        ("repeat_penalty", vec![json!(0.1), json!(10)], vec![json!(0), json!(-1), json!(10.1), far()]),
        penalty("presence_penalty"),
        penalty("frequency_penalty"),
        hundred("dry_multiplier"),
        hundred("dry_base"),
        ("mirostat_tau", vec![json!(5)], vec![json!(0), json!(-1), json!(100.1), far()]),
        ("adaptive_target", vec![json!(-1), json!(1)], vec![json!(1.1), far()]),
        ("adaptive_decay", vec![json!(0), json!(0.99)], vec![json!(-0.1), json!(1), far()]),
        back("repeat_last_n"),
        back("dry_penalty_last_n"),
        whole("min_keep"),
        whole("dry_allowed_length"),
        ("top_k", vec![json!(-1), json!(0), json!(i32::MAX)], vec![json!(1_u64 << 31), json!(1_u64 << 40), json!(0.5)]),
        ("mirostat", vec![json!(0), json!(1), json!(2)], vec![json!(3), json!(-1), json!(300)]),
        ("seed", vec![json!(-1), json!(0), json!(i64::MAX)], vec![json!(0.5), json!(1e30)]),
        (
            "logit_bias",
            vec![json!({}), json!({ "1": 100 }), json!([[1, -100]]), json!([[1, false]])],
            vec![
                json!({ "1": 101 }),
                json!({ "x": 1 }),
                json!([[1, -100.5]]),
                json!([[1, true]]),
                json!((0..4_097).map(|n| (n, 1)).collect::<Vec<_>>()),
            ],
        ),
        (
            "samplers",
            vec![json!([]), json!(["top_k", "temperature"])],
            vec![json!(["top_k", "top_k"]), json!(["nobody"]), json!("top_k")],
        ),
        (
            "dry_sequence_breakers",
            vec![json!([]), json!(["\n"])],
            vec![json!(vec!["a"; 17]), json!(["a".repeat(41)]), json!("a")],
        ),
        (
            "stop",
            vec![json!([]), json!("a".repeat(256)), json!(vec!["a"; 16])],
            vec![json!(vec!["a"; 17]), json!(""), json!(["a", ""]), json!("a".repeat(257)), json!(7), json!([7])],
        ),
    ]
}

#[tokio::test]
async fn sampling_values_out_of_range_are_400_by_name() {
    let app = App::scripted(Script::tokens(1, Duration::ZERO));
    let mut refused = 0;
    for (field, good, bad) in sampling() {
        for (path, mut body) in [
            (CHAT, chat(json!({}))),
            ("/v1/completions", json!({ "prompt": "a" })),
            ("/completion", json!({ "prompt": "a" })),
        ] {
            for value in &good {
                body[field] = value.clone();
                let answer = app.post(path, &body).await;
                assert_eq!(answer.status, 200, "{field} = {value} at {path}: {answer:?}");
            }
            let words = [json!("hot"), json!({}), json!(true)];
            let words = words.iter().filter(|word| !good.contains(word) && field != "stop");
            for value in bad.iter().chain(words) {
                body[field] = value.clone();
                let told = app.post(path, &body).await.error(400);
                let param = told.param.as_deref().unwrap_or_default();
                let named = param == field
                    || param.starts_with(&format!("{field}["))
                    || param.starts_with(&format!("{field}."));
                assert!(named, "{field} = {value} at {path}: {told:?}");
                refused += 1;
            }
        }
    }
    assert!(refused > 400, "{refused}");
}

#[tokio::test]
async fn max_tokens_of_none_or_far_too_many_are_400() {
    let app = App::scripted(Script::tokens(1, Duration::ZERO));
    for tokens in [json!(-1), json!(0), json!(1_000_000_000_000_u64), json!(16_777_217), json!(1.5), json!("9")] {
        for (path, field) in [(CHAT, "max_tokens"), (CHAT, "max_completion_tokens"), ("/v1/completions", "max_tokens")]
        {
            let mut body = chat(json!({ "prompt": "a" }));
            body[field] = tokens.clone();
            let told = app.post(path, &body).await.error(400);
            assert_eq!(told.param.as_deref(), Some(field), "{tokens} at {path}");
        }
    }
    assert_eq!(app.chat(json!({ "max_tokens": 16_777_216 })).await.status, 200);
}

#[tokio::test]
async fn requests_for_too_much_are_400_by_name() {
    let backend = ScriptedBackend::new().model(MODEL, Script::tokens(1, Duration::ZERO));
    let app = App::of(&backend, WebConfig { max_inputs: 4, max_choices: 3, ..WebConfig::default() });
    let many = |text: &str| json!(vec![text; 5]);
    for (path, fields, param) in [
        (CHAT, json!({ "n": 4 }), "n"),
        (CHAT, json!({ "n": -1 }), "n"),
        (CHAT, json!({ "logprobs": true, "top_logprobs": 21 }), "top_logprobs"),
        (CHAT, json!({ "logprobs": true, "top_logprobs": -1 }), "top_logprobs"),
        (CHAT, json!({ "top_logprobs": 1 }), "top_logprobs"),
        (CHAT, json!({ "reasoning_budget": -2 }), "reasoning_budget"),
        (CHAT, json!({ "chat_template_kwargs": { "enable_thinking": {} } }), "chat_template_kwargs.enable_thinking"),
        (CHAT, json!({ "chat_template_kwargs": { "loops": 1 } }), "chat_template_kwargs.loops"),
        (CHAT, json!({ "grammar": format!("root ::= {}", "(".repeat(20_000)) }), "grammar"),
        (CHAT, json!({ "grammar": format!("root ::= \"{}\"", "a".repeat(1 << 17)) }), "grammar"),
        (CHAT, json!({ "grammar": "%llguidance {}\nstart: \"a\"" }), "grammar"),
        ("/v1/completions", json!({ "n": 4 }), "n"),
        ("/v1/completions", json!({ "best_of": 4 }), "best_of"),
        ("/v1/completions", json!({ "n": 2, "best_of": 1 }), "best_of"),
        ("/v1/completions", json!({ "logprobs": 6 }), "logprobs"),
        ("/v1/completions", json!({ "prompt": many("a") }), "prompt"),
        ("/v1/completions", json!({ "prompt": ["a", "b"], "n": 3 }), "prompt"),
        ("/v1/embeddings", json!({ "input": many("a") }), "input"),
        ("/v1/rerank", json!({ "query": "a", "documents": many("a") }), "documents"),
        ("/v1/rerank", json!({ "query": "a", "documents": ["a"], "top_n": 0 }), "top_n"),
    ] {
        let mut body = chat(json!({ "prompt": "a" }));
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let told = app.post(path, &body).await.error(400);
        assert!(told.param.as_deref().unwrap_or_default().starts_with(param), "{param} at {path}: {told:?}");
    }
    assert_eq!(backend.submitted(MODEL), 0);
    assert_eq!(app.chat(json!({ "n": 3, "logprobs": true, "top_logprobs": 20 })).await.status, 200);
}

#[tokio::test]
async fn schemas_that_are_too_wide_too_deep_or_elsewhere_are_400() {
    let app = App::tiny(1, 512, WebConfig::default()).await;
    let format = |schema: Value| json!({ "type": "json_schema", "json_schema": { "name": "a", "schema": schema } });
    let wide: serde_json::Map<String, Value> = (0..2_000).map(|n| (format!("p{n}"), json!({}))).collect();
    let deep = (0..100).fold(json!({}), |inner, _| json!({ "type": "array", "items": inner }));
    let nested = json!({ "type": "object", "$ref": "https://example.org/a.json" });
    for schema in [json!({ "type": "object", "properties": wide }), deep, nested] {
        for strict in [false, true] {
            let mut format = format(schema.clone());
            format["json_schema"]["strict"] = json!(strict);
            let told = app.chat(json!({ "response_format": format })).await.error(400);
            assert!(told.param.as_deref().unwrap_or_default().starts_with("response_format"), "{told:?}");
        }
        let tool = json!({ "type": "function", "function": { "name": "f", "parameters": schema } });
        let told = app.chat(json!({ "tools": [tool] })).await.error(400);
        assert!(told.param.as_deref().unwrap_or_default().starts_with("tools"), "{told:?}");
    }
}

#[tokio::test]
async fn a_time_limit_must_be_one() {
    let app = App::scripted(Script::tokens(1, Duration::ZERO));
    let ask = async |name, value| {
        app.send("POST", CHAT, &[crate::client::JSON, (name, value)], chat(json!({})).to_string()).await
    };
    for name in ["x-request-timeout-ms", "x-envoy-expected-rq-timeout-ms"] {
        for value in ["", "0", "-1", "soon", "1.5", "99999999999999999999999"] {
            assert_eq!(ask(name, value).await.error(400).param.as_deref(), Some(name), "{value:?}");
        }
        assert_eq!(ask(name, "60000").await.status, 200);
    }
    // More than a year is refused as the engine does.
    ask("x-request-timeout-ms", "18446744073709551615").await.error(400);
}
