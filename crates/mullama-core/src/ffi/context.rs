//! `llama_context`: the state of generations on one model.

use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mullama_sys as sys;

use super::batch::Batch;
use super::lora::LoraPtr;
use super::model::ModelPtr;
use super::text::ErrorText;
use super::threadpool::ThreadPoolPtr;
use super::{EXCEPTION, capture_errors};

/// A context, freed on drop, before the model and the flag that it points to.
#[derive(Debug)]
pub(crate) struct ContextPtr {
    ptr: NonNull<sys::llama_context>,
    model: Arc<ModelPtr>,
    #[expect(dead_code, reason = "C's abort callback points to it, between the nodes of a graph (CPU only)")]
    abort: Arc<AtomicBool>,
}

// SAFETY: a heap object without thread affinity. Not Sync: every call that computes takes `&mut self`.
unsafe impl Send for ContextPtr {}

/// What [`ContextPtr::new`] passes on; validated by the caller (reliability: out-of-range values abort in C).
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawContextParams {
    pub(crate) n_ctx: u32,
    pub(crate) n_batch: u32,
    pub(crate) n_ubatch: u32,
    pub(crate) n_seq_max: u32,
    pub(crate) n_outputs_max_per_seq: u32,
    pub(crate) threads: i32,
    pub(crate) threads_batch: i32,
    pub(crate) pooling: i32,
    pub(crate) embeddings: bool,
    pub(crate) flash_attention: i32,
    pub(crate) type_k: sys::ggml_type,
    pub(crate) type_v: sys::ggml_type,
    pub(crate) offload_kqv: bool,
    pub(crate) rope_freq_base: f32,
    pub(crate) rope_freq_scale: f32,
    pub(crate) kv_unified: bool,
    pub(crate) swa_full: bool,
}

unsafe extern "C" fn should_abort(flag: *mut c_void) -> bool {
    // SAFETY: `ContextPtr::new` passes the pointer of an Arc that the ContextPtr keeps for longer than the context lives.
    unsafe { &*flag.cast::<AtomicBool>() }.load(Ordering::Relaxed)
}

impl ContextPtr {
    pub(crate) fn new(
        model: &Arc<ModelPtr>,
        params: &RawContextParams,
        abort: &Arc<AtomicBool>,
    ) -> Result<Self, String> {
        debug_assert!(params.n_batch >= 1 && params.n_ubatch >= 1 && params.n_ubatch <= params.n_batch);
        debug_assert!((1..=512).contains(&params.threads) && (1..=512).contains(&params.threads_batch));
        // SAFETY: no arguments, a plain struct comes back.
        let mut raw = unsafe { sys::llama_context_default_params() };
        raw.n_ctx = params.n_ctx;
        raw.n_batch = params.n_batch;
        raw.n_ubatch = params.n_ubatch;
        raw.n_seq_max = params.n_seq_max;
        raw.n_outputs_max_per_seq = params.n_outputs_max_per_seq;
        raw.n_threads = params.threads;
        raw.n_threads_batch = params.threads_batch;
        raw.pooling_type = params.pooling;
        raw.embeddings = params.embeddings;
        raw.flash_attn_type = params.flash_attention;
        raw.type_k = params.type_k;
        raw.type_v = params.type_v;
        raw.offload_kqv = params.offload_kqv;
        raw.rope_freq_base = params.rope_freq_base;
        raw.rope_freq_scale = params.rope_freq_scale;
        raw.kv_unified = params.kv_unified;
        raw.swa_full = params.swa_full;
        raw.no_perf = false;
        raw.abort_callback = Some(should_abort);
        raw.abort_callback_data = Arc::as_ptr(abort).cast_mut().cast();

        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        let (ptr, logged) = {
            let _fixed = model.adapters_fixed();
            // SAFETY: the model is live and held from here on; `raw` is valid by the caller's checks; the flag is an Arc
            // that is stored below.
            capture_errors(|| unsafe { sys::mullama_context_new(model.as_ptr(), raw, text, len) })
        };
        let ptr = NonNull::new(ptr).ok_or_else(|| error.or(logged, "llama.cpp gave no reason"))?;
        Ok(Self { ptr, model: Arc::clone(model), abort: Arc::clone(abort) })
    }

    pub(super) fn as_ptr(&self) -> *mut sys::llama_context {
        self.ptr.as_ptr()
    }

