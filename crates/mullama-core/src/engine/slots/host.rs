//! Prefixes in host memory.

use std::collections::BTreeMap;

use crate::engine::prefix::{EntryId, PrefixIndex, SaltKey};
use crate::tokenizer::TokenId;

/// Saved sequences, the least recently used of which go when the budget is used up.
#[derive(Debug)]
pub(super) struct Host {
    budget: u64,
    bytes: u64,
    next: EntryId,
    entries: BTreeMap<EntryId, Entry>,
}

#[derive(Debug)]
struct Entry {
    state: Vec<u8>,
    used: u64,
}

impl Host {
    pub(super) fn new(budget: u64) -> Self {
        Self { budget, bytes: 0, next: FIRST, entries: BTreeMap::new() }
    }

    /// Keeps a state; what it covers goes, where states can be `cut`, then what was not used for longest. One that is larger
    /// than the budget is not kept.
    pub(super) fn insert(
        &mut self,
        index: &mut PrefixIndex,
        (key, tokens): (&SaltKey, &[TokenId]),
        (state, tick): (Vec<u8>, u64),
        cut: bool,
    ) {
        let size = state.len() as u64;
        if size > self.budget {
            return;
        }
        let id = self.next;
        self.next += 1;
        index.insert(id, key, tokens);
        self.bytes += size;
        self.entries.insert(id, Entry { state, used: tick });
        let same =
            |other: EntryId| index.tokens(other) == Some(tokens) && index.common(other, key, tokens) == tokens.len();
        let covered = |other: &EntryId| *other != id && if cut { index.is_covered(*other) } else { same(*other) };
        let shorter: Vec<_> = self.ids().filter(covered).collect();
        shorter.into_iter().for_each(|other| self.remove(index, other));
        while self.bytes > self.budget {
            let others = self.entries.iter().filter(|(other, _)| **other != id);
            let Some(oldest) = others.min_by_key(|(_, entry)| entry.used).map(|(id, _)| *id) else { break };
            self.remove(index, oldest);
        }
    }

    fn remove(&mut self, index: &mut PrefixIndex, id: EntryId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.bytes -= entry.state.len() as u64;
            index.remove(id);
        }
    }

    /// A saved state, marked as used.
    pub(super) fn recall(&mut self, id: EntryId, tick: u64) -> Option<&[u8]> {
        self.entries.get_mut(&id).map(|entry| {
            entry.used = tick;
            entry.state.as_slice()
        })
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = EntryId> {
        self.entries.keys().copied()
    }

    pub(super) fn budget(&self) -> u64 {
        self.budget
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Above every sequence of a context.
const FIRST: EntryId = 1 << 32;
