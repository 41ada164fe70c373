//! How tasks of the pool end: noted also when they are dropped with their runtime, begun or not.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, MutexGuard};

use super::loader::Loader;
use super::machine::Machine;
use super::state::{Phase, Refusal, Replica, State, Task};

/// The pool's lock. Tasks that were put into the state begin when it is given back.
pub(super) struct Locked<'a, L: Loader> {
    state: MutexGuard<'a, State<L>>,
    /// After the lock: fields go in this order.
    begin: Begin,
}

/// Begins tasks when it is dropped.
struct Begin(Vec<Task>);

impl<'a, L: Loader> Locked<'a, L> {
    pub(super) fn new(state: MutexGuard<'a, State<L>>) -> Self {
        Self { state, begin: Begin(Vec::new()) }
    }
}

impl<L: Loader> Deref for Locked<'_, L> {
    type Target = State<L>;

    fn deref(&self) -> &State<L> {
        &self.state
    }
}

impl<L: Loader> DerefMut for Locked<'_, L> {
    fn deref_mut(&mut self) -> &mut State<L> {
        &mut self.state
    }
}

impl<L: Loader> Drop for Locked<'_, L> {
    fn drop(&mut self) {
        self.begin.0 = std::mem::take(&mut self.state.tasks);
    }
}

impl Drop for Begin {
    fn drop(&mut self) {
        self.0.drain(..).for_each(|task| drop(tokio::spawn(task)));
    }
}

/// Notes how a load ended.
pub(super) struct LoadEnd<L: Loader> {
    pub(super) machine: Arc<Machine<L>>,
    pub(super) name: String,
    pub(super) attempt: u64,
    pub(super) result: Option<Result<Vec<L::Engine>, Refusal>>,
}

impl<L: Loader> Drop for LoadEnd<L> {
    fn drop(&mut self) {
        let Some(result) = self.result.take() else { return };
        let mut state = self.machine.lock();
        let closed = state.closed;
        let Some(entry) = state.entries.get_mut(&self.name) else { return };
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
                tracing::warn!(model = %self.name, error = %refusal.error(&self.name), "not loaded");
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

/// Notes that no engine is being replaced any more.
pub(super) struct MendEnd<L: Loader> {
    pub(super) machine: Arc<Machine<L>>,
    pub(super) name: String,
}

impl<L: Loader> Drop for MendEnd<L> {
    fn drop(&mut self) {
        if let Some(entry) = self.machine.lock().entries.get_mut(&self.name) {
            entry.mending = false;
        }
        self.machine.changed.notify_waiters();
        self.machine.idle.notify_one();
    }
}

/// Notes that a model is unloaded. It has the engines until they are ended.
pub(super) struct CloseEnd<L: Loader> {
    pub(super) machine: Arc<Machine<L>>,
    pub(super) name: String,
    pub(super) replicas: Vec<Replica<L::Engine>>,
}

impl<L: Loader> Drop for CloseEnd<L> {
    fn drop(&mut self) {
        self.replicas.clear();
        if let Some(entry) = self.machine.lock().entries.get_mut(&self.name) {
            entry.unloaded();
        }
        self.machine.changed.notify_waiters();
    }
}

/// Engines that were ended while somebody had them: the weights stay in memory until they are given back, and count.
pub(super) struct Held<L: Loader> {
    machine: Arc<Machine<L>>,
    bytes: u64,
    replicas: Vec<Replica<L::Engine>>,
}

impl<L: Loader> Held<L> {
    pub(super) fn new(machine: &Arc<Machine<L>>, name: &str, replicas: Vec<Replica<L::Engine>>) -> Self {
        let bytes = {
            let mut state = machine.lock();
            let bytes = state.entries.get(name).map_or(0, |entry| entry.bytes);
            state.held = state.held.saturating_add(bytes);
            bytes
        };
        Self { machine: Arc::clone(machine), bytes, replicas }
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
