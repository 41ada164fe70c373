//! Models on tokio: loaded, tokenized, generated from without blocking a runtime.

mod loading;
mod shared;
mod source;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mullama_core::{
    ChatRequest, EmbedInput, Embedding, EncodeOptions, Engine, EngineParams, GenerationParams, GenerationRequest,
    Model, RequestPrompt, RerankScore, TokenId,
};

pub use loading::{AsyncModelBuilder, LoadProgress, Loading};
pub use source::ModelSource;
pub(crate) use source::Origin;

use crate::error::Result;
use crate::stream::{Keep, TokenStream};
use crate::{blocking, request};
use shared::SharedEngine;

/// A loaded model and the one engine that computes for all its clones. Cheap to clone.
///
/// It is also what other parts of mullama take as a model: it converts into and from core's [`Model`], by value and by
/// reference. From a `Model` it gets an engine of its own; its clones share theirs.
///
/// The engine is started with the first request that needs it. One that has ended by itself is replaced by a new one with
/// the next request.
///
/// ```no_run
/// use mullama_async::{AsyncContext, AsyncModel};
///
/// # async fn example() -> mullama_async::Result<()> {
/// let model = AsyncModel::load("model.gguf").await?;
/// let mut context = AsyncContext::new(model.clone()).await?;
/// let tokens = model.tokenize_async("Hello world", true).await?;
/// # let _ = (&mut context, tokens);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AsyncModel {
    model: Model,
    engine: Arc<SharedEngine>,
    /// What must not go while a clone or a request is there: the lease of a pool.
    keep: Option<Keep>,
}

impl AsyncModel {
    /// Begins to load the file with default parameters; the future gives the model. See [`Loading`] for errors and for
    /// what a drop does.
    pub fn load(path: impl Into<PathBuf>) -> Loading {
        Self::builder(path).load()
    }

    /// As [`AsyncModel::load`], with a stream that tells how far it is.
    pub fn load_with_progress(path: impl Into<PathBuf>) -> (LoadProgress, Loading) {
        Self::builder(path).load_with_progress()
    }

    /// Starts to say how the model in a file is to be loaded.
    pub fn builder(path: impl Into<PathBuf>) -> AsyncModelBuilder {
        AsyncModelBuilder::new(ModelSource::path(path))
    }

