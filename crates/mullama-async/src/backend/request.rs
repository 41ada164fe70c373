//! What crosses between a server and a backend.

use mullama_core::{
    ChatDelta, ChatMessage, ChatRequest, GenerationParams, Priority, RerankScore, Summary, TokenId, TokenLogprob,
};
use serde::{Deserialize, Serialize};

/// A request for text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackendRequest {
    /// What it starts from.
    pub prompt: BackendPrompt,
    /// How long it goes on and how tokens are chosen.
    pub params: GenerationParams,
    /// Which requests go first.
    pub priority: Priority,
    /// Adapters for this request by their number in [`BackendModel::adapters`](super::BackendModel::adapters), with their
    /// scales; `None`: those in force.
    pub adapters: Option<Vec<(usize, f32)>>,
    /// Only requests with the same salt share prefixes.
    pub cache_salt: Option<String>,
    /// Events that the reader may be behind before the generation is paused; `None`: as the engine has it.
    pub event_buffer: Option<u32>,
}

impl BackendRequest {
    /// A request with default parameters.
    #[must_use]
    pub fn new(prompt: BackendPrompt) -> Self {
        Self {
            prompt,
            params: GenerationParams::default(),
            priority: Priority::default(),
            adapters: None,
            cache_salt: None,
            event_buffer: None,
        }
    }
}

/// What a request starts from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BackendPrompt {
    /// Text as it is.
    Text(String),
    /// Tokens, as they are.
    Tokens(Vec<TokenId>),
    /// A conversation: the events carry what the answer means.
    Chat(Box<ChatRequest>),
    /// What stands between two texts, for models that were trained to fill it in.
    Infill {
        /// What stands before.
        prefix: String,
        /// What stands behind.
        suffix: String,
    },
}

/// One event of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum BackendEvent {
    /// Tokens were chosen.
    Tokens(TokenDelta),
    /// The last event.
    Done(Box<BackendSummary>),
}

/// What came with one token, or with several that came at once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenDelta {
    /// The text that became certain: maybe empty. Of an answer to a conversation: unparsed.
    pub text: String,
    /// Of an answer to a conversation: what the text means. Empty for other prompts.
    pub deltas: Vec<ChatDelta>,
    /// The tokens.
    pub tokens: Vec<TokenId>,
    /// Their log-probabilities, if asked for.
    pub logprobs: Vec<TokenLogprob>,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackendSummary {
    /// Why, and what it took.
    pub summary: Summary,
    /// What had been held back.
    pub last: TokenDelta,
    /// Of a conversation: the whole message.
    pub message: Option<ChatMessage>,
    /// Why the answer could not be read in the form that its template asks for, if it could not: then `message` has the
    /// text as it came.
    pub unparsed: Option<String>,
}

/// A conversation as the model gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RenderedPrompt {
    /// The text.
    pub text: String,
    /// Its tokens.
    pub tokens: u32,
}

impl RenderedPrompt {
    /// A rendered text and the number of its tokens.
    pub fn new(text: impl Into<String>, tokens: u32) -> Self {
        Self { text: text.into(), tokens }
    }
}

/// Texts by how well they answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RerankOutput {
    /// Best first.
    pub scores: Vec<RerankScore>,
    /// Tokens of the query and all documents, each pair counted once.
    pub tokens: u64,
}

impl RerankOutput {
    /// Scores, best first, and the tokens that were read for them.
    #[must_use]
    pub fn new(scores: Vec<RerankScore>, tokens: u64) -> Self {
        Self { scores, tokens }
    }
}
