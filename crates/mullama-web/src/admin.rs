//! The configuration of the program around the server: what is in force, and changes of it, for whoever has an admin's key
//! and is on this machine.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{ConnectInfo, FromRequest as _, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{FORWARDED as FORWARDED_BY, HeaderName};
use serde_json::{Value, json};

use crate::auth;
use crate::error::{ApiError, ApiResult};
use crate::extract::ApiJson;
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

/// The configuration: every value, where it comes from, when a change of it takes effect; and what waits for a restart.
#[utoipa::path(
    get, path = "/admin/config", tag = "mullama",
    responses(
        (status = 200, description = "The configuration", body = Value),
        (status = 401, description = "No admin's key", body = crate::wire::error::ErrorBody),
        (status = 403, description = "Not from this machine", body = crate::wire::error::ErrorBody),
        (status = 404, description = "There are no admin's keys", body = crate::wire::error::ErrorBody),
    ),
)]
pub(crate) async fn show(State(state): State<AppState>, request: Request) -> Result<Response, Response> {
    let configuration = allowed(&state, &request)?;
    Ok(Json(configuration.show()).into_response())
}

/// Changes values until the program ends: a JSON merge patch (RFC 7396) over what was changed so before.
#[utoipa::path(
    patch, path = "/admin/config", tag = "mullama", request_body = Value,
    responses(
        (status = 200, description = "What was changed", body = Value),
        (status = 400, description = "What is wrong; nothing has changed", body = crate::wire::error::ErrorBody),
        (status = 401, description = "No admin's key", body = crate::wire::error::ErrorBody),
        (status = 403, description = "Not from this machine", body = crate::wire::error::ErrorBody),
        (status = 404, description = "There are no admin's keys", body = crate::wire::error::ErrorBody),
    ),
)]
pub(crate) async fn change(State(state): State<AppState>, request: Request) -> Result<Response, Response> {
    let configuration = allowed(&state, &request)?;
    patched(configuration, request, &state).await.map_err(ApiError::into_response)
}

async fn patched(configuration: Arc<dyn Configuration>, request: Request, state: &AppState) -> ApiResult<Response> {
    let ApiJson(patch) = ApiJson::<Value>::from_request(request, state).await?;
    // On a thread for what blocks.
    let changed = tokio::task::spawn_blocking(move || configuration.change(patch)).await;
    match changed {
        Ok(Ok(changes)) => Ok(Json(json!({ "changes": changes })).into_response()),
        Ok(Err(problems)) => Err(ApiError::invalid("", problems.join("; ")).code("invalid_configuration")),
        Err(error) => Err(ApiError::internal(error.to_string())),
    }
}

/// Whoever may see it: with an admin's key, from this machine.
fn allowed(state: &AppState, request: &Request) -> Result<Arc<dyn Configuration>, Response> {
    let configuration = state.configuration().filter(|_| state.admins().required());
    let Some(configuration) = configuration else {
        let message = "This server's configuration is not open: no admin's key is set.";
        return Err(ApiError::not_found(message).into_response());
    };
    // Behind a proxy everybody seems to be here.
    let passed_on = FORWARDED.iter().any(|name| request.headers().contains_key(name));
    if passed_on || !peer(request).is_some_and(|peer| peer.ip().to_canonical().is_loopback()) {
        let message =
            "The configuration is open to this machine alone: connect to its loopback address, without a proxy.";
        return Err(ApiError::forbidden("not_local", message).into_response());
    }
    let known = auth::presented(request.headers()).iter().flatten().any(|key| state.admins().check(key).is_some());
    if known { Ok(configuration) } else { Err(auth::unauthorized("This asks for an admin's key.")) }
}

fn peer(request: &Request) -> Option<SocketAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer)
}

/// What proxies say of whom they speak for.
const FORWARDED: [HeaderName; 3] =
    [FORWARDED_BY, HeaderName::from_static("x-forwarded-for"), HeaderName::from_static("x-real-ip")];

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
        let headers = [("authorization", &*format!("Bearer {key}")), ("content-type", "application/json")];
        let response = answer(admins, peer, method, &headers, body).await;
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn answer(
        admins: &[&str],
        peer: Option<&str>,
        method: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response {
        let config = WebConfig {
            api_keys: vec!["user".to_owned()],
            admin_keys: admins.iter().map(|&key| key.to_owned()).collect(),
            ..WebConfig::default()
        };
        let state = AppState::with_backend(Arc::new(ScriptedBackend::new()), config).unwrap();
        state.set_configuration(Arc::new(Known));
        let mut request = Request::builder().method(method).uri("/admin/config").header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        }
        create_router(state).oneshot(request).await.unwrap()
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
        let denied = answer(&["a"], local, "GET", &[], "").await;
        assert_eq!((denied.status().as_u16(), denied.headers()["www-authenticate"].as_bytes()), (401, &b"Bearer"[..]));
        for name in ["forwarded", "x-forwarded-for", "x-real-ip"] {
            let headers = [("authorization", "Bearer a"), (name, "192.0.2.1")];
            assert_eq!(answer(&["a"], local, "GET", &headers, "").await.status(), StatusCode::FORBIDDEN, "{name}");
        }
    }

    #[tokio::test]
    async fn admins_may_be_in_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("admins");
        std::fs::write(&file, "one\n").unwrap();
        let config = WebConfig { admin_key_file: Some(file.clone()), ..WebConfig::default() };
        let state = AppState::with_backend(Arc::new(ScriptedBackend::new()), config.clone()).unwrap();
        assert!(state.admins().required() && state.admins().check("one").is_some());
        std::fs::write(&file, "two\n").unwrap();
        state.reload_keys().unwrap();
        assert!(state.admins().check("one").is_none() && state.admins().check("two").is_some());
        state.reconfigure(WebConfig { admin_key_file: None, ..config }).unwrap();
        assert!(!state.admins().required());
    }
}
