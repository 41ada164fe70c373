//! How a context is made.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ffi::RawContextParams;
use crate::model::Model;
use crate::prepare::cores;

/// How a context is made. Plain data; [`ContextBuilder`](crate::ContextBuilder) is the ordinary way to set it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContextParams {
    /// Tokens that it holds, prompt and answer together. 0 (default): what the model was trained with, at most 8,192.
    /// Memory grows with it. 1..=16,777,216; no more than the training length for models with a table of positions.
    /// `n_ctx`.
    pub length: u32,
    /// Tokens of a prompt that are computed in one call. 1..=65,536, default 2,048. `n_batch`.
    pub batch: u32,
    /// Tokens of a prompt that are computed at once; more is faster and takes more memory. 1..=`batch`, default 512.
    /// `n_ubatch`.
    pub micro_batch: u32,
    /// CPU threads while text is generated. 0 (default): one for models under 32 MiB, which gain nothing from a second,
    /// else as many as the machine has cores, at most 16. At most 4 times the cores, and 512. ggml's threads wait for one
    /// another by spinning: on a machine with other load, fewer are faster. `n_threads`.
    pub threads: u32,
    /// CPU threads while a prompt is computed. 0 (default): one for models under 32 MiB, else as many as the machine has
    /// cores. `n_threads_batch`.
    pub threads_batch: u32,
    /// Flash attention. Default: where the device can. `flash_attn_type`.
    pub flash_attention: FlashAttention,
    /// Number format of the keys. Default f16. `type_k`.
    pub kv_type_k: KvType,
    /// Number format of the values. Quantized ones need flash attention. Default f16. `type_v`.
    pub kv_type_v: KvType,
    /// Keep keys and values on the GPU. Default true. `offload_kqv`.
    pub offload_kv: bool,
    /// Base frequency of the rotary positions; 0 (default): the model's. `rope_freq_base`.
    pub rope_freq_base: f32,
    /// Scale of the rotary positions; 0 (default): the model's. `rope_freq_scale`.
    pub rope_freq_scale: f32,
}

impl Default for ContextParams {
    fn default() -> Self {
        Self {
            length: 0,
            batch: 2_048,
            micro_batch: 512,
            threads: 0,
            threads_batch: 0,
            flash_attention: FlashAttention::Auto,
            kv_type_k: KvType::F16,
            kv_type_v: KvType::F16,
            offload_kv: true,
            rope_freq_base: 0.0,
            rope_freq_scale: 0.0,
        }
    }
}

/// Whether flash attention is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FlashAttention {
    /// Where the device can.
    #[default]
    Auto,
    /// Never. On a CPU this is faster for many long texts of about the same length, and slower where lengths differ: attention
    /// then goes over the longest for all. Takes 4 bytes for each head, token of a micro batch, and token of the context.
    Off,
    /// Always.
    On,
}

/// Number format of keys or values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "ggml's names of number formats")]
pub enum KvType {
    F32,
    #[default]
    F16,
    Bf16,
    Q8_0,
    Q5_1,
    Q5_0,
    Q4_1,
    Q4_0,
    Iq4Nl,
}

impl KvType {
    fn raw(self) -> mullama_sys::ggml_type {
        match self {
            Self::F32 => mullama_sys::GGML_TYPE_F32,
            Self::F16 => mullama_sys::GGML_TYPE_F16,
            Self::Bf16 => mullama_sys::GGML_TYPE_BF16,
            Self::Q8_0 => mullama_sys::GGML_TYPE_Q8_0,
            Self::Q5_1 => mullama_sys::GGML_TYPE_Q5_1,
            Self::Q5_0 => mullama_sys::GGML_TYPE_Q5_0,
            Self::Q4_1 => mullama_sys::GGML_TYPE_Q4_1,
            Self::Q4_0 => mullama_sys::GGML_TYPE_Q4_0,
            Self::Iq4Nl => mullama_sys::GGML_TYPE_IQ4_NL,
        }
    }
}

