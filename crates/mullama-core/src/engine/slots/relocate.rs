//! Giving a sequence another number.

use super::{Slot, Slots};
use crate::engine::decoder::Decoder;
use crate::engine::prefix::EntryId;
use crate::engine::stats::Recorder;

impl Slots {
    /// Is nothing lost, and nobody disturbed, when something else comes here?
    pub(crate) fn is_vacant(&self, slot: Slot) -> bool {
        !self.slots[slot].busy && !self.unsettled.contains(&slot) && self.loss(slot, 0) == 0
    }

    /// Can what is held here be held elsewhere? What was moved to other positions only while it is not touched.
    pub(crate) fn is_movable(&self, slot: Slot) -> bool {
        self.length(slot) > 0 && !self.slots[slot].moved && !self.unsettled.contains(&slot)
    }

    /// Makes the vacant sequence `to` what `from` is, where sequences have cells of their own; `from` is free then. The
    /// next decode makes the copy. False: nothing has changed, but that `to` is empty.
    pub(crate) fn relocate(&mut self, decoder: &mut impl Decoder, from: Slot, to: Slot, stats: &Recorder) -> bool {
        debug_assert!(!self.shape.unified && self.is_vacant(to) && self.is_movable(from), "{from} to {to}");
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
