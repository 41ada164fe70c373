//! Who has an engine, and who waits for one.

use std::sync::Arc;

use super::loader::Loader;
use super::machine::Machine;
use super::state::{Leases, Replica};

/// An engine in use: as long as it is there, the model is not unloaded for room or for idleness.
pub(super) struct Lease<L: Loader> {
    /// Goes before it is counted as given back.
    engine: L::Engine,
    counted: Counted<L>,
}

struct Counted<L: Loader> {
    machine: Arc<Machine<L>>,
    name: Arc<str>,
    leases: Arc<Leases>,
}

impl<L: Loader> Lease<L> {
    /// Under the pool's lock.
    pub(super) fn new(machine: &Arc<Machine<L>>, name: &str, replica: &Replica<L::Engine>) -> Self {
        replica.leases.take();
        let leases = Arc::clone(&replica.leases);
        let counted = Counted { machine: Arc::clone(machine), name: name.into(), leases };
        Self { engine: replica.engine.clone(), counted }
    }

    pub(super) fn engine(&self) -> &L::Engine {
        &self.engine
    }

    pub(super) fn is_of(&self, replica: &Replica<L::Engine>) -> bool {
        Arc::ptr_eq(&self.counted.leases, &replica.leases)
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.counted.name
    }
}

impl<L: Loader> Drop for Counted<L> {
    fn drop(&mut self) {
        self.machine.give_back(&self.name, &self.leases);
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
        let mut leaving = false;
        if let Some(entry) = self.machine.lock().entries.get_mut(&*self.name) {
            entry.waiting -= 1;
            leaving = entry.leaving;
        }
        if leaving {
            self.machine.changed.notify_waiters();
        }
        self.machine.idle.notify_one();
    }
}