impl ContextParams {
    /// Checks every field against its range, for this model, and fills in what is left to the model or the machine.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] names the field.
    pub fn resolve(&self, model: &Model) -> Result<Self> {
        let mut resolved = self.clone();
        if self.length == 0 {
            resolved.length = model.context_length().clamp(1, DEFAULT_LENGTH);
        }
        if resolved.length > MAX_LENGTH {
            return Err(Error::parameter("length", self.length, "0 (the model's own) to 16,777,216 tokens"));
        }
        if let Some(limit) = model.position_limit()
            && resolved.length > limit
        {
            return Err(Error::parameter(
                "length",
                self.length,
                "no more than the model was trained with: it has a table of positions",
            ));
        }
        if !(1..=MAX_BATCH).contains(&self.batch) {
            return Err(Error::parameter("batch", self.batch, "1..=65,536 tokens"));
        }
        if self.micro_batch == 0 {
            return Err(Error::parameter("micro_batch", self.micro_batch, "1..=`batch` tokens"));
        }
        // A larger one than the context can be filled with is no error: it is the default.
        resolved.batch = self.batch.min(resolved.length);
        resolved.micro_batch = self.micro_batch.min(resolved.batch);
        let small = model.size() < SMALL_MODEL;
        resolved.threads = resolve_threads("threads", self.threads, if small { 1 } else { DEFAULT_THREADS })?;
        resolved.threads_batch =
            resolve_threads("threads_batch", self.threads_batch, if small { 1 } else { MAX_THREADS })?;
        for (name, value) in [("rope_freq_base", self.rope_freq_base), ("rope_freq_scale", self.rope_freq_scale)] {
            if !(0.0..=1e12).contains(&value) {
                return Err(Error::parameter(name, value, "0 (the model's own) or more"));
            }
        }
        let quantized = |kind| !matches!(kind, KvType::F32 | KvType::F16 | KvType::Bf16);
        if quantized(self.kv_type_v) && self.flash_attention == FlashAttention::Off {
            return Err(Error::parameter(
                "kv_type_v",
                format!("{:?}", self.kv_type_v),
                "f16, bf16 or f32 without flash attention",
            ));
        }
        Ok(resolved)
    }

    /// For C; only after [`ContextParams::resolve`].
    pub(crate) fn raw(&self) -> RawContextParams {
        RawContextParams {
            n_ctx: self.length,
            n_batch: self.batch,
            n_ubatch: self.micro_batch,
            n_seq_max: 1,
            n_outputs_max_per_seq: 1,
            threads: i32::try_from(self.threads).unwrap_or(1),
            threads_batch: i32::try_from(self.threads_batch).unwrap_or(1),
            pooling: mullama_sys::LLAMA_POOLING_TYPE_UNSPECIFIED,
            embeddings: false,
            flash_attention: match self.flash_attention {
                FlashAttention::Auto => mullama_sys::LLAMA_FLASH_ATTN_TYPE_AUTO,
                FlashAttention::Off => mullama_sys::LLAMA_FLASH_ATTN_TYPE_DISABLED,
                FlashAttention::On => mullama_sys::LLAMA_FLASH_ATTN_TYPE_ENABLED,
            },
            type_k: self.kv_type_k.raw(),
            type_v: self.kv_type_v.raw(),
            offload_kqv: self.offload_kv,
            rope_freq_base: self.rope_freq_base,
            rope_freq_scale: self.rope_freq_scale,
            kv_unified: false,
            swa_full: true,
        }
    }
}

fn resolve_threads(name: &'static str, given: u32, default_limit: u32) -> Result<u32> {
    let cores = u32::try_from(cores()).unwrap_or(1);
    if given > MAX_THREADS.min(cores.saturating_mul(4)) {
        return Err(Error::parameter(name, given, "0 (automatic) to 4 times the cores of this machine, at most 512"));
    }
    Ok(if given == 0 { cores.clamp(1, default_limit) } else { given })
}

const DEFAULT_LENGTH: u32 = 8_192;
const MAX_LENGTH: u32 = 1 << 24;
const MAX_BATCH: u32 = 1 << 16;
const DEFAULT_THREADS: u32 = 16;
const SMALL_MODEL: u64 = 32 << 20;
/// `GGML_MAX_N_THREADS`.
const MAX_THREADS: u32 = 512;
