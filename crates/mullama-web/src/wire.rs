//! The shapes of the APIs. Loose ones (a text or a list of parts) end here: core's types have none.

pub(crate) mod anthropic;
pub(crate) mod chat;
pub(crate) mod completion;
pub(crate) mod embedding;
pub(crate) mod error;
pub(crate) mod logprobs;
pub(crate) mod loose;
pub(crate) mod model;
pub(crate) mod ollama;
pub(crate) mod rerank;
pub(crate) mod responses;
pub(crate) mod sampling;
pub(crate) mod tokens;
pub(crate) mod usage;
