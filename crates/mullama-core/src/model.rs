//! Models: weights, vocabulary and metadata.

mod params;

use std::ffi::CString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub(crate) use params::check_scale;
pub use params::{KvOverride, KvOverrideValue, LoraSpec, ModelParams, SplitMode};

use crate::chat::ChatTemplate;
use crate::context::ContextBuilder;
use crate::embed::EmbedderBuilder;
use crate::engine::EngineBuilder;
use crate::error::{Error, Result};
use crate::ffi::{self, LoadSource, ModelPtr, RawModelParams};
use crate::gguf::Gguf;
use crate::lora::Lora;
use crate::prepare::{Preparer, on_own_thread};
use crate::tokenizer::{Facts, TokenId, Tokenizer};

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
        ModelBuilder { source: Source::Path(path.as_ref().to_owned()), params: ModelParams::default(), progress: None }
    }

    /// As [`Model::builder`], for a model in memory. The bytes are copied once.
    pub fn from_bytes(bytes: &[u8]) -> ModelBuilder<'_> {
        ModelBuilder { source: Source::Bytes(bytes), params: ModelParams::default(), progress: None }
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
    pub fn chat_template(&self) -> Result<ChatTemplate> {
        if let Some(source) = &self.inner.shared.chat_template {
            return ChatTemplate::with_source(self, source);
        }
        if self.chat_template_source().is_none() {
            return Err(Error::NoChatTemplate);
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

    /// One metadata value, as text. Arrays are not to be had this way: [`Gguf`] reads them.
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

/// How a model is to be loaded. Made by [`Model::builder`] and [`Model::from_bytes`]; ends with [`ModelBuilder::load`].
#[must_use]
pub struct ModelBuilder<'a> {
    source: Source<'a>,
    params: ModelParams,
    progress: Option<Box<dyn FnMut(f32) -> ControlFlow<()> + Send + 'a>>,
}

impl std::fmt::Debug for ModelBuilder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelBuilder").field("params", &self.params).finish_non_exhaustive()
    }
}

enum Source<'a> {
    Path(PathBuf),
    Bytes(&'a [u8]),
}

impl<'a> ModelBuilder<'a> {
    /// Replaces all parameters.
    pub fn params(mut self, params: ModelParams) -> Self {
        self.params = params;
        self
    }

    /// [`ModelParams::gpu_layers`].
    pub fn gpu_layers(mut self, layers: i32) -> Self {
        self.params.gpu_layers = layers;
        self
    }

    /// [`ModelParams::devices`].
    pub fn devices(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.params.devices = names.into_iter().map(Into::into).collect();
        self
    }

    /// [`ModelParams::mmap`].
    pub fn mmap(mut self, on: bool) -> Self {
        self.params.mmap = on;
        self
    }

    /// [`ModelParams::mlock`].
    pub fn mlock(mut self, on: bool) -> Self {
        self.params.mlock = on;
        self
    }

    /// [`ModelParams::vocab_only`].
    pub fn vocab_only(mut self, on: bool) -> Self {
        self.params.vocab_only = on;
        self
    }

    /// Adds an adapter to [`ModelParams::lora`].
    pub fn lora(mut self, path: impl Into<PathBuf>, scale: f32) -> Self {
        self.params.lora.push(LoraSpec { path: path.into(), scale });
        self
    }

    /// Adds an override to [`ModelParams::kv_overrides`].
    pub fn kv_override(mut self, key: impl Into<String>, value: KvOverrideValue) -> Self {
        self.params.kv_overrides.push(KvOverride { key: key.into(), value });
        self
    }

    /// [`ModelParams::chat_template`].
    pub fn chat_template(mut self, source: impl Into<String>) -> Self {
        self.params.chat_template = Some(source.into());
        self
    }

    /// Is told how far the load is (0.0..=1.0), on the thread that loads; `Break` cancels it.
    pub fn progress(mut self, call: impl FnMut(f32) -> ControlFlow<()> + Send + 'a) -> Self {
        self.progress = Some(Box::new(call));
        self
    }

