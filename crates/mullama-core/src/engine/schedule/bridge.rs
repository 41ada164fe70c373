//! Rows that keep running streams together.
//!
//! Where sequences have cells of their own, llama.cpp computes in one pass only those with neighbouring numbers
//! (`split_equal`). Between streams may lie one whose reader sleeps, or one that is done: each such gap would cost a pass
//! over all weights. So the last token of whatever lies there is computed once more, in the place where it was.

use super::Schedule;
use super::plan::Part;
use crate::engine::decoder::{Decoder, Slot};
use crate::tokenizer::TokenId;

/// A row in a sequence that is not to be computed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bridge {
    pub(super) slot: Slot,
    pub(super) token: TokenId,
    pub(super) position: usize,
    /// Nothing was there before, and nothing shall be after.
    empty: bool,
}

impl<D: Decoder> Schedule<D> {
    /// The rows that join these streams, in rising order; their places are free then.
    pub(super) fn bridges(&mut self, parts: &[Part]) -> Vec<Bridge> {
        let shape = self.decoder.shape();
        // A row beside longer pieces would be computed in a pass of its own, like they.
        if shape.unified || !shape.partial_removal || parts.len() < 2 || parts.iter().any(|part| part.rows() > 1) {
            return Vec::new();
        }
        let mut free = shape.batch.saturating_sub(parts.len());
        let mut bridges = Vec::new();
        for pair in parts.windows(2) {
            let gap = pair[0].slot + 1..pair[1].slot;
            if gap.len() > MAX_GAP.min(free) {
                continue;
            }
            let rows: Option<Vec<Bridge>> = gap.map(|slot| self.bridge(slot, pair[0].slot)).collect();
            let rows = rows.unwrap_or_default();
            free -= rows.len();
            bridges.extend(rows);
        }
        bridges.retain(|bridge| bridge.empty || self.slots.uncover(&mut self.decoder, bridge.slot, bridge.position));
        bridges
    }

    /// What can be computed in `slot` beside the stream in `beside`.
    fn bridge(&self, slot: Slot, beside: Slot) -> Option<Bridge> {
        let last = self.slots.last_token(slot, beside)?;
        let position = self.slots.length(slot).saturating_sub(1);
        let any = || self.running.iter().find(|sequence| sequence.slot == beside)?.job.tokens.first().copied();
        Some(Bridge { slot, token: last.or_else(any)?, position, empty: last.is_none() })
    }

    /// After a batch: `done`, or it failed and its rows may be there or not.
    pub(super) fn leave(&mut self, bridges: &[Bridge], done: bool) {
        for bridge in bridges {
            if bridge.empty {
                self.slots.reset(&mut self.decoder, bridge.slot);
            } else if !done {
                self.slots.truncate(&mut self.decoder, bridge.slot, bridge.position);
            }
        }
    }
}

/// A row costs a good part of a pass where the model is small and the cores are few.
const MAX_GAP: usize = 2;
