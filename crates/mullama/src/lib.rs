//! Local models that read, see, hear and speak: llama.cpp and whisper.cpp behind one safe Rust API.
//!
//! This crate only re-exports: the crates behind it are `mullama-core` and its like. What works today is the core:
//! text from models, chat with tools and schemas, embeddings, ranking, quantizing.
//!
//! ```no_run
//! use mullama::prelude::*;
//!
//! fn main() -> Result<(), MullamaError> {
//!     let model = Model::load("model.gguf")?;
//!     let mut context = model.context().build()?;
//!     for event in context.generate("Once upon a time", &GenerationParams::greedy(64))? {
//!         if let TokenEvent::Token { text, .. } = event? {
//!             print!("{text}");
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Features
//!
//! <!-- features:start -->
//! <!-- features:end -->
#![forbid(unsafe_code)]

mod error;
pub mod prelude;

pub use error::MullamaError;
pub use mullama_core::*;

/// Sound; see the crate `mullama-audio`.
#[cfg(feature = "streaming-audio")]
pub use mullama_audio as audio;
/// The project's own models as bytes; see the crate `mullama-demo-models`.
#[cfg(feature = "demo-models")]
pub use mullama_demo_models as demo_models;
