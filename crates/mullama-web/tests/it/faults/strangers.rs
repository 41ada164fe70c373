//! Who is not let in: wrong keys, pages of other sites, other names for this server; and methods beyond GET and POST.

use std::time::Duration;

use axum::body::Body;
use mullama_async::{Script, ScriptedBackend};
use mullama_web::WebConfig;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{App, CHAT, JSON, MODEL, chat};
use crate::serve;

fn app(config: WebConfig) -> App {
    App::of(&ScriptedBackend::new().model(MODEL, Script::tokens(1, Duration::ZERO)), config)
}

fn keys(keys: &[&str]) -> WebConfig {
    WebConfig { api_keys: keys.iter().map(|key| (*key).to_owned()).collect(), ..WebConfig::default() }
}

#[tokio::test]
async fn a_wrong_key_is_401_and_health_asks_for_none() {
    let app = app(keys(&["sk-one", "sk-two"]));
    for (name, value) in [
        ("authorization", ""),
        ("authorization", "Bearer"),
        ("authorization", "Bearer "),
        ("authorization", "Bearer sk-on"),
        ("authorization", "Bearer sk-onee"),
        ("authorization", "Bearer SK-ONE"),
        ("authorization", "Basic sk-one"),
        ("authorization", "sk-one"),
        ("x-api-key", "sk-"),
        ("api-key", "sk-one"),
    ] {
        for (method, path) in [
            ("POST", CHAT),
            ("GET", "/v1/models"),
            ("GET", "/metrics"),
            ("GET", "/slots"),
            ("GET", "/nothing"),
            ("POST", "/tokenize"),
        ] {
            let answer = app.send(method, path, &[JSON, (name, value)], chat(json!({})).to_string()).await;
            assert_eq!(answer.error(401).code.as_deref(), Some("invalid_api_key"), "{name}: {value} at {path}");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    for header in [("authorization", "Bearer sk-one"), ("authorization", "bearer  sk-two"), ("x-api-key", "sk-two")] {
        assert_eq!(
            app.send("POST", CHAT, &[JSON, header], chat(json!({})).to_string()).await.status,
            200,
            "{header:?}"
        );
    }
    for path in ["/health", "/health/live", "/health/ready", "/"] {
        assert_eq!(app.get(path).await.status, 200, "{path}");
    }
}

/// What becomes of one request, as a page of another site, a page of ours, or a program sends it.
#[tokio::test]
async fn hosts_origins_and_types_are_let_in_by_the_table() {
    let hosts = [
        ("localhost:8080", true),
        ("127.0.0.1:8080", true),
        ("[::1]:8080", true),
        ("models.example.org", true),
        ("evil.example", false),
        ("127.0.0.1.evil.example:8080", false),
        ("192.168.0.7:8080", false),
    ];
    let origins = [
        (None, true),
        (Some("https://app.example.org"), true),
        (Some("https://evil.example"), false),
        (Some("http://localhost:1"), false),
        (Some("null"), false),
    ];
    let types = [("application/json", true), ("text/plain", false), ("application/x-www-form-urlencoded", false)];
    for with_keys in [false, true] {
        let app = app(WebConfig {
            allowed_hosts: vec!["models.example.org".to_owned()],
            cors_origins: vec!["https://app.example.org".to_owned()],
            ..keys(if with_keys { &["key"] } else { &[] })
        });
        for (host, known) in hosts {
            for (origin, allowed) in origins {
                for (kind, json) in types {
                    let mut headers = vec![("host", host), ("content-type", kind), ("authorization", "Bearer key")];
                    headers.extend(origin.map(|origin| ("origin", origin)));
                    // A page of its own origin.
                    let allowed = allowed || origin == Some(&format!("https://{host}"));
                    // A name that nobody gave us is no danger where a key is asked for, which a page does not have.
                    let known = known || with_keys;
                    // `curl -d` names no other type; pages that do so are known by their origin.
                    let json = json || (kind == "application/x-www-form-urlencoded" && origin.is_none());
                    let expected = match (known && allowed, json) {
                        (false, _) => 403,
                        (true, false) => 415,
                        (true, true) => 200,
                    };
                    let answer = app.send("POST", CHAT, &headers, chat(json!({})).to_string()).await;
                    assert_eq!(answer.status, expected, "{headers:?}: {answer:?}");
                    let shown = answer.header("access-control-allow-origin");
                    assert_eq!(!shown.is_empty(), origin == Some("https://app.example.org"), "{headers:?}");
                    let read = app.send("GET", "/v1/models", &headers, Body::empty()).await;
                    assert_eq!(read.status, if known { 200 } else { 403 }, "{headers:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn other_methods_have_their_answers() {
    let state = mullama_web::AppState::with_backend(
        std::sync::Arc::new(ScriptedBackend::new().model(MODEL, Script::tokens(1, Duration::ZERO))),
        WebConfig::default(),
    );
    let served = serve(state.unwrap()).await;
    for (line, status) in [
        ("HEAD / HTTP/1.1", "200"),
        ("HEAD /v1/models HTTP/1.1", "200"),
        ("OPTIONS /v1/chat/completions HTTP/1.1", "200"),
        ("OPTIONS * HTTP/1.1", "200"),
        ("TRACE /v1/models HTTP/1.1", "405"),
        ("PUT /v1/models HTTP/1.1", "405"),
        ("DELETE /v1/chat/completions HTTP/1.1", "405"),
        ("BREW /v1/models HTTP/1.1", "405"),
        ("CONNECT localhost:80 HTTP/1.1", "404"),
        ("GET /nothing HTTP/1.1", "404"),
        ("GET /v1/models HTTP/9.9", "400"),
        ("GET /v1/mo dels HTTP/1.1", "400"),
        ("nonsense", "400"),
    ] {
        let mut client = TcpStream::connect(served.address).await.unwrap();
        let request = format!("{line}\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(Duration::from_secs(10), client.read_to_string(&mut answer)).await;
        read.expect("the connection stays open").unwrap();
        assert_eq!(answer.get(9..12), Some(status), "{line}: {answer}");
        if line.starts_with("HEAD") {
            assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        }
    }
}
