//! How tasks of the pool end: noted also when they are dropped with their runtime.

use std::sync::Arc;

use super::loader::Loader;
use super::machine::Machine;
use super::state::{Phase, Refusal, Replica};

/// Notes how a load ended.
pub(super) struct LoadEnd<'a, L: Loader> {
    pub(super) machine: &'a Machine<L>,
    pub(super) name: &'a str,
    pub(super) attempt: u64,
    pub(super) result: Option<Result<Vec<L::Engine>, Refusal>>,
}

impl<L: Loader> Drop for LoadEnd<'_, L> {
    fn drop(&mut self) {
        let Some(result) = self.result.take() else { return };
        let mut state = self.machine.lock();
        let closed = state.closed;
        let Some(entry) = state.entries.get_mut(self.name) else { return };
        let mut late = None;
        match result {
            Ok(engines) if closed => {
                late = Some(engines);
                entry.unloaded();
            }
            Ok(engines) => {
                entry.phase = Phase::Ready(Replica::all(engines));
                entry.failure = None;
                entry.touch();
                tracing::info!(model = %self.name, bytes = entry.bytes, "loaded");
            }
            Err(refusal) => {
                tracing::warn!(model = %self.name, error = %refusal.error(self.name), "not loaded");
                entry.unloaded();
                entry.failure = Some((self.attempt, refusal));
            }
        }
        drop(state);
        drop(late);
        self.machine.changed.notify_waiters();
        self.machine.idle.notify_one();
    }
}

/// Engines that were ended while somebody had them: the weights stay in memory until they are given back, and count.
pub(super) struct Held<L: Loader> {
    machine: Arc<Machine<L>>,
    bytes: u64,
    replicas: Vec<Replica<L::Engine>>,
}

impl<L: Loader> Held<L> {
    pub(super) fn new(machine: Arc<Machine<L>>, name: &str, replicas: Vec<Replica<L::Engine>>) -> Self {
        let bytes = {
            let mut state = machine.lock();
            let bytes = state.entries.get(name).map_or(0, |entry| entry.bytes);
            state.held = state.held.saturating_add(bytes);
            bytes
        };
        Self { machine, bytes, replicas }
    }

    pub(super) async fn until_given_back(self) {
        self.machine.given_back(&self.replicas).await;
    }
}

impl<L: Loader> Drop for Held<L> {
    fn drop(&mut self) {
        self.replicas.clear();
        {
            let mut state = self.machine.lock();
            state.held = state.held.saturating_sub(self.bytes);
        }
        self.machine.changed.notify_waiters();
    }
}

pub(super) struct MendEnd<'a, L: Loader> {
    pub(super) machine: &'a Machine<L>,
    pub(super) name: &'a str,
}

impl<L: Loader> Drop for MendEnd<'_, L> {
    fn drop(&mut self) {
        if let Some(entry) = self.machine.lock().entries.get_mut(self.name) {
            entry.mending = false;
        }
        self.machine.changed.notify_waiters();
        self.machine.idle.notify_one();
    }
}

pub(super) struct CloseEnd<'a, L: Loader> {
    pub(super) machine: &'a Machine<L>,
    pub(super) name: &'a str,
}

impl<L: Loader> Drop for CloseEnd<'_, L> {
    fn drop(&mut self) {
        if let Some(entry) = self.machine.lock().entries.get_mut(self.name) {
            entry.unloaded();
        }
        self.machine.changed.notify_waiters();
    }
}
