//! Clients that break the protocol, stall or vanish, over real sockets.

#[cfg(unix)]
mod files;
mod lifecycle;
mod presence;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use futures_util::stream;
use mullama_async::ScriptedBackend;
use mullama_web::{AppState, Error, Server, ServerConfig, WebConfig, create_router};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Counts the handlers that run; of `/echo` those that ran.
#[derive(Debug, Clone, Default)]
struct Count(Arc<AtomicUsize>);

/// Counted while it is there.
struct Counted(Count);

impl Count {
    fn enter(&self) -> Counted {
        self.0.fetch_add(1, Ordering::AcqRel);
        Counted(self.clone())
    }

    fn now(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// Waits for this many; how long that took.
    async fn becomes(&self, count: usize) -> Duration {
        let start = Instant::now();
        while self.now() != count {
            assert!(start.elapsed() < Duration::from_secs(10), "{} handlers run, not {count}", self.now());
            sleep(Duration::from_millis(5)).await;
        }
        start.elapsed()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A server under test.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<bool, Error>>,
}

fn start(config: ServerConfig, app: Router) -> Running {
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server::bind(&([127, 0, 0, 1], 0).into())
        .config(config)
        .with_graceful_shutdown(async {
            // A dropped sender stops it too.
            let _ = stopped.await;
        })
        .listen()
        .unwrap();
    let address = server.address();
    Running { address, stop, task: tokio::spawn(server.serve(app.into_make_service())) }
}

/// `/`, `/echo`, `/slow` (for ever), `/stream` (5 pieces, 50 ms apart), `/flood` (for ever, as fast as it is taken).
fn app(running: &Count) -> Router {
    let (slow, flood, echo) = (running.clone(), running.clone(), running.clone());
    let piece = || async { Some((Ok::<_, std::io::Error>(Bytes::from_static(b"piece ")), ())) };
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route(
            "/echo",
            post(move |body: Bytes| async move {
                echo.0.fetch_add(1, Ordering::AcqRel);
                body
            }),
        )
        .route(
            "/slow",
            get(move || async move {
                let _counted = slow.enter();
                std::future::pending::<()>().await;
            }),
        )
        .route(
            "/stream",
            get(move || async move {
                Body::from_stream(stream::unfold(0, move |count| async move {
                    sleep(Duration::from_millis(50)).await;
                    if count == 5 { None } else { piece().await.map(|(item, ())| (item, count + 1)) }
                }))
            }),
        )
        .route(
            "/flood",
            get(move || async move {
                let counted = flood.enter();
                Body::from_stream(stream::unfold(counted, |counted| async move {
                    Some((Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 16_384])), counted))
                }))
            }),
        )
        .route("/defect", get(|| async { defect() }))
}

fn defect() -> &'static str {
    let nothing: Vec<&'static str> = Vec::new();
    nothing[0]
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// All that comes until the server closes, or for ten seconds.
async fn rest(client: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is a close too.
    let _ = timeout(Duration::from_secs(10), client.read_to_end(&mut bytes)).await.expect("the server does not close");
    String::from_utf8(bytes).unwrap()
}

async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut client = connect(address).await;
    client.write_all(request.as_bytes()).await.unwrap();
    rest(&mut client).await
}

