//! How long answers are.

use crate::field::{Kind, section, whole};

section! {
    /// What requests get that do not say otherwise: how long answers are. How tokens are chosen is
    /// [`sampling`](crate::MullamaConfig::sampling).
    pub struct GenerationConfig {
        /// Tokens to generate at most. Unset (default): until the model ends or the context is full.
        max_tokens: Option<u32> = None, whole(1, u32::MAX as i128), NextRequest;
        /// Texts that end an answer: at most 16 of 1 to 256 bytes. Default: none.
        stop: Vec<String> = Vec::new(), Kind::List(&Kind::Text), NextRequest;
        /// Do not compute again what is known of a prompt. Default true.
        cache_prompt: bool = true, Kind::Flag, NextRequest;
        /// When the context is full: forget half of it and go on, instead of ending. Default false.
        context_shift: bool = false, Kind::Flag, NextRequest;
        /// When the context is shifted: tokens at the beginning that stay, besides BOS. Default 0.
        keep: u32 = 0, whole(0, u32::MAX as i128), NextRequest;
    }
}
