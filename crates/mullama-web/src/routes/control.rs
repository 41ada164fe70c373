//! POST /v1/chat/completions/{id}/control: steers an answer that is being given.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use crate::answering::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::ApiJson;
use crate::running::Steered;
use crate::state::AppState;
use crate::wire::completion::{ControlAction, ControlRequest};
use crate::wire::model::Done;

/// Steers an answer that is being given, by its id. Only who asked for it may.
#[utoipa::path(
    post, path = "/v1/chat/completions/{id}/control", tag = "mullama", request_body = ControlRequest,
    params(("id" = String, Path, description = "The answer's id")),
    responses(
        (status = 200, description = "It was done", body = Done),
        (status = "4XX", description = "404: there is no such answer; 409: it has ended", body = crate::wire::error::ErrorBody),
    ),
)]
pub(crate) async fn control(
    State(state): State<AppState>,
    Path(id): Path<String>,
    caller: Caller,
    ApiJson(request): ApiJson<ControlRequest>,
) -> ApiResult<Json<Done>> {
    let steered = match request.action {
        ControlAction::Stop => state.running().stop(&id, caller.notes.key_name()),
    };
    match steered {
        Steered::Done => Ok(Json(Done { success: true })),
        Steered::Ended => {
            Err(ApiError::protocol(StatusCode::CONFLICT, "answer_ended", "This answer has ended already."))
        }
        Steered::Unknown => Err(ApiError::not_found("There is no answer with this id.")),
    }
}
