//! Engines that die, hang, stall, send garbage or are full: what the server makes of it, and that others do not notice.

mod ends;
mod steering;

use std::time::{Duration, Instant};

use mullama_async::{Script, ScriptedBackend};
use mullama_web::WebConfig;
use serde_json::json;

use crate::client::{App, CHAT, Event, JSON, chat, told};

/// A word in each interval.
fn words(count: u32, ms: u64) -> Script {
    Script::tokens(count, Duration::from_millis(ms))
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_dies_ends_its_own_streams_at_once_and_comes_back() {
    let backend = ScriptedBackend::new().model("a", words(1_000, 10)).model("b", words(500, 10));
    let app = App::of(&backend, WebConfig::default());
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = app.stream(json!({ "model": "a" })).await;
        for _ in 0..3 {
            stream.data().await;
        }
        streams.push(stream);
    }
    let mut other = app.stream(json!({ "model": "b" })).await;
    other.data().await;
    assert_eq!(backend.running("a"), 8);

    backend.kill("a", Duration::from_millis(2_500));
    let (start, clock) = (Instant::now(), tokio::time::Instant::now());
    for mut stream in streams {
        let mut events = stream.rest().await;
        let Some(Event::Data(last)) = events.pop() else { unreachable!("{events:?}") };
        let told = told(&last);
        assert_eq!((told.kind.as_str(), told.code.as_deref()), ("unavailable_error", Some("engine_restarted")));
        assert!(!events.contains(&Event::Done));
    }
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    assert!(clock.elapsed() < Duration::from_millis(100), "{:?}", clock.elapsed());

    // Meanwhile: not now, and when.
    let refused = app.chat(json!({ "model": "a" })).await;
    assert_eq!(refused.error(503).code.as_deref(), Some("engine_restarted"));
    assert_eq!(refused.header("retry-after"), "3");
    let wait: u64 = refused.header("retry-after-ms").parse().unwrap();
    assert!((2_300..=2_500).contains(&wait), "{wait}");
    assert_eq!(app.get("/health/ready").await.status, 200);

    // Who waits as told is answered.
    tokio::time::sleep(Duration::from_millis(wait + 1)).await;
    assert_eq!(app.chat(json!({ "model": "a", "max_tokens": 1 })).await.status, 200);
    assert_eq!(backend.restarts("a"), 1);
    let metrics = app.get("/metrics").await.text;
    for line in ["engine_restarts_total{model=\"a\"} 1\n", "engine_restarts_total{model=\"b\"} 0\n"] {
        assert!(metrics.contains(line), "{line}");
    }
    let mut rest = other.rest().await;
    assert_eq!(rest.pop(), Some(Event::Done));
    assert_eq!(rest.len(), 501);
}

