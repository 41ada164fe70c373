//! Models and how they are.

use mullama_async::{BackendModel, ModelState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// GET /v1/models.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// Always "list".
    pub object: &'static str,
    /// All models.
    pub data: Vec<ModelCard>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ModelCard {
    /// Its name.
    pub id: String,
    /// Always "model".
    pub object: &'static str,
    /// When it was registered, in seconds since 1970.
    pub created: u64,
    /// Always "mullama".
    pub owned_by: &'static str,
    /// Other names that mean the same.
    pub aliases: Vec<String>,
    /// unloaded, loading, loaded, unloading or failed.
    pub status: &'static str,
    /// What is known once it was loaded.
    pub meta: Option<ModelMeta>,
}

/// What a loaded model is.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ModelMeta {
    /// Tokens of one request.
    pub n_ctx: u32,
    /// Tokens of a context as trained.
    pub n_ctx_train: u32,
    /// Width of the hidden state; length of vectors.
    pub n_embd: u32,
    /// Tokens of the vocabulary.
    pub n_vocab: u64,
    /// Parameters.
    pub n_params: u64,
    /// Bytes of the weights.
    pub size: u64,
    /// llama.cpp's one-line description.
    pub description: String,
    /// What it takes and gives.
    pub modalities: Vec<&'static str>,
    /// What it can be asked for: chat, completion, embedding, rerank, infill.
    pub capabilities: Vec<&'static str>,
}

impl ModelCard {
    pub(crate) fn of(model: BackendModel) -> Self {
        let status = match model.state {
            ModelState::Unloaded => "unloaded",
            ModelState::Loading => "loading",
            ModelState::Ready => "loaded",
            ModelState::Unloading => "unloading",
            _ => "failed",
        };
        let meta = model.info.map(|info| {
            let able = [
                ("chat", info.generates && info.chat_template.is_some()),
                ("completion", info.generates),
                ("embedding", !info.ranks),
                ("rerank", info.ranks),
                ("infill", info.generates && info.infills),
            ];
            ModelMeta {
                n_ctx: info.context,
                n_ctx_train: info.context_trained,
                n_embd: info.embedding_length,
                n_vocab: info.vocabulary,
                n_params: info.parameters,
                size: info.size,
                description: info.description,
                modalities: vec!["text"],
                capabilities: able.into_iter().filter(|(_, can)| *can).map(|(name, _)| name).collect(),
            }
        });
        Self {
            id: model.name,
            object: "model",
            created: model.created,
            owned_by: "mullama",
            aliases: model.aliases,
            status,
            meta,
        }
    }
}

/// POST /models/load and /models/unload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub(crate) struct ModelRequest {
    /// The model's name.
    #[schema(required)]
    pub model: Option<String>,
}

/// It was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Done {
    /// Always true.
    pub success: bool,
}

/// DELETE /v1/models/{id}.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct DeletedModel {
    /// Its name.
    pub id: String,
    /// Always "model".
    pub object: &'static str,
    /// Always true.
    pub deleted: bool,
}

/// GET /props.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Props {
    /// The model's name.
    pub model: String,
    /// Its file, without the folder.
    pub model_path: String,
    /// The chat template.
    pub chat_template: String,
    /// What the template knows, as llama.cpp found out.
    #[schema(value_type = Object)]
    pub chat_template_caps: serde_json::Map<String, serde_json::Value>,
    /// BOS, as text.
    pub bos_token: String,
    /// EOS, as text.
    pub eos_token: String,
    /// Requests that are computed together.
    pub total_slots: u32,
    /// What it takes.
    pub modalities: Modalities,
    /// Sampling of requests that do not say otherwise.
    pub default_generation_settings: DefaultSettings,
    /// The build.
    pub build_info: &'static str,
}

/// What a model takes beside text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Modalities {
    /// Pictures.
    pub vision: bool,
    /// Sound.
    pub audio: bool,
}

/// Sampling of requests that do not say otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct DefaultSettings {
    /// Tokens of one request.
    pub n_ctx: u32,
    /// By the names of core's parameters.
    #[schema(value_type = Object)]
    pub params: serde_json::Value,
}

/// One of GET /slots: a place for a request that is computed. Which request has which is the engine's own business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Slot {
    /// Its number.
    pub id: u32,
    /// Tokens of one request.
    pub n_ctx: u32,
    /// Is it in use?
    pub is_processing: bool,
}

/// One of GET /lora-adapters.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct LoraAdapter {
    /// Its number.
    pub id: usize,
    /// Its file, without folder and ending.
    pub path: String,
    /// Of requests that name no adapters.
    pub scale: f32,
}
