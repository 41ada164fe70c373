//! The configuration of the program around the server: what is in force, and changes of it, for whoever has an admin's key
//! and is on this machine.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::auth;
use crate::error::{ApiError, ApiResult};
use crate::state::AppState;

/// The configuration of the program around the server.
///
/// `mullama_config::ConfigWatcher` is one.
pub trait Configuration: fmt::Debug + Send + Sync {
    /// What is in force, with where each value comes from; secrets masked.
    fn show(&self) -> Value;

    /// Changes values (a JSON merge patch, RFC 7396) until the program ends, and gives what was changed. Blocks while files
    /// are read.
    ///
    /// # Errors
    /// What is wrong with it, one by one; then nothing has changed.
    fn change(&self, patch: Value) -> Result<Value, Vec<String>>;

    /// How often it was read again since the start.
    fn reloads(&self) -> Reloads;
}

/// How often a configuration was read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reloads {
    /// Taken.
    pub taken: u64,
    /// Refused: the old one stayed.
    pub refused: u64,
}

/// `GET /admin/config`.
pub(crate) async fn show(State(state): State<AppState>, request: Request) -> ApiResult<Response> {
    let configuration = allowed(&state, peer(&request), request.headers())?;
    Ok(Json(configuration.show()).into_response())
}

/// `PATCH /admin/config`.
pub(crate) async fn change(State(state): State<AppState>, request: Request) -> ApiResult<Response> {
    let configuration = allowed(&state, peer(&request), request.headers())?;
    let body: Bytes = axum::body::to_bytes(request.into_body(), MOST)
        .await
        .map_err(|_| ApiError::invalid("", format!("The body cannot be read, or has more than {MOST} bytes.")))?;
    let patch: Value = serde_json::from_slice(&body)
        .map_err(|error| ApiError::invalid("", format!("The body is no JSON: line {}.", error.line())))?;
    // On a thread for what blocks.
    let changed = tokio::task::spawn_blocking(move || configuration.change(patch)).await;
    match changed {
        Ok(Ok(changes)) => Ok(Json(json!({ "changes": changes })).into_response()),
        Ok(Err(problems)) => Err(ApiError::invalid("", problems.join("; ")).code("invalid_configuration")),
        Err(error) => Err(ApiError::internal(error.to_string())),
    }
}

/// Whoever may see it: with an admin's key, from this machine.
fn allowed(state: &AppState, peer: Option<SocketAddr>, headers: &HeaderMap) -> ApiResult<Arc<dyn Configuration>> {
    let configuration = state.configuration().filter(|_| state.admins().required());
    let Some(configuration) = configuration else {
        return Err(ApiError::not_found("This server's configuration is not open: no admin's key is set."));
    };
    if !peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()) {
        let message = "The configuration is open to this machine alone: connect to its loopback address.";
        return Err(ApiError::forbidden("not_local", message));
    }
    let known = auth::presented(headers).iter().flatten().any(|key| state.admins().check(key).is_some());
    if known { Ok(configuration) } else { Err(ApiError::unauthorized("This asks for an admin's key.")) }
}

fn peer(request: &Request) -> Option<SocketAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer)
}

const MOST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::StatusCode;
    use mullama_async::ScriptedBackend;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{WebConfig, create_router};

    #[derive(Debug)]
    struct Known;

    impl Configuration for Known {
        fn show(&self) -> Value {
            json!("shown")
        }

        fn change(&self, patch: Value) -> Result<Value, Vec<String>> {
            if patch.is_object() { Ok(patch) } else { Err(vec!["one".to_owned(), "two".to_owned()]) }
        }

        fn reloads(&self) -> Reloads {
            Reloads { taken: 3, refused: 2 }
        }
    }

    async fn ask(admins: &[&str], peer: Option<&str>, method: &str, key: &str, body: &str) -> (StatusCode, String) {
        let config = WebConfig {
            api_keys: vec!["user".to_owned()],
            admin_keys: admins.iter().map(|&key| key.to_owned()).collect(),
            ..WebConfig::default()
        };
        let state = AppState::with_backend(Arc::new(ScriptedBackend::new()), config).unwrap();
        state.set_configuration(Arc::new(Known));
        let mut request = Request::builder().method(method).uri("/admin/config").header("host", "localhost");
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        }
        let response = create_router(state).oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn an_admin_on_this_machine_sees_and_changes_it() {
        let local = Some("127.0.0.1:1");
        assert_eq!(ask(&["a"], local, "GET", "a", "").await, (StatusCode::OK, "\"shown\"".to_owned()));
        let changed = ask(&["a"], Some("[::1]:1"), "PATCH", "a", r#"{"x":1}"#).await;
        assert_eq!(changed, (StatusCode::OK, r#"{"changes":{"x":1}}"#.to_owned()));
        let (status, body) = ask(&["a"], local, "PATCH", "a", "[]").await;
        assert!(status == StatusCode::BAD_REQUEST && body.contains("one; two"), "{body}");
        assert_eq!(ask(&["a"], local, "PATCH", "a", "{").await.0, StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn nobody_else_does() {
        let local = Some("127.0.0.1:1");
        assert_eq!(ask(&["a"], local, "GET", "user", "").await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(&["a"], local, "GET", "", "").await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(ask(&["a"], Some("192.0.2.1:1"), "GET", "a", "").await.0, StatusCode::FORBIDDEN);
        assert_eq!(ask(&["a"], None, "GET", "a", "").await.0, StatusCode::FORBIDDEN);
        assert_eq!(ask(&[], local, "GET", "a", "").await.0, StatusCode::NOT_FOUND);
    }
}
