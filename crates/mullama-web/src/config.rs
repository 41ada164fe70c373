//! What the operator decides.

use std::path::PathBuf;

use mullama_core::GenerationParams;
use serde::{Deserialize, Serialize};

/// How requests are answered. Plain data; every field has a default that holds in production.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// Keys that requests must bring (`authorization: Bearer KEY`, or `x-api-key: KEY`); empty: none is asked for. The
    /// server keeps only their SHA-256. Health is told without a key.
    #[serde(skip_serializing)]
    pub api_keys: Vec<String>,
    /// A file with further keys, one a line; empty lines and lines that begin with `#` do not count. Read again when it
    /// changes, and by [`AppState::reload_keys`](crate::AppState::reload_keys).
    pub api_key_file: Option<PathBuf>,
    /// Keys of those who may see and change the configuration (`/admin/config`, from this machine); empty (default): nobody.
    /// Only their SHA-256 is kept.
    #[serde(skip_serializing)]
    pub admin_keys: Vec<String>,
    /// A file with further keys of these, as `api_key_file`.
    pub admin_key_file: Option<PathBuf>,
    /// Names by which this server is called, beside `localhost` and loopback addresses: what the header `Host` of a request
    /// may say where no key is asked for. Keeps pages of other sites out (DNS rebinding). `*`: any.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may read answers (CORS): `https://app.example.org`; `*`: any. Default: none.
    pub cors_origins: Vec<String>,
    /// Bytes of a body at most. Default 32 MiB.
    pub max_body_bytes: usize,
    /// Answers to one request at most (`n`). 1..=64, default 8.
    pub max_choices: u32,
    /// Texts of one request for embeddings, or documents of one for ranking, at most. Default 2,048.
    pub max_inputs: usize,
    /// Requests for work that are answered at the same time, at most; one more is 429. Default 4,096.
    pub max_concurrent: usize,
    /// Requests for work in a minute that each key (without keys: all together) may make; `None` (default): any.
    pub requests_per_minute: Option<u32>,
    /// A request without a time limit of its own gets this one, in ms. `None` (default): none.
    pub request_timeout_ms: Option<u64>,
    /// How long a stream waits for its first token before it answers 200 and goes on with comments, in ms: within this time
    /// an error has a status of its own. Default 10,000.
    pub first_event_timeout_ms: u64,
    /// Silence after which a stream sends a comment, in ms. Default 15,000.
    pub keep_alive_ms: u64,
    /// Serve `GET /metrics`. Default true.
    pub metrics: bool,
    /// Serve `GET /slots`. Default true.
    pub slots: bool,
    /// Metrics also under the names of vLLM and of llama.cpp's server. Default true.
    pub metrics_aliases: bool,
    /// What lists of tokens in requests for embeddings mean. LangChain sends those of another vocabulary unless told not to.
    /// Default: refuse.
    pub embedding_tokens: EmbeddingTokens,
    /// Cut vectors to the `dimensions` of a request. Default false: only models that were trained for it bear it, so that a
    /// request for fewer than the model has is 400.
    pub embedding_truncation: bool,
    /// Sampling of requests that do not say otherwise.
    pub defaults: GenerationParams,
    /// Who shares prefixes with whom: each key only with itself (true), or all with all (false, default). Where prefixes are
    /// shared, the time to the first token tells whether somebody has sent the same beginning before.
    pub cache_by_key: bool,
}

/// What lists of tokens in requests for embeddings mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EmbeddingTokens {
    /// Nothing: 400, which tells what to set in the client.
    #[default]
    Reject,
    /// Tokens of the model.
    Model,
}

impl Default for WebConfig {
    fn default() -> Self {
        Self {
            api_keys: Vec::new(),
            api_key_file: None,
            admin_keys: Vec::new(),
            admin_key_file: None,
            allowed_hosts: Vec::new(),
            cors_origins: Vec::new(),
            max_body_bytes: 32 << 20,
            max_choices: 8,
            max_inputs: 2_048,
            max_concurrent: 4_096,
            requests_per_minute: None,
            request_timeout_ms: None,
            first_event_timeout_ms: 10_000,
            keep_alive_ms: 15_000,
            metrics: true,
            slots: true,
            metrics_aliases: true,
            embedding_tokens: EmbeddingTokens::Reject,
            embedding_truncation: false,
            defaults: crate::wire::sampling::defaults(),
            cache_by_key: false,
        }
    }
}

/// Without the keys.
impl std::fmt::Debug for WebConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebConfig")
            .field("api_keys", &self.api_keys.len())
            .field("api_key_file", &self.api_key_file)
            .field("allowed_hosts", &self.allowed_hosts)
            .field("cors_origins", &self.cors_origins)
            .field("max_body_bytes", &self.max_body_bytes)
            .field("max_concurrent", &self.max_concurrent)
            .field("requests_per_minute", &self.requests_per_minute)
            .finish_non_exhaustive()
    }
}

impl WebConfig {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) names the field.
    pub fn validate(&self) -> crate::Result<()> {
        use crate::Error;
        let within = |name, value: u64, low: u64, high: u64, expected| {
            if (low..=high).contains(&value) { Ok(()) } else { Err(Error::config(name, value, expected)) }
        };
        within("max_body_bytes", self.max_body_bytes as u64, 1 << 10, 1 << 30, "1,024 to 1,073,741,824 bytes")?;
        within("max_choices", self.max_choices.into(), 1, 64, "1 to 64")?;
        within("max_inputs", self.max_inputs as u64, 1, 1 << 20, "1 to 1,048,576")?;
        within("max_concurrent", self.max_concurrent as u64, 1, 1 << 20, "1 to 1,048,576")?;
        within("first_event_timeout_ms", self.first_event_timeout_ms, 0, 600_000, "0 to 600,000 ms")?;
        within("keep_alive_ms", self.keep_alive_ms, 100, 600_000, "100 to 600,000 ms")?;
        if self.requests_per_minute == Some(0) {
            return Err(Error::config("requests_per_minute", 0, "at least 1, or none"));
        }
        let named = [("api_keys", &self.api_keys), ("admin_keys", &self.admin_keys)];
        let mut keys = named.into_iter().flat_map(|(name, keys)| keys.iter().map(move |key| (name, key)));
        if let Some((name, key)) = keys.find(|(_, key)| key.trim().is_empty()) {
            return Err(Error::config(name, format!("a key of {} blanks", key.len()), "keys with some characters"));
        }
        if let Some(origin) = self.cors_origins.iter().find(|origin| !is_origin(origin)) {
            return Err(Error::config("cors_origins", origin, "origins like `https://example.org`, or `*`"));
        }
        self.defaults.validate().map_err(Error::Core)
    }
}

fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    text == "*" || rest.is_some_and(|host| !host.is_empty() && !host.contains(['/', ' ', '*', '@']))
}
