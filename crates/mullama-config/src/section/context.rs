//! The context of each model.

use mullama_core::KvType;

use crate::field::{Kind, number, section, whole};

section! {
    /// The context of each model: how much it holds, and how it is computed.
    pub struct ContextConfig {
        /// Tokens that prompt and answer of one request may have together. 0 (default): as the model was trained, at most
        /// 8,192.
        n_ctx: u32 = 0, whole(0, 1 << 24), ReloadModel;
        /// Tokens of prompts that are computed in one call, of all requests together. Default 2,048.
        n_batch: u32 = 2_048, whole(1, 1 << 16), ReloadModel;
        /// Tokens that are computed at once; at most `n_batch`. Default 512.
        n_ubatch: u32 = 512, whole(1, 1 << 16), ReloadModel;
        /// CPU threads while text is generated. 0 (default): one for models under 32 MiB, else as many as cores, at most 16.
        n_threads: u32 = 0, whole(0, 512), ReloadModel;
        /// CPU threads while a prompt is computed. 0 (default): as `n_threads`; if that is 0, one for models under 32 MiB,
        /// else as many as cores.
        n_threads_batch: u32 = 0, whole(0, 512), ReloadModel;
        /// Flash attention where the device can (true, default), or never.
        flash_attn: bool = true, Kind::Flag, ReloadModel;
        /// Fail where the device can do no flash attention, instead of going without. Default false.
        flash_attn_required: bool = false, Kind::Flag, ReloadModel;
        /// Number format of the keys. Default `f16`.
        type_k: KvType = KvType::F16, Kind::Names(KV_TYPES), ReloadModel;
        /// Number format of the values; quantized ones need flash attention. Default `f16`.
        type_v: KvType = KvType::F16, Kind::Names(KV_TYPES), ReloadModel;
        /// Keep keys and values on the GPU. Default true.
        offload_kqv: bool = true, Kind::Flag, ReloadModel;
        /// Base frequency of the rotary positions; 0 (default): the model's.
        rope_freq_base: f32 = 0.0, number(0.0, 1e12), ReloadModel;
        /// Scale of the rotary positions; 0 (default): the model's.
        rope_freq_scale: f32 = 0.0, number(0.0, 1e12), ReloadModel;
    }
}

const KV_TYPES: &[&str] = &["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"];
