//! What most programs need: `use mullama::prelude::*;`.

pub use crate::MullamaError;
#[cfg(feature = "async")]
pub use mullama_async::{AsyncContext, AsyncModel, EnginePool, TokenStream};
#[cfg(feature = "tokio-runtime")]
pub use mullama_async::{MullamaRuntime, TaskManager};
#[cfg(feature = "config")]
pub use mullama_config::{ContextConfig, ModelConfig, MullamaConfig};
pub use mullama_core::{
    AudioBuffer, CancelToken, ChatMessage, ChatRequest, ChatTemplate, Context, Embedder, ErrorKind, FinishReason,
    GenerationParams, Grammar, ImageBuffer, Model, Reranker, Role, SamplingParams, TokenEvent, TokenId, Tokenizer,
};
#[cfg(feature = "parallel")]
pub use mullama_core::{BatchGenerationConfig, ParallelProcessor, ThreadPoolConfig};
#[cfg(feature = "web")]
pub use mullama_web::{AppState, Server, create_router};
