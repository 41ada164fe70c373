//! What a backend tells of its models.

use mullama_core::EngineStats;
use serde::{Deserialize, Serialize};

use crate::pool::ModelState;

/// A model of a backend and how it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackendModel {
    /// Its name.
    pub name: String,
    /// Other names that mean the same.
    pub aliases: Vec<String>,
    /// Whether it takes requests.
    pub state: ModelState,
    /// Requests that wait and run.
    pub load: usize,
    /// How often its engine has died and was started again, since it was registered; 0 where they share this process.
    #[serde(default)]
    pub restarts: u64,
    /// What it takes in memory, in bytes, as far as known; 0 while it is not loaded.
    pub memory_bytes: u64,
    /// When it was registered, in seconds since 1970.
    pub created: u64,
    /// In how many ms it will be unloaded if nobody uses it until then.
    pub unloads_in_ms: Option<u64>,
    /// What is known once it was loaded.
    pub info: Option<ModelInfo>,
    /// Adapters that requests may name, and the scales of those that do not.
    pub adapters: Vec<Adapter>,
}

impl BackendModel {
    /// Does it go by this name?
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}

/// An adapter of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Adapter {
    /// Its number, from 0.
    pub id: usize,
    /// Its name: what its file is called, without folder and ending.
    pub name: String,
    /// Of requests that name no adapters.
    pub scale: f32,
}

/// What a loaded model is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelInfo {
    /// llama.cpp's one-line description.
    pub description: String,
    /// `general.architecture`.
    pub architecture: String,
    /// The name of its quantization.
    pub file_type: String,
    /// The file's name, without its folder.
    pub file: String,
    /// Parameters.
    pub parameters: u64,
    /// Bytes of the weights.
    pub size: u64,
    /// Tokens of the vocabulary.
    pub vocabulary: u64,
    /// Tokens of a context as trained.
    pub context_trained: u32,
    /// Tokens of one request.
    pub context: u32,
    /// Requests that are computed together.
    pub sequences: u32,
    /// Width of the hidden state; of vectors.
    pub embedding_length: u32,
    /// Does it generate text?
    pub generates: bool,
    /// Does it rank texts?
    pub ranks: bool,
    /// The chat template, if it has one.
    pub chat_template: Option<String>,
    /// What the template knows, as llama.cpp found out.
    pub capabilities: Vec<(String, bool)>,
    /// BOS, as text.
    pub bos: String,
    /// EOS, as text.
    pub eos: String,
    /// Has it the tokens for filling in the middle?
    pub infills: bool,
    /// The beginning of its fingerprint, in hexadecimal.
    pub fingerprint: String,
}

/// The numbers of a model's engines, added up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackendStats {
    /// The model.
    pub model: String,
    /// Of one of its engines.
    pub engine: usize,
    /// The numbers.
    pub stats: EngineStats,
}
