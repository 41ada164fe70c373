//! Who has an engine, and who waits for one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::loader::Loader;
use super::machine::Machine;
use super::state::Replica;

/// An engine in use: as long as it is there, the model is not unloaded for room or for idleness.
pub(super) struct Lease<L: Loader> {
    machine: Arc<Machine<L>>,
    name: Arc<str>,
    /// Taken by `drop`.
    replica: Option<Arc<Replica<L::Engine>>>,
}

impl<L: Loader> Lease<L> {
    /// Under the pool's lock.
    pub(super) fn new(machine: &Arc<Machine<L>>, name: &str, replica: Arc<Replica<L::Engine>>) -> Self {
        replica.leases.fetch_add(1, Ordering::Relaxed);
        Self { machine: Arc::clone(machine), name: name.into(), replica: Some(replica) }
    }

    pub(super) fn engine(&self) -> Option<&L::Engine> {
        Some(&self.replica.as_ref()?.engine)
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }
}

impl<L: Loader> Drop for Lease<L> {
    fn drop(&mut self) {
        if let Some(replica) = self.replica.take() {
            self.machine.give_back(&self.name, replica);
        }
    }
}

/// A call that waits for a model: it is counted until it has it, or gives up.
pub(super) struct Waiting<L: Loader> {
    machine: Arc<Machine<L>>,
    name: Box<str>,
}

impl<L: Loader> Waiting<L> {
    /// The caller has counted it, under the pool's lock.
    pub(super) fn new(machine: &Arc<Machine<L>>, name: &str) -> Self {
        Self { machine: Arc::clone(machine), name: name.into() }
    }
}

impl<L: Loader> Drop for Waiting<L> {
    fn drop(&mut self) {
        if let Some(entry) = self.machine.lock().entries.get_mut(&*self.name) {
            entry.waiting -= 1;
        }
        self.machine.idle.notify_one();
    }
}
