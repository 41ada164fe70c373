//! How a local backend is made.

use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use mullama_core::EngineParams;

use super::{Inner, LocalBackend, Registered, Source};
use crate::error::{Error, Result};
use crate::model::ModelSource;
use crate::pool::EnginePool;

/// Which models there are. Made by [`LocalBackend::builder`]; ends with [`LocalBackendBuilder::build`].
#[derive(Debug)]
#[must_use]
pub struct LocalBackendBuilder {
    pub(super) models: Vec<(String, ModelSource, EngineParams)>,
    pub(super) aliases: Vec<(String, String)>,
    pub(super) keep_alive: Option<Duration>,
    pub(super) max_memory_bytes: Option<u64>,
}

impl LocalBackendBuilder {
    /// Adds a model. It is loaded when it is first needed, or by [`InferenceBackend::load`](crate::InferenceBackend::load).
    pub fn model(mut self, name: impl Into<String>, source: impl Into<ModelSource>, params: EngineParams) -> Self {
        self.models.push((name.into(), source.into(), params));
        self
    }

    /// Another name for a model.
    pub fn alias(mut self, name: impl Into<String>, alias: impl Into<String>) -> Self {
        self.aliases.push((name.into(), alias.into()));
        self
    }

    /// A model that nobody has used for this long is unloaded. Default, and `None`: never.
    pub fn keep_alive(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.keep_alive = time.into();
        self
    }

    /// What all models together may take; see [`EnginePool`]. Default: no limit.
    pub fn max_memory_bytes(mut self, bytes: u64) -> Self {
        self.max_memory_bytes = Some(bytes);
        self
    }

    /// Makes the backend. Nothing is loaded.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] without a model, or for an alias of a model that is not there;
    /// [`Error::DuplicateModel`] for a name that is given twice; those of [`EnginePool::register`].
    pub fn build(self) -> Result<LocalBackend> {
        let mut models: Vec<Registered> = Vec::with_capacity(self.models.len());
        let mut pool = EnginePool::builder().keep_alive(self.keep_alive);
        if let Some(bytes) = self.max_memory_bytes {
            pool = pool.max_memory_bytes(bytes);
        }
        for (name, source, params) in self.models {
            models.push(Registered::new(name.clone()));
            pool = pool.register(name, source, params, 1);
        }
        if models.is_empty() {
            return Err(Error::parameter("models", "empty", "at least one model"));
        }
        let pool = pool.build()?;
        for (name, alias) in self.aliases {
            if models.iter().any(|model| model.name == alias || model.aliases.contains(&alias)) {
                return Err(Error::DuplicateModel { name: alias });
            }
            let model = models.iter_mut().find(|model| model.name == name);
            model.ok_or_else(|| Error::NoSuchModel { name: name.clone() })?.aliases.push(alias);
        }
        let models = RwLock::new(models.into_iter().map(Arc::new).collect());
        Ok(LocalBackend { inner: Arc::new(Inner { models, source: Source::Pool(pool), known: Mutex::default() }) })
    }
}
