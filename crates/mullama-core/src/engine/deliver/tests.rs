//! Every interleaving of an engine and a reader.

use std::collections::VecDeque;

use shuttle::sync;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::sync::{Arc, Condvar, Mutex};
use shuttle::thread;

use gate_on_shuttle::Gate;

#[path = "gate.rs"]
#[expect(clippy::duplicate_mod, reason = "compiled on shuttle's atomics here")]
#[expect(dead_code, reason = "cancelling is one flag and needs no model")]
mod gate_on_shuttle;

/// An engine and a reader as above, the buffer a list behind a lock; every interleaving must end, with every event
/// read and the buffer never above its limit by more than a step.
fn run(events: usize, limit: usize, step: usize) {
    let gate = Arc::new(Gate::default());
    let buffer = Arc::new((Mutex::new(VecDeque::new()), Condvar::new()));
    let bell = Arc::new((Mutex::new(false), Condvar::new()));
    let most = Arc::new(AtomicUsize::new(0));
    let engine = {
        let (gate, buffer, bell, most) = (Arc::clone(&gate), Arc::clone(&buffer), Arc::clone(&bell), Arc::clone(&most));
        thread::spawn(move || {
            let held = || buffer.0.lock().unwrap().len();
            let mut sent = 0;
            while sent < events {
                if gate.pause(held, limit) {
                    let mut rung = bell.0.lock().unwrap();
                    while !*rung {
                        rung = bell.1.wait(rung).unwrap();
                    }
                    *rung = false;
                    continue;
                }
                for _ in 0..step.min(events - sent) {
                    buffer.0.lock().unwrap().push_back(sent);
                    sent += 1;
                }
                buffer.1.notify_one();
                most.fetch_max(held(), Ordering::SeqCst);
            }
        })
    };
    for expected in 0..events {
        let mut queue = buffer.0.lock().unwrap();
        while queue.is_empty() {
            queue = buffer.1.wait(queue).unwrap();
        }
        assert_eq!(queue.pop_front(), Some(expected));
        drop(queue);
        if gate.taken(|| buffer.0.lock().unwrap().len(), limit) {
            *bell.0.lock().unwrap() = true;
            bell.1.notify_one();
        }
    }
    engine.join().unwrap();
    assert!(most.load(Ordering::SeqCst) < limit + step);
}

#[test]
fn no_interleaving_loses_a_wake_up() {
    for (events, limit, step) in [(4, 1, 1), (5, 2, 1), (6, 2, 3), (3, 1, 2)] {
        shuttle::check_random(move || run(events, limit, step), 2_000);
        shuttle::check_pct(move || run(events, limit, step), 1_000, 3);
    }
}
