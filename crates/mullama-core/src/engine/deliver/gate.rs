//! The agreement between a generation and its reader: who is behind, who has gone.
//!
//! The engine never waits for a reader. When a reader's buffer is full its sequence is paused, and the reader, having
//! taken enough, says that it may go on. Neither may miss the other: a sequence that is paused while its reader waits for
//! it would never end. Compiled a second time in tests, on shuttle's atomics.

use super::sync::atomic::{AtomicBool, Ordering, fence};

/// Between one generation and one reader.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    cancelled: AtomicBool,
    paused: AtomicBool,
}

impl Gate {
    /// The engine, before it puts anything into the buffer: true when the sequence is to pause until the reader has
    /// called [`Gate::taken`]. `held` counts what is in the buffer.
    ///
    /// The flag alone does not tell: a reader that was just taking it back may take back the next one too. So the buffer
    /// is looked at each time.
    pub(crate) fn pause(&self, held: impl Fn() -> usize, limit: usize) -> bool {
        if self.is_paused() {
            return true;
        }
        if held() < limit {
            return false;
        }
        self.paused.store(true, Ordering::SeqCst);
        // The reader may have emptied the buffer before it could see the flag; then nobody would take it back.
        fence(Ordering::SeqCst);
        if held() < limit && self.paused.swap(false, Ordering::SeqCst) {
            return false;
        }
        self.is_paused()
    }

    /// The reader, after it has taken something out: true when the engine waits for it and must be woken.
    pub(crate) fn taken(&self, held: impl Fn() -> usize, limit: usize) -> bool {
        fence(Ordering::SeqCst);
        // Half of it, so that a reader who is slow all the time costs one wake-up for many events.
        self.is_paused() && held() <= limit / 2 && self.paused.swap(false, Ordering::SeqCst)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    /// The reader has gone.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
}
