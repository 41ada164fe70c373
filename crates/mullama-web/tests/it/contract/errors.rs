//! Errors: one shape, the right status, and whether to try again.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use mullama_async::{Error, Script, ScriptedBackend};
use mullama_core::Error as CoreError;
use mullama_web::WebConfig;
use serde_json::{Value, json};

use crate::client::{Answer, App, CHAT, JSON, chat};

/// A request and its error.
struct Row {
    what: &'static str,
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: String,
    told: (u16, &'static str, Option<&'static str>, Option<&'static str>),
}

const KEY: (&str, &str) = ("authorization", "Bearer key");
const TEXT: (&str, &str) = ("content-type", "text/plain");
const EVIL: (&str, &str) = ("origin", "https://evil.example");

fn row(
    what: &'static str,
    (method, path): (&'static str, &'static str),
    headers: &'static [(&'static str, &'static str)],
    body: String,
    told: (u16, &'static str, Option<&'static str>, Option<&'static str>),
) -> Row {
    Row { what, method, path, headers, body, told }
}

const INVALID: &str = "invalid_request_error";

fn rows() -> Vec<Row> {
    let post = ("POST", CHAT);
    let of = |model: &str| chat(json!({ "model": model })).to_string();
    let good = || of("good");
    let not_found = (404, "not_found_error", Some("not_found"), None);
    vec![
        row("no route", ("GET", "/v1/nothing"), &[KEY], String::new(), not_found),
        row("no route to post to", ("POST", "/nothing"), &[KEY, JSON], good(), not_found),
        row("method", ("GET", CHAT), &[KEY], String::new(), (405, INVALID, Some("method_not_allowed"), None)),
        row("size", post, &[KEY, JSON], "x".repeat(5_000), (413, INVALID, Some("body_too_large"), None)),
        row("type", post, &[KEY, TEXT], good(), (415, INVALID, Some("unsupported_media_type"), None)),
        row("no type", post, &[KEY], "a=b".to_owned(), (415, INVALID, Some("unsupported_media_type"), None)),
        row("syntax", post, &[KEY, JSON], "{".to_owned(), (400, INVALID, Some("invalid_json"), None)),
        row("nothing", post, &[KEY, JSON], String::new(), (400, INVALID, Some("invalid_json"), None)),
        row("value", post, &[KEY, JSON], chat(json!({ "n": 0 })).to_string(), (400, INVALID, None, Some("n"))),
        row("kind", post, &[KEY, JSON], chat(json!({ "n": "1" })).to_string(), (400, INVALID, None, Some("n"))),
        row(
            "cannot",
            post,
            &[KEY, JSON],
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": "x" }] }] })
                .to_string(),
            (400, INVALID, Some("unsupported_parameter"), Some("messages[0].content[0]")),
        ),
        row("no key", post, &[JSON], good(), (401, "authentication_error", Some("invalid_api_key"), None)),
        row("origin", post, &[KEY, JSON, EVIL], good(), (403, "permission_error", Some("origin_not_allowed"), None)),
        row(
            "no model",
            post,
            &[KEY, JSON],
            of("nobody"),
            (404, "not_found_error", Some("model_not_found"), Some("model")),
        ),
        row("full", post, &[KEY, JSON], of("full"), (429, "rate_limit_error", Some("server_overloaded"), None)),
        row("down", post, &[KEY, JSON], of("down"), (503, "unavailable_error", Some("engine_restarted"), None)),
        row("load", post, &[KEY, JSON], of("load"), (503, "unavailable_error", Some("model_load_failed"), None)),
        row("defect", post, &[KEY, JSON], of("defect"), (500, "server_error", None, None)),
        row("panic", post, &[KEY, JSON], of("panic"), (500, "server_error", None, None)),
        row("cut", post, &[KEY, JSON], of("cut"), (500, "server_error", None, None)),
        row("long", post, &[KEY, JSON], of("long"), (400, INVALID, Some("context_length_exceeded"), Some("messages"))),
    ]
}

fn app() -> App {
    let no_such_file = || {
        let cause = CoreError::LoadModel { path: "/secret/path.gguf".into(), reason: "secret".to_owned() };
        Error::LoadModel { name: "load".to_owned(), source: std::sync::Arc::new(cause.into()) }
    };
    let backend = ScriptedBackend::new()
        .model("good", Script::tokens(1, Duration::ZERO))
        .model("full", Script::Overloaded)
        .model("down", Script::tokens(1, Duration::ZERO))
        .model("load", Script::Refuse(no_such_file))
        .model("defect", Script::Refuse(|| CoreError::Internal { what: "a defect".to_owned() }.into()))
        .model("panic", Script::Refuse(|| unreachable!("secret of a handler")))
        .model("cut", Script::NoDone { tokens: 1 })
        .model("long", Script::Refuse(|| CoreError::PromptTooLong { got: 9, exact: true, limit: 8 }.into()));
    backend.kill("down", Duration::from_secs(3_600));
    let config = WebConfig { api_keys: vec!["key".to_owned()], max_body_bytes: 4_000, ..WebConfig::default() };
    App::of(&backend, config)
}

/// Clients of OpenAI's API try again after these statuses, twice, whatever is wrong: where that cannot help they must be
/// told, and where it can, when.
fn says_when(answer: &Answer) {
    if !matches!(answer.status, 408 | 409 | 429 | 500..) {
        assert_eq!((answer.header("retry-after"), answer.header("x-should-retry")), ("", ""), "{answer:?}");
        return;
    }
    if answer.header("x-should-retry") == "false" {
        assert_eq!(answer.header("retry-after"), "", "{answer:?}");
        return;
    }
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    let ms: u64 = answer.header("retry-after-ms").parse().unwrap();
    assert!(seconds >= 1 && ms <= seconds * 1_000, "{answer:?}");
}

#[tokio::test]
async fn every_error_has_its_status_and_four_fields_and_says_when_to_try_again() {
    let app = app();
    for Row { what, method, path, headers, body, told: (status, kind, code, param) } in rows() {
        let answer = app.send(method, path, headers, body).await;
        let told = answer.error(status);
        assert_eq!((told.kind.as_str(), told.code.as_deref(), told.param.as_deref()), (kind, code, param), "{what}");
        assert!(!answer.header("x-request-id").is_empty(), "{what}");
        assert!(!answer.text.contains("secret"), "{what}: {answer:?}");
        says_when(&answer);
    }
    let later = app.send("POST", CHAT, &[KEY, JSON], chat(json!({ "model": "down" })).to_string()).await;
    assert!(later.header("retry-after").parse::<u64>().unwrap() >= 3_599);
    let never = app.send("POST", CHAT, &[KEY, JSON], chat(json!({ "model": "defect" })).to_string()).await;
    assert_eq!(never.header("x-should-retry"), "false");
}

#[tokio::test]
async fn a_stream_that_cannot_begin_is_no_stream() {
    let app = app();
    for row in rows().into_iter().filter(|row| row.path == CHAT && row.headers == [KEY, JSON]) {
        let Ok(Value::Object(mut body)) = serde_json::from_str(&row.body) else { continue };
        if body.get("model") == Some(&json!("cut")) {
            continue; // begins, and has no end
        }
        body.insert("stream".to_owned(), json!(true));
        let answer = app.send("POST", CHAT, &[KEY, JSON], Value::Object(body).to_string()).await;
        answer.error(row.told.0);
    }
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_told_with_both_numbers() {
    let app = app();
    let answer = app.send("POST", CHAT, &[KEY, JSON], chat(json!({ "model": "long" })).to_string()).await;
    let error = &answer.json()["error"];
    assert_eq!((&error["n_prompt_tokens"], &error["n_ctx"]), (&json!(9), &json!(8)));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains('9') && message.contains('8'), "{message}");
}

#[tokio::test]
async fn other_dialects_have_their_own_shapes() {
    let app = app();
    let anthropic = app.post("/v1/messages", &json!({})).await;
    assert_eq!(anthropic.status, 401);
    assert_eq!(
        (&anthropic.json()["type"], &anthropic.json()["error"]["type"]),
        (&json!("error"), &json!("authentication_error"))
    );
    let ollama = app.post("/api/chat", &json!({})).await;
    assert_eq!(ollama.status, 401);
    assert!(ollama.json()["error"].is_string(), "{ollama:?}");
    for path in ["/v1/messages/count_tokens", "/api/nothing"] {
        let answer = app.send("PUT", path, &[KEY], Body::empty()).await;
        assert!(matches!(answer.status, 404 | 405) && answer.json().get("error").is_some(), "{answer:?}");
    }
}

#[tokio::test]
async fn a_panic_inside_a_stream_breaks_that_stream_alone() {
    let end = || -> Error { panic!("secret of a stream") };
    let backend = ScriptedBackend::new()
        .model("torn", Script::FailAfter { tokens: 2, interval: Duration::ZERO, error: end })
        .model("good", Script::tokens(3, Duration::from_millis(20)));
    let app = App::of(&backend, WebConfig::default());
    let mut good = app.stream(json!({ "model": "good" })).await;
    let torn = app.stream(json!({ "model": "torn" })).await;
    // The connection is broken off: nobody can take this for a whole answer.
    let error = torn.body.collect().await.unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(good.rest().await.len(), 6);
    assert_eq!(backend.running("torn"), 0);
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("mullama_http_panics_total 1\n"), "{metrics}");
}

/// What the engine refuses is told in the route's own words.
#[tokio::test]
async fn the_field_that_is_to_blame_is_named_in_every_route() {
    let app = App::tiny(1, 64, WebConfig::default()).await;
    let long = "word ".repeat(200);
    let said = json!([{ "role": "user", "content": "a" }]);
    let much = json!([{ "role": "user", "content": long }]);
    let wrong = json!({ "type": "wat" });
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": wrong } });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "a", "schema": wrong } });
    let own_format = json!({ "format": { "type": "json_schema", "name": "a", "schema": wrong } });
    let grammar = Some("invalid_grammar");
    let tokens = Some("unknown_token");
    let context = Some("context_length_exceeded");
    for (path, body, code, param) in [
        (CHAT, json!({ "messages": much }), context, "messages"),
        (CHAT, json!({ "messages": said, "logit_bias": { "999999": 1 } }), tokens, "logit_bias"),
        (CHAT, json!({ "messages": said, "tools": [tool] }), grammar, "tools"),
        (CHAT, json!({ "messages": said, "response_format": format }), grammar, "response_format.json_schema.schema"),
        (CHAT, json!({ "messages": said, "json_schema": wrong }), grammar, "json_schema"),
        (CHAT, json!({ "messages": said, "grammar": "root ::= (" }), grammar, "grammar"),
        ("/apply-template", json!({ "messages": said, "tools": [tool] }), grammar, "tools"),
        ("/v1/completions", json!({ "prompt": long }), context, "prompt"),
        ("/v1/completions", json!({ "prompt": [999_999] }), tokens, "prompt"),
        ("/v1/completions", json!({ "prompt": "a", "logit_bias": { "999999": 1 } }), tokens, "logit_bias"),
        ("/v1/completions", json!({ "prompt": "a", "json_schema": wrong }), grammar, "json_schema"),
        ("/completion", json!({ "prompt": "a", "grammar": "root ::= (" }), grammar, "grammar"),
        ("/v1/embeddings", json!({ "input": long }), context, "input"),
        ("/detokenize", json!({ "tokens": [999_999] }), tokens, "tokens"),
        ("/v1/responses", json!({ "input": long }), context, "input"),
        ("/v1/responses", json!({ "input": "a", "text": own_format }), grammar, "text.format.schema"),
        ("/v1/responses", json!({ "input": "a", "grammar": "root ::= (" }), grammar, "grammar"),
        ("/v1/responses/input_tokens", json!({ "input": "a", "text": own_format }), grammar, "text.format.schema"),
    ] {
        let answer = app.post(path, &body).await;
        let told = answer.error(400);
        assert_eq!(
            (told.code.as_deref(), told.param.as_deref()),
            (code, Some(param)),
            "{path} {body:.200}: {answer:?}"
        );
    }
}
