//! The models of a server that runs, as its configuration comes to say.

use std::sync::Arc;
use std::time::Duration;

use mullama::config::Loaded;
use mullama::{ConfigWatcher, LocalBackend, ModelChange};
use tokio::sync::Mutex;

use super::models::{self, Planned};
use crate::error::{Error, Result};

/// What is served, and where it is to be changed.
#[derive(Debug)]
pub(super) struct Catalogue {
    backend: Arc<LocalBackend>,
    watcher: Arc<ConfigWatcher>,
    /// Of a change that failed, what was there before. Held while models are changed.
    current: Mutex<Vec<Planned>>,
}

impl Catalogue {
    pub(super) fn new(backend: Arc<LocalBackend>, watcher: Arc<ConfigWatcher>, current: Vec<Planned>) -> Self {
        Self { backend, watcher, current: Mutex::new(current) }
    }

    /// Makes the models those of the configuration: what is gone is drained, what is new is added, what is other than it was
    /// is loaded first and then put in its place. Whatever fails stays as it was.
    pub(super) async fn follow(&self) {
        let mut current = self.current.lock().await;
        // The last one counts, whichever was the reason to look.
        let loaded = self.watcher.current();
        let config = loaded.config();
        let drain = Duration::from_millis(config.server.http.shutdown_timeout_ms);
        let warmup = config.engine.warmup;
        let wanted = tokio::task::spawn_blocking(move || plan(&loaded)).await;
        let wanted = match wanted {
            Ok(Ok(wanted)) => wanted,
            Ok(Err(error)) => {
                tracing::error!(error = %error.chain(), "the models stay as they are");
                return;
            }
            // The runtime is ending.
            Err(_) => return,
        };
        let gone = |old: &Planned| !wanted.iter().any(|new| new.name() == old.name());
        for old in current.extract_if(.., |old| gone(old)).collect::<Vec<_>>() {
            match self.backend.remove(old.name(), drain).await {
                Ok(in_time) => tracing::info!(model = old.name(), in_time, "a model was removed"),
                Err(error) => tell(&error.into(), old.name()),
            }
        }
        for new in wanted.into_iter().filter(|new| !current.contains(new)).collect::<Vec<_>>() {
            let known = current.iter_mut().find(|old| old.name() == new.name());
            // In the place of another it is loaded first, so that nobody waits for it.
            match self.put(&new, warmup || known.is_some(), drain).await {
                Ok(in_time) => {
                    tracing::info!(model = new.name(), in_time, "a model was added, or put in the place of another");
                    match known {
                        Some(old) => *old = new,
                        None => current.push(new),
                    }
                }
                Err(error) => tell(&error, new.name()),
            }
        }
    }

    async fn put(&self, new: &Planned, load: bool, drain: Duration) -> Result<bool> {
        let change = ModelChange {
            name: new.name().to_owned(),
            aliases: new.aliases().cloned().collect(),
            source: new.source()?,
            params: new.engine(),
            load,
            drain,
        };
        Ok(self.backend.put(change).await?)
    }
}

fn plan(loaded: &Loaded) -> Result<Vec<Planned>> {
    models::planned(loaded, &models::chosen(loaded.config())?)
}

fn tell(error: &Error, model: &str) {
    tracing::error!(model, error = %error.chain(), "a model cannot be changed; it stays as it was");
}