    /// The pool must be dropped after this context: callers keep it in a later field.
    pub(crate) fn attach_pool(&mut self, pool: &ThreadPoolPtr) {
        // SAFETY: both live; the owner frees the context first.
        unsafe { sys::llama_attach_threadpool(self.as_ptr(), pool.as_ptr(), pool.as_ptr()) };
    }

    pub(crate) fn set_threads(&mut self, threads: i32, threads_batch: i32) {
        debug_assert!(threads >= 1 && threads_batch >= 1);
        // SAFETY: plain numbers in range.
        unsafe { sys::llama_set_n_threads(self.as_ptr(), threads, threads_batch) };
    }

    pub(crate) fn n_batch(&self) -> u32 {
        // SAFETY: the context is live.
        unsafe { sys::llama_n_batch(self.as_ptr()) }
    }

    pub(crate) fn pooling(&self) -> i32 {
        // SAFETY: the context is live.
        unsafe { sys::llama_pooling_type(self.as_ptr()) }
    }

    /// llama.cpp's status (0 done, 1 no room, 2 aborted, negative failed), with its message unless 0.
    pub(crate) fn decode(&mut self, batch: &mut Batch) -> (i32, String) {
        self.compute(batch, |ctx, raw, text, len| {
            // SAFETY: context and batch live through the call; the batch's rows were checked as they were added, and it
            // is no longer than the context's n_batch.
            unsafe { sys::mullama_decode(ctx, raw, text, len) }
        })
    }

    fn compute(
        &mut self,
        batch: &mut Batch,
        call: impl FnOnce(*mut sys::llama_context, sys::llama_batch, *mut std::ffi::c_char, usize) -> i32,
    ) -> (i32, String) {
        debug_assert!(batch.len() <= self.n_batch() as usize);
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        let ctx = self.as_ptr();
        let raw = batch.raw();
        let _fixed = self.model.adapters_fixed();
        let (status, logged) = capture_errors(|| call(ctx, raw, text, len));
        let message = if status == 0 { String::new() } else { error.or(logged, "no reason given") };
        (status, message)
    }

    /// Logits of output row `index` of the last batch (-1 the last one): `n_vocab` numbers.
    pub(crate) fn logits(&mut self, index: i32) -> Option<&[f32]> {
        let n_vocab = usize::try_from(self.model.n_vocab()).ok()?;
        // SAFETY: the context is live; a row that was not asked for gives null in a Release build, which is the one
        // that is linked.
        let row = unsafe { sys::llama_get_logits_ith(self.as_ptr(), index) };
        // SAFETY: a row has n_vocab numbers and stays until the next decode, which needs `&mut self`.
        (!row.is_null()).then(|| unsafe { std::slice::from_raw_parts(row, n_vocab) })
    }

    /// The pooled embedding of a sequence, `width` numbers.
    pub(crate) fn embedding_of_sequence(&mut self, sequence: i32, width: usize) -> Option<&[f32]> {
        // SAFETY: the context is live; null when there is none.
        let row = unsafe { sys::llama_get_embeddings_seq(self.as_ptr(), sequence) };
        // SAFETY: the caller passes the model's output width (or the number of classes for rank pooling), which is the
        // row's length; it stays until the next decode.
        (!row.is_null()).then(|| unsafe { std::slice::from_raw_parts(row, width) })
    }

    /// The embedding of output row `index`, `width` numbers, when there is no pooling.
    pub(crate) fn embedding_of_row(&mut self, index: i32, width: usize) -> Option<&[f32]> {
        // SAFETY: the context is live; null when the row was not asked for.
        let row = unsafe { sys::llama_get_embeddings_ith(self.as_ptr(), index) };
        // SAFETY: as `embedding_of_sequence`.
        (!row.is_null()).then(|| unsafe { std::slice::from_raw_parts(row, width) })
    }

    pub(crate) fn clear(&mut self) {
        // SAFETY: the context is live.
        let memory = unsafe { sys::llama_get_memory(self.as_ptr()) };
        if !memory.is_null() {
            // SAFETY: the memory belongs to the live context.
            unsafe { sys::llama_memory_clear(memory, false) };
        }
    }

    /// Removes positions `from..to` of a sequence (`to` -1: to the end). False: this memory cannot remove a part.
    pub(crate) fn remove(&mut self, sequence: i32, from: i32, to: i32) -> bool {
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        // SAFETY: the context is live; the sequence is in range (the caller's own numbering).
        unsafe { sys::mullama_memory_seq_rm(self.as_ptr(), sequence, from, to, text, len) == 1 }
    }