    /// Loads. Blocks; the work is done on a thread of its own with a large stack. The file's header is read and checked
    /// first, because llama.cpp aborts the process on some that are broken.
    ///
    /// # Errors
    /// [`Error::File`] when the file cannot be opened, [`Error::InvalidModel`] when its header is broken or its tensors
    /// are cut off, [`Error::InvalidParameter`], [`Error::LoadModel`] when llama.cpp refuses it, [`Error::Cancelled`]
    /// when the progress callback said so, [`Error::Lora`], [`Error::ChatTemplate`] when a template that was given cannot
    /// be read.
    pub fn load(mut self) -> Result<Model> {
        ffi::init();
        self.params.validate()?;
        let mut cancelled = false;
        let mut progress = self.progress.take().map(|mut call| {
            let cancelled = &mut cancelled;
            move |done| {
                let flow = call(done);
                *cancelled = flow.is_break();
                flow
            }
        });
        let loaded = on_own_thread("mullama-load", || {
            load_shared(&self.source, &self.params, progress.as_mut().map(|call| call as _))
        })?;
        drop(progress);
        let shared = match loaded {
            Err(_) if cancelled => return Err(Error::Cancelled),
            other => Arc::new(other?),
        };
        let adapters = self.params.lora.iter();
        let lora = adapters.map(|spec| Ok((Lora::load(&shared, &spec.path)?, spec.scale))).collect::<Result<_>>()?;
        let model = Model { inner: Arc::new(Inner { lora, shared }) };
        if self.params.chat_template.is_some() {
            // What is wrong with it is told here, not at the first conversation.
            model.chat_template()?;
        }
        Ok(model)
    }
}

type Progress<'a> = &'a mut (dyn FnMut(f32) -> ControlFlow<()> + Send);

fn load_shared(source: &Source<'_>, params: &ModelParams, progress: Option<Progress<'_>>) -> Result<Shared> {
    let (path, header, paths) = match source {
        Source::Path(path) => {
            // Checks the other parts of a split model too.
            let header = Gguf::open_checked(path).map_err(|source| invalid(path, source))?;
            let files = header.split_paths(path).map_err(|source| invalid(path, source))?;
            let paths = files.iter().map(|file| c_path(file)).collect::<Result<Vec<_>>>()?;
            (path.clone(), header, paths)
        }
        Source::Bytes(bytes) => {
            let path = PathBuf::from("<memory>");
            let header = Gguf::parse(bytes).map_err(|source| invalid(&path, source))?;
            header.check().map_err(|source| invalid(&path, source))?;
            (path, header, Vec::new())
        }
    };
    let mut header = header;
    if !params.kv_overrides.is_empty() {
        params.apply_overrides(&mut header);
        header.check().map_err(|source| invalid(&path, source))?;
    }
    for fault in header.warnings() {
        tracing::warn!(model = %path.display(), "{fault}");
    }
    let devices = params
        .devices
        .iter()
        .map(|name| CString::new(name.as_str()).map_err(|_| Error::parameter("devices", name, "a device name")))
        .collect::<Result<Vec<_>>>()?;
    let raw = RawModelParams {
        devices: &devices,
        gpu_layers: params.gpu_layers,
        split_mode: params.raw_split_mode(),
        main_gpu: i32::try_from(params.main_gpu).unwrap_or(0),
        tensor_split: &params.tensor_split,
        mmap: params.mmap,
        mlock: params.mlock,
        vocab_only: params.vocab_only,
        check_tensors: params.check_tensors,
        kv_overrides: &params.raw_overrides()?,
    };
    let from = match source {
        Source::Path(_) => LoadSource::Files(&paths),
        Source::Bytes(bytes) => LoadSource::Bytes(bytes),
    };
    let ptr =
        ModelPtr::load(&from, &raw, progress).map_err(|reason| Error::LoadModel { path: path.clone(), reason })?;
    let n_vocab = ptr.n_vocab();
    Ok(Shared {
        ptr: Arc::new(ptr),
        preparer: Arc::new(Preparer::new()),
        tokenizing: Preparer::new(),
        n_vocab,
        path,
        fingerprint: header.fingerprint(),
        vocab_only: params.vocab_only,
        chat_template: params.chat_template.clone(),
        end_tokens: OnceLock::new(),
        vocabulary: OnceLock::new(),
        learned_positions: header.tensors().iter().any(|tensor| tensor.name == "position_embd.weight"),
    })
}

/// A header's error, as this crate's: what the system refused is a file error, the rest is the file's fault.
pub(crate) fn invalid(path: &Path, source: crate::gguf::GgufError) -> Error {
    match source {
        crate::gguf::GgufError::Io(source) => Error::File { action: "open", path: path.to_owned(), source },
        source => Error::InvalidModel { path: path.to_owned(), source },
    }
}

/// A path for C.
pub(crate) fn c_path(path: &Path) -> Result<CString> {
    #[cfg(unix)]
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec();
    #[cfg(not(unix))]
    let bytes = path.to_str().map(|text| text.as_bytes().to_vec()).unwrap_or_else(|| vec![0]);
    CString::new(bytes).map_err(|_| Error::parameter("path", path.display(), "a path without NUL, valid for C"))
}
