//! Sound: capture, voice activity, speech to text, text to speech.
//!
//! **Little is in it yet**: whisper.cpp, linked on llama.cpp's ggml, with the feature `whisper`. What is planned:
//!
//! - `StreamingAudioProcessor`, `AudioStream`: capture, ring buffer, noise reduction, voice activity;
//! - transcription by whisper.cpp, speech by llama.cpp's libmtmd.
//!
//! # The feature `whisper` outside of mullama's workspace
//!
//! llama.cpp and whisper.cpp both bring a ggml; two in one program do not link. So whisper.cpp is compiled against
//! llama.cpp's, which takes one line in **your** project, because cargo reads no configuration of dependencies:
//!
//! 1. copy `one-ggml.cmake` (from the folder `cmake` of the crate `mullama-sys`) to `.cargo/one-ggml.cmake` in your
//!    project;
//! 2. in your project's `.cargo/config.toml`:
//!    ```toml
//!    [env]
//!    LLAMA_LIB_PROFILE = "Release"
//!    "CMAKE_PROJECT_whisper.cpp_INCLUDE" = { value = ".cargo/one-ggml.cmake", relative = true }
//!    ```
//! 3. once, if you have built before: `cargo clean -p whisper-rs-sys` (add `--release` for release builds).
//!
//! Without it this crate's build script stops the build and prints these steps with real paths. On Linux, link with lld
//! (rustc's default on x86-64): GNU ld needs the archives in another order.
#![forbid(unsafe_code)]

/// whisper.cpp's line about its CPU features and backends: the same ggml as llama.cpp's
/// ([`mullama_core::system_info`]), so the same features.
///
/// ```
/// assert!(mullama_audio::whisper_system_info().contains("WHISPER"));
/// ```
#[cfg(feature = "whisper")]
#[must_use]
pub fn whisper_system_info() -> String {
    whisper_rs::print_system_info().to_owned()
}
