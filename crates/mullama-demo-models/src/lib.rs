//! mullama's own models, as bytes: data, no code. Each stands behind a feature, so that a program carries only what it
//! uses.
//!
//! They are demonstrations, made to fit into a program and to answer in milliseconds: the chat model greets, counts,
//! adds up to 20, names colours, writes JSON, calls tools, and describes pictures of coloured shapes; the speech model
//! knows household commands. They know nothing else, and the chat model says so when asked. Trained from nothing on
//! generated data; CC0-1.0 (the speech model's vocabulary and mel filters are Whisper's, MIT).
//!
//! ```
//! # #[cfg(feature = "chat")]
//! assert!(mullama_demo_models::CHAT.starts_with(b"GGUF"));
//! ```
#![forbid(unsafe_code)]

/// The chat model: GGUF, architecture `llama`, 3.2 million parameters in Q8_0, context 2,048, ChatML template with
/// tools.
#[cfg(feature = "chat")]
pub const CHAT: &[u8] = include_bytes!("../models/mullama-tiny-q8_0.gguf");

/// The chat model's picture tower: GGUF for libmtmd, projector type `mlp`, 96 x 96 pixels, 36 tokens a picture.
#[cfg(feature = "vision")]
pub const VISION: &[u8] = include_bytes!("../models/mmproj-mullama-tiny-f16.gguf");

/// The speech model: whisper.cpp's format, English, Q5_0.
#[cfg(feature = "speech")]
pub const SPEECH: &[u8] = include_bytes!("../models/mullama-tiny-en-q5_0.bin");

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(feature = "chat")]
    fn the_chat_model_is_gguf() {
        assert_eq!((&super::CHAT[..4], super::CHAT.len()), (&b"GGUF"[..], 3_451_136));
    }

    #[test]
    #[cfg(feature = "vision")]
    fn the_picture_tower_is_gguf() {
        assert_eq!((&super::VISION[..4], super::VISION.len()), (&b"GGUF"[..], 3_349_600));
    }

    #[test]
    #[cfg(feature = "speech")]
    fn the_speech_model_is_ggml() {
        assert_eq!((&super::SPEECH[..4], super::SPEECH.len()), (&b"lmgg"[..], 7_308_048));
    }
}
