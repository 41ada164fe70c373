//! Models that come and go while others are used.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use mullama_core::EngineParams;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{LocalBackend, Registered, Source};
use crate::error::{Error, Result};
use crate::model::{AsyncModel, ModelSource};
use crate::pool::EnginePool;

/// A model that is ready to be given a place by [`LocalBackend::arrange`]. Dropped, it is unloaded.
#[derive(Debug)]
pub struct Prepared {
    backend: LocalBackend,
    runtime: Handle,
    key: Option<String>,
}

/// What stands under some names.
#[derive(Debug)]
#[non_exhaustive]
pub enum Place {
    /// The model that is called so now.
    Kept(String),
    /// Another one.
    New(Prepared),
}

/// A model that nobody gets any more, whose answers come to their ends. That goes on also if this is dropped.
#[derive(Debug)]
pub struct Draining {
    name: String,
    task: JoinHandle<Result<bool>>,
}

impl Draining {
    /// What it was called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until it is unloaded. True: its answers ended in time.
    ///
    /// # Errors
    /// [`Error::ShutDown`] when the runtime has ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn ended(self) -> Result<bool> {
        self.task.await.map_err(|_| Error::ShutDown)?
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            // Nobody waits for it, and its key is no other's.
            let _ = self.backend.retire(&self.runtime, &key, &key, Duration::ZERO);
        }
    }
}

impl LocalBackend {
    /// Makes a model ready for a place: `name` is what it will be called. With `load` it is loaded now, beside the model that
    /// has the name, which is not unloaded for it; otherwise with its first request.
    ///
    /// # Errors
    /// Those of [`EnginePool::get`] for a model that cannot be loaded; [`Error::NoMemory`] where those in use and the one of
    /// this name leave too little; [`mullama_core::Error::Unsupported`] for a backend of one loaded model.
    ///
    /// # Cancel safety
    /// If the future is dropped, the new one is unloaded.
    pub async fn prepare(&self, name: &str, source: ModelSource, params: EngineParams, load: bool) -> Result<Prepared> {
        let pool = self.pool()?;
        let key = register(pool, name, &source, &params)?;
        let prepared = Prepared { backend: self.clone(), runtime: Handle::current(), key: Some(key.clone()) };
        pool.inherit(&key, self.registered(name).ok().map(|old| old.key.clone()));
        if load {
            let engine = AsyncModel::from(pool.get(&key).await?).engine().await?;
            self.inner.learn(&key, &engine);
        }
        Ok(prepared)
    }

    /// Makes these the models, all at once: each with its names, the first of which is what it is called, the others stand for
    /// it; the first model is that of requests that name none. Requests that come then get these; answers of models that have
    /// no place any more may go on for `drain`. To be called on the runtime.
    ///
    /// # Errors
    /// [`Error::DuplicateModel`] for a name that stands twice, [`Error::NoSuchModel`] for a kept one that is not there,
    /// [`Error::InvalidParameter`] for a model without a name; [`mullama_core::Error::Unsupported`] for a backend of one loaded
    /// model. Then nothing has changed, and what was new is unloaded.
    pub fn arrange(&self, models: Vec<(Vec<String>, Place)>, drain: Duration) -> Result<Vec<Draining>> {
        let pool = self.pool()?;
        let mut known: Vec<&String> = Vec::new();
        for name in models.iter().flat_map(|(names, _)| names) {
            if known.contains(&name) {
                return Err(Error::DuplicateModel { name: name.clone() });
            }
            known.push(name);
        }
        let mut table = self.inner.models.write().unwrap_or_else(PoisonError::into_inner);
        let mut new = Vec::with_capacity(models.len());
        let mut prepared = Vec::new();
        for (mut names, place) in models {
            if names.is_empty() {
                return Err(Error::parameter("names", "empty", "one name at least"));
            }
            let name = names.remove(0);
            new.push(Arc::new(match place {
                Place::Kept(was) => {
                    let kept = table.iter().find(|model| model.name == was);
                    let kept = kept.ok_or(Error::NoSuchModel { name: was })?;
                    Registered { name, aliases: names, created: kept.created, key: kept.key.clone() }
                }
                Place::New(model) => {
                    let key = model.key.clone().unwrap_or_default();
                    prepared.push(model);
                    Registered { aliases: names, key, ..Registered::new(name) }
                }
            }));
        }
        if let Some(twice) =
            new.iter().enumerate().find(|(at, model)| new[..*at].iter().any(|one| one.key == model.key))
        {
            return Err(Error::DuplicateModel { name: twice.1.name.clone() });
        }
        // They have their places.
        for key in prepared.iter_mut().filter_map(|model| model.key.take()) {
            pool.inherit(&key, None);
        }
        let gone = std::mem::replace(&mut *table, new);
        let gone: Vec<_> = gone.into_iter().filter(|old| !table.iter().any(|new| new.key == old.key)).collect();
        drop(table);
        gone.iter().map(|old| self.retire(&Handle::current(), &old.key, &old.name, drain)).collect()
    }

    fn retire(&self, runtime: &Handle, key: &str, name: &str, drain: Duration) -> Result<Draining> {
        let removal = self.pool()?.retire(runtime, key, drain)?;
        // A backend that has gone knows nothing any more.
        let (inner, key) = (Arc::downgrade(&self.inner), key.to_owned());
        let task = runtime.spawn(async move {
            let in_time = removal.await.map_err(|_| Error::ShutDown)?;
            if let Some(inner) = inner.upgrade() {
                inner.known().remove(&key);
            }
            in_time
        });
        Ok(Draining { name: name.to_owned(), task })
    }

    fn pool(&self) -> Result<&EnginePool> {
        match &self.inner.source {
            Source::Pool(pool) => Ok(pool),
            Source::One(_) => Err(mullama_core::Error::Unsupported {
                what: "changing the models",
                reason: "there is one, which was loaded by the program around the server",
            }
            .into()),
        }
    }
}

/// Under a key that no other model has, nor one on its way out.
fn register(pool: &EnginePool, name: &str, source: &ModelSource, params: &EngineParams) -> Result<String> {
    for number in 1_u64.. {
        let key = if number == 1 { name.to_owned() } else { format!("{name}@{number}") };
        match pool.register(&*key, source.clone(), params.clone(), 1) {
            Err(Error::DuplicateModel { .. }) => {}
            result => return result.map(|()| key),
        }
    }
    Err(Error::DuplicateModel { name: name.to_owned() })
}
