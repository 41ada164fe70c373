//! Contexts: one caller's generations on a model.

mod params;
mod state;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use params::{ContextParams, FlashAttention, KvType};

use crate::error::{Error, Result};
use crate::ffi::{self, Batch, ContextPtr, ThreadPoolPtr};
use crate::generate::{Generation, GenerationParams, Prompt};
use crate::lora::Lora;
use crate::model::{Model, check_scale};
use crate::tokenizer::TokenId;

/// One caller's place to generate: the keys and values of what was computed so far. Not for two threads at once (it can
/// move between threads); for many callers there is the engine of `mullama-async`.
///
/// ```no_run
/// use mullama_core::{GenerationParams, Model};
///
/// let model = Model::load("model.gguf")?;
/// let mut context = model.context().length(2_048).build()?;
/// let text = context.generate("Once upon a time", &GenerationParams::default())?.text()?;
/// # Ok::<(), mullama_core::Error>(())
/// ```
///
/// A context is one caller's:
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<mullama_core::Context>();
/// ```
#[derive(Debug)]
pub struct Context {
    // In this order: the context is freed before what it points to.
    pub(crate) ptr: ContextPtr,
    /// The context points to it.
    pool: Option<ThreadPoolPtr>,
    adapters: Vec<(Lora, f32)>,
    batch: Batch,
    /// What the keys and values are of, at positions 0, 1, ...
    tokens: Vec<TokenId>,
    /// Do the last logits belong to the last of `tokens`?
    fresh: bool,
    cancel: CancelToken,
    params: ContextParams,
    model: Model,
}

const fn is_send_sync<T: Send + Sync>() {}
const fn is_send<T: Send>() {}
const _: () = is_send_sync::<Model>();
const _: () = is_send_sync::<crate::Tokenizer>();
const _: () = is_send_sync::<crate::ChatTemplate>();
const _: () = is_send_sync::<crate::ChatPrompt>();
const _: () = is_send_sync::<crate::ChatParser>();
const _: () = is_send_sync::<Lora>();
const _: () = is_send_sync::<Error>();
const _: () = is_send::<Context>();
const _: () = is_send::<Generation<'_>>();
const _: () = is_send::<crate::Embedder>();
const _: () = is_send::<crate::Reranker>();

/// Stops what a [`Context`] computes, from any thread.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Ends the generation that is running with [`FinishReason::Cancelled`](crate::FinishReason::Cancelled): on the CPU
    /// within one operation of the model's graph, on GPUs within one batch. The next generation is not affected.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Has it been cancelled?
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn reset(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// What llama.cpp measured of a context.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Perf {
    /// Tokens computed in batches of several.
    pub prompt_tokens: u32,
    /// The time that took.
    pub prompt_time: Duration,
    /// Tokens computed one by one.
    pub generated_tokens: u32,
    /// The time that took.
    pub generation_time: Duration,
}

impl Context {
    fn new(model: &Model, params: &ContextParams) -> Result<Self> {
        let unsupported = |reason| Error::Unsupported { what: "generation with this model", reason };
        if model.is_vocab_only() {
            return Err(unsupported("only its vocabulary was loaded"));
        }
        if model.has_encoder() || !model.has_decoder() {
            return Err(unsupported("it is an encoder, or needs one first (T5)"));
        }
        let params = params.resolve(model)?;
        let cancel = CancelToken::default();
        let ptr = ContextPtr::new(model.ptr(), &params.raw(), &cancel.0);
        let mut ptr = ptr.map_err(|reason| Error::CreateContext { n_ctx: params.length, reason })?;
        if !ptr.has_memory() {
            return Err(unsupported("it embeds texts"));
        }
        let threads = params.threads.max(params.threads_batch);
        let pool = ThreadPoolPtr::new(i32::try_from(threads).unwrap_or(1), POLL);
        if let Some(pool) = &pool {
            ptr.attach_pool(pool);
        }
        let batch = Batch::new((ptr.n_batch() as usize).min(params.batch as usize));
        let model = model.clone();
        let adapters = model.lora().to_vec();
        let mut context =
            Self { ptr, pool, adapters: Vec::new(), batch, tokens: Vec::new(), fresh: false, cancel, params, model };
        if !adapters.is_empty() {
            context.set_lora(&adapters)?;
        }
        Ok(context)
    }

