//! Answers in Ollama's shape.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::wire::logprobs::TokenLogprob;

/// An answer of POST /api/chat (`message`) or POST /api/generate (`response`, `thinking`): a piece of it, or the last piece
/// or all of it, with `done` and the numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct OllamaAnswer {
    /// The model's name.
    pub(crate) model: String,
    /// When this was written: RFC 3339, UTC.
    pub(crate) created_at: String,
    /// To a conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<OllamaReply>,
    /// To a prompt: text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response: Option<String>,
    /// To a prompt: what the model thought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thinking: Option<String>,
    /// How likely the tokens were, if asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) logprobs: Vec<TokenLogprob>,
    /// Is this the end?
    pub(crate) done: bool,
    /// stop, length, load or unload; with the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) done_reason: Option<&'static str>,
    /// From the request to the end, in ns; like all that follows, with the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) total_duration: Option<u64>,
    /// Until the model was loaded, in ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) load_duration: Option<u64>,
    /// Tokens of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prompt_eval_count: Option<u32>,
    /// For computing those that were not known, in ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prompt_eval_duration: Option<u64>,
    /// Tokens generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) eval_count: Option<u32>,
    /// For generating them, in ns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) eval_duration: Option<u64>,
}

/// A message of the model, or a piece of it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct OllamaReply {
    /// Always "assistant".
    pub(crate) role: &'static str,
    /// Text.
    pub(crate) content: String,
    /// What the model thought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) thinking: Option<String>,
    /// Calls that it asks for, each whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<ReplyCall>,
}

/// A call that the model asks for.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ReplyCall {
    /// Names the call.
    pub(crate) id: String,
    /// What is called.
    pub(crate) function: ReplyFunction,
}

/// A function and its arguments.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ReplyFunction {
    /// Which of the message's calls.
    pub(crate) index: usize,
    /// Its name.
    pub(crate) name: String,
    /// The arguments. What the model wrote that is no JSON object comes whole as `raw_arguments`.
    #[schema(value_type = Object)]
    pub(crate) arguments: Map<String, Value>,
}

/// The answer of POST /api/embed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct OllamaEmbeddings {
    /// The model's name.
    pub(crate) model: String,
    /// A vector for each text, in their order.
    pub(crate) embeddings: Vec<Vec<f32>>,
    /// From the request to the end, in ns.
    pub(crate) total_duration: u64,
    /// Until the model was loaded, in ns.
    pub(crate) load_duration: u64,
    /// Tokens of all texts.
    pub(crate) prompt_eval_count: u32,
}

/// The answer of POST /api/embeddings.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct OllamaEmbedding {
    /// The text's vector.
    pub(crate) embedding: Vec<f32>,
}

/// The answer of GET /api/version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OllamaVersion {
    /// Of Ollama, whose API is followed.
    pub(crate) version: &'static str,
    /// Of this server.
    pub(crate) mullama: &'static str,
}

/// The answer of GET /api/tags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OllamaModels {
    /// All models.
    pub(crate) models: Vec<OllamaModel>,
}

/// A model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OllamaModel {
    /// Its name.
    pub(crate) name: String,
    /// The same.
    pub(crate) model: String,
    /// When it was registered: RFC 3339, UTC.
    pub(crate) modified_at: String,
    /// Bytes of its weights; 0 until it was loaded once.
    pub(crate) size: u64,
    /// The beginning of its fingerprint, in hexadecimal; empty until it was loaded once.
    pub(crate) digest: String,
    /// What it is.
    pub(crate) details: ModelDetails,
}

/// What a model is, as far as known: all of it once it was loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ModelDetails {
    /// Always empty.
    pub(crate) parent_model: String,
    /// Always "gguf".
    pub(crate) format: &'static str,
    /// Its architecture.
    pub(crate) family: String,
    /// The same as a list.
    pub(crate) families: Vec<String>,
    /// Parameters, like "7.6B".
    pub(crate) parameter_size: String,
    /// The name of its quantization.
    pub(crate) quantization_level: String,
}

/// The answer of GET /api/ps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RunningModels {
    /// Models that are in memory.
    pub(crate) models: Vec<RunningModel>,
}

/// A model that is in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RunningModel {
    /// Its name.
    pub(crate) name: String,
    /// The same.
    pub(crate) model: String,
    /// Bytes that it takes.
    pub(crate) size: u64,
    /// The beginning of its fingerprint, in hexadecimal.
    pub(crate) digest: String,
    /// What it is.
    pub(crate) details: ModelDetails,
    /// When it is unloaded, if nobody uses it until then: RFC 3339, UTC. Absent: it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<String>,
    /// Tokens of one request.
    pub(crate) context_length: u32,
}

/// The answer of POST /api/show.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ShownModel {
    /// Always empty.
    pub(crate) modelfile: String,
    /// Always empty: what requests get is the operator's.
    pub(crate) parameters: String,
    /// Its chat template, in Jinja.
    pub(crate) template: String,
    /// What it is.
    pub(crate) details: ModelDetails,
    /// Numbers under the names of its file; empty until it was loaded once.
    #[schema(value_type = Object)]
    pub(crate) model_info: Map<String, Value>,
    /// completion, embedding, insert, tools, thinking; empty until it was loaded once.
    pub(crate) capabilities: Vec<&'static str>,
    /// When it was registered: RFC 3339, UTC.
    pub(crate) modified_at: String,
}
