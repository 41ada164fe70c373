//! The books against a decoder that keeps its own.

use super::*;
use crate::engine::schedule::tests::scripted::Scripted;

impl Slots {
    /// What is said to be in each sequence is there, in as many cells as are counted, and nothing else is kept.
    pub(crate) fn check(&self, decoder: &Scripted) {
        for (slot, state) in self.slots.iter().enumerate() {
            assert_eq!(decoder.sees(slot), self.tokens(slot), "what sequence {slot} holds");
            if self.shape.unified {
                let cells: usize = state.runs.iter().map(|run| run.length).sum();
                assert_eq!(cells, self.length(slot), "the cells of sequence {slot}: {:?}", state.runs);
                assert!(state.runs.iter().all(|run| run.length > 0));
            }
        }
        assert_eq!(self.cells_used(), decoder.used(), "cells");
        let saved: Vec<_> = self.host.ids().collect();
        assert_eq!(self.index.len(), self.slots.len() + saved.len(), "entries of the index");
        assert!(saved.iter().all(|id| self.index.tokens(*id).is_some_and(|tokens| tokens.len() >= MIN_SAVED)));
        assert!(self.host.bytes() <= self.host.budget());
    }

    /// These and no others are in use.
    pub(crate) fn check_busy(&self, busy: &[Slot]) {
        let mut busy = busy.to_vec();
        busy.sort_unstable();
        let said: Vec<_> = (0..self.slots.len()).filter(|slot| self.slots[*slot].busy).collect();
        assert_eq!(said, busy, "sequences in use");
    }

    pub(crate) fn tokens(&self, slot: Slot) -> &[TokenId] {
        self.index.tokens(slot as EntryId).unwrap_or_default()
    }
}
