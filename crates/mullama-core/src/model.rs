//! Models: weights, vocabulary and metadata.

mod builder;
mod params;

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use builder::ModelBuilder;
pub(crate) use builder::{c_path, invalid};
pub(crate) use params::check_scale;
pub use params::{KvOverride, KvOverrideValue, LoraSpec, ModelParams, SplitMode};

use crate::chat::ChatTemplate;
use crate::context::ContextBuilder;
use crate::embed::EmbedderBuilder;
use crate::engine::EngineBuilder;
use crate::error::Result;
use crate::ffi::ModelPtr;
use crate::lora::Lora;
use crate::prepare::Preparer;
use crate::tokenizer::{Facts, TokenId, Tokenizer};
use builder::Source;

/// A loaded model. Cloning is cheap: clones share the weights, which go when the last clone, context and adapter has.
///
/// ```no_run
/// use mullama_core::Model;
///
/// let model = Model::builder("model.gguf").gpu_layers(20).load()?;
/// println!("{}: {} parameters", model.description(), model.parameter_count());
/// # Ok::<(), mullama_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Adapters named at load time. Before the model: they go first.
    lora: Vec<(Lora, f32)>,
    shared: Arc<Shared>,
}

/// What adapters, templates and samplers keep of a model: all but the adapters, which would be a cycle.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ptr: Arc<ModelPtr>,
    /// Templates, grammars, parses.
    pub(crate) preparer: Arc<Preparer>,
    /// Apart, so that a slow grammar holds up no text.
    tokenizing: Preparer,
    pub(crate) n_vocab: i32,
    path: PathBuf,
    fingerprint: [u8; 32],
    vocab_only: bool,
    /// Instead of the file's.
    chat_template: Option<String>,
    /// Found when first asked for.
    end_tokens: OnceLock<Arc<[TokenId]>>,
    vocabulary: OnceLock<Facts>,
    /// Positions are rows of a table: beyond its end lies other memory.
    learned_positions: bool,
}

