//! POST /v1/chat/completions/{id}/control and /v1/chat/completions/control: steer an answer that is being given.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;

use crate::answering::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::ApiJson;
use crate::running::{Steer, Steered};
use crate::state::AppState;
use crate::wire::completion::{ControlAction, ControlByIdRequest, ControlRequest};
use crate::wire::model::Done;

/// Steers an answer that is being given, by its id. Only who asked for it may.
#[utoipa::path(
    post, path = "/v1/chat/completions/{id}/control", tag = "mullama", request_body = ControlRequest,
    params(("id" = String, Path, description = "The answer's id")),
    responses(
        (status = 200, description = "It was done", body = Done),
        (
            status = "4XX",
            description = "400: this cannot be done with it; 404: there is no such answer; 409: it has ended",
            body = crate::wire::error::ErrorBody,
        ),
    ),
)]
pub(crate) async fn control(
    State(state): State<AppState>,
    Path(id): Path<String>,
    caller: Caller,
    ApiJson(request): ApiJson<ControlRequest>,
) -> ApiResult<Json<Done>> {
    steer(&state, &caller, &id, request.action)
}

/// The same, with the id in the body, as llama.cpp's server has it.
#[utoipa::path(
    post, path = "/v1/chat/completions/control", tag = "llama.cpp", request_body = ControlByIdRequest,
    responses(
        (status = 200, description = "It was done", body = Done),
        (
            status = "4XX",
            description = "400: this cannot be done with it; 404: there is no such answer; 409: it has ended",
            body = crate::wire::error::ErrorBody,
        ),
    ),
)]
pub(crate) async fn control_by_id(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(request): ApiJson<ControlByIdRequest>,
) -> ApiResult<Json<Done>> {
    steer(&state, &caller, &request.id, request.action)
}

fn steer(state: &AppState, caller: &Caller, id: &str, action: ControlAction) -> ApiResult<Json<Done>> {
    let how = match action {
        ControlAction::Stop => Steer::Stop,
        ControlAction::EndReasoning => Steer::EndReasoning,
        ControlAction::Set => {
            let message = "`set` is not done here: how tokens are chosen stays as the answer's request said.";
            return Err(ApiError::unsupported("action", message));
        }
    };
    match state.running().steer(id, caller.notes.key_name(), how) {
        Steered::Done => Ok(Json(Done { success: true })),
        Steered::Ended => {
            Err(ApiError::protocol(StatusCode::CONFLICT, "answer_ended", "This answer has ended already."))
        }
        Steered::Unknown => Err(ApiError::not_found("There is no answer with this id.")),
        Steered::Unprepared => {
            let message = "The thoughts of this answer cannot be ended: its request had no `reasoning_control`.";
            Err(ApiError::invalid("action", message).code("no_reasoning_control"))
        }
    }
}
