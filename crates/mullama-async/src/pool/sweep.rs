//! Unloads what nobody has used for a while.

use std::sync::{Arc, Weak};

use tokio::select;
use tokio::time::{Instant, sleep_until};

use super::loader::Loader;
use super::machine::Machine;

/// Ends with the pool.
pub(super) async fn run<L: Loader>(machine: Weak<Machine<L>>) {
    let Some((idle, closing)) = machine.upgrade().map(|it| (Arc::clone(&it.idle), it.closing.clone())) else { return };
    loop {
        let next = match machine.upgrade() {
            Some(machine) => sweep(&machine),
            None => return,
        };
        let due = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        select! {
            () = closing.cancelled() => return,
            () = idle.notified() => {}
            () = due => {}
        }
    }
}

/// Begins to unload the models whose time is over, and tells when the next one's will be.
fn sweep<L: Loader>(machine: &Arc<Machine<L>>) -> Option<Instant> {
    let keep_alive = machine.keep_alive?;
    let now = Instant::now();
    let mut next: Option<Instant> = None;
    let mut over = Vec::new();
    for (name, entry) in &machine.lock().entries {
        let Some((used, _)) = entry.last_used.filter(|_| entry.is_idle()) else { continue };
        // A time beyond what the clock can hold does not come.
        match used.checked_add(keep_alive) {
            Some(due) if due <= now => over.push(name.clone()),
            Some(due) => next = Some(next.map_or(due, |other| other.min(due))),
            None => {}
        }
    }
    for name in over {
        tracing::info!(model = %name, "unloading a model that nobody uses");
        machine.close_idle(&name);
    }
    next
}
