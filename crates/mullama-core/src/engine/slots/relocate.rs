//! Giving a sequence another number.

use super::{MIN_SAVED, Slot, Slots};
use crate::engine::decoder::Decoder;
use crate::engine::prefix::EntryId;
use crate::engine::stats::Recorder;

impl Slots {
    /// The steps that are lost when something else comes here: about one for each token that would have to be computed
    /// again, and `saving` where host memory keeps them. `None` where somebody uses it, or a copy is being made.
    pub(crate) fn cost_of_taking(&self, slot: Slot, saving: usize) -> Option<usize> {
        if self.slots[slot].busy || self.unsettled.contains(&slot) {
            return None;
        }
        let lost = self.loss(slot, 0);
        let kept = self.host.budget() > 0 && lost >= MIN_SAVED;
        Some(if kept { saving } else { lost })
    }

    /// Can what is held here be held elsewhere? Not what was moved to other positions.
    pub(crate) fn is_movable(&self, slot: Slot) -> bool {
        self.length(slot) > 0 && !self.slots[slot].moved && !self.unsettled.contains(&slot)
    }

    /// Makes the sequence `to`, which nobody uses, what `from` is, where sequences have cells of their own; `from` is free
    /// then. The next decode makes the copy. False: nothing has changed, but that `to` is empty.
    pub(crate) fn relocate(&mut self, decoder: &mut impl Decoder, from: Slot, to: Slot, stats: &Recorder) -> bool {
        debug_assert!(!self.shape.unified && !self.slots[to].busy && self.is_movable(from), "{from} to {to}");
        self.evict(decoder, to, stats);
        let tokens = self.index.tokens(from as EntryId).unwrap_or_default().to_vec();
        if decoder.copy(from, to, tokens.len()).is_err() {
            self.reset(decoder, to);
            return false;
        }
        stats.cache_copies.add(1);
        self.slots[to] = self.slots[from].clone();
        self.slots[from].busy = false;
        self.index.insert(to as EntryId, &self.slots[to].key, &tokens);
        self.unsettled.extend([from, to]);
        true
    }
}
