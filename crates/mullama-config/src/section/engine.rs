//! How requests share a model.

use mullama_core::{KvLayout, ThreadPolicy};
use serde::{Deserialize, Serialize};

use crate::field::{Kind, section, whole};

section! {
    /// How requests share a model: queue, cache, threads; and how long models stay loaded.
    pub struct EngineConfig {
        /// Requests of one model that are computed together. Default 4.
        sequences: u32 = 4, whole(1, 64), ReloadModel;
        /// Requests of one model that wait at most; one more is answered 429. Default 64.
        queue: u32 = 64, whole(1, 100_000), ReloadModel;
        /// Memory for keys and values: each request has its own (`per_sequence`, default), or all share one (`unified`).
        kv_layout: KvLayout = KvLayout::PerSequence, Kind::Names(&["per_sequence", "unified"]), ReloadModel;
        /// Tokens that all requests together hold, with `unified`. 0 (default): `sequences` times the context's length.
        kv_capacity: u32 = 0, whole(0, 1 << 24), ReloadModel;
        /// Main memory for beginnings of prompts that had to leave the context, in bytes; 0 keeps none. Default 512 MiB.
        host_cache_bytes: u64 = 512 << 20, whole(0, 1 << 50), ReloadModel;
        /// How long a running answer should wait for its next token while prompts of others are computed, in ms. Default 50.
        inter_token_target_ms: u32 = 50, whole(1, 60_000), ReloadModel;
        /// Events that a reader may be behind before its answer is paused. Default 64.
        event_buffer: u32 = 64, whole(1, 65_536), ReloadModel;
        /// An answer whose reader takes nothing for this long is ended, in ms; 0: never. Default 30,000.
        reader_timeout_ms: u64 = 30_000, whole(0, 86_400_000), ReloadModel;
        /// Fewer threads while other programs need the cores (`adaptive`, default), or always the number set (`fixed`).
        thread_policy: ThreadPolicy = ThreadPolicy::Adaptive, Kind::Names(&["adaptive", "fixed"]), ReloadModel;
        /// Guessing tokens ahead.
        speculation: SpeculationConfig = SpeculationConfig::default(), Kind::Section(SpeculationConfig::FIELDS), ReloadModel;
        /// Load all models at the start (true, default), or each with its first request.
        warmup: bool = true, Kind::Flag, Restart;
        /// Unload a model that nobody has used for this long, in ms. Unset (default): never.
        keep_alive_ms: Option<u64> = None, whole(1, 31_536_000_000), Restart;
        /// What all models together may take, in bytes; the one that was idle longest makes room. Unset (default): no limit.
        max_memory_bytes: Option<u64> = None, whole(1, 1 << 50), Restart;
    }
}

section! {
    /// Guessing tokens ahead, so that one step can give several. The tokens are those that would have come without.
    pub struct SpeculationConfig {
        /// `off` (default), or `prompt_lookup`: what followed the last few tokens where they stood before.
        kind: SpeculationKind = SpeculationKind::Off, Kind::Names(&["off", "prompt_lookup"]), ReloadModel;
        /// Tokens that must be the same, at least. Default 3.
        ngram: u32 = 3, whole(1, 16), ReloadModel;
        /// Tokens guessed at most. Default 8.
        tokens: u32 = 8, whole(1, 16), ReloadModel;
    }
}

/// How tokens are guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SpeculationKind {
    /// Not at all.
    #[default]
    Off,
    /// What followed the last few tokens where they stood before.
    PromptLookup,
}
