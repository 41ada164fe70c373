//! Local models on llama.cpp, without `unsafe` in the API: load, tokenize, chat, generate, embed, rerank, quantize.
//!
//! ```no_run
//! # #[cfg(feature = "native")]
//! # fn main() -> mullama_core::Result<()> {
//! use mullama_core::{GenerationParams, Model, TokenEvent};
//!
//! let model = Model::load("model.gguf")?;
//! let mut context = model.context().build()?;
//! let params = GenerationParams { max_tokens: Some(64), ..Default::default() };
//! for event in context.generate("Once upon a time", &params)? {
//!     if let TokenEvent::Token { text, .. } = event? {
//!         print!("{text}");
//!     }
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "native"))]
//! # fn main() {}
//! ```
//!
//! # What is where
//!
//! | you want | take |
//! |---|---|
//! | weights, metadata | [`Model`], [`ModelBuilder`] |
//! | text to tokens and back | [`Tokenizer`], [`TextDecoder`] |
//! | a conversation to a prompt, an answer to a message | [`ChatTemplate`], [`ChatParser`] |
//! | how tokens are chosen | [`SamplingParams`], [`Grammar`] |
//! | text | [`Context::generate`], [`GenerationParams`], [`TokenEvent`] |
//! | vectors, scores | [`Embedder`], [`Reranker`] |
//! | adapters | [`Lora`] |
//! | a smaller model | [`quantize()`] |
//! | what a file holds, without loading it | [`Gguf`](gguf::Gguf) |
//!
//! # Features
//!
//! `native` (default): everything above. Without it only [`AudioBuffer`], [`ImageBuffer`] and the errors remain, and no
//! C++ is built. `cuda`, `vulkan`, `metal`, `rocm`, `rpc`: backends of llama.cpp.
//!
//! # What it does not do
//!
//! It is blocking and has no runtime; `mullama-async` is to have one. A hostile model file can still make llama.cpp abort the
//! process: what is known to is refused beforehand ([`gguf::Gguf::check`]), but only a process of its own contains the
//! rest. Load models that you trust.

mod error;
pub mod files;
mod media;

pub use error::{Error, ErrorKind, Result};
pub use media::{AudioBuffer, ImageBuffer};

#[cfg(feature = "native")]
#[expect(unsafe_code, reason = "the one door to C; everything above it is safe")]
mod ffi;

#[cfg(feature = "native")]
pub mod gguf;

#[cfg(feature = "native")]
mod backend;
#[cfg(feature = "native")]
mod chat;
#[cfg(feature = "native")]
mod context;
#[cfg(feature = "native")]
mod embed;
#[cfg(feature = "native")]
mod engine;
#[cfg(feature = "native")]
mod generate;
#[cfg(feature = "native")]
mod grammar;
#[cfg(feature = "native")]
mod lora;
#[cfg(feature = "native")]
mod model;
#[cfg(feature = "parallel")]
mod parallel;
#[cfg(feature = "native")]
mod prepare;
#[cfg(feature = "native")]
mod quantize;
#[cfg(feature = "native")]
mod rerank;
#[cfg(feature = "native")]
mod sampling;
#[cfg(feature = "native")]
mod tokenizer;

#[cfg(feature = "parallel")]
pub use parallel::{
    BatchGenerationConfig, BatchOutput, BatchProgress, ParallelProcessor, ParallelProcessorBuilder, ThreadPoolConfig,
};
#[cfg(feature = "native")]
pub use {
    backend::{Device, DeviceKind, devices, system_info},
    chat::{
        ChatDelta, ChatMessage, ChatParser, ChatPrompt, ChatRequest, ChatTemplate, ContentPart, FunctionCall,
        ReasoningFormat, ResponseFormat, Role, Tool, ToolCall, ToolCallDelta, ToolChoice,
    },
    context::{CancelToken, Context, ContextBuilder, ContextParams, FlashAttention, KvType, Perf},
    embed::{EmbedInput, Embedder, EmbedderBuilder, Embedding, Pooling},
    engine::{
        CancelHandle, Engine, EngineBuilder, EngineParams, EngineStats, GenerationRequest, GenerationStream,
        HistogramBucket, HistogramSnapshot, KvLayout, Pending, Priority, RequestPrompt, Speculation, ThreadPolicy,
    },
    generate::{
        FinishReason, Generation, GenerationParams, Prompt, Summary, TextDecoder, Timings, TokenEvent, TokenLogprob,
        Usage,
    },
    grammar::{Grammar, GrammarTrigger},
    lora::Lora,
    model::{KvOverride, KvOverrideValue, LoraSpec, Model, ModelBuilder, ModelParams, SplitMode},
    quantize::{FileType, QuantizeParams, quantize},
    rerank::{RerankScore, Reranker},
    sampling::{LogitBias, Mirostat, SamplerKind, SamplingParams},
    tokenizer::{EncodeOptions, TokenId, TokenKind, Tokenizer},
};
