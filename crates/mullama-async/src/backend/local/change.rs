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

/// A model that is to be there.
#[derive(Debug)]
pub struct ModelChange {
    /// What it is called; a model of this name gives its place to this one.
    pub name: String,
    /// Further names.
    pub aliases: Vec<String>,
    /// Where it is, and how it is loaded.
    pub source: ModelSource,
    /// Its engine.
    pub params: EngineParams,
    /// Load it before it takes its place; otherwise with its first request.
    pub load: bool,
    /// How long answers of the model that had its place may go on; then they are ended.
    pub drain: Duration,
}

/// A model that nobody gets any more, whose answers come to their ends. That goes on also if this is dropped.
#[derive(Debug)]
pub struct Draining(Option<JoinHandle<Result<bool>>>);

impl Draining {
    /// Waits until it is unloaded. True: its answers ended in time; where there was no model at once.
    ///
    /// # Errors
    /// [`Error::ShutDown`] when the runtime has ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn ended(self) -> Result<bool> {
        match self.0 {
            Some(task) => task.await.map_err(|_| Error::ShutDown)?,
            None => Ok(true),
        }
    }
}

impl LocalBackend {
    /// Adds a model, or puts it in the place of the one of its name. With [`load`](ModelChange::load) the new one is loaded
    /// first, beside the old one: until the old one's answers have ended there is memory in use for both. Requests that come
    /// then get the new one; those that run end with the old one.
    ///
    /// # Errors
    /// [`Error::DuplicateModel`]: another model has one of the names; those of [`EnginePool::get`] for a model that cannot be
    /// loaded, where the old one stays; [`mullama_core::Error::Unsupported`] for a backend of one loaded model.
    ///
    /// # Cancel safety
    /// If the future is dropped the old one stays, and the new one is unloaded.
    pub async fn put(&self, change: ModelChange) -> Result<Draining> {
        let pool = self.pool()?;
        let ModelChange { name, aliases, source, params, load, drain } = change;
        free(&self.inner.models(), &name, &aliases)?;
        let key = register(pool, &name, &source, &params)?;
        let mut unplaced = Unplaced { backend: self, runtime: Handle::current(), key: Some(key.clone()) };
        if load {
            let engine = AsyncModel::from(pool.get(&key).await?).engine().await?;
            self.inner.learn(&key, &engine);
        }
        let old = {
            let mut models = self.inner.models.write().unwrap_or_else(PoisonError::into_inner);
            // Another one may have come meanwhile.
            free(&models, &name, &aliases)?;
            let new = Arc::new(Registered { aliases, key, ..Registered::new(name) });
            unplaced.key = None;
            match models.iter_mut().find(|model| model.name == new.name) {
                Some(place) => Some(std::mem::replace(place, new)),
                None => {
                    models.push(new);
                    None
                }
            }
        };
        match old {
            Some(old) => self.retire(&Handle::current(), &old.key, drain),
            None => Ok(Draining(None)),
        }
    }

    /// Takes a model away: nobody gets it any more; answers that run may go on for `drain`. To be called on the runtime.
    ///
    /// # Errors
    /// [`Error::NoSuchModel`]; [`mullama_core::Error::Unsupported`] for a backend of one loaded model.
    pub fn remove(&self, name: &str, drain: Duration) -> Result<Draining> {
        self.pool()?;
        let old = self.registered(name)?;
        self.inner.models.write().unwrap_or_else(PoisonError::into_inner).retain(|model| model.key != old.key);
        self.retire(&Handle::current(), &old.key, drain)
    }

    /// Lists the models in the order of these names, the first of which is that of requests that name none; others follow.
    pub fn sort(&self, names: &[impl AsRef<str>]) {
        let place =
            |model: &Arc<Registered>| names.iter().position(|name| name.as_ref() == model.name).unwrap_or(usize::MAX);
        self.inner.models.write().unwrap_or_else(PoisonError::into_inner).sort_by_key(place);
    }

    fn retire(&self, runtime: &Handle, key: &str, drain: Duration) -> Result<Draining> {
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
        Ok(Draining(Some(task)))
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

/// A model that is registered, and takes no place yet.
struct Unplaced<'a> {
    backend: &'a LocalBackend,
    runtime: Handle,
    key: Option<String>,
}

impl Drop for Unplaced<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            // Nobody waits for it, and its key is no other's.
            let _ = self.backend.retire(&self.runtime, &key, Duration::ZERO);
        }
    }
}

/// Has no other model one of these names?
fn free(models: &[Arc<Registered>], name: &String, aliases: &[String]) -> Result<()> {
    let others = models.iter().filter(|model| model.name != *name);
    let known: Vec<&String> = others.flat_map(|other| std::iter::once(&other.name).chain(&other.aliases)).collect();
    match std::iter::once(name).chain(aliases).find(|name| known.contains(name)) {
        Some(name) => Err(Error::DuplicateModel { name: name.clone() }),
        None => Ok(()),
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
