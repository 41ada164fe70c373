//! The books against a decoder that keeps its own.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::engine::decoder::Outcome;
use crate::engine::schedule::tests::random::{cases, faults, shape};
use crate::engine::schedule::tests::scripted::{Faults, Script, Scripted, family};

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

#[derive(Debug, Clone)]
enum Action {
    /// A prompt of a family, with an end of its own, under one of two keys.
    Place {
        family: u8,
        shared: usize,
        own: usize,
        key: bool,
        cache: bool,
    },
    /// So many tokens of a family for each of these, in one batch.
    Compute(Vec<(Index, u8, usize)>),
    Truncate(Index, usize),
    Release(Index),
    Shift(Index, usize, usize),
    Checkpoint(Index),
    Reset(Index),
    MakeRoom(usize),
    DropIdle,
}

fn action() -> impl Strategy<Value = Action> {
    let place = (0_u8..3, 0_usize..128, 1_usize..20, prop::bool::weighted(0.8), prop::bool::weighted(0.9));
    let place = place.prop_map(|(family, shared, own, key, cache)| Action::Place { family, shared, own, key, cache });
    let computed = prop::collection::vec((any::<Index>(), 0_u8..3, 1_usize..40), 1..4);
    prop_oneof![
        6 => place,
        6 => computed.prop_map(Action::Compute),
        2 => (any::<Index>(), 0_usize..128).prop_map(|(slot, length)| Action::Truncate(slot, length)),
        4 => any::<Index>().prop_map(Action::Release),
        1 => (any::<Index>(), 0_usize..20, 1_usize..60).prop_map(|(slot, from, to)| Action::Shift(slot, from, to)),
        1 => any::<Index>().prop_map(Action::Checkpoint),
        1 => any::<Index>().prop_map(Action::Reset),
        1 => (0_usize..200).prop_map(Action::MakeRoom),
        1 => Just(Action::DropIdle),
    ]
}

/// What is in use, in plain lists.
struct Naive {
    shape: Shape,
    slots: Slots,
    decoder: Scripted,
    stats: Recorder,
    busy: BTreeMap<Slot, Vec<TokenId>>,
}

impl Naive {
    fn new(shape: Shape, host: u64, faults: Faults) -> Self {
        let decoder = Scripted::new(shape, Script::Whole, faults);
        Self { shape, slots: Slots::new(shape, host), decoder, stats: Recorder::default(), busy: BTreeMap::new() }
    }

    fn which(&self, slot: Index) -> Option<Slot> {
        let busy: Vec<_> = self.busy.keys().copied().collect();
        (!busy.is_empty()).then(|| *slot.get(&busy))
    }

    fn place(&mut self, prompt: &[TokenId], key: SaltKey, cache: bool) {
        let usable = &prompt[..prompt.len() - 1];
        let common = |id| self.slots.index.common(id, &key, usable);
        let whole = |slot: &Slot| self.shape.partial_removal || common(*slot as EntryId) == self.slots.length(*slot);
        let held = (0..self.shape.slots).filter(whole).map(|slot| common(slot as EntryId)).max().unwrap_or(0);
        let most = self.slots.host.ids().map(common).max().unwrap_or(0).max(held);
        let free = self.slots.has_free();
        let placed = self.slots.place(&mut self.decoder, (prompt, &key), cache, &self.stats);
        let Some(Placed { slot, cached }) = placed else {
            let others: HashSet<_> = self.busy.keys().flat_map(|slot| self.decoder.cells(*slot)).collect();
            assert!(!free || self.shape.unified && others.len() + prompt.len() > self.shape.cells, "there was room");
            return;
        };
        let sound = self.decoder.faults.copy == 0 && self.decoder.faults.restore == 0;
        let least = if sound && cache && held == most { held } else { 0 };
        let most = if cache { most } else { 0 };
        assert!((least..=most).contains(&cached), "{cached} tokens are taken over, of {least} to {most}");
        assert!(!self.shape.unified || self.slots.cells_used() + prompt.len() - cached <= self.shape.cells);
        let taken = self.busy.insert(slot, prompt[..cached].to_vec());
        assert!(taken.is_none(), "it is in use");
    }

