//! One file for each group of endpoints.

pub(crate) mod anthropic;
pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod control;
pub(crate) mod embeddings;
pub(crate) mod health;
pub(crate) mod lora;
pub(crate) mod models;
pub(crate) mod ollama;
pub(crate) mod rerank;
pub(crate) mod responses;
pub(crate) mod tokens;
