//! What is asked of an engine.

use std::sync::Arc;
use std::time::Instant;

use super::deliver::Outlet;
use super::prefix::SaltKey;
use super::queue::{Place, Priority};
use crate::chat::{ChatPrompt, ChatRequest};
use crate::generate::{GenerationParams, Writer};
use crate::lora::Lora;
use crate::tokenizer::TokenId;

/// What a request starts from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum RequestPrompt {
    /// Text as it is; special tokens are added where the model wants them, and their names are read as such.
    Text(String),
    /// Tokens, as they are.
    Tokens(Vec<TokenId>),
    /// A rendered conversation; its grammar and stop strings come along.
    Chat(Box<ChatPrompt>),
    /// A conversation, rendered with the model's template.
    Messages(Box<ChatRequest>),
}

impl From<String> for RequestPrompt {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for RequestPrompt {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for RequestPrompt {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Vec<TokenId>> for RequestPrompt {
    fn from(tokens: Vec<TokenId>) -> Self {
        Self::Tokens(tokens)
    }
}

impl From<ChatPrompt> for RequestPrompt {
    fn from(chat: ChatPrompt) -> Self {
        Self::Chat(Box::new(chat))
    }
}

impl From<ChatRequest> for RequestPrompt {
    fn from(request: ChatRequest) -> Self {
        Self::Messages(Box::new(request))
    }
}

/// One request to an [`Engine`](crate::Engine).
///
/// ```
/// use mullama_core::{GenerationParams, GenerationRequest, Priority};
///
/// let request = GenerationRequest::new("Once upon a time")
///     .params(GenerationParams::greedy(64))
///     .priority(Priority::Batch);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct GenerationRequest {
    pub(super) prompt: RequestPrompt,
    pub(super) params: GenerationParams,
    pub(super) priority: Priority,
    pub(super) lora: Option<Vec<(Lora, f32)>>,
    pub(super) cache_salt: Option<String>,
    pub(super) event_buffer: Option<u32>,
}

impl GenerationRequest {
    /// A request with default parameters.
    pub fn new(prompt: impl Into<RequestPrompt>) -> Self {
        Self {
            prompt: prompt.into(),
            params: GenerationParams::default(),
            priority: Priority::default(),
            lora: None,
            cache_salt: None,
            event_buffer: None,
        }
    }

    /// How long it goes on and how tokens are chosen. `timeout_ms` counts from the submission.
    pub fn params(mut self, params: GenerationParams) -> Self {
        self.params = params;
        self
    }

    /// Which requests go first. Default: [`Priority::Interactive`].
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Adapters for this request, with their scales, in the place of those that the model was loaded with; an empty list
    /// is the bare model. Requests with the same adapters are computed together, others in turns.
    pub fn lora(mut self, adapters: impl Into<Vec<(Lora, f32)>>) -> Self {
        self.lora = Some(adapters.into());
        self
    }

    /// Only requests with the same salt share prefixes: so that nobody can tell from the time to the first token what
    /// somebody else has asked.
    pub fn cache_salt(mut self, salt: impl Into<String>) -> Self {
        self.cache_salt = Some(salt.into());
        self
    }

    /// [`EngineParams::event_buffer`](crate::EngineParams::event_buffer), for this request.
    pub fn event_buffer(mut self, events: u32) -> Self {
        self.event_buffer = Some(events);
        self
    }
}

impl<P: Into<RequestPrompt>> From<P> for GenerationRequest {
    fn from(prompt: P) -> Self {
        Self::new(prompt)
    }
}

/// A request, ready to be computed.
#[derive(Debug)]
pub(crate) struct Job<V> {
    pub(crate) id: u64,
    /// The prompt, and what was generated before the request was set back.
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) prompt: usize,
    pub(crate) writer: Writer<V>,
    pub(crate) adapters: Arc<Adapters>,
    pub(crate) key: SaltKey,
    pub(crate) priority: Priority,
    pub(crate) cache: bool,
    pub(crate) context_shift: bool,
    /// Tokens at the beginning that stay when the context is shifted.
    pub(crate) keep: usize,
    pub(crate) submitted: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) outlet: Outlet,
    /// Until it is first given a sequence.
    pub(crate) place: Option<Place>,
    pub(crate) progress: Progress,
}

impl<V> Job<V> {
    /// Its reader is behind from now on.
    pub(crate) fn pause(&mut self, now: Instant) {
        (self.progress.paused, self.progress.unread) = (Some(now), self.outlet.held());
    }

    /// Looks what its reader has done meanwhile.
    pub(crate) fn note_reader(&mut self, now: Instant) {
        let Progress { paused, unread, .. } = self.progress;
        if !self.outlet.is_paused() {
            self.progress.paused = None;
        } else if paused.is_none() || self.outlet.held() < unread {
            self.pause(now);
        }
    }
}

/// What a request has seen.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    /// When it was first given a sequence.
    pub(crate) admitted: Option<Instant>,
    /// When its first token came.
    pub(crate) first: Option<Instant>,
    /// When its last token came.
    pub(crate) last: Option<Instant>,
    /// Tokens of the prompt that were not computed.
    pub(crate) cached: usize,
    /// Since when its reader is behind and has taken nothing.
    pub(crate) paused: Option<Instant>,
    /// Events that it had not taken then.
    pub(crate) unread: usize,
    /// Waits until this request has computed so many tokens of the prefix that both have.
    pub(crate) behind: Option<(u64, usize)>,
}

/// Adapters that a request is computed with.
#[derive(Debug, Default)]
pub(crate) struct Adapters {
    pub(crate) list: Vec<(Lora, f32)>,
    /// Tells sets apart: over fingerprints and scales.
    pub(crate) identity: [u8; 32],
}

impl Adapters {
    pub(crate) fn new(list: Vec<(Lora, f32)>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for (adapter, scale) in &list {
            hasher.update(&adapter.fingerprint());
            // Two loads of one file may differ in time, not in what they do; two files with one fingerprint may not.
            hasher.update(adapter.path().as_os_str().as_encoded_bytes());
            hasher.update(&scale.to_le_bytes());
        }
        Self { list, identity: *hasher.finalize().as_bytes() }
    }

    /// Under which its prefixes are kept.
    pub(crate) fn key(&self, salt: Option<&str>) -> SaltKey {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.identity);
        if let Some(salt) = salt {
            hasher.update(b"salt");
            hasher.update(salt.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }
}
