//! A configuration that changes while requests are answered.

use axum::Router;
use axum::body::Body;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION, ORIGIN};
use http::{Request, StatusCode};
use mullama_async::ScriptedBackend;
use tower::ServiceExt as _;

use super::*;
use crate::create_router;

fn config(keys: &[&str], origins: &[&str]) -> WebConfig {
    let owned = |list: &[&str]| list.iter().map(|entry| (*entry).to_owned()).collect();
    WebConfig { api_keys: owned(keys), cors_origins: owned(origins), ..WebConfig::default() }
}

/// The status of `GET path`, and whether pages of `https://a.example` may read the answer.
async fn ask(app: &Router, path: &str, key: &str) -> (StatusCode, bool) {
    let request = Request::builder().uri(path).header(ORIGIN, "https://a.example").header("host", "localhost");
    let request = request.header(AUTHORIZATION, format!("Bearer {key}")).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    (response.status(), response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN))
}

#[tokio::test]
async fn what_is_reconfigured_holds_from_the_next_request_on() {
    let state = AppState::with_backend(Arc::new(ScriptedBackend::new()), config(&["one"], &[])).unwrap();
    let app = create_router(state.clone());
    assert_eq!(ask(&app, "/v1/models", "one").await, (StatusCode::OK, false));
    assert_eq!(ask(&app, "/v1/models", "two").await, (StatusCode::UNAUTHORIZED, false));

    state.reconfigure(config(&["two"], &["https://a.example"])).unwrap();
    assert_eq!(ask(&app, "/v1/models", "one").await, (StatusCode::UNAUTHORIZED, true));
    assert_eq!(ask(&app, "/v1/models", "two").await, (StatusCode::OK, true));
    assert!(state.config().api_keys.is_empty());

    state.reconfigure(WebConfig { metrics: false, max_body_bytes: 2_000, ..config(&["two"], &[]) }).unwrap();
    assert_eq!(ask(&app, "/metrics", "two").await, (StatusCode::NOT_FOUND, false));
    assert_eq!(state.config().max_body_bytes, WebConfig::default().max_body_bytes);
}

#[tokio::test]
async fn what_cannot_be_used_changes_nothing() {
    let state = AppState::with_backend(Arc::new(ScriptedBackend::new()), config(&["one"], &[])).unwrap();
    let app = create_router(state.clone());
    let wrong = WebConfig { max_choices: 0, ..config(&["two"], &["*"]) };
    assert!(state.reconfigure(wrong).is_err());
    let gone = WebConfig { api_key_file: Some("/no/such/file".into()), ..config(&["two"], &["*"]) };
    assert!(state.reconfigure(gone).is_err());
    let gone = WebConfig { admin_key_file: Some("/no/such/file".into()), ..config(&["two"], &["*"]) };
    assert!(state.reconfigure(gone).is_err());
    assert_eq!(ask(&app, "/v1/models", "one").await, (StatusCode::OK, false));
}

#[tokio::test]
async fn a_server_that_others_can_reach_keeps_asking_for_keys() {
    let state = || AppState::with_backend(Arc::new(ScriptedBackend::new()), config(&["one"], &[])).unwrap();
    let listen = |state: &AppState, address: &str, open: bool| {
        let config = crate::ServerConfig { allow_unauthenticated: open, ..crate::ServerConfig::default() };
        crate::Server::bind(&address.parse().unwrap()).config(config).state(state).listen().unwrap()
    };
    let exposed = state();
    let _server = listen(&exposed, "0.0.0.0:0", false);
    assert!(matches!(exposed.reconfigure(config(&[], &["*"])), Err(Error::Exposed { .. })));
    assert_eq!(ask(&create_router(exposed.clone()), "/v1/models", "one").await, (StatusCode::OK, false));
    exposed.reconfigure(config(&["two"], &[])).unwrap();
    for (address, open) in [("127.0.0.1:0", false), ("0.0.0.0:0", true)] {
        let state = state();
        let _server = listen(&state, address, open);
        state.reconfigure(config(&[], &[])).unwrap();
    }
}
