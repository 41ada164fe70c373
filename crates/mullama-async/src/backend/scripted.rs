//! A backend that does what a test tells it: answers at a given pace, hangs, stalls, dies, sends garbage.

mod answer;
mod model;
mod serve;
mod text;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mullama_core::ChatDelta;

use self::model::Model;
use super::BackendRequest;
use crate::error::{Error, Result};

/// What a model of a [`ScriptedBackend`] does with each request.
///
/// Answers to conversations come as [`ChatDelta`]s with text, those to other prompts as text alone. `max_tokens`,
/// `timeout_ms` and [`GenerationControl::stop`](crate::GenerationControl::stop) end an answer as long as it has tokens to
/// come; stop strings are not looked for. Thoughts that are ended leave out those that would follow up to the next piece of
/// another kind. Where there is no interval, all comes at once.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Script {
    /// This many tokens of this text each, one in each interval, then the end (`stop`).
    Tokens {
        /// How many.
        count: u32,
        /// The time before each.
        interval: Duration,
        /// The text of each.
        text: String,
    },
    /// An answer in pieces, one token each: text, thoughts, tool calls. With a call it ends with `tool_calls`, otherwise
    /// with `stop`. A prompt that is no conversation gets the text alone.
    Answer {
        /// The pieces.
        deltas: Vec<ChatDelta>,
        /// The time before each.
        interval: Duration,
    },
    /// Takes requests and never tells of them again; neither a stop nor a time limit helps. Vectors and ranks never come.
    Hang,
    /// Some tokens, then nothing for ever.
    Stall {
        /// How many come.
        after: u32,
        /// The time before each.
        interval: Duration,
        /// The text of each.
        text: String,
    },
    /// Takes no request: this is what it says.
    Refuse(fn() -> Error),
    /// Some tokens, then an error.
    FailAfter {
        /// How many come.
        tokens: u32,
        /// The time before each.
        interval: Duration,
        /// The error.
        error: fn() -> Error,
    },
    /// Some tokens at once, then the end of the stream without [`BackendEvent::Done`](crate::BackendEvent::Done).
    NoDone {
        /// How many come.
        tokens: u32,
    },
    /// Some tokens at once, then [`BackendEvent::Done`](crate::BackendEvent::Done), more tokens, and `Done` once more.
    DoneTwice {
        /// How many come before each.
        tokens: u32,
    },
    /// Text that looks like the framing of streams, control characters, empty pieces, and pieces of tool calls that never
    /// began.
    Noise,
    /// Is being loaded: requests wait until it has another script.
    Loading,
    /// Takes no request: its queue is full.
    Overloaded,
}

impl Script {
    /// So many tokens of the text "word ", at this interval.
    #[must_use]
    pub fn tokens(count: u32, interval: Duration) -> Self {
        Self::Tokens { count, interval, text: "word ".to_owned() }
    }

    /// These texts at once, each of them a token.
    pub fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        let deltas = texts.into_iter().map(|text| ChatDelta::Content(text.into())).collect();
        Self::Answer { deltas, interval: Duration::ZERO }
    }
}

/// A backend without a model behind it, for the tests of servers. Cheap to clone; all clones are the same.
///
/// Each character of a text is a token, and each piece of a script is one beyond those; so tokens and texts go into each
/// other and back. Vectors have [`ScriptedBackend::DIMENSIONS`] numbers that depend on the text alone; texts rank by the
/// share of the query's words that they have. A request may have [`ScriptedBackend::CONTEXT`] tokens.
///
/// One stream costs a timer and no task, so that thousands can run.
///
/// ```
/// use std::time::Duration;
///
/// use mullama_async::{InferenceBackend, Script, ScriptedBackend};
///
/// let backend = ScriptedBackend::new()
///     .model("slow", Script::tokens(100, Duration::from_millis(100)))
///     .model("gone", Script::Hang);
/// assert_eq!(backend.resolve(None).as_deref(), Some("slow"));
/// backend.kill("slow", Duration::from_secs(2));
/// assert_eq!(backend.restarts("slow"), 1);
/// ```
#[derive(Clone, Default)]
pub struct ScriptedBackend {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    models: Mutex<Vec<Arc<Model>>>,
}

impl ScriptedBackend {
    /// Numbers of a vector.
    pub const DIMENSIONS: usize = 16;
    /// Tokens of a prompt at most.
    pub const CONTEXT: u32 = 131_072;

    /// A backend without models.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a model; one of this name gets the script instead.
    #[must_use]
    pub fn model(self, name: impl Into<String>, script: Script) -> Self {
        let name = name.into();
        match self.find(&name) {
            Ok(model) => model.set(script),
            Err(_) => self.list().push(Arc::new(Model::new(name, script))),
        }
        self
    }

    /// Another name for a model.
    #[must_use]
    pub fn alias(self, name: &str, alias: impl Into<String>) -> Self {
        if let Ok(model) = self.find(name) {
            model.alias(alias.into());
        }
        self
    }

    /// From now on the model does this; requests that run go on as they began.
    pub fn script(&self, model: &str, script: Script) {
        if let Ok(model) = self.find(model) {
            model.set(script);
        }
    }

    /// Its engine dies: all its streams end with [`Error::BackendDown`], and requests get it, until `down_for` is over. Its
    /// numbers begin anew.
    pub fn kill(&self, model: &str, down_for: Duration) {
        if let Ok(model) = self.find(model) {
            model.kill(down_for);
        }
    }

    /// Its engine is back at once.
    pub fn revive(&self, model: &str) {
        if let Ok(model) = self.find(model) {
            model.revive();
        }
    }

    /// Requests for text that were handed in, those that were refused included.
    #[must_use]
    pub fn submitted(&self, model: &str) -> u64 {
        self.find(model).map_or(0, |model| model.state().submitted)
    }

    /// Streams that have not ended.
    #[must_use]
    pub fn running(&self, model: &str) -> usize {
        self.find(model).map_or(0, |model| model.state().running.len())
    }

    /// Streams that were dropped before their end.
    #[must_use]
    pub fn cancelled(&self, model: &str) -> u64 {
        self.find(model).map_or(0, |model| model.state().dropped)
    }

    /// How often it was killed.
    #[must_use]
    pub fn restarts(&self, model: &str) -> u64 {
        self.find(model).map_or(0, |model| model.state().restarts)
    }

    /// The last request for text that was handed in.
    #[must_use]
    pub fn last_request(&self, model: &str) -> Option<BackendRequest> {
        self.find(model).ok()?.state().last.clone()
    }

    fn list(&self) -> MutexGuard<'_, Vec<Arc<Model>>> {
        self.inner.models.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn all(&self) -> Vec<Arc<Model>> {
        self.list().clone()
    }

    fn find(&self, name: &str) -> Result<Arc<Model>> {
        let found = self.list().iter().find(|model| model.is_named(name)).cloned();
        found.ok_or_else(|| Error::NoSuchModel { name: name.to_owned() })
    }
}

impl fmt::Debug for ScriptedBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.all().iter().map(|model| model.name.clone()).collect();
        f.debug_struct("ScriptedBackend").field("models", &names).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
