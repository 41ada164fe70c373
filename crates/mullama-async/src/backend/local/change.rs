//! Models that come and go while others are used.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use mullama_core::EngineParams;

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

impl LocalBackend {
    /// Adds a model, or puts it in the place of the one of its name. With [`load`](ModelChange::load) the new one is loaded
    /// first, beside the old one: until the old one's answers have ended there is memory in use for both. Requests that come
    /// then get the new one; those that run end with the old one. True: they ended in time.
    ///
    /// # Errors
    /// [`Error::DuplicateModel`]: another model has one of the names; those of [`EnginePool::get`] for a model that cannot be
    /// loaded, where the old one stays; [`mullama_core::Error::Unsupported`] for a backend of one loaded model.
    ///
    /// # Cancel safety
    /// If the future is dropped while the new model is loaded, the old one stays; later on, the new one.
    pub async fn put(&self, change: ModelChange) -> Result<bool> {
        let pool = self.pool()?;
        let ModelChange { name, aliases, source, params, load, drain } = change;
        let others = self.inner.models();
        let mut others = others.iter().filter(|model| model.name != name);
        let taken = |other: &Arc<Registered>| {
            std::iter::once(&name)
                .chain(&aliases)
                .find(|name| other.name == **name || other.aliases.contains(name))
                .cloned()
        };
        if let Some(name) = others.find_map(taken) {
            return Err(Error::DuplicateModel { name });
        }
        let key = register(pool, &name, &source, &params)?;
        if load && let Err(error) = self.load(pool, &key).await {
            // Nobody knows it.
            let _ = pool.remove(&key, Duration::ZERO).await;
            return Err(error);
        }
        let new = Arc::new(Registered { aliases, key, ..Registered::new(name) });
        let old = {
            let mut models = self.inner.models.write().unwrap_or_else(PoisonError::into_inner);
            match models.iter_mut().find(|model| model.name == new.name) {
                Some(place) => Some(std::mem::replace(place, new)),
                None => {
                    models.push(new);
                    None
                }
            }
        };
        match old {
            Some(old) => self.retire(pool, &old, drain).await,
            None => Ok(true),
        }
    }

    /// Takes a model away: nobody gets it any more; answers that run may go on for `drain`. True: they ended in time.
    ///
    /// # Errors
    /// [`Error::NoSuchModel`]; [`mullama_core::Error::Unsupported`] for a backend of one loaded model.
    ///
    /// # Cancel safety
    /// After its first poll nobody gets the model any more, also if the future is dropped.
    pub async fn remove(&self, name: &str, drain: Duration) -> Result<bool> {
        let pool = self.pool()?;
        let old = self.registered(name)?;
        self.inner.models.write().unwrap_or_else(PoisonError::into_inner).retain(|model| model.key != old.key);
        self.retire(pool, &old, drain).await
    }

    async fn load(&self, pool: &EnginePool, key: &str) -> Result<()> {
        let engine = AsyncModel::from(pool.get(key).await?).engine().await?;
        self.inner.learn(key, &engine);
        Ok(())
    }

    async fn retire(&self, pool: &EnginePool, old: &Registered, drain: Duration) -> Result<bool> {
        let in_time = pool.remove(&old.key, drain).await;
        self.inner.known().remove(&old.key);
        in_time
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
