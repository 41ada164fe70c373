//! Several models under names, loaded when they are needed, unloaded when the memory is needed by others.

mod ends;
mod estimate;
mod health;
mod lease;
mod loader;
mod machine;
mod native;
mod state;
mod sweep;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use mullama_core::{Engine, EngineParams};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

pub use health::{ModelHealth, ModelState};

use crate::error::{Error, Result};
use crate::model::{AsyncModel, ModelSource};
use lease::Lease;
use machine::Machine;
use native::{Native, Spec};

/// Models under names, each with one or several engines. Cheap to clone; all clones are one pool.
///
/// A model is loaded by the first [`get`](Self::get) and stays until nobody has used it for `keep_alive`, or until another
/// one needs its memory: then those go that were used longest ago, and only those that nobody has.
///
/// # Memory
///
/// `max_memory_bytes` bounds an estimate: for each model the size of its file and adapters (as if all of it were held), and
/// for each replica the keys and values of `sequences` times `context.length` tokens (or `kv_capacity`). What it leaves out:
/// llama.cpp's compute buffers, usually less than a few hundred MiB; the host memory for prefixes, which
/// [`host_cache_bytes`](EngineParams::host_cache_bytes) bounds; recurrent states. Memory of the CPU and of GPUs counts alike.
/// The sum is never over the bound: a model that must go is unloaded before the next one is loaded.
///
/// It needs the tokio runtime that it is called on: loads, unloads and the watch for idle models are tasks of it. When the
/// last clone goes, loads are cancelled and engines end as soon as nobody has them.
///
/// ```no_run
/// use std::time::Duration;
///
/// use mullama_async::EnginePool;
/// use mullama_core::{EngineParams, GenerationParams};
///
/// # async fn example() -> mullama_async::Result<()> {
/// let pool = EnginePool::builder()
///     .max_memory_bytes(8 << 30)
///     .keep_alive(Duration::from_secs(300))
///     .register("small", "qwen-0.6b.gguf", EngineParams::default(), 2)
///     .register("large", "qwen-8b.gguf", EngineParams { sequences: 2, ..Default::default() }, 1)
///     .build()?;
/// let engine = pool.get("small").await?;
/// println!("{}", engine.generate("Once upon a time", &GenerationParams::greedy(32)).await?.text().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EnginePool {
    last: Arc<Last>,
}

struct Last(Arc<Machine<Native>>);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl EnginePool {
    /// Starts to say what is in the pool.
    pub fn builder() -> EnginePoolBuilder {
        EnginePoolBuilder { max_memory_bytes: None, keep_alive: None, models: Vec::new() }
    }

    /// Adds a model; nothing is loaded. `replicas`: engines that share its weights, 1..=64, each with a context and a
    /// thread of its own.
    ///
    /// # Errors
    /// [`Error::DuplicateModel`]; [`Error::InvalidParameter`] and core's.
    pub fn register(
        &self,
        name: impl Into<String>,
        source: impl Into<ModelSource>,
        params: EngineParams,
        replicas: u32,
    ) -> Result<()> {
        let name = name.into();
        if name.is_empty() {
            return Err(Error::parameter("name", "empty", "a text"));
        }
        if !(1..=MAX_REPLICAS).contains(&replicas) {
            return Err(Error::parameter("replicas", replicas, "1..=64"));
        }
        params.validate()?;
        self.machine().register(name, Spec { source: source.into(), params, replicas })
    }

    /// The engine of this model with the least to do. Loads the model if it is not there; calls that come meanwhile wait
    /// for the same load. An engine that has ended by itself is replaced first.
    ///
    /// # Errors
    /// [`Error::NoSuchModel`]; [`Error::LoadModel`], the same for all that have waited, after which the next call tries
    /// again; [`Error::NoMemory`] at once when models that are in use leave too little; [`Error::ShutDown`].
    ///
    /// # Cancel safety
    /// Cancel safe. A load goes on when nobody waits for it any more: the model is then there, and idle.
    pub async fn get(&self, name: &str) -> Result<PooledEngine> {
        let lease = Arc::new(self.machine().get(name).await?);
        let model = AsyncModel::leased(lease.engine().clone(), Arc::<Lease<Native>>::clone(&lease));
        Ok(PooledEngine { name: Arc::clone(lease.name()), model })
    }

    /// Loads a model ahead of its first use.
    ///
    /// # Errors
    /// As [`EnginePool::get`].
    ///
    /// # Cancel safety
    /// As [`EnginePool::get`].
    pub async fn load(&self, name: &str) -> Result<()> {
        self.machine().get(name).await.map(drop)
    }

    /// Unloads a model: gives it to nobody any more, waits until all that have it have given it back, but no longer than
    /// `deadline`, then ends its engines and what they compute. True: all was done in time. The model stays registered.
    ///
    /// # Errors
    /// [`Error::NoSuchModel`]; [`Error::ShutDown`] when the runtime has ended.
    ///
    /// # Cancel safety
    /// After its first poll the model is unloaded, also if the future is dropped; but for a model that is being loaded, which
    /// then stays.
    pub async fn unload(&self, name: &str, deadline: Duration) -> Result<bool> {
        self.machine().unload(name, deadline).await
    }

