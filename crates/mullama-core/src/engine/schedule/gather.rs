//! Bringing running sequences together.
//!
//! Where sequences have cells of their own, llama.cpp computes in one pass only those with neighbouring numbers
//! (`split_equal`). Requests end, readers sleep, others come: what runs is scattered in time, and each gap costs a row
//! ([`bridge`](super::bridge)) or a whole pass over the weights, in every step. A copy costs about as much as a few passes,
//! once.

use super::Schedule;
use crate::engine::decoder::{Decoder, Slot};

impl<D: Decoder> Schedule<D> {
    /// Before a step: moves one sequence, if those that run have been scattered for so long that it pays.
    pub(super) fn gather(&mut self) {
        let shape = self.decoder.shape();
        if shape.unified || !shape.partial_removal {
            return;
        }
        let ready = self.running.iter().filter(|sequence| Self::is_ready(sequence));
        let mut ready: Vec<Slot> = ready.map(|sequence| sequence.slot).collect();
        ready.sort_unstable();
        if ready.windows(2).all(|pair| pair[0] + 1 == pair[1]) {
            self.scattered = 0;
            return;
        }
        self.scattered += 1;
        if self.scattered <= shape.gather_after {
            return;
        }
        let Some((from, to)) = self.best_move(&ready, shape.slots) else {
            // Not looked for again in every step.
            self.scattered = 0;
            return;
        };
        if self.slots.is_movable(from)
            && self.slots.relocate(&mut self.decoder, from, to, &self.stats)
            && let Some(sequence) = self.running.iter_mut().find(|sequence| sequence.slot == from)
        {
            sequence.slot = to;
        }
    }

    /// The first of the moves after which these are neighbours.
    fn best_move(&self, ready: &[Slot], slots: usize) -> Option<(Slot, Slot)> {
        let moves = (0..=slots - ready.len()).filter_map(|start| {
            let window = start..start + ready.len();
            let outside = ready.iter().copied().filter(|slot| !window.contains(slot));
            let places = window.clone().filter(|slot| !ready.contains(slot));
            let (vacant, held): (Vec<Slot>, Vec<Slot>) = places.partition(|slot| self.slots.is_vacant(*slot));
            let mut elsewhere = (0..slots)
                .filter(|slot| !window.contains(slot) && !ready.contains(slot) && self.slots.is_vacant(*slot));
            let spare = elsewhere.clone().count();
            let first = match (vacant.first(), held.first()) {
                (Some(place), _) => (outside.clone().next_back()?, *place),
                // One whose reader sleeps, or a prefix that may serve again, makes way.
                (None, Some(place)) => (*place, elsewhere.next()?),
                (None, None) => return None,
            };
            (spare >= held.len()).then_some((outside.count() + held.len(), first))
        });
        moves.min_by_key(|(count, _)| *count).map(|(_, first)| first)
    }
}
