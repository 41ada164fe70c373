//! Local models that read, see, hear and speak: llama.cpp and whisper.cpp behind one safe Rust API.
//!
//! This crate only re-exports: the crates behind it are `mullama-core` and its like. What works today is the core (text
//! from models, chat with tools and schemas, embeddings, ranking, quantizing, an engine for many requests), the same on
//! tokio, and HTTP APIs over it.
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
//! | feature | what it adds |
//! |---|---|
//! | `full` | Everything below but the backends. |
//! | `async` (default) | Models, token streams, conversations and pools of engines on tokio. |
//! | `tokio-runtime` | Runtime with a shutdown in order, tasks that restart, generation workers. |
//! | `typed` | Answers as Rust types, by their JSON schema. |
//! | `web` | HTTP APIs of OpenAI, Anthropic, Ollama and llama.cpp's server, as an axum router, and a server for it. |
//! | `tls` | HTTPS, by rustls. |
//! | `websockets` | WebSocket server (not filled yet). |
//! | `parallel` | Batches of prompts and texts in order, prepared on many threads (rayon), computed by one engine. |
//! | `multimodal` | Pictures, sounds and video in prompts (not filled yet). |
//! | `streaming-audio` | Capture, voice activity, noise reduction (not filled yet). |
//! | `format-conversion` | Sound and pictures in every format: files, streams, batches. |
//! | `whisper` | whisper.cpp, linked on llama.cpp's ggml; transcription is not filled yet. Outside of this workspace it needs one line of set-up. |
//! | `tts` | Speech from text (not filled yet). |
//! | `config` | One typed configuration: files, environment, flags; checked as a whole, read again when it changes. |
//! | `demo-models` | The project's own small models, as bytes: chat, vision and speech. |
//! | `cuda` | NVIDIA GPUs, by CUDA. |
//! | `vulkan` | GPUs of every maker, by Vulkan. |
//! | `metal` | Apple GPUs, by Metal. |
//! | `rocm` | AMD GPUs, by ROCm. |
//! | `rpc` | Checks that ggml's RPC backend is linked (model layers on other hosts). |
//! <!-- features:end -->
#![forbid(unsafe_code)]

mod error;
pub mod prelude;

pub use error::MullamaError;
#[cfg(feature = "async")]
pub use mullama_async::{
    Adapter, AsyncContext, AsyncModel, AsyncModelBuilder, BackendEvent, BackendFuture, BackendModel, BackendPrompt,
    BackendRequest, BackendStats, BackendStream, BackendSummary, Draining, EnginePool, EnginePoolBuilder,
    Error as AsyncError, GenerationControl, InferenceBackend, LoadProgress, Loading, LocalBackend, LocalBackendBuilder,
    ModelHealth, ModelInfo, ModelSource, ModelState, Place, PooledEngine, Prepared, RenderedPrompt, RerankOutput,
    TextStream, TokenDelta, TokenStream,
};
#[cfg(feature = "tokio-runtime")]
pub use mullama_async::{
    Backoff, JobHandle, MullamaRuntime, RestartPolicy, RuntimeBuilder, RuntimeMetrics, ShutdownReport, TaskContext,
    TaskId, TaskManager, TaskReport, TaskResult, TaskState, TaskStatus,
};
#[cfg(feature = "config")]
pub use mullama_config::{
    AuthConfig, ConfigWatcher, ContextConfig, CorsConfig, EmbeddingsConfig, EngineConfig, Error as ConfigError,
    GenerationConfig, HttpConfig, LimitsConfig, LoggingConfig, ModelConfig, MullamaConfig, PerformanceConfig, Secret,
    ServeConfig, SpeculationConfig, TlsConfig,
};
#[cfg(feature = "format-conversion")]
pub use mullama_convert::{
    AudioConverter, AudioFormatType, BatchConverter, ConversionConfig, Error as ConvertError, ImageConverter,
    ImageFormatType, StreamingConverter,
};
pub use mullama_core::*;
#[cfg(feature = "web")]
pub use mullama_web::{
    ApiError, AppState, EmbeddingTokens, Error as WebError, Server, ServerConfig, WebConfig, create_router,
};

/// One typed configuration; see the crate `mullama-config`.
#[cfg(feature = "config")]
pub use mullama_config as config;
/// Sound and pictures in every format; see the crate `mullama-convert`.
#[cfg(feature = "format-conversion")]
pub use mullama_convert as convert;

/// Sound; see the crate `mullama-audio`.
#[cfg(feature = "streaming-audio")]
pub use mullama_audio as audio;
/// The project's own models as bytes; see the crate `mullama-demo-models`.
#[cfg(feature = "demo-models")]
pub use mullama_demo_models as demo_models;

/// The README's example is a test.
#[cfg(all(doctest, feature = "demo-models"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
