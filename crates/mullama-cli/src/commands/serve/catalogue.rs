//! The models of a server that runs, as its configuration comes to say.

use std::sync::Arc;
use std::time::Duration;

use mullama::config::Loaded;
use mullama::{AppState, AsyncError, ConfigWatcher, Draining, LocalBackend, Place, Prepared};
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

    /// Makes the models those of the configuration. What is new or other than it was is loaded first; then all change places at
    /// once, and what is gone is drained. Where one fails, what was in its place stays, and what is gone too if nothing was in
    /// its place, until this is called again.
    pub(super) async fn follow(&self) {
        let mut current = self.current.lock().await;
        // The last one counts, whichever was the reason to look.
        let loaded = self.watcher.current();
        let wanted = match tokio::task::spawn_blocking(move || plan(&loaded)).await {
            Ok(Ok(wanted)) => wanted,
            Ok(Err(error)) => {
                self.tell(&error, None, "the models stay as they are");
                return;
            }
            // The runtime is ending.
            Err(_) => return,
        };
        if *current == wanted {
            return;
        }
        // Those of the old ones that have no place yet.
        let mut left = current.clone();
        let mut table: Vec<(Planned, Place)> = Vec::with_capacity(wanted.len());
        let (mut crowded, mut failed) = (Vec::new(), false);
        for (at, new) in wanted.iter().enumerate() {
            if let Some(same) = same(new, &left, &wanted) {
                table.push((new.clone(), kept(&left.swap_remove(same))));
                continue;
            }
            let before = left.iter().position(|old| old.name() == new.name());
            match self.prepare(new, before.is_some()).await {
                Ok(prepared) => {
                    before.map(|before| left.swap_remove(before));
                    table.push((new.clone(), Place::New(prepared)));
                }
                Err(error) => match before {
                    Some(before) => {
                        self.tell(&error, Some(new), "a model cannot be changed; it stays as it was");
                        let old = left.swap_remove(before);
                        table.push((old.clone().called(new.names.clone()), kept(&old)));
                    }
                    // There is room when others have gone.
                    None if matches!(error, Error::Async(AsyncError::NoMemory { .. })) => crowded.push(at),
                    None => {
                        self.tell(&error, Some(new), "a model cannot be added");
                        failed = true;
                    }
                },
            }
        }
        if failed {
            // Half of a change is none: others may be called by the names of what is gone.
            let taken = |name: &String| table.iter().any(|(new, _)| new.names.contains(name));
            left.retain(|old| !old.names.iter().any(taken));
            table.extend(left.into_iter().map(|old| (old.clone(), kept(&old))));
        }
        self.arrange(table, &mut current);
        for at in crowded {
            let Some(new) = wanted.get(at) else { continue };
            match self.prepare(new, false).await {
                Ok(prepared) => {
                    let mut table: Vec<_> = current.iter().map(|old| (old.clone(), kept(old))).collect();
                    table.insert(at.min(table.len()), (new.clone(), Place::New(prepared)));
                    self.arrange(table, &mut current);
                }
                Err(error) => self.tell(&error, Some(new), "a model cannot be added"),
            }
        }
    }

    async fn prepare(&self, new: &Planned, has_place: bool) -> Result<Prepared> {
        // In the place of another it is loaded first, so that nobody waits for it.
        Ok(self.backend.prepare(new.name(), new.source()?, new.engine(), self.warmup || has_place).await?)
    }

    fn arrange(&self, table: Vec<(Planned, Place)>, current: &mut Vec<Planned>) {
        let planned: Vec<Planned> = table.iter().map(|(planned, _)| planned.clone()).collect();
        let is_new = |(_, place): &&(Planned, Place)| matches!(place, Place::New(_));
        let added: Vec<String> = table.iter().filter(is_new).map(|(new, _)| new.name().to_owned()).collect();
        let places = table.into_iter().map(|(planned, place)| (planned.names, place)).collect();
        match self.backend.arrange(places, self.drain) {
            Ok(gone) => {
                // What was known of the names may be another model's.
                self.state.forget_fingerprints();
                if !added.is_empty() || *current != planned {
                    let models: Vec<&str> = planned.iter().map(Planned::name).collect();
                    tracing::info!(?models, new = ?added, "the models are others now");
                }
                *current = planned;
                gone.into_iter().for_each(follow_to_its_end);
            }
            Err(error) => self.tell(&error.into(), None, "the models stay as they are"),
        }
    }

    /// What was taken and could not be done is a failure, too.
    fn tell(&self, error: &Error, model: Option<&Planned>, what: &str) {
        tracing::error!(model = model.map(Planned::name), error = %error.chain(), "{what}");
        self.watcher.count_failure();
    }
}

/// Which of the old ones is the new one, perhaps under other names: that of its own name, or one that is not wanted as it is.
fn same(new: &Planned, left: &[Planned], wanted: &[Planned]) -> Option<usize> {
    let same = |old: &Planned| old.is_loaded_as(new);
    let wanted = |old: &Planned| wanted.iter().any(|new| new.name() == old.name() && new.is_loaded_as(old));
    let by_name = left.iter().position(|old| same(old) && old.name() == new.name());
    by_name.or_else(|| left.iter().position(|old| same(old) && !wanted(old)))
}

fn kept(old: &Planned) -> Place {
    Place::Kept(old.name().to_owned())
}

/// Nothing waits for the last answers of a model that is gone, but how they end is told.
fn follow_to_its_end(draining: Draining) {
    let model = draining.name().to_owned();
    drop(tokio::spawn(async move {
        if let Ok(false) = draining.ended().await {
            tracing::warn!(model, "answers of a model that was taken away had to be cut");
        }
    }));
}

fn plan(loaded: &Loaded) -> Result<Vec<Planned>> {
    models::planned(loaded, &models::chosen(loaded.config())?)
}