    /// Takes a model out of the pool: nobody gets it any more, and it is unloaded as [`EnginePool::unload`] does. True: all was
    /// done in time.
    ///
    /// # Errors
    /// As [`EnginePool::unload`].
    ///
    /// # Cancel safety
    /// After its first poll all of it happens, also if the future is dropped.
    pub async fn remove(&self, name: &str, deadline: Duration) -> Result<bool> {
        self.retire(&Handle::current(), name, deadline)?.await.map_err(|_| Error::ShutDown)?
    }

    /// One that is registered takes the place of another one, which does not make room for it.
    pub(crate) fn inherit(&self, name: &str, from: Option<String>) {
        self.machine().inherit(name, from);
    }

    /// [`EnginePool::remove`] as a task.
    pub(crate) fn retire(&self, runtime: &Handle, name: &str, deadline: Duration) -> Result<JoinHandle<Result<bool>>> {
        let machine = self.machine();
        machine.leave(name)?;
        Ok(runtime.spawn(Arc::clone(machine).remove(name.to_owned(), deadline)))
    }

    /// All models, by name.
    #[must_use]
    pub fn list(&self) -> Vec<ModelHealth> {
        let machine = self.machine();
        let state = machine.lock();
        state.entries.iter().map(|(name, entry)| entry.health(name, machine.keep_alive)).collect()
    }

    /// How a model is; `None` when there is none of this name.
    #[must_use]
    pub fn health(&self, name: &str) -> Option<ModelHealth> {
        let machine = self.machine();
        machine.lock().entries.get(name).map(|entry| entry.health(name, machine.keep_alive))
    }

    /// The engines that run, with the names of their models and their numbers among those of one model.
    pub(crate) fn engines(&self) -> Vec<(String, usize, Engine)> {
        let machine = self.machine();
        let state = machine.lock();
        let engines = state.entries.iter().flat_map(|(name, entry)| {
            entry.engines().into_iter().enumerate().map(|(number, engine)| (name.clone(), number, engine))
        });
        engines.collect()
    }

    /// Ends the pool: cancels loads, and unloads all models as [`EnginePool::unload`] does. True: all was done in time.
    ///
    /// # Cancel safety
    /// After its first poll all of it happens, also if the future is dropped.
    pub async fn shutdown(&self, deadline: Duration) -> bool {
        self.machine().shutdown(deadline).await
    }

    fn machine(&self) -> &Arc<Machine<Native>> {
        &self.last.0
    }
}

impl fmt::Debug for EnginePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnginePool").field("models", &self.list()).finish_non_exhaustive()
    }
}

/// What is in a pool. Made by [`EnginePool::builder`]; ends with [`EnginePoolBuilder::build`].
#[derive(Debug)]
#[must_use]
pub struct EnginePoolBuilder {
    max_memory_bytes: Option<u64>,
    keep_alive: Option<Duration>,
    models: Vec<(String, ModelSource, EngineParams, u32)>,
}

impl EnginePoolBuilder {
    /// What all models together may take, by the estimate that [`EnginePool`] tells of, in bytes. Default: no limit.
    pub fn max_memory_bytes(mut self, bytes: u64) -> Self {
        self.max_memory_bytes = Some(bytes);
        self
    }

    /// A model that nobody has used for this long is unloaded. Default, and `None`: never.
    pub fn keep_alive(mut self, time: impl Into<Option<Duration>>) -> Self {
        self.keep_alive = time.into();
        self
    }

    /// Adds a model; see [`EnginePool::register`].
    pub fn register(
        mut self,
        name: impl Into<String>,
        source: impl Into<ModelSource>,
        params: EngineParams,
        replicas: u32,
    ) -> Self {
        self.models.push((name.into(), source.into(), params, replicas));
        self
    }

    /// Makes the pool. Nothing is loaded.
    ///
    /// # Errors
    /// Those of [`EnginePool::register`].
    pub fn build(self) -> Result<EnginePool> {
        let machine = Machine::new(Native, self.max_memory_bytes.unwrap_or(u64::MAX), self.keep_alive);
        let pool = EnginePool { last: Arc::new(Last(machine)) };
        for (name, source, params, replicas) in self.models {
            pool.register(name, source, params, replicas)?;
        }
        Ok(pool)
    }
}

/// An engine of a pool, in use: its model is not unloaded for others or for idleness while this, a clone of it, an
/// [`AsyncModel`] made of it, or one of its streams is there.
///
/// It does all that an [`AsyncModel`] does; [`AsyncModel::shutdown`] ends this one engine, which the pool then replaces for
/// the next call. Handles on core's [`Engine`](mullama_core::Engine) or
/// [`Model`](mullama_core::Model) that are taken out of it hold nothing but their memory.
#[derive(Debug, Clone)]
pub struct PooledEngine {
    name: Arc<str>,
    model: AsyncModel,
}

impl PooledEngine {
    /// The model's name in the pool.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Deref for PooledEngine {
    type Target = AsyncModel;

    fn deref(&self) -> &AsyncModel {
        &self.model
    }
}

impl From<PooledEngine> for AsyncModel {
    fn from(engine: PooledEngine) -> Self {
        engine.model
    }
}

impl From<&PooledEngine> for AsyncModel {
    fn from(engine: &PooledEngine) -> Self {
        engine.model.clone()
    }
}

const MAX_REPLICAS: u32 = 64;