    /// Moves positions `from..to` of a sequence by `delta`. False: this memory cannot shift.
    pub(crate) fn shift(&mut self, sequence: i32, from: i32, to: i32, delta: i32) -> bool {
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        // SAFETY: as `remove`.
        unsafe { sys::mullama_memory_seq_add(self.as_ptr(), sequence, from, to, delta, text, len) == 1 }
    }

    /// Makes sequence `to`, which must be empty, hold what `from` holds below position `end` (`None`: all of it; the only
    /// form that is allowed where each sequence has cells of its own, and done with the next decode there).
    pub(crate) fn copy(&mut self, from: i32, to: i32, end: Option<i32>) -> Result<(), String> {
        debug_assert!(from >= 0 && to >= 0 && from != to);
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        let (end, whole) = (end.unwrap_or(-1), end.is_none());
        // SAFETY: the context is live; both sequences are in range (the caller's own numbering).
        match unsafe { sys::mullama_memory_seq_cp(self.as_ptr(), from, to, end, whole, text, len) } {
            0 => Ok(()),
            _ => Err(error.message()),
        }
    }

    /// Does it keep what it computed? Encoders (BERT-like) have no memory, and cannot generate.
    pub(crate) fn has_memory(&self) -> bool {
        // SAFETY: the context is live.
        !unsafe { sys::llama_get_memory(self.as_ptr()) }.is_null()
    }

    pub(crate) fn can_shift(&self) -> bool {
        // SAFETY: the context is live.
        let memory = unsafe { sys::llama_get_memory(self.as_ptr()) };
        // SAFETY: the memory belongs to the live context.
        !memory.is_null() && unsafe { sys::llama_memory_can_shift(memory) }
    }

    pub(crate) fn state(&mut self, sequence: i32) -> Option<Vec<u8>> {
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        // SAFETY: the context is live.
        let size = unsafe { sys::mullama_state_size(self.as_ptr(), sequence, text, len) };
        let mut bytes = vec![0; size];
        // SAFETY: `bytes` has `size` places.
        let written = unsafe { sys::mullama_state_get(self.as_ptr(), sequence, bytes.as_mut_ptr(), size, text, len) };
        bytes.truncate(written);
        (written > 0).then_some(bytes)
    }

    /// False: llama.cpp refused the bytes. They must be ones that [`ContextPtr::state`] gave for the same model and
    /// parameters: llama.cpp does not check.
    pub(crate) fn set_state(&mut self, sequence: i32, bytes: &[u8]) -> bool {
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        // SAFETY: the context is live, `bytes` readable for its length.
        unsafe { sys::mullama_state_set(self.as_ptr(), sequence, bytes.as_ptr(), bytes.len(), text, len) > 0 }
    }

    /// Uses these adapters, and no others, from now on. The caller keeps them alive while they are in use.
    pub(crate) fn set_adapters(&mut self, adapters: &[(Arc<LoraPtr>, f32)]) -> Result<(), String> {
        debug_assert!(adapters.iter().all(|(adapter, _)| adapter.belongs_to(&self.model)));
        let mut pointers: Vec<_> = adapters.iter().map(|(adapter, _)| adapter.as_ptr()).collect();
        let mut scales: Vec<f32> = adapters.iter().map(|(_, scale)| *scale).collect();
        let mut error = ErrorText::new();
        let (text, len) = error.parts();
        let _fixed = self.model.adapters_fixed();
        // SAFETY: both arrays have the same length and live through the call; the adapters are of this model.
        let status = unsafe {
            sys::mullama_lora_set(self.as_ptr(), pointers.as_mut_ptr(), pointers.len(), scales.as_mut_ptr(), text, len)
        };
        match status {
            0 => Ok(()),
            EXCEPTION => Err(error.message()),
            status => Err(format!("status {status}")),
        }
    }

    /// Tokens and microseconds: prompt evaluation, then generation, since the last reset.
    pub(crate) fn perf(&self) -> [(i32, f64); 2] {
        // SAFETY: the context is live.
        let data = unsafe { sys::llama_perf_context(self.as_ptr()) };
        [(data.n_p_eval, data.t_p_eval_ms), (data.n_eval, data.t_eval_ms)]
    }

    pub(crate) fn reset_perf(&mut self) {
        // SAFETY: the context is live.
        unsafe { sys::llama_perf_context_reset(self.as_ptr()) };
    }
}

impl Drop for ContextPtr {
    fn drop(&mut self) {
        // SAFETY: made by mullama_context_new, freed once; model and flag are fields and go after this.
        unsafe { sys::mullama_context_free(self.ptr.as_ptr()) };
    }
}
