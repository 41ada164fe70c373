//! What is counted, where nobody else looks.

use std::path::Path;

use serde_json::json;

use super::*;

fn shared(file: &Path) -> Shared {
    Shared::new(Loader::new().file(file), None).unwrap()
}

fn counts(shared: &Shared) -> (u64, u64) {
    (shared.reloads.load(Ordering::Relaxed), shared.failures.load(Ordering::Relaxed))
}

#[test]
fn each_attempt_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("[engine]\nqueue = 1000\n");
    let shared = shared(&file);
    for at in 1..=100_u32 {
        for forced in [false, true] {
            write(&format!("[engine]\nqueue = {}\n", 2 * at + u32::from(forced)));
            assert!(shared.attempt(forced).unwrap());
            write("broken");
            shared.attempt(forced).unwrap_err();
            assert_eq!(shared.current.borrow().config().engine.queue, 2 * at + u32::from(forced));
        }
        // What is known already is not tried again.
        assert!(!shared.attempt(false).unwrap());
    }
    assert_eq!(counts(&shared), (200, 200));
}

#[test]
fn a_lost_file_is_missed_until_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("[engine]\nqueue = 1\n");
    let shared = shared(&file);
    for text in ["", "# empty", " ", "[engine]\nqueue = 0\n", ""] {
        write(text);
        let taken = shared.attempt(false).is_ok();
        assert_eq!(taken, text == "# empty", "{text:?}");
        if taken {
            write("[engine]\nqueue = 1\n");
            shared.attempt(false).unwrap();
        }
    }
    shared.change(json!({ "sampling": { "top_k": 1 } })).unwrap();
    let current = shared.current.borrow().clone();
    assert_eq!((current.config().engine.queue, current.config().sampling.top_k), (1, 1));
    // Told to.
    assert!(shared.attempt(true).unwrap());
    assert_eq!(shared.current.borrow().config().engine.queue, 64);
}