impl Model {
    /// Loads with the defaults of [`ModelParams`]. Blocks until the weights are there.
    ///
    /// # Errors
    /// As [`ModelBuilder::load`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).load()
    }

    /// Starts to say how the model at `path` is to be loaded. The first file of a split model stands for all.
    pub fn builder(path: impl AsRef<Path>) -> ModelBuilder<'static> {
        ModelBuilder::new(Source::Path(path.as_ref().to_owned()))
    }

    /// As [`Model::builder`], for a model in memory. The bytes are copied once.
    pub fn from_bytes(bytes: &[u8]) -> ModelBuilder<'_> {
        ModelBuilder::new(Source::Bytes(bytes))
    }

    /// Starts to say how a [`Context`](crate::Context) on this model is to be made.
    pub fn context(&self) -> ContextBuilder {
        ContextBuilder::new(self)
    }

    /// Starts to say how an [`Engine`](crate::Engine) on this model is to be made.
    pub fn engine(&self) -> EngineBuilder {
        crate::engine::Engine::builder(self)
    }

    /// Starts to say how an [`Embedder`](crate::Embedder) on this model is to be made.
    pub fn embedder(&self) -> EmbedderBuilder {
        EmbedderBuilder::new(self)
    }

    /// The model's tokenizer.
    #[must_use]
    pub fn tokenizer(&self) -> Tokenizer {
        Tokenizer::new(self.clone())
    }

    /// The model's chat template, ready to render: [`ModelParams::chat_template`], or the file's own.
    ///
    /// # Errors
    /// [`Error::NoChatTemplate`] when there is none; [`Error::ChatTemplate`] when it cannot be read.
    ///
    /// [`Error::NoChatTemplate`]: crate::Error::NoChatTemplate
    /// [`Error::ChatTemplate`]: crate::Error::ChatTemplate
    pub fn chat_template(&self) -> Result<ChatTemplate> {
        if let Some(source) = &self.inner.shared.chat_template {
            return ChatTemplate::with_source(self, source);
        }
        ChatTemplate::of_model(self)
    }

    /// The text of the model's chat template (Jinja), if it has one: [`ModelParams::chat_template`], or the file's
    /// `tokenizer.chat_template`.
    #[must_use]
    pub fn chat_template_source(&self) -> Option<String> {
        self.inner.shared.chat_template.clone().or_else(|| self.ptr().chat_template(None))
    }

    /// Loads an adapter for this model. It can then be attached to contexts ([`Context::set_lora`]).
    /// Waits for contexts of this model that are computing.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::InvalidModel`] for a file that is no GGUF; [`Error::Lora`] when llama.cpp refuses it.
    ///
    /// [`Error::File`]: crate::Error::File
    /// [`Error::InvalidModel`]: crate::Error::InvalidModel
    /// [`Error::Lora`]: crate::Error::Lora
    /// [`Context::set_lora`]: crate::Context::set_lora
    pub fn load_lora(&self, path: impl AsRef<Path>) -> Result<Lora> {
        Lora::load(&self.inner.shared, path.as_ref())
    }

    /// The adapters named in [`ModelParams::lora`], with their scales.
    #[must_use]
    pub fn lora(&self) -> &[(Lora, f32)] {
        &self.inner.lora
    }

    /// The file that was loaded; `<memory>` for a model from bytes.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.shared.path
    }

    /// BLAKE3 of the file's header (metadata and tensor table) and length: tells models apart without reading the
    /// weights.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.inner.shared.fingerprint
    }

    /// Was only the vocabulary loaded?
    #[must_use]
    pub fn is_vocab_only(&self) -> bool {
        self.inner.shared.vocab_only
    }

    /// llama.cpp's one-line description: "llama 7B Q8_0".
    #[must_use]
    pub fn description(&self) -> String {
        self.ptr().description()
    }

    /// The name of the file's quantization: "Q8_0", "all F32".
    #[must_use]
    pub fn file_type(&self) -> String {
        self.ptr().file_type()
    }

    /// One metadata value, as text. Arrays are not to be had this way: [`Gguf`](crate::gguf::Gguf) reads them.
    #[must_use]
    pub fn metadata_value(&self, key: &str) -> Option<String> {
        self.ptr().meta_value(&CString::new(key).ok()?)
    }

    /// All metadata, as text, in the order of llama.cpp's table; arrays abbreviated.
    #[must_use]
    pub fn metadata(&self) -> Vec<(String, String)> {
        (0..self.ptr().meta_count()).filter_map(|index| self.ptr().meta(index)).collect()
    }

    /// Parameters in the weights.
    #[must_use]
    pub fn parameter_count(&self) -> u64 {
        self.ptr().n_params()
    }

    /// Bytes of all tensors.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.ptr().size()
    }

    /// The context length that the model was trained with, in tokens.
    #[must_use]
    pub fn context_length(&self) -> u32 {
        self.ptr().n_ctx_train().try_into().unwrap_or(0)
    }

    /// Width of the hidden state.
    #[must_use]
    pub fn embedding_length(&self) -> u32 {
        self.ptr().n_embd().try_into().unwrap_or(0)
    }

    /// Layers.
    #[must_use]
    pub fn layer_count(&self) -> u32 {
        self.ptr().n_layer().try_into().unwrap_or(0)
    }

    /// Attention heads, and heads of the keys and values (fewer in models with grouped queries).
    #[must_use]
    pub fn head_counts(&self) -> (u32, u32) {
        (self.ptr().n_head().try_into().unwrap_or(0), self.ptr().n_head_kv().try_into().unwrap_or(0))
    }

    /// Has it an encoder (T5, BERT-like)?
    #[must_use]
    pub fn has_encoder(&self) -> bool {
        self.ptr().has_encoder()
    }

    /// Can it generate text?
    #[must_use]
    pub fn has_decoder(&self) -> bool {
        self.ptr().has_decoder()
    }

    /// Does it keep a recurrent state (Mamba, RWKV, hybrids)? Then a part of a sequence cannot be taken back.
    #[must_use]
    pub fn is_recurrent(&self) -> bool {
        self.ptr().is_recurrent() || self.ptr().is_hybrid()
    }

    /// Does it generate text, as far as its metadata says?
    pub(crate) fn is_generative(&self) -> bool {
        let pools = |value: &String| value != "0";
        let pooled = self.metadata().iter().any(|(key, value)| key.ends_with(".pooling_type") && pools(value));
        !self.is_vocab_only() && !self.has_encoder() && self.has_decoder() && !pooled
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    pub(crate) fn ptr(&self) -> &Arc<ModelPtr> {
        &self.inner.shared.ptr
    }

    /// The longest text that the model has positions for, where it has a table of them.
    pub(crate) fn position_limit(&self) -> Option<u32> {
        self.inner.shared.learned_positions.then(|| self.context_length())
    }

    pub(crate) fn n_vocab(&self) -> i32 {
        self.inner.shared.n_vocab
    }

    /// All tokens that end an answer.
    pub(crate) fn end_tokens(&self) -> Arc<[TokenId]> {
        let tokenizer = self.tokenizer();
        let found =
            || (0..self.n_vocab()).map(TokenId).filter(|token| tokenizer.is_end_of_generation(*token)).collect();
        Arc::clone(self.inner.shared.end_tokens.get_or_init(found))
    }

    pub(crate) fn vocabulary(&self) -> &Facts {
        self.inner.shared.vocabulary.get_or_init(|| Facts::of(&self.tokenizer()))
    }

    /// Tokenizes on a large stack.
    pub(crate) fn tokenize_deep(
        &self,
        text: &str,
        add_special: bool,
        parse_special: bool,
        limit: Duration,
    ) -> Result<Result<Vec<i32>, String>> {
        let (ptr, text) = (Arc::clone(self.ptr()), text.to_owned());
        self.inner.shared.tokenizing.run("tokenization", limit, move || ptr.tokenize(&text, add_special, parse_special))
    }

    /// Runs a job that recurses on user input; see `prepare.rs`.
    pub(crate) fn prepare<R: Send + 'static>(
        &self,
        what: &'static str,
        limit: Duration,
        job: impl FnOnce(&Arc<ModelPtr>) -> R + Send + 'static,
    ) -> Result<R> {
        let ptr = Arc::clone(self.ptr());
        self.inner.shared.preparer.run(what, limit, move || job(&ptr))
    }
}

impl From<&Self> for Model {
    fn from(model: &Self) -> Self {
        model.clone()
    }
}
