//! The one engine of a model: started when first needed, once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mullama_core::{Engine, EngineParams, Model};

use crate::blocking;
use crate::error::{Error, Result};

/// Starts an engine, gives it to all that ask, replaces it when it has ended.
#[derive(Debug)]
pub(super) struct SharedEngine {
    params: EngineParams,
    slot: Mutex<Slot>,
    /// Held by the thread that starts the engine.
    starting: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
enum Slot {
    Empty,
    Running(Engine),
    /// Somebody else's, who also replaces it.
    Fixed(Engine),
    /// With the engine that was ended, so that each who asks can wait for its end.
    Closed(Option<Engine>),
}

impl SharedEngine {
    pub(super) fn new(params: EngineParams) -> Self {
        Self { params, slot: Mutex::new(Slot::Empty), starting: Arc::default() }
    }

    pub(super) fn fixed(engine: Engine) -> Self {
        Self { params: engine.params().clone(), slot: Mutex::new(Slot::Fixed(engine)), starting: Arc::default() }
    }

    pub(super) async fn get(self: &Arc<Self>, model: &Model) -> Result<Engine> {
        if let Some(engine) = self.running()? {
            return Ok(engine);
        }
        let turn = Arc::clone(&self.starting).lock_owned().await;
        if let Some(engine) = self.running()? {
            return Ok(engine);
        }
        let (shared, model) = (Arc::clone(self), model.clone());
        let start = move || {
            // Given back when the engine is in its place, even if nobody waits for it any more.
            let _turn = turn;
            let engine = Engine::builder(model).params(shared.params.clone()).start()?;
            let mut slot = shared.slot();
            if matches!(*slot, Slot::Closed(_)) {
                return Err(Error::ShutDown);
            }
            *slot = Slot::Running(engine.clone());
            Ok(engine)
        };
        blocking::run("starting an engine", start).await?
    }

    pub(super) async fn shutdown(&self, deadline: Duration) -> Result<bool> {
        let engine = {
            let mut slot = self.slot();
            let engine = match &*slot {
                Slot::Running(engine) | Slot::Fixed(engine) => Some(engine.clone()),
                Slot::Closed(engine) => engine.clone(),
                Slot::Empty => None,
            };
            *slot = Slot::Closed(engine.clone());
            engine
        };
        match engine {
            Some(engine) => blocking::run_to_end("ending an engine", move || engine.shutdown(deadline)).await,
            None => Ok(true),
        }
    }

    /// The engine, if it runs.
    pub(super) fn now(&self) -> Option<Engine> {
        match &*self.slot() {
            Slot::Fixed(engine) | Slot::Running(engine) => Some(engine.clone()),
            Slot::Empty | Slot::Closed(_) => None,
        }
    }

    fn running(&self) -> Result<Option<Engine>> {
        match &*self.slot() {
            Slot::Fixed(engine) => Ok(Some(engine.clone())),
            Slot::Running(engine) if engine.is_open() => Ok(Some(engine.clone())),
            Slot::Running(_) | Slot::Empty => Ok(None),
            Slot::Closed(_) => Err(Error::ShutDown),
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
