//! Which sequence a request gets.

use super::{Slot, Slots, Source};
use crate::engine::prefix::EntryId;

impl Slots {
    /// The free sequence whose taking costs least; `sources` hold the request's longest prefix, of `length` tokens.
    pub(super) fn choose(&self, length: usize, sources: &[Source]) -> Option<Slot> {
        let free = (0..self.slots.len()).filter(|slot| !self.slots[*slot].busy);
        free.min_by_key(|slot| {
            let in_place = sources.contains(&Source::Slot(*slot));
            let lost = self.loss(*slot, if in_place { length } else { 0 });
            let cheap = in_place && self.is_cheap(*slot, length);
            let unsettled = self.unsettled.contains(slot) && !in_place;
            (unsettled, self.gaps_with(*slot), !cheap, lost > 0, self.slots[*slot].used)
        })
    }

    /// Taking over a sequence that ends a little later loses little; a long one that shares only its beginning is better
    /// copied from.
    pub(super) fn is_cheap(&self, slot: Slot, length: usize) -> bool {
        self.loss(slot, length) <= MAX_LOST.max(length / 4)
    }

    /// Tokens that nobody else holds and that are gone when all but the first `keep` are.
    pub(super) fn loss(&self, slot: Slot, keep: usize) -> usize {
        let held = self.length(slot);
        if held <= keep || self.slots[slot].moved || self.is_covered(slot as EntryId) { 0 } else { held - keep }
    }

    /// How many groups of neighbours the busy sequences form, with this one. With cells of their own only neighbours are
    /// computed together (llama.cpp's `split_equal`): every gap costs a pass over the weights.
    fn gaps_with(&self, taken: Slot) -> usize {
        if self.shape.unified {
            return 0;
        }
        let busy = |slot: usize| slot == taken || self.slots[slot].busy;
        (0..self.slots.len()).filter(|slot| busy(*slot) && (*slot == 0 || !busy(slot - 1))).count()
    }
}

const MAX_LOST: usize = 64;
