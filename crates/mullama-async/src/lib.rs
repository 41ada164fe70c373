//! Local models on tokio: loads, token streams, conversations and pools of engines that never block the runtime.
//!
//! ```no_run
//! use mullama_async::{AsyncContext, AsyncModel};
//! use mullama_core::GenerationParams;
//!
//! # async fn example() -> mullama_async::Result<()> {
//! let model = AsyncModel::load("model.gguf").await?;
//! let mut context = AsyncContext::new(model.clone()).await?;
//! let mut texts = context.generate("Once upon a time", &GenerationParams::greedy(64)).await?.texts();
//! while let Some(text) = texts.next().await {
//!     print!("{}", text?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What is where
//!
//! | you want | take |
//! |---|---|
//! | a model, and text, vectors, scores from it | [`AsyncModel`], [`AsyncModelBuilder`], [`Loading`] |
//! | what all requests of one caller have in common | [`AsyncContext`] |
//! | tokens as they come, the text, the message | [`TokenStream`], [`TextStream`] |
//! | several models under names, loaded on demand | [`EnginePool`], [`PooledEngine`] |
//! | a runtime with a shutdown in order | [`MullamaRuntime`] |
//! | tasks that restart, jobs on workers | [`TaskManager`] |
//! | what a server needs of whoever computes | [`InferenceBackend`], [`LocalBackend`] |
//! | a Rust type as the answer | `AsyncModel::generate_as`, with the feature `typed` |
//!
//! Calls take a model as `impl Into<AsyncModel>`: an [`AsyncModel`], a [`PooledEngine`] or core's
//! [`Model`](mullama_core::Model), by value or by reference. All clones of an `AsyncModel` share one engine.
//!
//! # Where the work is done
//!
//! Computing: on the engine's own thread, in core. Loading: on a thread for each load. Preparing requests (tokenizing,
//! templates, grammars) and starting engines: on the threads of tokio for blocking work. A runtime of one thread is
//! enough. Except for [`Loading`] and the streams, which any executor can poll, calls must be made on a tokio runtime,
//! and panic elsewhere as tokio's own do.
//!
//! # What it does not do
//!
//! It has no server and reads no configuration; it stores nothing on disk.
#![forbid(unsafe_code)]

mod backend;
mod blocking;
mod context;
mod error;
mod model;
mod pool;
mod request;
mod runtime;
mod stream;
mod tasks;
#[cfg(feature = "typed")]
mod typed;
mod worker;

pub use backend::{
    Adapter, BackendEvent, BackendFuture, BackendModel, BackendPrompt, BackendRequest, BackendStats, BackendStream,
    BackendSummary, Draining, GenerationControl, InferenceBackend, LocalBackend, LocalBackendBuilder, ModelInfo, Place,
    Prepared, RenderedPrompt, RerankOutput, TokenDelta,
};
#[cfg(feature = "scripted")]
pub use backend::{Script, ScriptedBackend};
pub use context::AsyncContext;
pub use error::{Error, Result};
pub use model::{AsyncModel, AsyncModelBuilder, LoadProgress, Loading, ModelSource};
pub use pool::{EnginePool, EnginePoolBuilder, ModelHealth, ModelState, PooledEngine};
pub use runtime::{MullamaRuntime, RuntimeBuilder, RuntimeMetrics, ShutdownReport};
pub use stream::{TextStream, TokenStream};
pub use tasks::{
    Backoff, JobHandle, RestartPolicy, TaskContext, TaskId, TaskManager, TaskReport, TaskResult, TaskState, TaskStatus,
};
