//! How an engine is made, step by step.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, OnceLock};

use super::params::{EngineParams, KvLayout, Speculation};
use super::pooled::Pooled;
use super::queue::Places;
use super::request::Adapters;
use super::stats::Recorder;
use super::{Engine, Handle, Shared, run};
use crate::context::ContextParams;
use crate::error::{Error, Result};
use crate::model::Model;

/// How an engine is to be made. Made by [`Engine::builder`] and [`Model::engine`]; ends with [`EngineBuilder::start`].
#[derive(Debug, Clone)]
#[must_use]
pub struct EngineBuilder {
    pub(super) model: Model,
    pub(super) params: EngineParams,
    pub(super) draft: Option<Model>,
}

impl EngineBuilder {
    /// Replaces all parameters.
    pub fn params(mut self, params: EngineParams) -> Self {
        self.params = params;
        self
    }

    /// [`EngineParams::sequences`].
    pub fn sequences(mut self, sequences: u32) -> Self {
        self.params.sequences = sequences;
        self
    }

    /// [`EngineParams::queue`].
    pub fn queue(mut self, requests: u32) -> Self {
        self.params.queue = requests;
        self
    }

    /// Tokens of one request, prompt and answer: [`ContextParams::length`].
    pub fn length(mut self, tokens: u32) -> Self {
        self.params.context.length = tokens;
        self
    }

    /// [`ContextParams::threads`] and [`ContextParams::threads_batch`].
    pub fn threads(mut self, threads: u32) -> Self {
        self.params.context.threads = threads;
        self.params.context.threads_batch = threads;
        self
    }

    /// [`EngineParams::kv_layout`].
    pub fn kv_layout(mut self, layout: KvLayout) -> Self {
        self.params.kv_layout = layout;
        self
    }

    /// [`EngineParams::host_cache_bytes`].
    pub fn host_cache_bytes(mut self, bytes: u64) -> Self {
        self.params.host_cache_bytes = bytes;
        self
    }

    /// [`EngineParams::speculation`].
    pub fn speculation(mut self, speculation: Speculation) -> Self {
        self.params.speculation = speculation;
        self
    }

    /// A smaller model with the same vocabulary, whose guesses of up to `tokens` tokens are checked in one step:
    /// [`Speculation::Draft`]. It gets a context of the same length.
    pub fn draft(mut self, model: impl Into<Model>, tokens: u32) -> Self {
        self.draft = Some(model.into());
        self.params.speculation = Speculation::Draft { tokens };
        self
    }

    /// Makes the context and starts the thread. Blocks until the memory is there.
    ///
    /// A model that does not generate text gets no context: such an engine embeds or ranks.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`]; [`Error::CreateContext`] without enough memory; [`Error::Thread`];
    /// [`Error::Unsupported`] for models that do neither, and for draft models that do not fit.
    pub fn start(self) -> Result<Engine> {
        crate::ffi::init();
        let Self { model, mut params, draft } = self;
        params.validate()?;
        params.context = params.context.resolve(&model)?;
        check_cells(&params)?;
        if matches!(params.speculation, Speculation::Draft { .. }) != draft.is_some() {
            return Err(Error::parameter("speculation", "draft", "set with `draft`, which names the model"));
        }
        let shared = Arc::new(Shared {
            inbox: Mutex::default(),
            ended: Condvar::new(),
            thread: OnceLock::new(),
            places: Places::new(params.queue as usize),
            stats: Arc::new(Recorder::default()),
            service: Arc::default(),
            closing: AtomicBool::new(false),
            cutting: AtomicBool::new(false),
            abort: Arc::new(AtomicBool::new(false)),
            ids: AtomicU64::new(0),
        });
        let length =
            if model.is_generative() { Some(run::start(&model, &params, draft.as_ref(), &shared)?) } else { None };
        let adapters = Arc::new(Adapters::new(model.lora().to_vec()));
        let template = OnceLock::new();
        let handle =
            Handle { shared: Arc::clone(&shared), model, params, adapters, template, length, pooled: Pooled::new() };
        Ok(Engine { shared, handle: Arc::new(handle) })
    }
}

/// A request must fit, and every sequence needs a cell.
fn check_cells(params: &EngineParams) -> Result<()> {
    let context: &ContextParams = &params.context;
    let cells = u64::from(context.length) * u64::from(params.sequences);
    if params.kv_capacity == 0 && cells > 1 << 24 {
        return Err(Error::parameter("length", context.length, "at most 16,777,216 tokens, times the sequences"));
    }
    if params.kv_capacity > 0 && params.kv_capacity < params.sequences.max(context.length.min(256)) {
        return Err(Error::parameter(
            "kv_capacity",
            params.kv_capacity,
            "at least 256 tokens and one for each sequence",
        ));
    }
    Ok(())
}
