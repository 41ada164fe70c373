//! What a server sees of the engines: one trait, whoever computes behind it.
//!
//! A server takes an `Arc<dyn InferenceBackend>`. [`LocalBackend`] computes in this process; with the feature `scripted`
//! there is a backend that does what a test tells it. What crosses is plain data that can be written and read by serde:
//! nothing in a server may assume that the engine shares its memory.

mod answer;
mod info;
mod local;
mod request;
#[cfg(feature = "scripted")]
mod scripted;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use mullama_core::{ChatRequest, EmbedInput, Embedding, EncodeOptions, TokenId};

pub use info::{Adapter, BackendModel, BackendStats, ModelInfo};
pub use local::{Draining, LocalBackend, LocalBackendBuilder, Place, Prepared};
pub use request::{
    BackendEvent, BackendPrompt, BackendRequest, BackendSummary, RenderedPrompt, RerankOutput, TokenDelta,
};
#[cfg(feature = "scripted")]
pub use scripted::{Script, ScriptedBackend};

use crate::error::Result;

/// What the calls of a backend give.
pub type BackendFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Who computes for a server. All calls are made on a tokio runtime, and none blocks it.
///
/// `model` is a name of [`InferenceBackend::models`]; another one is [`Error::NoSuchModel`](crate::Error::NoSuchModel). A
/// backend that is gone, or coming back, answers [`Error::BackendDown`](crate::Error::BackendDown).
///
/// Dropping any of the futures, or the stream, takes the request back.
pub trait InferenceBackend: fmt::Debug + Send + Sync {
    /// Hands a request in. Ready when it is prepared (rendered, tokenized, checked) and has a place in the queue, so that
    /// a request that cannot be computed fails here, not in its stream.
    fn submit<'a>(&'a self, model: &'a str, request: BackendRequest) -> BackendFuture<'a, Result<BackendStream>>;

    /// Tokens of a text.
    fn tokenize<'a>(
        &'a self,
        model: &'a str,
        text: String,
        options: EncodeOptions,
    ) -> BackendFuture<'a, Result<Vec<TokenId>>>;

    /// The bytes of each token, special ones by name.
    fn pieces<'a>(&'a self, model: &'a str, tokens: Vec<TokenId>) -> BackendFuture<'a, Result<Vec<Vec<u8>>>>;

    /// The text of tokens.
    fn detokenize<'a>(&'a self, model: &'a str, tokens: Vec<TokenId>) -> BackendFuture<'a, Result<String>>;

    /// What a conversation becomes before it is computed.
    fn apply_template<'a>(
        &'a self,
        model: &'a str,
        request: Box<ChatRequest>,
    ) -> BackendFuture<'a, Result<RenderedPrompt>>;

    /// Vectors for texts, in their order.
    fn embed<'a>(&'a self, model: &'a str, texts: Vec<EmbedInput>) -> BackendFuture<'a, Result<Vec<Embedding>>>;

    /// Texts by how well they answer a query, best first.
    fn rerank<'a>(
        &'a self,
        model: &'a str,
        query: String,
        documents: Vec<String>,
    ) -> BackendFuture<'a, Result<RerankOutput>>;

    /// The name of the model that a request means by `asked`, which may be an alias; the first model for `None`. Waits for
    /// nothing.
    fn resolve(&self, asked: Option<&str>) -> Option<String>;

    /// All models and how they are, in the order in which they were given. Waits for nothing.
    fn models(&self) -> Vec<BackendModel>;

    /// The numbers of all engines that run, by model. Waits for nothing; microseconds for each.
    fn stats(&self) -> Vec<BackendStats>;

    /// Loads a model ahead of its first use.
    fn load<'a>(&'a self, model: &'a str) -> BackendFuture<'a, Result<()>>;

    /// Unloads a model, when its requests are done or `deadline` is over. True: they were done in time.
    fn unload<'a>(&'a self, model: &'a str, deadline: Duration) -> BackendFuture<'a, Result<bool>>;

    /// Sets the scales that requests get which name no adapters of their own. Adapters that are not named get 0.
    fn set_adapters<'a>(&'a self, model: &'a str, scales: Vec<(usize, f32)>) -> BackendFuture<'a, Result<()>>;

    /// Takes no more requests, lets those that run go on until `deadline`, then ends them. True: all were done in time.
    fn shutdown(&self, deadline: Duration) -> BackendFuture<'_, bool>;
}

/// The events of one request: [`BackendEvent`]s, the last of which is [`BackendEvent::Done`], or an error. Dropping it
/// cancels the request.
#[must_use = "dropping the stream cancels the request"]
pub struct BackendStream {
    prompt_tokens: u32,
    events: Pin<Box<dyn Stream<Item = Result<BackendEvent>> + Send>>,
    control: Arc<dyn GenerationControl>,
}

/// Steers a request that runs.
pub trait GenerationControl: fmt::Debug + Send + Sync {
    /// Ends it with [`FinishReason::Cancelled`](mullama_core::FinishReason::Cancelled) and what there is.
    fn stop(&self);

    /// Makes the model end its thoughts and go on to the answer, at once or as soon as it begins to think, where the request
    /// has [`reasoning_control`](mullama_core::ChatRequest::reasoning_control).
    fn end_reasoning(&self);
}

impl BackendStream {
    /// `prompt_tokens`: of the prepared prompt.
    pub fn new(
        prompt_tokens: u32,
        events: impl Stream<Item = Result<BackendEvent>> + Send + 'static,
        control: Arc<dyn GenerationControl>,
    ) -> Self {
        Self { prompt_tokens, events: Box::pin(events), control }
    }

    /// Tokens of the prompt.
    #[must_use]
    pub fn prompt_tokens(&self) -> u32 {
        self.prompt_tokens
    }

    /// Steers the request from elsewhere.
    #[must_use]
    pub fn control(&self) -> Arc<dyn GenerationControl> {
        Arc::clone(&self.control)
    }

    /// The next event; `None` after the last.
    ///
    /// # Cancel safety
    /// Cancel safe: no event is lost.
    pub async fn next(&mut self) -> Option<Result<BackendEvent>> {
        std::future::poll_fn(|context| self.events.as_mut().poll_next(context)).await
    }
}

impl Stream for BackendStream {
    type Item = Result<BackendEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.as_mut().poll_next(context)
    }
}

impl fmt::Debug for BackendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendStream").field("prompt_tokens", &self.prompt_tokens).finish_non_exhaustive()
    }
}
