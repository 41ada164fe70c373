//! Unloads what nobody has used for a while.

use std::sync::{Arc, Weak};

use tokio::select;
use tokio::time::sleep_until;

use super::loader::Loader;
use super::machine::Machine;

/// Ends with the pool. `_alive` tells whether it is there.
pub(super) async fn run<L: Loader>(machine: Weak<Machine<L>>, _alive: Arc<()>) {
    let Some((idle, closing)) = machine.upgrade().map(|it| (Arc::clone(&it.idle), it.closing.clone())) else { return };
    loop {
        let next = match machine.upgrade() {
            Some(machine) => machine.sweep(),
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
