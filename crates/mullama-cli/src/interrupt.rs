//! Ctrl-C: stops what runs where it can be stopped, else the program.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mullama_core::CancelToken;

/// What a shell says of a program that SIGINT ended.
pub(crate) const EXIT_CODE: u8 = 130;

/// What is told of Ctrl-C. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    pressed: AtomicBool,
    work: Mutex<Work>,
}

/// What goes on, and so what Ctrl-C has to do.
#[derive(Debug, Default)]
pub(crate) enum Work {
    /// Nothing that could be stopped by itself: the program ends.
    #[default]
    Idle,
    /// Work that looks at [`Interrupt::pressed`] by itself.
    Polled,
    /// A generation.
    Generation(CancelToken),
    /// Work that leaves this file half written: it is removed, and the program ends.
    Writing(PathBuf),
}

impl Interrupt {
    /// Takes over SIGINT. Where the system does not allow it, Ctrl-C ends the program as always.
    pub(crate) fn install() -> Self {
        let this = Self::default();
        let handler = this.clone();
        if let Err(error) = ctrlc::set_handler(move || handler.press()) {
            drop(error);
        }
        this
    }

    /// Was Ctrl-C pressed since the start, or since [`Interrupt::reset`]?
    pub(crate) fn pressed(&self) -> bool {
        self.0.pressed.load(Ordering::SeqCst)
    }

    /// Forgets that it was pressed.
    pub(crate) fn reset(&self) {
        self.0.pressed.store(false, Ordering::SeqCst);
    }

    /// Runs `call`, while Ctrl-C does what `work` needs.
    pub(crate) fn during<R>(&self, work: Work, call: impl FnOnce() -> R) -> R {
        let before = std::mem::replace(&mut *self.work(), work);
        if let Work::Generation(token) = &*self.work()
            && self.pressed()
        {
            token.cancel();
        }
        let result = call();
        *self.work() = before;
        result
    }

    fn press(&self) {
        let again = self.0.pressed.swap(true, Ordering::SeqCst);
        match &*self.work() {
            Work::Polled if !again => {}
            Work::Generation(token) if !again => token.cancel(),
            Work::Writing(path) => {
                // It may not be there yet.
                let _ = std::fs::remove_file(path);
                end();
            }
            Work::Idle | Work::Polled | Work::Generation(_) => end(),
        }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.0.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::exit, reason = "the main thread may be deep in C and cannot be asked to return")]
fn end() -> ! {
    std::process::exit(EXIT_CODE.into())
}
