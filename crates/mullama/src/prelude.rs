//! What most programs need: `use mullama::prelude::*;`.

pub use crate::MullamaError;
pub use mullama_core::{
    AudioBuffer, CancelToken, ChatMessage, ChatRequest, ChatTemplate, Context, Embedder, ErrorKind, FinishReason,
    GenerationParams, Grammar, ImageBuffer, Model, Reranker, Role, SamplingParams, TokenEvent, TokenId, Tokenizer,
};