/// Reads until this has come.
async fn until(client: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4_096];
    while !text.contains(end) {
        let count = timeout(Duration::from_secs(10), client.read(&mut bytes)).await.expect("nothing comes").unwrap();
        assert!(count > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    text
}

fn status(answer: &str) -> &str {
    let rest = answer.strip_prefix("HTTP/1.1 ").unwrap_or_default();
    assert!(rest.len() > 3, "no answer: {answer:?}");
    &rest[..3]
}

/// Is it still served as ever?
async fn assert_alive(address: SocketAddr) {
    let answer = exchange(address, "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(status(&answer), "200");
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_header_of_100_mib_is_431_and_not_read() {
    let server = start(ServerConfig::default(), app(&Count::default()));
    let (mut reader, mut writer) = connect(server.address).await.into_split();
    let writing = tokio::spawn(async move {
        writer.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ").await.unwrap();
        let block = vec![b'x'; 1 << 20];
        for written in 0..100 {
            if writer.write_all(&block).await.is_err() {
                return written;
            }
        }
        100
    });
    let mut bytes = [0; 12];
    timeout(Duration::from_secs(10), reader.read_exact(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(&bytes, b"HTTP/1.1 431");
    let written = writing.await.unwrap();
    assert!(written < 50, "{written} MiB were taken");
    assert_alive(server.address).await;
}

#[tokio::test]
async fn who_sends_on_after_the_answer_is_not_cut_off_at_once() {
    let server = start(ServerConfig::default(), app(&Count::default()));
    let mut client = connect(server.address).await;
    client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ").await.unwrap();
    // Many clients do not look for an answer when they cannot send all of their request.
    for _ in 0..128 {
        client.write_all(&[b'x'; 16 << 10]).await.unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(status(&rest(&mut client).await), "431");
}

#[tokio::test]
async fn a_thousand_headers_are_431() {
    let server = start(ServerConfig::default(), app(&Count::default()));
    let head = |count: usize| {
        let headers: String = (0..count).map(|number| format!("x-{number}: 1\r\n")).collect();
        format!("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n")
    };
    assert_eq!(status(&exchange(server.address, &head(1_000)).await), "431");
    assert_eq!(status(&exchange(server.address, &head(99)).await), "431");
    assert_eq!(status(&exchange(server.address, &head(98)).await), "200");
}

#[tokio::test]
async fn the_number_of_headers_is_configurable() {
    let server = start(ServerConfig { max_headers: 3, ..ServerConfig::default() }, app(&Count::default()));
    assert_alive(server.address).await;
    let answer = exchange(server.address, "GET / HTTP/1.1\r\nhost: localhost\r\na: 1\r\nb: 1\r\nc: 1\r\n\r\n").await;
    assert_eq!(status(&answer), "431");
}

#[tokio::test]
async fn a_head_that_drips_is_408() {
    let config = ServerConfig { head_timeout_ms: 400, ..ServerConfig::default() };
    let server = start(config, app(&Count::default()));
    let start = Instant::now();
    let (mut reader, mut writer) = connect(server.address).await.into_split();
    let dripping = tokio::spawn(async move {
        for byte in b"GET / HTTP/1.1\r\nhost: localhost\r\nx-long: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" {
            if writer.write_all(&[*byte]).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    });
    let mut answer = String::new();
    let _ = timeout(Duration::from_secs(5), reader.read_to_string(&mut answer)).await.expect("it does not close");
    assert_eq!(status(&answer), "408");
    let took = start.elapsed();
    assert!((Duration::from_millis(400)..Duration::from_secs(3)).contains(&took), "{took:?}");
    dripping.abort();

    // Who says nothing at all is told nothing.
    assert_eq!(exchange(server.address, "").await, "");
    assert_alive(server.address).await;
}

#[tokio::test]
async fn a_body_that_stalls_is_408() {
    let config = ServerConfig { body_timeout_ms: 300, ..ServerConfig::default() };
    let server = start(config, app(&Count::default()));
    let start = Instant::now();
    let answer =
        exchange(server.address, "POST /echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nabc").await;
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(status(&answer), "408");
    assert!(answer.contains("connection: close") && answer.contains(r#""code":"body_timeout""#), "{answer}");
    assert_alive(server.address).await;
}

#[tokio::test]
async fn two_ways_to_end_a_body_are_400() {
    let handled = Count::default();
    let server = start(ServerConfig::default(), app(&handled));
    let post = |headers: &str, body: &str| format!("POST /echo HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n{body}");
    for (headers, body) in [
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        ("content-length: 5\r\ncontent-length: 6\r\n", "hello!"),
        ("content-length: 5, 6\r\n", "hello!"),
        ("content-length: -5\r\n", "hello"),
        ("content-length: 99999999999999999999999\r\n", "hello"),
        ("transfer-encoding: gzip\r\n", "hello"),
        ("transfer-encoding: chunked\r\n", "zz\r\nhello\r\n0\r\n\r\n"),
        ("transfer-encoding: chunked\r\n", "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    ] {
        let answer = exchange(server.address, &post(headers, body)).await;
        assert_eq!(status(&answer), "400", "{headers:?} {body:?}");
        assert_eq!(handled.now(), 0, "{headers:?} {body:?}");
    }
    for (headers, body) in [
        ("content-length: 5\r\nconnection: close\r\n", "hello"),
        ("transfer-encoding: chunked\r\nconnection: close\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let answer = exchange(server.address, &post(headers, body)).await;
        assert!(status(&answer) == "200" && answer.ends_with("hello"), "{answer}");
    }
    // A body may look like a head.
    let (body, headers) = ("content-length: 9\r\n", "transfer-encoding: chunked\r\nconnection: close\r\n");
    let answer = exchange(server.address, &post(headers, &format!("13\r\n{body}\r\n0\r\n\r\n"))).await;
    assert!(status(&answer) == "200" && answer.ends_with(body), "{answer}");
    assert_eq!(handled.now(), 3);
}

#[tokio::test]
async fn http_1_1_without_a_host_is_400() {
    let handled = Count::default();
    let server = start(ServerConfig::default(), app(&handled));
    for head in [
        "POST /echo HTTP/1.1\r\n",
        "POST /echo HTTP/1.1\r\nx-host: localhost\r\n",
        "POST http://localhost/echo HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\n",
        "GET /v1/messages HTTP/1.1\r\n",
    ] {
        let body = if head.starts_with("POST") { "content-length: 5\r\n\r\nhello" } else { "\r\n" };
        let answer = exchange(server.address, &format!("{head}{body}")).await;
        assert_eq!(status(&answer), "400", "{head}");
        assert!(answer.contains("connection: close\r\n") && answer.contains("no header `host`"), "{answer}");
    }
    assert_eq!(handled.now(), 0);
    // Who speaks the older version may not know it; an empty one is one.
    let answer = exchange(server.address, "GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("hello"), "{answer}");
    let answer = exchange(server.address, "GET / HTTP/1.1\r\nhost:\r\nconnection: close\r\n\r\n").await;
    assert_eq!(status(&answer), "200");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_before_it_is_sent() {
    let config = WebConfig { max_body_bytes: 2_000, ..WebConfig::default() };
    let state = AppState::with_backend(Arc::new(ScriptedBackend::new()), config).unwrap();
    let server = start(ServerConfig::default(), create_router(state));
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let request = format!("{head}expect: 100-continue\r\ncontent-length: 2001\r\n\r\n");
    let answer = exchange(server.address, &request).await;
    assert_eq!(status(&answer), "413");
    assert!(answer.contains(r#""code":"body_too_large""#), "{answer}");

    // One that says nothing of its size is measured.
    let chunk = format!("7d1\r\n{}\r\n0\r\n\r\n", "x".repeat(2_001));
    let answer =
        exchange(server.address, &format!("{head}connection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunk}"))
            .await;
    assert_eq!(status(&answer), "413");
}

#[tokio::test]
async fn who_asks_first_is_told_to_go_on() {
    let server = start(ServerConfig::default(), app(&Count::default()));
    let mut client = connect(server.address).await;
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    client.write_all(format!("{head}expect: 100-continue\r\ncontent-length: 5\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(until(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"hello").await.unwrap();
    assert!(rest(&mut client).await.ends_with("hello"));
}

#[tokio::test]
async fn a_defect_in_a_handler_is_500_for_one_request() {
    let server = start(ServerConfig::default(), app(&Count::default()));
    let mut client = connect(server.address).await;
    client.write_all(b"GET /defect HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(status(&until(&mut client, "\r\n\r\n").await), "500");
    assert_alive(server.address).await;
}

#[tokio::test]
async fn a_defect_beside_the_api_is_counted_where_the_state_is_known() {
    let state = AppState::with_backend(Arc::new(ScriptedBackend::new()), WebConfig::default()).unwrap();
    let server = Server::bind(&([127, 0, 0, 1], 0).into()).state(&state).listen().unwrap();
    let address = server.address();
    let app = create_router(state).route("/defect", get(|| async { defect() }));
    tokio::spawn(server.serve(app.into_make_service()));
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert_eq!(status(&exchange(address, &ask("/defect")).await), "500");
    let metrics = exchange(address, &ask("/metrics")).await;
    assert!(metrics.contains("mullama_http_panics_total 1\n"), "{metrics}");
}
