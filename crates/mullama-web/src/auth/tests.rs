//! Tests.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::routing::any;
use http::StatusCode;
use mullama_async::LocalBackend;
use mullama_core::EngineParams;
use tower::ServiceExt as _;

use super::*;
use crate::config::WebConfig;

fn keys(keys: &[&str]) -> Keys {
    Keys::new(&keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>(), None).unwrap()
}

#[test]
fn only_whole_keys_are_known_and_told_by_their_digest() {
    let keys = keys(&["alpha", " beta\n"]);
    assert!(keys.required());
    // printf alpha | sha256sum
    assert_eq!(keys.check("alpha").as_deref(), Some("8ed3f6ad"));
    assert_eq!(keys.check(" beta ").as_deref(), Some("f44e64e7"));
    for wrong in ["", " ", "alph", "alphaa", "ALPHA", "8ed3f6ad", "gamma"] {
        assert_eq!(keys.check(wrong), None, "{wrong:?}");
    }
    let shown = format!("{keys:?}");
    assert!(!shown.contains("alpha") && !shown.to_lowercase().contains("8e"), "{shown}");
    assert!(!Keys::none().required());
    assert_eq!(Keys::none().check("alpha"), None);
}

#[test]
fn a_file_is_read_anew_when_it_changes_and_its_keys_outlive_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    assert!(Keys::new(&[], Some(path.clone())).is_err());
    fs::write(&path, "\u{feff}# who\n\n one \r\n#two\nthree").unwrap();
    let keys = Keys::new(&["given".to_owned()], Some(path.clone())).unwrap();
    let known = |keys: &Keys| ["given", "one", "two", "three", "four", "# who"].map(|key| keys.check(key).is_some());
    assert_eq!(known(&keys), [true, true, false, true, false, false]);
    let file = keys.taken().file.clone().unwrap();

    fs::write(&path, "four").unwrap();
    file.look();
    assert_eq!(known(&keys), [true, false, false, false, true, false]);

    fs::remove_file(&path).unwrap();
    file.look();
    assert!(keys.reload().is_err());
    assert_eq!(known(&keys), [true, false, false, false, true, false]);

    // Same length, same time: known by its having been gone.
    fs::write(&path, "nine").unwrap();
    file.look();
    assert!(keys.check("nine").is_some() && keys.check("four").is_none());

    fs::write(&path, "").unwrap();
    keys.reload().unwrap();
    assert!(keys.required() && keys.check("nine").is_none() && keys.check("").is_none());

    fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(keys.reload().is_err());
    fs::write(&path, "a".repeat((1 << 20) + 1)).unwrap();
    assert!(keys.reload().is_err());
}

#[test]
fn a_file_without_a_key_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let heard = crate::heard::Heard::listen();
    let warnings = || {
        let lines = heard.take().into_iter().filter(|line| line.level == tracing::Level::WARN);
        lines.filter(|line| line.text.contains("there is no key in the file of keys")).count()
    };
    fs::write(&path, "one").unwrap();
    let keys = Keys::new(&[], Some(path.clone())).unwrap();
    keys.reload().unwrap();
    assert_eq!(warnings(), 0);

    fs::write(&path, "# one\n\n").unwrap();
    let file = keys.taken().file.clone().unwrap();
    file.look();
    assert_eq!(warnings(), 1);
    // Requests look again and again; who asks for it is told each time.
    file.look();
    assert_eq!(warnings(), 0);
    keys.reload().unwrap();
    assert_eq!(warnings(), 1);
    let empty = Keys::new(&["given".to_owned()], Some(path)).unwrap();
    assert_eq!(warnings(), 1);
    assert!(empty.check("given").is_some() && empty.check("one").is_none());
}

#[test]
fn a_file_that_rests_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    fs::write(&path, "one").unwrap();
    let old = SystemTime::now() - Duration::from_secs(60);
    let age = |path: &Path| fs::File::options().append(true).open(path).unwrap().set_modified(old).unwrap();
    age(&path);
    let keys = Keys::new(&[], Some(path.clone())).unwrap();
    fs::write(&path, "two").unwrap();
    age(&path);
    let file = keys.taken().file.clone().unwrap();
    file.look();
    assert!(keys.check("one").is_some(), "time and length say that nothing changed");
    fs::write(&path, "two").unwrap();
    // The last look was less than a second ago.
    assert!(keys.check("one").is_some());
    file.look();
    assert!(keys.check("two").is_some());
}

fn state() -> AppState {
    let backend = LocalBackend::builder().model("m", "missing.gguf", EngineParams::default()).build().unwrap();
    let config = WebConfig { api_keys: vec!["alpha".to_owned()], ..WebConfig::default() };
    AppState::with_backend(Arc::new(backend), config).unwrap()
}

async fn status(method: &str, path: &str, headers: &[(&str, &str)]) -> StatusCode {
    let state = state();
    let app = Router::new()
        .fallback(any(|notes: Notes| async move { notes.key_name().unwrap_or("-").to_owned() }))
        .layer(from_fn_with_state(state.clone(), authenticate));
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let asked = response.headers().get(WWW_AUTHENTICATE).is_some();
    assert_eq!(asked, response.status() == StatusCode::UNAUTHORIZED);
    response.status()
}

#[tokio::test]
async fn a_key_is_taken_from_either_header() {
    const OK: StatusCode = StatusCode::OK;
    const NO: StatusCode = StatusCode::UNAUTHORIZED;
    let cases: &[(&[(&str, &str)], StatusCode)] = &[
        (&[], NO),
        (&[("authorization", "Bearer alpha")], OK),
        (&[("authorization", "bearer   alpha")], OK),
        (&[("authorization", "alpha")], NO),
        (&[("authorization", "Basic alpha")], NO),
        (&[("authorization", "Bearer ")], NO),
        (&[("authorization", "Bearer beta")], NO),
        (&[("x-api-key", "alpha")], OK),
        (&[("api-key", "alpha")], NO),
        (&[("authorization", "Bearer beta"), ("x-api-key", "alpha")], OK),
        (&[("authorization", "Bearer beta"), ("x-api-key", "beta")], NO),
    ];
    for (headers, expected) in cases {
        assert_eq!(status("POST", "/v1/chat/completions", headers).await, *expected, "{headers:?}");
    }
}

#[tokio::test]
async fn what_is_told_to_all_needs_no_key() {
    for path in ["/", "/health", "/v1/health", "/health/live", "/health/ready", "/docs", "/openapi.json"] {
        assert_eq!(status("GET", path, &[]).await, StatusCode::OK, "{path}");
    }
    assert_eq!(status("OPTIONS", "/v1/models", &[]).await, StatusCode::OK);
    for path in ["/healthy", "/v1/models", "/metrics", "//", "/x/health", "/docs/", "/docs/x"] {
        assert_eq!(status("GET", path, &[]).await, StatusCode::UNAUTHORIZED, "{path}");
    }
}
