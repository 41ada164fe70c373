//! Ollama's requests.

mod answer;
mod loose;

use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

pub(crate) use answer::{
    ModelDetails, OllamaAnswer, OllamaEmbedding, OllamaEmbeddings, OllamaModel, OllamaModels, OllamaReply,
    OllamaVersion, ReplyCall, ReplyFunction, RunningModel, RunningModels, ShownModel,
};
pub(crate) use loose::{KeepAlive, Think};

use super::chat::{MessageRole, ToolSpec};
use super::loose::OneOrMany;
use super::sampling::{declare_request, with_sampling_fields};

/// POST /api/chat.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
pub(crate) struct OllamaChatRequest {
    /// The model's name, with or without `:latest`.
    pub(crate) model: Option<String>,
    /// The conversation, oldest first. Without one the model is loaded, or with a `keep_alive` of 0 unloaded.
    pub(crate) messages: Option<Vec<OllamaMessage>>,
    /// Functions that the model may call.
    pub(crate) tools: Option<Vec<ToolSpec>>,
    /// "json", or a JSON schema: the form of the answer.
    #[schema(value_type = Option<Object>)]
    pub(crate) format: Option<Value>,
    /// How tokens are chosen.
    pub(crate) options: Option<OllamaOptions>,
    /// false: do not think first; low, medium or high: how long. Default: as the template has it.
    #[schema(value_type = Option<Object>)]
    pub(crate) think: Option<Think>,
    /// Send the answer as it comes. Default true.
    pub(crate) stream: Option<bool>,
    /// Checked, but only 0 without messages has an effect: the operator decides how long models stay.
    #[schema(value_type = Option<Object>)]
    pub(crate) keep_alive: Option<KeepAlive>,
    /// Tell the log-probability of each token.
    pub(crate) logprobs: Option<bool>,
    /// And of so many of the likeliest in its place. 0 to 20.
    pub(crate) top_logprobs: Option<i64>,
}

/// POST /api/generate.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
pub(crate) struct OllamaGenerateRequest {
    /// The model's name, with or without `:latest`.
    pub(crate) model: Option<String>,
    /// What the person says. Without one the model is loaded, or with a `keep_alive` of 0 unloaded.
    pub(crate) prompt: Option<String>,
    /// What stands behind the answer, for models that were trained to fill in.
    pub(crate) suffix: Option<String>,
    /// Instructions.
    pub(crate) system: Option<String>,
    /// Not taken: 400.
    pub(crate) template: Option<String>,
    /// Not taken: 400.
    pub(crate) context: Option<Vec<i64>>,
    /// The prompt is what the model gets, without its template. Default false.
    pub(crate) raw: Option<bool>,
    /// Not taken: 400.
    pub(crate) images: Option<Vec<String>>,
    /// "json", or a JSON schema: the form of the answer.
    #[schema(value_type = Option<Object>)]
    pub(crate) format: Option<Value>,
    /// How tokens are chosen.
    pub(crate) options: Option<OllamaOptions>,
    /// false: do not think first; low, medium or high: how long. Default: as the template has it.
    #[schema(value_type = Option<Object>)]
    pub(crate) think: Option<Think>,
    /// Send the answer as it comes. Default true.
    pub(crate) stream: Option<bool>,
    /// Checked, but only 0 without a prompt has an effect: the operator decides how long models stay.
    #[schema(value_type = Option<Object>)]
    pub(crate) keep_alive: Option<KeepAlive>,
    /// Tell the log-probability of each token.
    pub(crate) logprobs: Option<bool>,
    /// And of so many of the likeliest in its place. 0 to 20.
    pub(crate) top_logprobs: Option<i64>,
}

/// POST /api/embed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
pub(crate) struct OllamaEmbedRequest {
    /// The model's name, with or without `:latest`.
    pub(crate) model: Option<String>,
    /// A text, or several. Without one the model is loaded.
    pub(crate) input: Option<OneOrMany<String>>,
    /// Cut texts that are too long. Default true; false: they are 400.
    pub(crate) truncate: Option<bool>,
    /// Numbers of a vector, up to what the model has.
    pub(crate) dimensions: Option<i64>,
    /// Accepted, unused: the operator decides.
    #[schema(value_type = Option<Object>)]
    pub(crate) keep_alive: Option<KeepAlive>,
}

/// POST /api/embeddings, the older way.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, ToSchema)]
pub(crate) struct OllamaEmbeddingsRequest {
    /// The model's name, with or without `:latest`.
    pub(crate) model: Option<String>,
    /// The text. Without one the model is loaded.
    pub(crate) prompt: Option<String>,
    /// Accepted, unused: the operator decides.
    #[schema(value_type = Option<Object>)]
    pub(crate) keep_alive: Option<KeepAlive>,
}

/// POST /api/show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub(crate) struct ShowRequest {
    /// The model's name, with or without `:latest`.
    pub(crate) model: Option<String>,
    /// The same, as it was called before.
    pub(crate) name: Option<String>,
    /// Accepted, unused.
    pub(crate) verbose: Option<bool>,
}

with_sampling_fields!(declare_request, {
    /// How tokens are chosen. What Ollama sets when it loads a model (`num_ctx` and its like) is the operator's here.
    pub struct OllamaOptions {
        /// Tokens to generate at most; less than 1 is no limit.
        pub num_predict: Option<i64>,
        /// Tokens at the beginning that stay when the context is shifted.
        pub num_keep: Option<i64>,
    }
});

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub(crate) struct OllamaMessage {
    /// Who speaks.
    pub(crate) role: MessageRole,
    /// What is said.
    pub(crate) content: Option<String>,
    /// What the model thought before.
    pub(crate) thinking: Option<String>,
    /// Not taken: 400.
    pub(crate) images: Option<Vec<String>>,
    /// Calls that the model asked for.
    pub(crate) tool_calls: Option<Vec<OllamaCall>>,
    /// In a tool's message: the tool.
    pub(crate) tool_name: Option<String>,
    /// In a tool's message: the call that it answers. Default: the first one of this tool without a result.
    pub(crate) tool_call_id: Option<String>,
}

/// A call that the model asked for.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub(crate) struct OllamaCall {
    /// Names the call.
    pub(crate) id: Option<String>,
    /// What is called.
    pub(crate) function: OllamaFunction,
}

/// A function and its arguments.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub(crate) struct OllamaFunction {
    /// Its name.
    pub(crate) name: String,
    /// An object, or its JSON text.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub(crate) arguments: Value,
}
