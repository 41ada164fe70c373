//! Models: listed, described, loaded and unloaded; llama.cpp's /props and /slots.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use mullama_async::BackendModel;
use serde::Deserialize;
use serde_json::Value;

use crate::answering::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::ApiJson;
use crate::state::AppState;
use crate::wire::model::{
    DefaultSettings, DeletedModel, Done, Modalities, ModelCard, ModelList, ModelRequest, Props, Slot,
};

/// All models.
#[utoipa::path(get, path = "/v1/models", tag = "OpenAI", responses((status = 200, description = "The models", body = ModelList)))]
pub(crate) async fn list(State(state): State<AppState>) -> Json<ModelList> {
    let data = state.backend().models().into_iter().map(ModelCard::of).collect();
    Json(ModelList { object: "list", data })
}

/// One model.
#[utoipa::path(
    get, path = "/v1/models/{id}", tag = "OpenAI", params(("id" = String, Path, description = "The model's name")),
    responses(
        (status = 200, description = "The model", body = ModelCard),
        (status = "4XX", description = "There is no such model", body = crate::wire::error::ErrorBody),
    ),
)]
pub(crate) async fn one(State(state): State<AppState>, Path(id): Path<String>) -> ApiResult<Json<ModelCard>> {
    find(&state, Some(&id)).map(|model| Json(ModelCard::of(model)))
}

/// Loads a model ahead of its first use; answers when it is there.
#[utoipa::path(
    post, path = "/models/load", tag = "llama.cpp", request_body = ModelRequest,
    responses(
        (status = 200, description = "It is loaded", body = Done),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn load(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(request): ApiJson<ModelRequest>,
) -> ApiResult<Json<Done>> {
    let model = named(&state, request)?;
    caller.notes.model(&model);
    state.backend().load(&model).await?;
    Ok(Json(Done { success: true }))
}

/// Unloads a model when its requests are done, in 30 s at most.
#[utoipa::path(
    post, path = "/models/unload", tag = "llama.cpp", request_body = ModelRequest,
    responses(
        (status = 200, description = "It is unloaded", body = Done),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn unload(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(request): ApiJson<ModelRequest>,
) -> ApiResult<Json<Done>> {
    let model = named(&state, request)?;
    caller.notes.model(&model);
    state.backend().unload(&model, UNLOAD).await?;
    Ok(Json(Done { success: true }))
}

/// Unloads a model when its requests are done, in 30 s at most, and gives its memory back. It stays in the catalogue: the next
/// request that names it loads it again. No file is removed.
#[utoipa::path(
    delete, path = "/v1/models/{id}", tag = "OpenAI", params(("id" = String, Path, description = "The model's name")),
    responses(
        (status = 200, description = "It is not loaded any more", body = DeletedModel),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn remove(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Json<DeletedModel>> {
    let model = state.resolve(Some(&id))?;
    caller.notes.model(&model);
    state.backend().unload(&model, UNLOAD).await?;
    Ok(Json(DeletedModel { id: model, object: "model", deleted: true }))
}

/// Which model is meant.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Which {
    model: Option<String>,
}

impl Which {
    pub(crate) fn name(&self) -> Option<&str> {
        self.model.as_deref()
    }
}

/// What a model is and how requests are answered.
#[utoipa::path(
    get, path = "/props", tag = "llama.cpp", params(("model" = Option<String>, Query, description = "The model's name")),
    responses(
        (status = 200, description = "The properties", body = Props),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn props(State(state): State<AppState>, Query(which): Query<Which>) -> ApiResult<Json<Props>> {
    let name = state.resolve(which.model.as_deref())?;
    // They are known once it is loaded.
    state.backend().load(&name).await?;
    let model = find(&state, Some(&name))?;
    let info = model.info.ok_or_else(|| ApiError::unavailable("model_loading", "The model is being loaded.", SOON))?;
    let caps = info.capabilities.into_iter().map(|(name, can)| (name, Value::Bool(can))).collect();
    Ok(Json(Props {
        model: model.name,
        model_path: info.file,
        chat_template: info.chat_template.unwrap_or_default(),
        chat_template_caps: caps,
        bos_token: info.bos,
        eos_token: info.eos,
        total_slots: info.sequences,
        modalities: Modalities { vision: false, audio: false },
        default_generation_settings: DefaultSettings {
            n_ctx: info.context,
            params: serde_json::to_value(&state.config().defaults.sampling).unwrap_or_default(),
        },
        build_info: concat!("mullama ", env!("CARGO_PKG_VERSION")),
    }))
}

/// The places for requests that are computed.
#[utoipa::path(
    get, path = "/slots", tag = "llama.cpp", params(("model" = Option<String>, Query, description = "The model's name")),
    responses(
        (status = 200, description = "The places", body = [Slot]),
        (status = "4XX", description = "There is no such model, or they are not told", body = crate::wire::error::ErrorBody),
    ),
)]
pub(crate) async fn slots(State(state): State<AppState>, Query(which): Query<Which>) -> ApiResult<Json<Vec<Slot>>> {
    if !state.config().slots {
        return Err(ApiError::not_found("This server does not tell its slots."));
    }
    let model = find(&state, which.model.as_deref())?;
    let running = state.backend().stats().into_iter().filter(|one| one.model == model.name);
    let running: u64 = running.map(|one| one.stats.sequences_running).sum();
    let (count, n_ctx) = model.info.map_or((0, 0), |info| (info.sequences, info.context));
    Ok(Json((0..count).map(|id| Slot { id, n_ctx, is_processing: u64::from(id) < running }).collect()))
}

fn named(state: &AppState, request: ModelRequest) -> ApiResult<String> {
    let name = request.model.ok_or_else(|| ApiError::invalid("model", "`model` is missing."))?;
    state.resolve(Some(&name))
}

/// A model and how it is.
pub(crate) fn find(state: &AppState, name: Option<&str>) -> ApiResult<BackendModel> {
    let name = state.resolve(name)?;
    let found = state.backend().models().into_iter().find(|model| model.name == name);
    found.ok_or_else(|| ApiError::no_model(&name))
}

const UNLOAD: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(1);
