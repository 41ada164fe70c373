//! Steering answers, limits for each key, keys from a file, and metrics of a server that is full.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use mullama_async::{BackendPrompt, Script, ScriptedBackend};
use mullama_core::ChatDelta;
use mullama_web::{AppState, WebConfig};
use serde_json::{Value, json};

use super::words;
use crate::client::{Answer, App, CHAT, Event, JSON, Open, chat};

const ONE: (&str, &str) = ("authorization", "Bearer one");
const TWO: (&str, &str) = ("authorization", "Bearer two");

fn keys() -> Vec<String> {
    vec!["one".to_owned(), "two".to_owned()]
}

async fn begin(app: &App, fields: Value) -> (Open, String) {
    let mut body = chat(fields);
    body["stream"] = json!(true);
    let mut stream = app.open("POST", CHAT, &[JSON, ONE], body.to_string()).await;
    let id = stream.data().await["id"].as_str().unwrap().to_owned();
    (stream, id)
}

async fn steer(app: &App, key: (&str, &str), id: &str, body: Value) -> Answer {
    app.send("POST", &format!("{CHAT}/{id}/control"), &[JSON, key], body.to_string()).await
}

#[tokio::test]
async fn an_answer_is_stopped_by_who_asked_for_it() {
    let backend = ScriptedBackend::new().model("m", words(100_000, 5));
    let app = App::of(&backend, WebConfig { api_keys: keys(), ..WebConfig::default() });
    for choices in [1, 3] {
        let (mut stream, id) = begin(&app, json!({ "n": choices })).await;
        let stop = json!({ "action": "stop" });
        // Nobody else may know that there is such an answer.
        assert_eq!(steer(&app, TWO, &id, stop.clone()).await.error(404).code.as_deref(), Some("not_found"));
        assert_eq!(steer(&app, ONE, "chatcmpl-nobody", stop.clone()).await.error(404).kind, "not_found_error");
        assert_eq!(
            steer(&app, ONE, &id, json!({ "action": "dance" })).await.error(400).param.as_deref(),
            Some("action")
        );
        let set = json!({ "action": "set", "sampling": { "temperature": 0.1 } });
        let told = steer(&app, ONE, &id, set).await.error(400);
        assert_eq!((told.param.as_deref(), told.code.as_deref()), (Some("action"), Some("unsupported_parameter")));
        assert_eq!(backend.running("m"), choices);

        assert_eq!(steer(&app, ONE, &id, stop.clone()).await.ok(), json!({ "success": true }));
        let mut rest = stream.rest().await;
        assert_eq!(rest.pop(), Some(Event::Done));
        let reasons = rest.iter().filter_map(|event| match event {
            Event::Data(chunk) => chunk["choices"][0]["finish_reason"].as_str(),
            _ => None,
        });
        assert_eq!(reasons.collect::<Vec<_>>(), vec!["stop"; choices]);
        assert_eq!(backend.running("m"), 0);
        drop(stream);

        let ended = steer(&app, ONE, &id, stop.clone()).await;
        assert_eq!(ended.error(409).code.as_deref(), Some("answer_ended"));
        // It will not begin again.
        assert_eq!(ended.header("x-should-retry"), "false");
        steer(&app, TWO, &id, stop).await.error(404);
    }
}

#[tokio::test(start_paused = true)]
async fn thoughts_are_ended_where_the_request_allows_it() {
    let thoughts = (0..1_000).map(|_| ChatDelta::ReasoningContent("hm ".to_owned()));
    let deltas = thoughts.chain([ChatDelta::Content("Yes.".to_owned())]).collect();
    let backend = ScriptedBackend::new().model("m", Script::Answer { deltas, interval: Duration::from_millis(10) });
    let app = App::of(&backend, WebConfig { api_keys: keys(), ..WebConfig::default() });
    let end = json!({ "action": "end_reasoning" });

    let (stream, id) = begin(&app, json!({})).await;
    let refused = steer(&app, ONE, &id, end.clone()).await;
    assert_eq!(refused.error(400).code.as_deref(), Some("no_reasoning_control"));
    // Who steers needs no place, and so may bring no more than it takes.
    let long = json!({ "action": "end_reasoning", "more": "x".repeat(20_000) });
    steer(&app, ONE, &id, long).await.error(413);
    drop(stream);

    // Our route, and llama.cpp's.
    let own = |id: &str| (format!("{CHAT}/{id}/control"), end.clone());
    let other = |id: &str| (format!("{CHAT}/control"), json!({ "id": id, "action": "reasoning_end" }));
    for way in [&own as &dyn Fn(&str) -> (String, Value), &other] {
        let (mut stream, id) = begin(&app, json!({ "reasoning_control": true })).await;
        let asked = backend.last_request("m").unwrap();
        assert!(matches!(asked.prompt, BackendPrompt::Chat(chat) if chat.reasoning_control));
        let (path, body) = way(&id);
        steer(&app, TWO, &id, end.clone()).await.error(404);
        let done = app.send("POST", &path, &[JSON, ONE], body.to_string()).await;
        assert_eq!(done.ok(), json!({ "success": true }));
        let mut rest = stream.rest().await;
        assert_eq!(rest.pop(), Some(Event::Done));
        let said: String = rest
            .iter()
            .filter_map(|event| match event {
                Event::Data(chunk) => chunk["choices"][0]["delta"]["content"].as_str(),
                _ => None,
            })
            .collect();
        assert_eq!(said, "Yes.");
        assert!(rest.len() < 20, "{}", rest.len());
    }
}