#[tokio::test]
async fn without_any_engine_the_server_is_not_ready_but_alive() {
    let backend = ScriptedBackend::new().model("a", words(1, 0));
    let app = App::of(&backend, WebConfig::default());
    backend.kill("a", Duration::from_secs(3_600));
    for path in ["/health", "/health/ready"] {
        let answer = app.get(path).await;
        assert_eq!(answer.error(503).message, "Loading model", "{path}");
        assert!(!answer.header("retry-after").is_empty());
    }
    assert_eq!(app.get("/health/live").await.status, 200);
    assert_eq!(app.get("/metrics").await.status, 200);
    backend.revive("a");
    assert_eq!(app.get("/health/ready").await.status, 200);
    assert_eq!(app.chat(json!({})).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_a_model_that_is_being_loaded() {
    let backend = ScriptedBackend::new().model("a", Script::Loading);
    let app = App::of(&backend, WebConfig::default());
    let health = app.get("/health").await;
    assert_eq!(health.error(503).code.as_deref(), Some("model_loading"));
    assert!(!health.header("retry-after").is_empty());
    let (answer, ()) = tokio::join!(app.chat(json!({})), async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        backend.script("a", words(1, 0));
    });
    assert_eq!(answer.ok()["choices"][0]["message"]["content"], "word ");

    // Who does not want to wait so long says so.
    backend.script("a", Script::Loading);
    let start = tokio::time::Instant::now();
    let headers = [JSON, ("x-request-timeout-ms", "2000")];
    let answer = app.send("POST", CHAT, &headers, chat(json!({})).to_string()).await;
    assert_eq!(answer.error(504).kind, "timeout_error");
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_hangs_is_waited_for_as_long_as_the_client_says() {
    let backend = ScriptedBackend::new().model("hung", Script::Hang).model("good", words(1, 0));
    let config = WebConfig { request_timeout_ms: Some(8_000), ..WebConfig::default() };
    let app = App::of(&backend, config);
    for (limit, seconds) in [(Some("3000"), 3), (Some("60000"), 8), (None, 8)] {
        for stream in [false, true] {
            let start = tokio::time::Instant::now();
            let mut headers = vec![JSON];
            headers.extend(limit.map(|limit| ("x-request-timeout-ms", limit)));
            let body = chat(json!({ "model": "hung", "stream": stream })).to_string();
            let answer = app.send("POST", CHAT, &headers, body).await;
            let took = start.elapsed();
            assert!((seconds..seconds + 2).contains(&took.as_secs()), "{took:?}");
            assert_eq!(answer.error(504).code.as_deref(), Some("timeout"));
            assert_eq!(answer.header("x-should-retry"), "false");
        }
    }
    let body = json!({ "model": "hung", "input": "a", "query": "a", "documents": ["a"] }).to_string();
    for path in ["/v1/embeddings", "/v1/rerank"] {
        let answer = app.send("POST", path, &[JSON, ("x-request-timeout-ms", "3000")], body.clone()).await;
        assert_eq!(answer.error(504).code.as_deref(), Some("timeout"), "{path}");
    }
    assert_eq!(backend.running("hung"), 0);
    assert_eq!(app.chat(json!({ "model": "good" })).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_an_engine_that_hangs_begins_after_ten_seconds_and_is_kept_open() {
    let app = App::scripted(Script::Hang);
    let start = tokio::time::Instant::now();
    let headers = [JSON, ("x-request-timeout-ms", "50000")];
    let mut stream = app.open("POST", CHAT, &headers, chat(json!({ "stream": true })).to_string()).await;
    assert_eq!((stream.status, start.elapsed().as_secs()), (200, 10));
    let mut events = stream.rest().await;
    let Some(Event::Data(last)) = events.pop() else { unreachable!("{events:?}") };
    assert_eq!(told(&last).code.as_deref(), Some("timeout"));
    assert_eq!(events, [Event::Comment("ping".to_owned()), Event::Comment("ping".to_owned())]);
    assert_eq!(start.elapsed().as_secs(), 51);
}

#[tokio::test]
async fn a_stall_is_bridged_by_comments_at_the_configured_pace() {
    let stall = Script::Stall { after: 2, interval: Duration::ZERO, text: "a".to_owned() };
    let backend = ScriptedBackend::new().model("m", stall);
    let app = App::of(&backend, WebConfig { keep_alive_ms: 100, ..WebConfig::default() });
    let mut stream = app.stream(json!({})).await;
    for _ in 0..3 {
        stream.data().await;
    }
    let start = Instant::now();
    for _ in 0..3 {
        assert_eq!(stream.next().await, Some(Event::Comment("ping".to_owned())));
    }
    assert!(start.elapsed() >= Duration::from_millis(290), "{:?}", start.elapsed());
    assert_eq!(backend.running("m"), 1);
    drop(stream);
    assert_eq!((backend.running("m"), backend.cancelled("m")), (0, 1));
}

#[tokio::test]
async fn garbage_stays_in_its_frames() {
    let app = App::scripted(Script::Noise);
    let whole = app.chat(json!({})).await.ok();
    let content = whole["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert!(content.contains("data: [DONE]\n\nevent: error") && content.contains('\0'), "{content:?}");
    let mut events = app.stream(json!({})).await.rest().await;
    assert_eq!(events.pop(), Some(Event::Done));
    let mut joined = String::new();
    for event in events {
        let Event::Data(chunk) = event else { unreachable!("{event:?}") };
        let delta = &chunk["choices"][0]["delta"];
        joined.push_str(delta["content"].as_str().unwrap_or_default());
        assert!(delta.get("tool_calls").is_none(), "{chunk}");
    }
    assert_eq!(joined, content);

    for (script, tokens) in [(Script::NoDone { tokens: 2 }, 2), (Script::DoneTwice { tokens: 2 }, 2)] {
        let done = matches!(script, Script::DoneTwice { .. });
        let mut events = App::scripted(script).stream(json!({})).await.rest().await;
        match events.pop() {
            Some(Event::Done) => assert!(done),
            Some(Event::Data(last)) => assert!(!done && told(&last).kind == "server_error"),
            other => unreachable!("{other:?}"),
        }
        // The role and the words, and where there is an end its chunk.
        assert_eq!(events.len(), 1 + tokens + usize::from(done));
    }
}

#[tokio::test]
async fn a_panic_ends_its_own_request_only() {
    let backend =
        ScriptedBackend::new().model("defect", Script::Refuse(|| panic!("a defect"))).model("good", words(10, 5));
    let app = App::of(&backend, WebConfig { max_concurrent: 2, ..WebConfig::default() });
    let mut good = app.stream(json!({ "model": "good" })).await;
    good.data().await;
    // More often than there are places: each is given back.
    for _ in 0..5 {
        assert_eq!(app.chat(json!({ "model": "defect" })).await.error(500).kind, "server_error");
    }
    let mut rest = good.rest().await;
    assert_eq!((rest.pop(), rest.len()), (Some(Event::Done), 11));
    assert_eq!(app.chat(json!({ "model": "good" })).await.status, 200);
    assert!(app.get("/metrics").await.text.contains("mullama_http_panics_total 5\n"));
}

#[tokio::test]
async fn a_full_queue_is_429_at_once() {
    let backend = ScriptedBackend::new().model("full", Script::Overloaded).model("good", words(1, 0));
    let app = App::of(&backend, WebConfig::default());
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        let answer = app.chat(json!({ "model": "full", "stream": true })).await;
        fastest = fastest.min(start.elapsed());
        assert_eq!(answer.error(429).code.as_deref(), Some("server_overloaded"));
        assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
    }
    assert!(fastest < Duration::from_millis(5), "{fastest:?}");
    assert_eq!(app.chat(json!({ "model": "good" })).await.status, 200);
}
