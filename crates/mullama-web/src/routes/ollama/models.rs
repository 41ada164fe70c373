//! GET /api/version, /api/tags and /api/ps, and POST /api/show: what there is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use mullama_async::{BackendModel, ModelInfo, ModelState};
use serde_json::{Map, Value};

use super::resolve;
use super::time::rfc3339;
use crate::error::{ApiError, ApiResult};
use crate::extract::ApiJson;
use crate::state::AppState;
use crate::wire::ollama::{
    ModelDetails, OllamaModel, OllamaModels, OllamaVersion, RunningModel, RunningModels, ShowRequest, ShownModel,
};

/// Tells the version.
#[utoipa::path(
    get, path = "/api/version", tag = "Ollama",
    responses((status = 200, description = "The version of the API", body = OllamaVersion)),
)]
pub(crate) async fn version() -> Json<OllamaVersion> {
    Json(OllamaVersion { version: OLLAMA, mullama: env!("CARGO_PKG_VERSION") })
}

/// Lists the models.
#[utoipa::path(
    get, path = "/api/tags", tag = "Ollama",
    responses((status = 200, description = "All models", body = OllamaModels)),
)]
pub(crate) async fn tags(State(state): State<AppState>) -> Json<OllamaModels> {
    let listed = |model: BackendModel| {
        let (info, modified_at) = (model.info.unwrap_or_default(), rfc3339(Duration::from_secs(model.created)));
        OllamaModel {
            name: model.name.clone(),
            model: model.name,
            modified_at,
            size: info.size,
            details: details(&info),
            digest: info.fingerprint,
        }
    };
    Json(OllamaModels { models: state.backend().models().into_iter().map(listed).collect() })
}

/// Lists the models that are in memory.
#[utoipa::path(
    get, path = "/api/ps", tag = "Ollama",
    responses((status = 200, description = "Those that are in memory", body = RunningModels)),
)]
pub(crate) async fn ps(State(state): State<AppState>) -> Json<RunningModels> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let running = |model: BackendModel| {
        let info = model.info.unwrap_or_default();
        RunningModel {
            name: model.name.clone(),
            model: model.name,
            size: model.memory_bytes,
            details: details(&info),
            digest: info.fingerprint,
            expires_at: model.unloads_in_ms.map(|ms| rfc3339(now.saturating_add(Duration::from_millis(ms)))),
            context_length: info.context,
        }
    };
    let models = state.backend().models().into_iter();
    let in_memory = models.filter(|model| matches!(model.state, ModelState::Ready | ModelState::Unloading));
    Json(RunningModels { models: in_memory.map(running).collect() })
}

/// Tells what is known of a model.
#[utoipa::path(
    post, path = "/api/show", tag = "Ollama", request_body = ShowRequest,
    responses(
        (status = 200, description = "What is known: all of it once the model was loaded", body = ShownModel),
        (status = "4XX", description = "There is no such model: `{\"error\": message}`"),
    ),
)]
pub(crate) async fn show(
    State(state): State<AppState>,
    ApiJson(request): ApiJson<ShowRequest>,
) -> ApiResult<Json<ShownModel>> {
    let asked = request.model.or(request.name);
    let name = resolve(&state, asked.as_deref())?;
    let model = state.backend().models().into_iter().find(|model| model.name == name);
    let model = model.ok_or_else(|| ApiError::no_model(&name))?;
    let modified_at = rfc3339(Duration::from_secs(model.created));
    let (details, model_info, capabilities) = match &model.info {
        Some(info) => (details(info), numbers(info), capabilities(info)),
        None => (details(&ModelInfo::default()), Map::new(), Vec::new()),
    };
    let template = model.info.and_then(|info| info.chat_template).unwrap_or_default();
    let (modelfile, parameters) = (String::new(), String::new());
    Ok(Json(ShownModel { modelfile, parameters, template, details, model_info, capabilities, modified_at }))
}

fn details(info: &ModelInfo) -> ModelDetails {
    ModelDetails {
        parent_model: String::new(),
        format: "gguf",
        family: info.architecture.clone(),
        families: Some(info.architecture.clone()).filter(|name| !name.is_empty()).into_iter().collect(),
        parameter_size: human(info.parameters),
        quantization_level: info.file_type.clone(),
    }
}

fn numbers(info: &ModelInfo) -> Map<String, Value> {
    let own = |name: &str| format!("{}.{name}", info.architecture);
    Map::from_iter([
        ("general.architecture".to_owned(), info.architecture.as_str().into()),
        ("general.parameter_count".to_owned(), info.parameters.into()),
        (own("context_length"), info.context_trained.into()),
        (own("embedding_length"), info.embedding_length.into()),
        (own("vocab_size"), info.vocabulary.into()),
    ])
}

fn capabilities(info: &ModelInfo) -> Vec<&'static str> {
    let can = |name: &str| info.capabilities.iter().any(|(known, yes)| known == name && *yes);
    let all = [
        ("completion", info.generates),
        ("embedding", !info.generates && !info.ranks),
        ("insert", info.infills),
        ("tools", info.generates && can("supports_tools")),
        ("thinking", info.generates && can("supports_enable_thinking")),
    ];
    all.into_iter().filter(|(_, yes)| *yes).map(|(name, _)| name).collect()
}

/// A number of parameters, as Ollama writes it; empty for 0.
pub(super) fn human(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two digits are told")]
    let of = |unit: u64| count as f64 / unit as f64;
    match count {
        0 => String::new(),
        1..1_000 => count.to_string(),
        1_000..1_000_000 => format!("{:.0}K", of(1_000)),
        1_000_000..1_000_000_000 => format!("{:.2}M", of(1_000_000)),
        _ => format!("{:.1}B", of(1_000_000_000)),
    }
}

/// The API of this version is what is followed. Clients refuse servers that tell a version before the one that they were
/// written for, so that ours would not do.
const OLLAMA: &str = "0.12.11";
