//! The HTTP API: OpenAI's, Anthropic's, Ollama's and llama.cpp's endpoints as an axum router over an
//! [`InferenceBackend`](mullama_async::InferenceBackend).
//!
//! ```no_run
//! use mullama_core::Model;
//! use mullama_web::{AppState, Server, create_router};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let app = create_router(AppState::new(Model::load("model.gguf")?));
//! Server::bind(&"127.0.0.1:3000".parse()?).serve(app.into_make_service()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! | you want | take |
//! |---|---|
//! | routes to mount in any axum app | [`create_router`], [`AppState`], [`WebConfig`] |
//! | to serve them with limits on headers, time and connections | [`Server`], [`ServerConfig`] |
//!
//! # What it does not do
//!
//! Pictures and sound in messages are 400; there are no audio endpoints. No request reaches the file system. Nothing is
//! fetched from addresses in requests.
#![forbid(unsafe_code)]

mod admin;
mod answering;
mod auth;
mod config;
mod error;
mod extract;
mod failure;
mod guard;
#[cfg(test)]
mod heard;
mod id;
mod limits;
mod metrics;
mod names;
mod notes;
mod observe;
mod openapi;
mod router;
mod routes;
mod running;
mod server;
mod sse;
mod state;
mod structured;
mod wire;

pub use admin::{Configuration, Reloads};
pub use auth::check_key_file;
pub use config::{EmbeddingTokens, WebConfig};
pub use error::ApiError;
pub use failure::{Error, Result};
pub use router::create_router;
pub use server::{Server, ServerConfig, shutdown_signal};
pub use state::AppState;