    fn compute(&mut self, wanted: &[(Index, u8, usize)]) {
        let mut parts = BTreeMap::new();
        let mut left = self.shape.batch;
        for (slot, number, tokens) in wanted {
            let Some(slot) = self.which(*slot) else { return };
            let room = self.shape.length - self.busy[&slot].len();
            let tokens: Vec<_> =
                family(*number).skip(self.busy[&slot].len()).take((*tokens).min(room).min(left)).collect();
            left -= tokens.len();
            left += parts.insert(slot, tokens).map_or(0, |replaced: Vec<_>| replaced.len());
        }
        let need = parts.values().map(Vec::len).sum();
        if need == 0 || !self.slots.make_room(&mut self.decoder, need, &self.stats) {
            return;
        }
        self.decoder.begin();
        for (slot, tokens) in &parts {
            let from = self.slots.length(*slot);
            for (at, token) in tokens.iter().enumerate() {
                assert!(self.decoder.push(*token, from + at, *slot, false));
            }
        }
        let done = self.decoder.decode() == Outcome::Done;
        if done {
            self.slots.settle();
        }
        for (slot, tokens) in parts {
            if done {
                self.slots.append(slot, &tokens);
                self.busy.entry(slot).or_default().extend(tokens);
            } else if !self.decoder.remove(slot, self.slots.length(slot)) {
                self.slots.reset(&mut self.decoder, slot);
                self.busy.insert(slot, Vec::new());
            }
        }
    }

    fn truncate(&mut self, slot: Slot, length: usize) {
        let tokens = self.busy.entry(slot).or_default();
        let cuts = length < tokens.len();
        let can = !cuts || length == 0 || self.shape.partial_removal;
        assert_eq!(self.slots.truncate(&mut self.decoder, slot, length), can);
        tokens.truncate(if can { length } else { 0 });
    }

    fn shift(&mut self, slot: Slot, from: usize, to: usize) {
        let tokens = self.busy.entry(slot).or_default();
        // Something always stays.
        let to = to.min(tokens.len().saturating_sub(1));
        if self.slots.shift(&mut self.decoder, slot, from, to) {
            tokens.drain(from..to);
        } else if self.slots.length(slot) == 0 {
            tokens.clear();
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Place { family: number, shared, own, key, cache } => {
                let own = family(number + 100).skip(shared).take(own);
                let mut prompt: Vec<_> = family(number).take(shared).chain(own).collect();
                prompt.truncate(self.shape.length);
                self.place(&prompt, [u8::from(key); 32], cache);
            }
            Action::Compute(wanted) => self.compute(&wanted),
            Action::MakeRoom(cells) => {
                let idle = self.slots.cells_used();
                if self.slots.make_room(&mut self.decoder, cells, &self.stats) {
                    assert!(!self.shape.unified || self.slots.cells_used() + cells <= self.shape.cells);
                } else {
                    assert!(self.shape.unified && self.slots.cells_used() <= idle);
                }
            }
            Action::DropIdle => self.slots.drop_idle(&mut self.decoder),
            Action::Truncate(slot, length) => drop(self.which(slot).map(|slot| self.truncate(slot, length))),
            Action::Shift(slot, from, to) => drop(self.which(slot).map(|slot| self.shift(slot, from, to))),
            Action::Checkpoint(slot) => {
                let slot = self.which(slot);
                if let Some(slot) = slot {
                    self.slots.checkpoint(&mut self.decoder, slot, &self.stats);
                }
            }
            Action::Release(slot) => {
                if let Some(slot) = self.which(slot) {
                    self.slots.release(slot);
                    self.busy.remove(&slot);
                }
            }
            Action::Reset(slot) => {
                if let Some(slot) = self.which(slot) {
                    self.slots.reset(&mut self.decoder, slot);
                    self.busy.insert(slot, Vec::new());
                }
            }
        }
        self.slots.check(&self.decoder);
        self.slots.check_busy(&self.busy.keys().copied().collect::<Vec<_>>());
        for (slot, tokens) in &self.busy {
            assert_eq!(self.slots.tokens(*slot), tokens, "what sequence {slot} is to hold");
        }
    }
}

proptest! {
    #![proptest_config(cases(1_024))]

    #[test]
    fn sequences_hold_what_a_plain_list_says(
        shape in shape(),
        host in prop_oneof![Just(0_u64), 100_u64..3_000, Just(1 << 20)],
        faults in prop_oneof![Just(Faults::default()), faults()],
        actions in prop::collection::vec(action(), 1..60),
    ) {
        let mut naive = Naive::new(shape, host, faults);
        actions.into_iter().for_each(|action| naive.act(action));
    }
}
