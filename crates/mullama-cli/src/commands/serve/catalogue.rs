//! The models of a server that runs, as its configuration comes to say.

use std::sync::Arc;
use std::time::Duration;

use mullama::config::Loaded;
use mullama::{AppState, AsyncError, ConfigWatcher, Draining, LocalBackend, ModelChange};
use tokio::sync::Mutex;

use super::models::{self, Planned};
use crate::error::{Error, Result};

/// What is served, and where it is to be changed.
#[derive(Debug)]
pub(super) struct Catalogue {
    backend: Arc<LocalBackend>,
    watcher: Arc<ConfigWatcher>,
    state: AppState,
    /// Whether new models are loaded at once, and how long answers of old ones may go on: as the server started.
    warmup: bool,
    drain: Duration,
    /// Of a change that failed, what was there before. Held while models are changed.
    current: Mutex<Vec<Planned>>,
}

impl Catalogue {
    pub(super) fn new(
        backend: Arc<LocalBackend>,
        watcher: Arc<ConfigWatcher>,
        state: AppState,
        started: &Loaded,
        current: Vec<Planned>,
    ) -> Self {
        let config = started.config();
        let drain = Duration::from_millis(config.server.http.shutdown_timeout_ms);
        Self { backend, watcher, state, warmup: config.engine.warmup, drain, current: Mutex::new(current) }
    }

    /// Makes the models those of the configuration: what is new is added, what is other than it was is loaded first and then
    /// put in its place, what is gone is drained. Whatever fails stays as it was, until this is called again.
    pub(super) async fn follow(&self) {
        let mut current = self.current.lock().await;
        // The last one counts, whichever was the reason to look.
        let loaded = self.watcher.current();
        let wanted = match tokio::task::spawn_blocking(move || plan(&loaded)).await {
            Ok(Ok(wanted)) => wanted,
            Ok(Err(error)) => {
                tracing::error!(error = %error.chain(), "the models stay as they are");
                return;
            }
            // The runtime is ending.
            Err(_) => return,
        };
        let names: Vec<String> = wanted.iter().map(|new| new.name().to_owned()).collect();
        let mut late = Vec::new();
        for new in wanted.into_iter().filter(|new| !current.contains(new)).collect::<Vec<_>>() {
            match self.put(&new, &mut current).await {
                // Of one that is about to go.
                Err(Error::Async(AsyncError::DuplicateModel { .. } | AsyncError::NoMemory { .. })) => late.push(new),
                Err(error) => tell(&error, new.name()),
                Ok(()) => {}
            }
        }
        for old in current.extract_if(.., |old| !names.iter().any(|name| name == old.name())).collect::<Vec<_>>() {
            match self.backend.remove(old.name(), self.drain) {
                Ok(draining) => {
                    tracing::info!(model = old.name(), "a model is removed");
                    follow_to_its_end(draining, old.name());
                }
                Err(error) => tell(&error.into(), old.name()),
            }
        }
        for new in late {
            if let Err(error) = self.put(&new, &mut current).await {
                tell(&error, new.name());
            }
        }
        self.backend.sort(&names);
    }

    async fn put(&self, new: &Planned, current: &mut Vec<Planned>) -> Result<()> {
        let known = current.iter_mut().find(|old| old.name() == new.name());
        let change = ModelChange {
            name: new.name().to_owned(),
            aliases: new.aliases().cloned().collect(),
            source: new.source()?,
            params: new.engine(),
            // In the place of another it is loaded first, so that nobody waits for it.
            load: self.warmup || known.is_some(),
            drain: self.drain,
        };
        let draining = self.backend.put(change).await?;
        // What was known of the name may be another model's.
        self.state.forget_fingerprints();
        match known {
            Some(old) => {
                tracing::info!(model = new.name(), "a model was put in the place of another");
                *old = new.clone();
            }
            None => {
                tracing::info!(model = new.name(), "a model was added");
                current.push(new.clone());
            }
        }
        follow_to_its_end(draining, new.name());
        Ok(())
    }
}

/// Nothing waits for the last answers of a model that is gone, but how they end is told.
fn follow_to_its_end(draining: Draining, model: &str) {
    let model = model.to_owned();
    drop(tokio::spawn(async move {
        if let Ok(false) = draining.ended().await {
            tracing::warn!(model, "answers of a model that was taken away had to be cut");
        }
    }));
}

fn plan(loaded: &Loaded) -> Result<Vec<Planned>> {
    models::planned(loaded, &models::chosen(loaded.config())?)
}

fn tell(error: &Error, model: &str) {
    tracing::error!(model, error = %error.chain(), "a model cannot be changed; it stays as it was");
}
