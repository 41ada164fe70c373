//! Who is served at all, and how serving ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mullama_async::ScriptedBackend;
use mullama_web::{AppState, Error, Server, ServerConfig, WebConfig};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::{Count, Running, app, assert_alive, connect, rest, start, until};

#[tokio::test]
async fn a_shutdown_ends_what_runs_in_order() {
    let config = ServerConfig { shutdown_grace_ms: 400, shutdown_timeout_ms: 5_000, ..ServerConfig::default() };
    let Running { address, stop, task } = start(config, app(&Count::default()));
    let mut idle = connect(address).await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    until(&mut idle, "hello").await;
    stop.send(()).unwrap();
    sleep(Duration::from_millis(100)).await;
    // In the time of grace all is as ever.
    assert_alive(address).await;
    sleep(Duration::from_millis(200)).await;
    let mut streaming = connect(address).await;
    streaming.write_all(b"GET /stream HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert_eq!(rest(&mut idle).await, "");
    assert!(TcpStream::connect(address).await.is_err());
    let answer = rest(&mut streaming).await;
    assert_eq!(answer.matches("piece ").count(), 5, "{answer}");
    assert!(timeout(Duration::from_secs(3), task).await.expect("it does not end").unwrap().unwrap());
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let running = Count::default();
    let config = ServerConfig { shutdown_grace_ms: 0, shutdown_timeout_ms: 300, ..ServerConfig::default() };
    let Running { address, stop, task } = start(config, app(&running));
    let mut client = connect(address).await;
    client.write_all(b"GET /slow HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    running.becomes(1).await;
    stop.send(()).unwrap();
    assert!(!timeout(Duration::from_secs(6), task).await.expect("it does not end").unwrap().unwrap());
    running.becomes(0).await;
}

#[tokio::test]
async fn after_the_shutdown_began_answers_close_their_connections() {
    let config = ServerConfig { shutdown_grace_ms: 0, ..ServerConfig::default() };
    let Running { address, stop, task } = start(config, app(&Count::default()));
    let mut client = connect(address).await;
    // A head that is not complete yet.
    client.write_all(b"GET / HTTP/1.1\r\nhost: local").await.unwrap();
    sleep(Duration::from_millis(100)).await;
    stop.send(()).unwrap();
    sleep(Duration::from_millis(100)).await;
    client.write_all(b"host\r\n\r\n").await.unwrap();
    let answer = rest(&mut client).await;
    assert!(answer.contains("connection: close") && answer.ends_with("hello"), "{answer}");
    assert!(timeout(Duration::from_secs(3), task).await.expect("it does not end").unwrap().unwrap());
}

#[tokio::test]
async fn nobody_is_let_in_by_accident() {
    let anywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    assert!(matches!(Server::bind(&anywhere).listen(), Err(Error::Exposed { address }) if address == anywhere));
    let served = Server::bind(&anywhere).serve(app(&Count::default()).into_make_service()).await;
    assert!(matches!(served, Err(Error::Exposed { .. })));

    let state = |keys: &[&str]| {
        let config = WebConfig { api_keys: keys.iter().map(|key| (*key).to_owned()).collect(), ..WebConfig::default() };
        AppState::with_backend(Arc::new(ScriptedBackend::new()), config).unwrap()
    };
    assert!(matches!(Server::bind(&anywhere).state(&state(&[])).listen(), Err(Error::Exposed { .. })));
    assert!(Server::bind(&anywhere).state(&state(&["secret"])).listen().is_ok());
    let config = ServerConfig { allow_unauthenticated: true, ..ServerConfig::default() };
    assert!(Server::bind(&anywhere).config(config).listen().is_ok());
    assert!(Server::bind(&"[::ffff:127.0.0.1]:0".parse().unwrap()).listen().is_ok());
}
