//! The HTTP API: an axum router over an `InferenceBackend`.
//!
//! **Nothing is in it yet.** It has its place in the workspace and its dependencies; its types come with the part of the
//! work that fills it. What is planned:
//!
//! - `create_router`, `AppState`, `Server`: OpenAI, Anthropic, Ollama and native endpoints;
//! - SSE, metrics, keys, limits, an OpenAPI description and a page.
#![forbid(unsafe_code)]