#[tokio::test]
async fn each_key_has_its_rate_and_is_told_of_it() {
    let backend = ScriptedBackend::new().model("m", words(1, 0));
    let config = WebConfig { api_keys: keys(), requests_per_minute: Some(3), ..WebConfig::default() };
    let app = App::of(&backend, config);
    let ask = async |key| app.send("POST", CHAT, &[JSON, key], chat(json!({})).to_string()).await;
    for left in ["2", "1", "0"] {
        let answer = ask(ONE).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-ratelimit-limit-requests"), "3");
        assert_eq!(answer.header("x-ratelimit-remaining-requests"), left);
        assert!(answer.header("x-ratelimit-reset-requests").ends_with('s'));
    }
    let refused = ask(ONE).await;
    assert_eq!(refused.error(429).code.as_deref(), Some("rate_limit_exceeded"));
    assert_eq!((refused.header("retry-after"), refused.header("x-ratelimit-remaining-requests")), ("20", "0"));
    assert_eq!(backend.submitted("m"), 3);
    // Others have their own, and looking costs nothing.
    assert_eq!(ask(TWO).await.header("x-ratelimit-remaining-requests"), "2");
    let looked = app.send("GET", "/v1/models", &[ONE], Body::empty()).await;
    assert_eq!((looked.status, looked.header("x-ratelimit-limit-requests")), (200, ""));
}

#[tokio::test]
async fn keys_of_a_file_are_read_again_while_streams_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    std::fs::write(&path, "# ours\none\n").unwrap();
    let backend = ScriptedBackend::new().model("m", words(20, 5));
    let config = WebConfig { api_key_file: Some(path.clone()), ..WebConfig::default() };
    let state = AppState::with_backend(Arc::new(backend), config).unwrap();
    let app = App::new(state.clone());
    let status = async |key| app.send("GET", "/v1/models", &[key], Body::empty()).await.status;
    assert_eq!((status(ONE).await, status(TWO).await), (200, 401));
    let (mut stream, _) = begin(&app, json!({})).await;

    std::fs::write(&path, "two\n").unwrap();
    state.reload_keys().unwrap();
    assert_eq!((status(ONE).await, status(TWO).await), (401, 200));

    // A file that is gone changes nothing.
    std::fs::remove_file(&path).unwrap();
    assert!(state.reload_keys().is_err());
    assert_eq!((status(ONE).await, status(TWO).await), (401, 200));
    assert_eq!(stream.rest().await.last(), Some(&Event::Done));
}

#[tokio::test]
async fn a_server_that_is_full_refuses_work_at_once_and_still_tells_how_it_is() {
    let backend = ScriptedBackend::new().model("hung", Script::Hang).model("good", words(1, 0));
    let config = WebConfig { max_concurrent: 2, first_event_timeout_ms: 0, ..WebConfig::default() };
    let app = App::of(&backend, config);
    let held = [app.stream(json!({ "model": "hung" })).await, app.stream(json!({ "model": "hung" })).await];
    for path in [CHAT, "/v1/embeddings", "/tokenize", "/v1/messages", "/api/chat"] {
        let answer = app.post(path, &chat(json!({ "model": "good" }))).await;
        assert_eq!((answer.status, answer.header("retry-after")), (429, "1"), "{path}");
    }
    let metrics = app.get("/metrics").await;
    assert_eq!(metrics.status, 200);
    for line in [
        "mullama_places_taken 2",
        "mullama_places_capacity 2",
        "mullama_answers_running 2",
        "mullama_http_errors_total{type=\"rate_limit_error\",code=\"server_overloaded\"} 5",
    ] {
        assert!(metrics.text.lines().any(|told| told == line), "no {line} in\n{}", metrics.text);
    }
    for path in ["/health", "/health/live", "/v1/models", "/slots"] {
        assert_eq!(app.get(path).await.status, 200, "{path}");
    }
    // Answers can be stopped all the same.
    let stop = json!({ "action": "stop", "id": "chatcmpl-nobody" });
    for path in [format!("{CHAT}/chatcmpl-nobody/control"), format!("{CHAT}/control")] {
        assert_eq!(app.post(&path, &stop).await.status, 404, "{path}");
    }
    assert_eq!(backend.submitted("good"), 0);
    drop(held);
    assert_eq!(app.chat(json!({ "model": "good" })).await.status, 200);
    assert!(app.get("/metrics").await.text.contains("mullama_places_taken 0\n"));
}
