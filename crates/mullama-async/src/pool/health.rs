//! How the models of a pool are.

use std::error::Error as _;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::loader::Loader;
use super::state::{Entry, Phase, Refusal};

/// How a model of a pool is at this moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelHealth {
    /// Its name.
    pub name: String,
    /// What can be expected of it.
    pub state: ModelState,
    /// Its engines that take requests.
    pub replicas: usize,
    /// Requests that wait and run in them.
    pub load: usize,
    /// Handles on them that are held.
    pub leases: usize,
    /// What it takes in memory, by the pool's estimate, in bytes; 0 while it takes none.
    pub memory_bytes: u64,
    /// When a handle was last given out or came back, or the load ended.
    pub last_used: Option<SystemTime>,
    /// When it will be unloaded, if nobody uses it until then.
    pub unloads_in: Option<Duration>,
}

/// What can be expected of a model of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ModelState {
    /// The next request loads it.
    Unloaded,
    /// It is being loaded.
    Loading,
    /// It takes requests.
    Ready,
    /// It is being unloaded; a request waits for that, and loads it anew.
    Unloading,
    /// The last load failed. The next request tries again.
    Failed {
        /// Why, with all causes.
        reason: String,
    },
}

impl<L: Loader> Entry<L> {
    pub(super) fn health(&self, name: &str, keep_alive: Option<Duration>) -> ModelHealth {
        let replicas = match &self.phase {
            Phase::Ready(replicas) => replicas.as_slice(),
            Phase::Unloaded | Phase::Loading | Phase::Closing => &[],
        };
        let idle = self.last_used.filter(|_| self.is_idle());
        let due = idle.zip(keep_alive).and_then(|((used, _), keep)| used.checked_add(keep));
        ModelHealth {
            name: name.to_owned(),
            state: self.model_state(name),
            replicas: replicas.iter().filter(|replica| L::is_open(&replica.engine)).count(),
            load: replicas.iter().map(|replica| L::load_of(&replica.engine)).sum(),
            leases: replicas.iter().map(|replica| replica.leases.own()).sum(),
            memory_bytes: if self.resident { self.bytes } else { 0 },
            last_used: self.last_used.map(|(_, system)| system),
            unloads_in: due.map(|due| due.saturating_duration_since(Instant::now())),
        }
    }

    fn model_state(&self, name: &str) -> ModelState {
        match (&self.phase, &self.failure) {
            (Phase::Loading, _) => ModelState::Loading,
            (Phase::Ready(_), _) => ModelState::Ready,
            (Phase::Closing, _) => ModelState::Unloading,
            (Phase::Unloaded, Some((_, refusal @ Refusal::Load(_)))) => {
                let error = refusal.error(name);
                let mut reason = error.to_string();
                let mut cause = error.source();
                while let Some(error) = cause {
                    reason = format!("{reason}: {error}");
                    cause = error.source();
                }
                ModelState::Failed { reason }
            }
            // Another time there may be room.
            (Phase::Unloaded, _) => ModelState::Unloaded,
        }
    }
}
