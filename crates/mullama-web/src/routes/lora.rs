//! Adapters and their scales, with llama.cpp's names.

use axum::Json;
use axum::extract::{Query, State};

use super::models::{Which, find};
use crate::answering::Caller;
use crate::error::ApiResult;
use crate::extract::ApiJson;
use crate::state::AppState;
use crate::wire::model::{Done, LoraAdapter};
use crate::wire::sampling::LoraScale;

/// The adapters of a model.
#[utoipa::path(
    get, path = "/lora-adapters", tag = "llama.cpp",
    params(("model" = Option<String>, Query, description = "The model's name")),
    responses(
        (status = 200, description = "The adapters", body = [LoraAdapter]),
        (status = "4XX", description = "There is no such model", body = crate::wire::error::ErrorBody),
    ),
)]
pub(crate) async fn list(
    State(state): State<AppState>,
    Query(which): Query<Which>,
) -> ApiResult<Json<Vec<LoraAdapter>>> {
    let adapters = find(&state, which.name())?.adapters;
    let told = adapters.into_iter().map(|one| LoraAdapter { id: one.id, path: one.name, scale: one.scale });
    Ok(Json(told.collect()))
}

/// Sets the scales of requests that name no adapters of their own; those that are not named get 0.
#[utoipa::path(
    post, path = "/lora-adapters", tag = "llama.cpp", request_body = [LoraScale],
    params(("model" = Option<String>, Query, description = "The model's name")),
    responses(
        (status = 200, description = "They are set", body = Done),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn set(
    State(state): State<AppState>,
    Query(which): Query<Which>,
    caller: Caller,
    ApiJson(scales): ApiJson<Vec<LoraScale>>,
) -> ApiResult<Json<Done>> {
    let model = state.resolve(which.name())?;
    caller.notes.model(&model);
    let scales = scales.into_iter().map(|one| (one.id, one.scale)).collect();
    state.backend().set_adapters(&model, scales).await?;
    Ok(Json(Done { success: true }))
}
