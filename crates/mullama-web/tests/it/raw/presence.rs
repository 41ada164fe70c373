//! Clients that are there and say nothing, say no more, take nothing, or are gone; and how many there may be.

use std::time::{Duration, Instant};

use mullama_web::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{sleep, timeout};

use super::{Count, app, assert_alive, connect, rest, start, until};

#[tokio::test]
async fn a_client_that_says_no_more_still_gets_its_stream() {
    let server = start(ServerConfig::default(), app(&Count::default()));
    let mut client = connect(server.address).await;
    client.write_all(b"GET /stream HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let first = until(&mut client, "piece").await;
    client.shutdown().await.unwrap();
    let start = Instant::now();
    let answer = first + &rest(&mut client).await;
    assert_eq!(answer.matches("piece ").count(), 5, "{answer}");
    assert!(answer.ends_with("0\r\n\r\n"), "{answer}");
    // Closed with its end, not with the end of the server's patience.
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test]
async fn work_for_a_client_that_is_gone_ends() {
    let running = Count::default();
    let server = start(ServerConfig::default(), app(&running));
    for path in ["/slow", "/flood"] {
        let mut client = connect(server.address).await;
        client.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).await.unwrap();
        running.becomes(1).await;
        drop(client);
        let took = running.becomes(0).await;
        assert!(took < Duration::from_millis(500), "{path}: {took:?}");
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let running = Count::default();
    let config = ServerConfig { write_timeout_ms: 300, ..ServerConfig::default() };
    let server = start(config, app(&running));
    let mut client = connect(server.address).await;
    client.write_all(b"GET /flood HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    running.becomes(1).await;
    let took = running.becomes(0).await;
    assert!((Duration::from_millis(250)..Duration::from_secs(3)).contains(&took), "{took:?}");
    drop(client);
}

#[tokio::test]
async fn idle_connections_are_kept_for_their_time_and_harm_nobody() {
    let config = ServerConfig { idle_timeout_ms: 700, ..ServerConfig::default() };
    let server = start(config, app(&Count::default()));
    let mut idle = Vec::new();
    for _ in 0..60 {
        let mut client = connect(server.address).await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        until(&mut client, "hello").await;
        idle.push((client, Instant::now()));
    }
    assert_alive(server.address).await;
    let mut used = idle.pop().unwrap().0;
    for _ in 0..4 {
        sleep(Duration::from_millis(300)).await;
        used.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        until(&mut used, "hello").await;
    }
    for (mut client, since) in idle {
        assert_eq!(rest(&mut client).await, "");
        assert!(since.elapsed() >= Duration::from_millis(650), "closed after {:?}", since.elapsed());
    }
}

#[tokio::test]
async fn an_address_has_its_share_of_connections() {
    let config = ServerConfig { max_connections_per_address: Some(2), ..ServerConfig::default() };
    let server = start(config, app(&Count::default()));
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut client = connect(server.address).await;
        client.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        until(&mut client, "hello").await;
        kept.push(client);
    }
    assert_eq!(rest(&mut connect(server.address).await).await, "");
    kept.pop();
    sleep(Duration::from_millis(200)).await;
    assert_alive(server.address).await;
}

#[tokio::test]
async fn more_connections_than_there_are_seats_wait() {
    let server = start(ServerConfig { max_connections: 1, ..ServerConfig::default() }, app(&Count::default()));
    let mut first = connect(server.address).await;
    first.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    until(&mut first, "hello").await;
    let mut second = connect(server.address).await;
    second.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(timeout(Duration::from_millis(300), second.read(&mut [0; 16])).await.is_err());
    drop(first);
    until(&mut second, "hello").await;
}
