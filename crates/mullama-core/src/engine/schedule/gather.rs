//! Bringing running sequences together.
//!
//! Where sequences have cells of their own, llama.cpp computes in one pass only those with neighbouring numbers
//! (`split_equal`). Requests end, readers sleep, others come: what runs is scattered in time, and each gap costs a row
//! ([`bridge`](super::bridge)) or a whole pass over the weights, in every step. A copy costs some passes, once: it is made
//! when the gaps have cost as much, which is never more than twice what knowing the future would have cost.

use super::Schedule;
use crate::engine::decoder::{Decoder, Slot};

/// A sequence is to get another number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Move {
    from: Slot,
    to: Slot,
}

impl<D: Decoder> Schedule<D> {
    /// Before a step: moves one sequence, if those that run have been scattered for so long that it pays.
    pub(super) fn gather(&mut self) {
        let shape = self.decoder.shape();
        // The draft model's sequences would have to move, too.
        if shape.unified || !shape.partial_removal || self.guess.has_draft() {
            return;
        }
        // A batch has one group's adapters.
        let together = |sequence: &&super::Sequence<D::Vocabulary>| {
            Self::is_ready(sequence) && sequence.job.adapters.identity == self.adapters.identity
        };
        let streams = self.running.iter().filter(together).filter(|sequence| sequence.has_started()).count();
        let mut ready: Vec<Slot> = self.running.iter().filter(together).map(|sequence| sequence.slot).collect();
        ready.sort_unstable();
        if streams < 2 || ready.windows(2).all(|pair| pair[0] + 1 == pair[1]) {
            self.scattered = 0;
            return;
        }
        self.scattered = self.scattered.saturating_add(1);
        // Looking costs something, too.
        if !self.scattered.is_multiple_of(LOOK) {
            return;
        }
        let Some((cost, Move { from, to })) = self.best_move(&ready) else { return };
        if cost <= self.scattered as usize
            && self.slots.relocate(&mut self.decoder, from, to, &self.stats)
            && let Some(sequence) = self.running.iter_mut().find(|sequence| sequence.slot == from)
        {
            sequence.slot = to;
        }
    }

    /// The first of the moves after which these are neighbours, and the steps that all of them cost.
    fn best_move(&self, ready: &[Slot]) -> Option<(usize, Move)> {
        let shape = self.decoder.shape();
        let copy = shape.gather_after as usize;
        // Steps that are lost with what lies there; `None` where somebody uses it.
        let costs: Vec<Option<usize>> = (0..shape.slots).map(|slot| self.slots.cost_of_taking(slot, copy)).collect();
        let moves = (0..=shape.slots - ready.len()).filter_map(|start| {
            let window = start..start + ready.len();
            let outside: Vec<Slot> = ready.iter().copied().filter(|slot| !window.contains(slot)).collect();
            let places = window.clone().filter(|slot| !ready.contains(slot));
            let (free, held): (Vec<Slot>, Vec<Slot>) = places.partition(|slot| costs[*slot].is_some());
            let cheap = |slot: &Slot| costs[*slot].unwrap_or(usize::MAX);
            let elsewhere = (0..shape.slots).filter(|slot| !window.contains(slot) && !ready.contains(slot));
            let mut elsewhere: Vec<Slot> = elsewhere.filter(|slot| costs[*slot].is_some()).collect();
            elsewhere.sort_by_key(cheap);
            // One whose reader sleeps makes way.
            let spare = elsewhere.get(..held.len())?;
            let step = match (held.first(), spare.first()) {
                (Some(from), Some(to)) => Move { from: *from, to: *to },
                _ => Move { from: *outside.last()?, to: free.iter().copied().min_by_key(cheap)? },
            };
            let lost: usize = free.iter().chain(spare).map(cheap).sum();
            self.slots.is_movable(step.from).then_some((lost + copy * (outside.len() + held.len()), step))
        });
        moves.min_by_key(|(cost, _)| *cost)
    }
}

/// Steps between two looks.
const LOOK: u32 = 8;
