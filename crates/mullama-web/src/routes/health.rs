//! How the server is: GET /health, /health/live, /health/ready, and /.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult};
use crate::state::{AppState, Readiness};

/// All is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// What this is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Root {
    /// `mullama`.
    #[schema(example = "mullama")]
    name: &'static str,
    #[schema(example = "0.1.0")]
    version: &'static str,
}

/// Can requests be answered? The same as `/health/ready`.
#[utoipa::path(
    get, path = "/health", tag = "Health",
    responses(
        (status = 200, description = "At least one model takes requests, or will with the next one", body = Health),
        (status = 503, description = "None does; `retry-after` says when to ask again",
         body = crate::wire::error::ErrorBody),
    ),
)]
pub(crate) async fn health(State(state): State<AppState>) -> ApiResult<Json<Health>> {
    readiness(state.is_ready())
}

/// Can requests be answered? Not any more from the beginning of a shutdown on.
#[utoipa::path(
    get, path = "/health/ready", tag = "Health",
    responses(
        (status = 200, description = "At least one model takes requests, or will with the next one", body = Health),
        (status = 503, description = "None does; `retry-after` says when to ask again",
         body = crate::wire::error::ErrorBody),
    ),
)]
pub(crate) async fn ready(State(state): State<AppState>) -> ApiResult<Json<Health>> {
    readiness(state.is_ready())
}

/// Does the process work? Also while it shuts down, and while models load; not when only a new start can help.
#[utoipa::path(
    get, path = "/health/live", tag = "Health",
    responses(
        (status = 200, description = "It works", body = Health),
        (status = 503, description = "It must be started anew", body = crate::wire::error::ErrorBody),
    ),
)]
pub(crate) async fn live(State(state): State<AppState>) -> ApiResult<Json<Health>> {
    if state.is_live() {
        return Ok(OK);
    }
    Err(ApiError::unavailable("broken", "The server cannot go on and must be started anew.", LATER))
}

/// Says that there is a server.
#[utoipa::path(get, path = "/", tag = "Health", responses((status = 200, description = "What this is", body = Root)))]
pub(crate) async fn root() -> Json<Root> {
    Json(Root { name: "mullama", version: env!("CARGO_PKG_VERSION") })
}

fn readiness(readiness: Readiness) -> ApiResult<Json<Health>> {
    let (code, message, retry_after) = match readiness {
        Readiness::Ready => return Ok(OK),
        // Clients of llama.cpp's server know this text.
        Readiness::Loading => ("model_loading", "Loading model", SOON),
        Readiness::Draining => ("shutting_down", "The server is shutting down", SOON),
        Readiness::Failed => ("model_load_failed", "No model could be loaded", LATER),
    };
    Err(ApiError::unavailable(code, message, retry_after))
}

const OK: Json<Health> = Json(Health { status: "ok" });
const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;
    use http::StatusCode;
    use http::header::RETRY_AFTER;

    use super::*;

    #[test]
    fn only_a_ready_server_says_so() {
        assert_eq!(readiness(Readiness::Ready).into_response().status(), StatusCode::OK);
        for (state, code) in [
            (Readiness::Loading, "model_loading"),
            (Readiness::Draining, "shutting_down"),
            (Readiness::Failed, "model_load_failed"),
        ] {
            let error = readiness(state).unwrap_err();
            assert_eq!(error.code, Some(code));
            let response = error.into_response();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(response.headers().contains_key(RETRY_AFTER));
        }
    }
}
