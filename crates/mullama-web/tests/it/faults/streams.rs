//! Streams whose reader vanishes or dawdles, and text that is cut inside a character or a stop string.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mullama_async::{InferenceBackend as _, Script, ScriptedBackend};
use mullama_web::{AppState, ServerConfig, WebConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::client::{App, Event, chat, tiny};
use crate::{serve, serve_with};

/// Sends a request for a stream and reads until this has come.
async fn begin(address: SocketAddr, fields: Value, until: &str) -> TcpStream {
    let mut body = chat(fields);
    body["stream"] = json!(true);
    let body = body.to_string();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    let (mut text, mut bytes) = (String::new(), [0; 1_024]);
    while !text.contains(until) {
        let count = timeout(Duration::from_secs(20), client.read(&mut bytes)).await.expect("nothing comes").unwrap();
        assert!(count > 0, "closed after {text:?}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    client
}

/// Waits until this holds; how long that took.
async fn becomes(holds: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not come to that");
        sleep(Duration::from_millis(1)).await;
    }
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_frees_its_place_within_a_step() {
    let state = tiny(1, 2_048, WebConfig::default()).await;
    let backend = Arc::clone(state.backend());
    let served = serve(state).await;
    let running = || backend.stats().iter().map(|one| one.stats.sequences_running).sum::<u64>();
    let generated = || backend.stats().iter().map(|one| one.stats.generated_tokens).sum::<u64>();
    for _ in 0..3 {
        let client = begin(served.address, json!({ "ignore_eos": true }), "\"content\":").await;
        becomes(|| running() == 1).await;
        drop(client);
        let took = becomes(|| running() == 0).await;
        assert!(took < Duration::from_millis(500), "{took:?}");
        let before = generated();
        // Its place is taken at once by another, whose tokens are the only ones that are counted.
        let client = begin(served.address, json!({ "max_tokens": 3 }), "[DONE]").await;
        drop(client);
        assert!(generated() - before <= 3, "{} tokens", generated() - before);
    }
}

#[tokio::test]
async fn a_client_that_reads_nothing_pauses_itself_alone_and_is_given_up() {
    let tokens = 1_000_000;
    let backend = ScriptedBackend::new()
        .model("flood", Script::tokens(tokens, Duration::ZERO))
        .model("calm", Script::tokens(20, Duration::from_millis(10)));
    let state = AppState::with_backend(Arc::new(backend.clone()), WebConfig::default()).unwrap();
    let served = serve_with(state, ServerConfig { write_timeout_ms: 700, ..ServerConfig::default() }).await;
    let dawdler = begin(served.address, json!({ "model": "flood" }), "word").await;
    let start = Instant::now();
    let other = begin(served.address, json!({ "model": "calm" }), "[DONE]").await;
    assert!(start.elapsed() < Duration::from_millis(600), "the other took {:?}", start.elapsed());
    assert_eq!((backend.running("flood"), backend.cancelled("flood")), (1, 0));
    let generated =
        || backend.stats().iter().find(|one| one.model == "flood").map_or(0, |one| one.stats.generated_tokens);
    becomes(|| backend.running("flood") == 0).await;
    assert!(start.elapsed() > Duration::from_millis(400), "given up after {:?}", start.elapsed());
    assert_eq!(backend.cancelled("flood"), 1);
    assert!(generated() < u64::from(tokens) / 4, "{} tokens for somebody who reads nothing", generated());
    drop((dawdler, other));
}

/// All texts of a stream.
async fn texts(app: &App, fields: Value) -> Vec<String> {
    let mut stream = app.stream(fields).await;
    let events = stream.rest().await;
    assert_eq!(events.last(), Some(&Event::Done));
    let text = |event: &Event| match event {
        Event::Data(chunk) => chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned),
        _ => None,
    };
    events.iter().filter_map(text).filter(|text| !text.is_empty()).collect()
}

#[tokio::test]
async fn a_character_of_several_tokens_comes_whole() {
    let app = App::tiny(1, 512, WebConfig::default()).await;
    let wanted = "漢字😀é👩‍👧";
    let fields = json!({ "temperature": 0, "grammar": format!("root ::= \"{wanted}\""), "max_tokens": 60 });
    let answer = app.chat(fields.clone()).await.ok();
    assert_eq!(answer["choices"][0]["message"]["content"], wanted);
    let tokens = answer["usage"]["completion_tokens"].as_u64().unwrap();
    let characters = wanted.chars().count() as u64;
    assert!(tokens > characters + 1, "{tokens} tokens for {characters} characters split none");
    // Reading fails where a piece ends within a character, which JSON could only tell by a replacement.
    let texts = texts(&app, fields).await;
    assert_eq!(texts.concat(), wanted);
    assert!(texts.iter().all(|text| !text.contains('\u{fffd}')), "{texts:?}");
}

#[tokio::test]
async fn nothing_of_a_stop_string_is_sent() {
    let app = App::tiny(1, 512, WebConfig::default()).await;
    let count = |stop: Value| json!({ "messages": [{ "role": "user", "content": "Count to 20." }], "temperature": 0, "stop": stop });
    for (stop, expected) in [
        (json!("5, 6"), "1, 2, 3, 4, "),
        (json!([", 7, 8", "11"]), "1, 2, 3, 4, 5, 6"),
        (json!(["1, 2, 3"]), ""),
        (json!(["5, 7", "8, 9, 1"]), "1, 2, 3, 4, 5, 6, 7, "),
    ] {
        let texts = texts(&app, count(stop.clone())).await;
        assert_eq!(texts.concat(), expected, "{stop}: {texts:?}");
        let answer = app.post(crate::client::CHAT, &count(stop.clone())).await.ok();
        assert_eq!(answer["choices"][0]["message"]["content"], expected, "{stop}");
        assert_eq!(answer["choices"][0]["finish_reason"], "stop", "{stop}");
    }
}
