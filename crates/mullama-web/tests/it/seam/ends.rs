//! How serving ends while answers run.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use mullama_async::ScriptedBackend;
use mullama_web::{AppState, ServerConfig, WebConfig};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::words;
use crate::client::{App, Event, JSON, chat};
use crate::{Served, serve_with};

#[tokio::test]
async fn a_server_that_drains_is_not_ready_at_once_and_ends_what_runs() {
    let backend = ScriptedBackend::new().model("m", words(20, 5));
    let state = AppState::with_backend(Arc::new(backend), WebConfig::default()).unwrap();
    let app = App::new(state.clone());
    let mut stream = app.stream(json!({})).await;
    stream.data().await;
    state.drain();
    for path in ["/health", "/health/ready", "/v1/health"] {
        let answer = app.send("GET", path, &[], Body::empty()).await;
        assert_eq!(answer.error(503).code.as_deref(), Some("shutting_down"), "{path}");
        assert!(!answer.header("retry-after").is_empty());
    }
    assert_eq!(app.get("/health/live").await.status, 200);
    assert!(app.get("/metrics").await.text.contains("mullama_draining 1\n"));
    // Whoever has not seen it yet is still served.
    assert_eq!(app.chat(json!({ "max_tokens": 1 })).await.status, 200);
    let mut rest = stream.rest().await;
    assert_eq!((rest.pop(), rest.len()), (Some(Event::Done), 21));
}

/// A stream over a socket, of which something has come.
async fn begin(served: &Served) -> TcpStream {
    let body = chat(json!({ "stream": true })).to_string();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    let mut bytes = [0; 512];
    let count = client.read(&mut bytes).await.unwrap();
    assert!(bytes[..count].starts_with(b"HTTP/1.1 200 "));
    client
}

async fn rest(mut client: TcpStream) -> String {
    let mut text = String::new();
    let read = tokio::time::timeout(Duration::from_secs(10), client.read_to_string(&mut text)).await;
    read.expect("the connection stays open").unwrap();
    text
}

async fn served(count: u32, timeout_ms: u64) -> Served {
    let backend = ScriptedBackend::new().model("m", words(count, 10));
    let state = AppState::with_backend(Arc::new(backend), WebConfig::default()).unwrap();
    let config = ServerConfig { shutdown_grace_ms: 0, shutdown_timeout_ms: timeout_ms, ..ServerConfig::default() };
    serve_with(state, config).await
}

#[tokio::test]
async fn a_shutdown_waits_for_streams() {
    let mut served = served(30, 10_000).await;
    let clients = [begin(&served).await, begin(&served).await, begin(&served).await];
    served.stop();
    for client in clients {
        let text = rest(client).await;
        assert!(text.contains("\"finish_reason\":\"stop\"") && text.contains("data: [DONE]\n\n"), "{text}");
    }
    assert!(served.ended().await);
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn a_stream_that_is_cut_by_a_shutdown_is_told() {
    let mut served = served(1_000_000, 200).await;
    let client = begin(&served).await;
    let start = Instant::now();
    served.stop();
    let text = rest(client).await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(text.contains("data: {\"error\":{\"message\":") && text.contains("\"code\":\"cancelled\""), "{text}");
    assert!(!text.contains("[DONE]"), "{text}");
    assert!(!served.ended().await);
}

#[tokio::test(start_paused = true)]
async fn what_ends_a_stream_is_told_and_counted_in_every_dialect() {
    let backend = ScriptedBackend::new().model("m", words(1_000, 10));
    let app = App::of(&backend, WebConfig::default());
    let message = json!([{ "role": "user", "content": "a" }]);
    let chat = json!({ "messages": message, "stream": true, "max_tokens": 900 });
    let text = json!({ "prompt": "a", "stream": true });
    let streams = [
        ("/v1/chat/completions", chat.clone(), "\"type\":\"unavailable_error\""),
        ("/v1/completions", text.clone(), "\"type\":\"unavailable_error\""),
        ("/completion", text.clone(), "\"type\":\"unavailable_error\""),
        ("/v1/responses", json!({ "input": "a", "stream": true }), "\"type\":\"response.failed\""),
        ("/v1/messages", chat.clone(), "\"type\":\"overloaded_error\""),
        ("/api/chat", chat, "{\"error\":\""),
        ("/api/generate", text, "{\"error\":\""),
    ];
    for (count, (path, body, expected)) in streams.into_iter().enumerate() {
        let open = app.open("POST", path, &[JSON], body.to_string()).await;
        assert_eq!(open.status, 200, "{path}");
        backend.kill("m", Duration::ZERO);
        let answer = open.whole().await;
        assert!(answer.text.contains(expected), "{path}: {}", answer.text);
        if path == "/v1/messages" {
            let id = format!("\"request_id\":\"{}\"", answer.header("request-id"));
            assert!(answer.header("request-id").starts_with("req_") && answer.text.contains(&id), "{}", answer.text);
        }
        let line = format!(
            "mullama_http_errors_total{{type=\"unavailable_error\",code=\"engine_restarted\"}} {}\n",
            count + 1
        );
        assert!(app.get("/metrics").await.text.contains(&line), "{path}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
