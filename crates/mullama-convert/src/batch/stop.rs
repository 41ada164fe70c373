//! The button that ends a batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Ends a batch soon. Clones are the same button; it can be pressed on any thread, and in a signal's handler.
#[derive(Debug, Clone, Default)]
pub struct StopButton(Arc<AtomicBool>);

impl StopButton {
    /// A button that is not pressed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Presses it, for good.
    pub fn press(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was pressed.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) const fn press_on_drop(self) -> PressOnDrop {
        PressOnDrop(Some(self))
    }
}

/// Presses a button when a future is given up.
pub(super) struct PressOnDrop(Option<StopButton>);

impl PressOnDrop {
    /// The future ended by itself: the caller's button stays as it is.
    pub(super) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for PressOnDrop {
    fn drop(&mut self) {
        if let Some(button) = &self.0 {
            button.press();
        }
    }
}