    /// Starts a generation. Nothing is computed until the first event is asked for; text is tokenized and parameters
    /// are checked here.
    ///
    /// What the prompt shares with what this context computed before is not computed again
    /// ([`GenerationParams::cache_prompt`]).
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`], [`Error::PromptTooLong`], [`Error::InvalidParameter`], [`Error::Grammar`],
    /// [`Error::UnknownToken`], and those of [`Tokenizer::encode`](crate::Tokenizer::encode).
    pub fn generate<'a>(
        &'a mut self,
        prompt: impl Into<Prompt<'a>>,
        params: &GenerationParams,
    ) -> Result<Generation<'a>> {
        self.cancel.reset();
        Generation::new(self, &prompt.into(), params)
    }

    /// Computes tokens behind those that the context holds; [`Context::logits`] then tells what may follow. For callers
    /// who choose tokens themselves. Blocks.
    ///
    /// # Errors
    /// [`Error::UnknownToken`], [`Error::ContextFull`], [`Error::Cancelled`], [`Error::Decode`].
    pub fn eval(&mut self, tokens: &[TokenId]) -> Result<()> {
        let tokenizer = self.model.tokenizer();
        for token in tokens {
            tokenizer.check("tokens", *token)?;
        }
        if self.tokens.len() + tokens.len() > self.length() {
            return Err(Error::ContextFull { limit: self.length() });
        }
        self.cancel.reset();
        self.append(tokens)
    }

    /// What may follow the last token: a number for each token of the vocabulary, higher is likelier. `None` unless the
    /// last thing that this context did was to compute tokens.
    pub fn logits(&mut self) -> Option<&[f32]> {
        if !self.fresh {
            return None;
        }
        self.ptr.logits(-1)
    }

    /// Forgets all tokens.
    pub fn clear(&mut self) {
        self.fresh = false;
        self.tokens.clear();
        self.ptr.clear();
    }

    /// Attaches adapters, in the place of those attached before; none detaches all. What was computed is forgotten.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for an adapter of another model or a scale out of -100..=100; [`Error::Lora`].
    pub fn set_lora(&mut self, adapters: &[(Lora, f32)]) -> Result<()> {
        for (adapter, scale) in adapters {
            check_scale(*scale)?;
            if !adapter.ptr.belongs_to(self.model.ptr()) {
                let path = adapter.path().display();
                return Err(Error::parameter("lora", path, "an adapter that was loaded for this model"));
            }
        }
        self.clear();
        let raw: Vec<_> = adapters.iter().map(|(adapter, scale)| (Arc::clone(&adapter.ptr), *scale)).collect();
        self.ptr.set_adapters(&raw).map_err(|reason| {
            let path = adapters.first().map(|(adapter, _)| adapter.path().to_owned()).unwrap_or_default();
            Error::Lora { path, reason }
        })?;
        self.adapters = adapters.to_vec();
        Ok(())
    }

    /// Changes the number of CPU threads, starting more where there are too few.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`]; see [`ContextParams::threads`].
    pub fn set_threads(&mut self, threads: u32, threads_batch: u32) -> Result<()> {
        let given = ContextParams { threads, threads_batch, ..self.params.clone() };
        let resolved = given.resolve(&self.model)?;
        let had = self.params.threads.max(self.params.threads_batch);
        let need = resolved.threads.max(resolved.threads_batch);
        if need > had {
            let pool = ThreadPoolPtr::new(i32::try_from(need).unwrap_or(1), POLL);
            if let Some(pool) = &pool {
                self.ptr.attach_pool(pool);
            }
            // The old one goes when nothing points to it any more.
            self.pool = pool.or(self.pool.take());
        }
        let raw = resolved.raw();
        self.ptr.set_threads(raw.threads, raw.threads_batch);
        self.params.threads = resolved.threads;
        self.params.threads_batch = resolved.threads_batch;
        Ok(())
    }

    /// Stops what this context computes, from any thread.
    #[must_use]
    pub fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// Tokens that the context holds.
    #[must_use]
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// Tokens that fit.
    #[must_use]
    pub fn length(&self) -> usize {
        self.params.length as usize
    }

    /// The parameters in force.
    #[must_use]
    pub fn params(&self) -> &ContextParams {
        &self.params
    }

    /// The adapters attached, with their scales.
    #[must_use]
    pub fn lora(&self) -> &[(Lora, f32)] {
        &self.adapters
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What llama.cpp measured since the context was made, or since [`Context::reset_perf`].
    #[must_use]
    pub fn perf(&self) -> Perf {
        let [(prompt_tokens, prompt_ms), (generated_tokens, generation_ms)] = self.ptr.perf();
        let time = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default();
        Perf {
            prompt_tokens: prompt_tokens.try_into().unwrap_or(0),
            prompt_time: time(prompt_ms),
            generated_tokens: generated_tokens.try_into().unwrap_or(0),
            generation_time: time(generation_ms),
        }
    }

    /// Starts measuring anew.
    pub fn reset_perf(&mut self) {
        self.ptr.reset_perf();
    }

    /// Forgets what is not a prefix of `prompt`; returns how much of it need not be computed. One token always is.
    pub(crate) fn keep_common_prefix(&mut self, prompt: &[TokenId], cache: bool) -> usize {
        let common = self.tokens.iter().zip(prompt).take_while(|(held, wanted)| held == wanted).count();
        let keep = common.min(prompt.len().saturating_sub(1));
        if !cache || keep == 0 || !self.truncate(keep) {
            self.clear();
            return 0;
        }
        keep
    }

    /// Removes all tokens from position `length` on. False, and all is gone, where the model cannot take back a part.
    fn truncate(&mut self, length: usize) -> bool {
        if self.tokens.len() == length {
            return true;
        }
        self.fresh = false;
        if self.ptr.remove(0, i32::try_from(length).unwrap_or(i32::MAX), -1) {
            self.tokens.truncate(length);
            return true;
        }
        self.clear();
        false
    }

    /// Frees room: forgets half of what follows the first `keep` tokens and moves the rest up. False where the model
    /// cannot.
    pub(crate) fn shift(&mut self, keep: usize) -> bool {
        let held = self.tokens.len();
        let keep = keep.min(held);
        let discard = (held - keep) / 2;
        let position = |index: usize| i32::try_from(index).unwrap_or(i32::MAX);
        // A recurrent state says that it can, and forgets nothing.
        if discard == 0 || self.model.is_recurrent() || !self.ptr.can_shift() {
            return false;
        }
        if !self.ptr.remove(0, position(keep), position(keep + discard)) {
            return false;
        }
        if !self.ptr.shift(0, position(keep + discard), position(held), -position(discard)) {
            self.clear();
            return false;
        }
        self.tokens.drain(keep..keep + discard);
        true
    }

    /// Computes tokens, the last with logits. They must be in the vocabulary and fit. What a failure leaves half done is
    /// taken back.
    pub(crate) fn append(&mut self, tokens: &[TokenId]) -> Result<()> {
        let before = self.tokens.len();
        let outcome = self.append_or_fail(tokens);
        self.fresh = outcome.is_ok() && !self.tokens.is_empty();
        if outcome.is_err() {
            let known = self.tokens.len();
            // C may hold more than was counted, up to the failed batch.
            if !self.ptr.remove(0, i32::try_from(known).unwrap_or(i32::MAX), -1) {
                self.clear();
            }
            debug_assert!(self.tokens.len() >= before || self.tokens.is_empty());
        }
        outcome
    }

    fn append_or_fail(&mut self, tokens: &[TokenId]) -> Result<()> {
        let mut rest = tokens;
        while !rest.is_empty() {
            let (chunk, next) = rest.split_at(rest.len().min(self.batch.capacity()));
            self.batch.clear();
            for (index, token) in chunk.iter().enumerate() {
                let position = i32::try_from(self.tokens.len() + index).unwrap_or(i32::MAX);
                let output = next.is_empty() && index + 1 == chunk.len();
                if !self.batch.push(token.0, position, 0, output) {
                    return Err(Error::BatchFull { capacity: self.batch.capacity() });
                }
            }
            if self.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            match self.ptr.decode(&mut self.batch) {
                (0, _) => self.tokens.extend_from_slice(chunk),
                (1, _) => return Err(Error::ContextFull { limit: self.length() }),
                (2, _) => return Err(Error::Cancelled),
                (code, reason) => return Err(Error::Decode { code, reason }),
            }
            rest = next;
        }
        Ok(())
    }
}

