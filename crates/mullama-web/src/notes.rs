//! What is noted about a request while it is answered, for the log, the metrics and the answer's headers.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::Extensions;

/// Notes about one request. Cheap to clone; all clones are the same notes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notes(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    ignored: Mutex<Vec<String>>,
    model: OnceLock<String>,
    /// The fingerprint of the key that the request came with.
    key: OnceLock<String>,
    request_id: OnceLock<String>,
}

impl Notes {
    /// Those of a request; a handler that is called without the middleware gets new ones, which nobody reads.
    pub(crate) fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().cloned().unwrap_or_default()
    }

    /// Fields of the body that nobody reads.
    pub(crate) fn ignored(&self, fields: Vec<String>) {
        if !fields.is_empty() {
            self.0.ignored.lock().unwrap_or_else(PoisonError::into_inner).extend(fields);
        }
    }

    pub(crate) fn ignored_fields(&self) -> Vec<String> {
        self.0.ignored.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The model that answers.
    pub(crate) fn model(&self, name: &str) {
        // The first one stays: a request is answered by one model.
        let _ = self.0.model.set(name.to_owned());
    }

    pub(crate) fn model_name(&self) -> Option<&str> {
        self.0.model.get().map(String::as_str)
    }

    /// What its answer calls it.
    pub(crate) fn request_id(&self, id: &str) {
        let _ = self.0.request_id.set(id.to_owned());
    }

    pub(crate) fn request_id_name(&self) -> Option<&str> {
        self.0.request_id.get().map(String::as_str)
    }

    /// Who asks.
    pub(crate) fn key(&self, fingerprint: &str) {
        let _ = self.0.key.set(fingerprint.to_owned());
    }

    pub(crate) fn key_name(&self) -> Option<&str> {
        self.0.key.get().map(String::as_str)
    }
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Notes {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.extensions))
    }
}