    /// As [`AsyncModel::builder`], for a model in memory: a `&'static [u8]`, a `Vec<u8>`, an `Arc<[u8]>`.
    pub fn from_bytes(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> AsyncModelBuilder {
        AsyncModelBuilder::new(ModelSource::bytes(bytes))
    }

    /// Starts to say how a model from any source is to be loaded.
    pub fn source(source: impl Into<ModelSource>) -> AsyncModelBuilder {
        AsyncModelBuilder::new(source.into())
    }

    /// A model that core has loaded, with the parameters of the engine that it is to get.
    #[must_use]
    pub fn new(model: impl Into<Model>, engine: EngineParams) -> Self {
        Self { model: model.into(), engine: Arc::new(SharedEngine::new(engine)), keep: None }
    }

    /// The model of an engine that somebody else starts and ends.
    pub(crate) fn leased(engine: Engine, keep: Keep) -> Self {
        Self { model: engine.model().clone(), engine: Arc::new(SharedEngine::fixed(engine)), keep: Some(keep) }
    }

    /// The model itself.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The engine, which is started if it has to be: this takes the memory of its context.
    ///
    /// # Errors
    /// Those of core's [`EngineBuilder::start`](mullama_core::EngineBuilder::start);
    /// [`Error::ShutDown`](crate::Error::ShutDown).
    ///
    /// # Cancel safety
    /// Cancel safe: the start goes on, and the next call finds the engine.
    pub async fn engine(&self) -> Result<Engine> {
        self.engine.get(&self.model).await
    }

    /// The engine, if it runs.
    pub(crate) fn engine_now(&self) -> Option<Engine> {
        self.engine.now()
    }

    /// Hands a request in; the stream tells what becomes of it. The prompt is tokenized and the sampler built on a thread
    /// that may block, so that it does not matter to the runtime how long the text is.
    ///
    /// # Errors
    /// Those of [`AsyncModel::engine`] and of core's [`Engine::submit`]: a full queue is
    /// [`Overloaded`](mullama_core::Error::Overloaded) at once.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request.
    pub async fn submit(&self, request: impl Into<GenerationRequest>) -> Result<TokenStream> {
        let request = request.into();
        request::submit(self.engine().await?, request, self.keep.clone()).await
    }

    /// Generates from a text, tokens or a conversation.
    ///
    /// # Errors
    /// As [`AsyncModel::submit`].
    ///
    /// # Cancel safety
    /// As [`AsyncModel::submit`].
    pub async fn generate(&self, prompt: impl Into<RequestPrompt>, params: &GenerationParams) -> Result<TokenStream> {
        self.submit(GenerationRequest::new(prompt).params(params.clone())).await
    }

    /// Answers a conversation, rendered with the model's template: [`TokenStream::message`] reads the answer.
    ///
    /// # Errors
    /// As [`AsyncModel::submit`].
    ///
    /// # Cancel safety
    /// As [`AsyncModel::submit`].
    pub async fn chat(&self, conversation: ChatRequest, params: &GenerationParams) -> Result<TokenStream> {
        self.generate(conversation, params).await
    }

    /// Tokens of a text, where names of special tokens are text like any other. `add_special`: with the tokens that the
    /// model wants around a text. Texts over 512 bytes are tokenized on another thread.
    ///
    /// # Errors
    /// Those of core's [`Tokenizer::encode`](mullama_core::Tokenizer::encode).
    ///
    /// # Cancel safety
    /// Cancel safe; what was begun goes on and is thrown away.
    pub async fn tokenize_async(&self, text: impl Into<String>, add_special: bool) -> Result<Vec<TokenId>> {
        let text = text.into();
        let tokenizer = self.model.tokenizer();
        let options = EncodeOptions { add_special, parse_special: false };
        if text.len() <= SHORT_TEXT {
            return Ok(tokenizer.encode(&text, options)?);
        }
        Ok(blocking::run("tokenizing a text", move || tokenizer.encode(&text, options)).await??)
    }

    /// The text of tokens, special tokens left out.
    ///
    /// # Errors
    /// Those of core's [`Tokenizer::decode`](mullama_core::Tokenizer::decode).
    ///
    /// # Cancel safety
    /// As [`AsyncModel::tokenize_async`].
    pub async fn detokenize_async(&self, tokens: &[TokenId]) -> Result<String> {
        let tokenizer = self.model.tokenizer();
        if tokens.len() <= SHORT_TEXT {
            return Ok(tokenizer.decode(tokens)?);
        }
        let tokens = tokens.to_vec();
        Ok(blocking::run("detokenizing", move || tokenizer.decode(&tokens)).await??)
    }

    /// Vectors for texts, in their order. Those of many callers are computed together.
    ///
    /// # Errors
    /// Those of [`AsyncModel::engine`], of core's [`Engine::embed`] and of [`Embedder`](mullama_core::Embedder).
    ///
    /// # Cancel safety
    /// Dropping the future takes the request back, if it has not been begun.
    pub async fn embed_async(&self, texts: impl IntoIterator<Item = impl Into<EmbedInput>>) -> Result<Vec<Embedding>> {
        let texts = texts.into_iter().map(Into::into).collect();
        request::embed(&self.engine().await?, texts).await
    }

    /// Texts by how well they answer a question, best first.
    ///
    /// # Errors
    /// Those of [`AsyncModel::engine`], of core's [`Engine::rerank`] and of [`Reranker`](mullama_core::Reranker).
    ///
    /// # Cancel safety
    /// As [`AsyncModel::embed_async`].
    pub async fn rerank_async(
        &self,
        query: impl Into<String>,
        documents: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Vec<RerankScore>> {
        let (query, documents) = (query.into(), request::texts(documents));
        request::rerank(&self.engine().await?, query, documents).await
    }

    /// Ends the engine, for all clones and for good: no new requests; those that it has may go on until `deadline`. True:
    /// all were done in time. The weights go with the last clone.
    ///
    /// # Errors
    /// [`Error::Panicked`](crate::Error::Panicked).
    ///
    /// # Cancel safety
    /// After its first poll the engine takes no more, and what it has is cut at the deadline, also if the future is
    /// dropped.
    pub async fn shutdown(&self, deadline: Duration) -> Result<bool> {
        self.engine.shutdown(deadline).await
    }
}

impl From<&Self> for AsyncModel {
    fn from(model: &Self) -> Self {
        model.clone()
    }
}

impl From<Model> for AsyncModel {
    fn from(model: Model) -> Self {
        Self::new(model, EngineParams::default())
    }
}

impl From<&Model> for AsyncModel {
    fn from(model: &Model) -> Self {
        Self::new(model, EngineParams::default())
    }
}

impl From<AsyncModel> for Model {
    fn from(model: AsyncModel) -> Self {
        model.model
    }
}

impl From<&AsyncModel> for Model {
    fn from(model: &AsyncModel) -> Self {
        model.model.clone()
    }
}

/// Texts in bytes, and tokens, that take microseconds on any thread.
const SHORT_TEXT: usize = 512;