/// How a context is to be made. Made by [`Model::context`]; ends with [`ContextBuilder::build`].
#[derive(Debug, Clone)]
#[must_use]
pub struct ContextBuilder {
    model: Model,
    params: ContextParams,
}

impl ContextBuilder {
    pub(crate) fn new(model: &Model) -> Self {
        Self { model: model.clone(), params: ContextParams::default() }
    }

    /// Replaces all parameters.
    pub fn params(mut self, params: ContextParams) -> Self {
        self.params = params;
        self
    }

    /// [`ContextParams::length`].
    pub fn length(mut self, tokens: u32) -> Self {
        self.params.length = tokens;
        self
    }

    /// [`ContextParams::batch`].
    pub fn batch(mut self, tokens: u32) -> Self {
        self.params.batch = tokens;
        self
    }

    /// [`ContextParams::micro_batch`].
    pub fn micro_batch(mut self, tokens: u32) -> Self {
        self.params.micro_batch = tokens;
        self
    }

    /// [`ContextParams::threads`] and [`ContextParams::threads_batch`].
    pub fn threads(mut self, threads: u32) -> Self {
        self.params.threads = threads;
        self.params.threads_batch = threads;
        self
    }

    /// [`ContextParams::flash_attention`].
    pub fn flash_attention(mut self, when: FlashAttention) -> Self {
        self.params.flash_attention = when;
        self
    }

    /// [`ContextParams::kv_type_k`] and [`ContextParams::kv_type_v`].
    pub fn kv_type(mut self, kind: KvType) -> Self {
        self.params.kv_type_k = kind;
        self.params.kv_type_v = kind;
        self
    }

    /// Makes the context. Takes the memory for its keys and values at once.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`]; [`Error::CreateContext`] without enough memory; [`Error::Unsupported`] for models
    /// that do not generate text.
    pub fn build(self) -> Result<Context> {
        ffi::init();
        Context::new(&self.model, &self.params)
    }
}

/// ggml's default: idle workers spin for a while before they sleep.
const POLL: u32 = 50;
