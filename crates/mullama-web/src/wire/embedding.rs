//! Embeddings.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::loose::Inputs;

/// POST /v1/embeddings.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
pub(crate) struct EmbeddingRequest {
    /// The model's name; without one the server's first.
    pub model: Option<String>,
    /// A text, tokens, or several of them.
    #[schema(required)]
    pub input: Option<Inputs>,
    /// llama.cpp's name for `input`.
    pub content: Option<Inputs>,
    /// How vectors are written. Default float.
    pub encoding_format: Option<EncodingFormat>,
    /// Length of the vectors: that of the model, or less where the server cuts them.
    pub dimensions: Option<i64>,
    /// Accepted, unused.
    pub user: Option<String>,
}

/// How vectors are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EncodingFormat {
    /// A list of numbers.
    #[default]
    Float,
    /// Little-endian 32-bit floats in base64.
    Base64,
}

/// Vectors, in the order of the texts.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Embeddings {
    /// Always "list".
    pub object: &'static str,
    /// The vectors.
    pub data: Vec<EmbeddingItem>,
    /// The model's name.
    pub model: String,
    /// Tokens of all texts.
    pub usage: EmbeddingUsage,
}

/// A vector.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct EmbeddingItem {
    /// Always "embedding".
    pub object: &'static str,
    /// The text's place in the list.
    pub index: usize,
    /// It.
    pub embedding: EmbeddingVector,
}

/// A vector, as it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum EmbeddingVector {
    /// Numbers.
    Float(Vec<f32>),
    /// Base64.
    Base64(String),
}

/// Tokens of texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct EmbeddingUsage {
    /// Tokens.
    pub prompt_tokens: u64,
    /// The same.
    pub total_tokens: u64,
}
