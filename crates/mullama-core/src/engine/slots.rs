//! Who holds what of the context: sequences in use, finished ones whose prefix may serve again, and prefixes in host
//! memory.
//!
//! The index knows the exact tokens of every holder, so that nothing is taken for a prefix that is not one.

mod choose;
mod host;
mod relocate;
#[cfg(test)]
mod tests;

use super::decoder::{Decoder, Shape, Slot};
use super::prefix::{EntryId, PrefixIndex, SaltKey};
use super::stats::Recorder;
use crate::tokenizer::TokenId;
use host::Host;

/// All sequences of a context.
#[derive(Debug)]
pub(crate) struct Slots {
    shape: Shape,
    slots: Vec<State>,
    index: PrefixIndex,
    host: Host,
    /// Copies between sequences that the next decode makes: until then neither side's bytes are what they shall be.
    unsettled: Vec<Slot>,
    /// Grows with each use.
    tick: u64,
    next_run: u64,
}

#[derive(Debug, Clone, Default)]
struct State {
    busy: bool,
    used: u64,
    key: SaltKey,
    /// Its positions were moved: nobody can use it again.
    moved: bool,
    /// Which cells of a unified cache it has: whoever has the same run shares them.
    runs: Vec<Run>,
}

/// Cells that were computed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    id: u64,
    length: usize,
}

/// A place for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) slot: Slot,
    /// Tokens of the prompt that need not be computed.
    pub(crate) cached: usize,
}

/// Where a prefix is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Slot(Slot),
    Host(EntryId),
}

impl Slots {
    /// `host_bytes`: for prefixes that leave the context.
    pub(crate) fn new(shape: Shape, host_bytes: u64) -> Self {
        let mut index = PrefixIndex::new();
        for slot in 0..shape.slots {
            index.insert(slot as EntryId, &SaltKey::default(), &[]);
        }
        let slots = vec![State::default(); shape.slots];
        Self { shape, slots, index, host: Host::new(host_bytes), unsettled: Vec::new(), tick: 0, next_run: 0 }
    }

    /// Takes a sequence for a request and fills it with the longest prefix that is held anywhere; one token of the prompt
    /// is always left to compute. `None`: no sequence, or not enough cells, are free.
    pub(crate) fn place(
        &mut self,
        decoder: &mut impl Decoder,
        (prompt, key): (&[TokenId], &SaltKey),
        cache: bool,
        stats: &Recorder,
    ) -> Option<Placed> {
        let usable = &prompt[..prompt.len().saturating_sub(1)];
        let (length, sources) = if cache { self.sources(usable, key) } else { (0, Vec::new()) };
        let slot = self.choose(length, &sources)?;
        let prefix = &usable[..length];
        let ready = if sources.contains(&Source::Slot(slot)) {
            if !self.is_cheap(slot, length) {
                self.save(decoder, slot, stats);
            }
            self.truncate(decoder, slot, length)
        } else {
            self.evict(decoder, slot, stats);
            // What a pending copy reads must not be written to before.
            let writable = !self.unsettled.contains(&slot);
            let source = sources.into_iter().find(|source| writable || matches!(source, Source::Slot(_)));
            source.is_some_and(|source| self.fill(decoder, (slot, source), (key, prefix), stats))
        };
        if !ready {
            self.reset(decoder, slot);
            self.index.insert(slot as EntryId, key, &[]);
        }
        let state = &mut self.slots[slot];
        (state.busy, state.moved, state.key) = (true, false, *key);
        self.touch(slot);
        let cached = if ready { length } else { 0 };
        if !self.make_room(decoder, prompt.len() - cached, stats) {
            self.release(slot);
            return None;
        }
        Some(Placed { slot, cached })
    }

    /// The longest prefix that can be taken over, and where from, cheapest first.
    fn sources(&self, prompt: &[TokenId], key: &SaltKey) -> (usize, Vec<Source>) {
        let of = |id: EntryId| match usize::try_from(id) {
            Ok(slot) if slot < self.slots.len() => Source::Slot(slot),
            _ => Source::Host(id),
        };
        let (length, ids) = if self.shape.partial_removal {
            let found = self.index.longest(key, prompt, MAX_SOURCES);
            (found.length, found.entries)
        } else {
            // Only a whole sequence can be taken: its end cannot be removed.
            self.whole_prefixes(prompt, key)
        };
        let mut sources: Vec<_> = ids.into_iter().map(of).collect();
        sources.sort_by_key(|source| match source {
            Source::Slot(slot) => (0, usize::from(self.slots[*slot].busy)),
            Source::Host(_) => (1, 0),
        });
        (if sources.is_empty() { 0 } else { length }, sources)
    }

    fn whole_prefixes(&self, prompt: &[TokenId], key: &SaltKey) -> (usize, Vec<EntryId>) {
        let mut best = (0, Vec::new());
        let slots = (0..self.slots.len()).map(|slot| slot as EntryId);
        for id in slots.chain(self.host.ids()) {
            let held = self.index.tokens(id).map_or(0, <[TokenId]>::len);
            if held == 0 || held < best.0 || self.index.common(id, key, prompt) < held {
                continue;
            }
            if held > best.0 {
                best = (held, Vec::new());
            }
            best.1.push(id);
        }
        best
    }

    /// Fills an empty sequence with a prefix. False: it could not be, and llama.cpp may hold anything there.
    fn fill(
        &mut self,
        decoder: &mut impl Decoder,
        (slot, source): (Slot, Source),
        (key, prefix): (&SaltKey, &[TokenId]),
        stats: &Recorder,
    ) -> bool {
        match source {
            Source::Slot(from) => {
                if decoder.copy(from, slot, prefix.len()).is_err() {
                    return false;
                }
                stats.cache_copies.add(1);
                self.slots[slot].runs = cut(&self.slots[from].runs, prefix.len());
                self.touch(from);
                if !self.shape.unified {
                    self.unsettled.extend([from, slot]);
                }
            }
            Source::Host(id) => {
                let held = self.index.tokens(id).map_or(0, <[TokenId]>::len);
                self.tick += 1;
                let tick = self.tick;
                if !self.make_room(decoder, held, stats)
                    || !self.host.recall(id, tick).is_some_and(|state| decoder.restore(slot, state))
                    || (held > prefix.len() && !decoder.remove(slot, prefix.len()))
                {
                    return false;
                }
                stats.host_restores.add(1);
                self.slots[slot].runs = vec![self.new_run(prefix.len())];
            }
        }
        self.index.insert(slot as EntryId, key, prefix);
        true
    }

    /// Notes tokens that were computed in a sequence.
    pub(crate) fn append(&mut self, slot: Slot, tokens: &[TokenId]) {
        self.index.extend(slot as EntryId, tokens);
        if self.shape.unified && !tokens.is_empty() {
            // The last run grows where nobody else has it.
            let last = self.slots[slot].runs.last().copied();
            let own = last.filter(|last| self.sharers(last.id) == 1);
            if own.is_some() {
                if let Some(last) = self.slots[slot].runs.last_mut() {
                    last.length += tokens.len();
                }
            } else {
                let run = self.new_run(tokens.len());
                self.slots[slot].runs.push(run);
            }
        }
    }

    /// Takes back the end of a sequence. False, and it is empty, where that cannot be.
    pub(crate) fn truncate(&mut self, decoder: &mut impl Decoder, slot: Slot, length: usize) -> bool {
        if self.length(slot) <= length {
            return true;
        }
        if !decoder.remove(slot, length) {
            self.empty(decoder, slot);
            return false;
        }
        self.index.truncate(slot as EntryId, length);
        self.slots[slot].runs = cut(&self.slots[slot].runs, length);
        true
    }

    /// Forgets positions `from..to` and moves the rest down. False: it cannot be done; the sequence is as it was, or empty.
    pub(crate) fn shift(&mut self, decoder: &mut impl Decoder, slot: Slot, from: usize, to: usize) -> bool {
        let held = self.length(slot);
        // Positions belong to cells: whoever shares them would be moved too.
        if self.shares(slot) || from >= to || to > held || self.unsettled.contains(&slot) {
            return false;
        }
        let mut tokens = self.index.tokens(slot as EntryId).unwrap_or_default().to_vec();
        if !decoder.shift(slot, from, to, held) {
            if !self.shape.partial_removal {
                return false;
            }
            self.empty(decoder, slot);
            return false;
        }
        tokens.drain(from..to);
        // What was moved was computed in another place: it is no prefix that another request could have.
        let key = salted(&self.slots[slot].key, self.tick);
        (self.slots[slot].moved, self.slots[slot].key) = (true, key);
        self.slots[slot].runs = if self.shape.unified { vec![self.new_run(tokens.len())] } else { Vec::new() };
        self.index.insert(slot as EntryId, &key, &tokens);
        true
    }

    /// Ends the use of a sequence; what it holds may serve again until its place is needed.
    pub(crate) fn release(&mut self, slot: Slot) {
        self.slots[slot].busy = false;
        self.touch(slot);
    }

    /// Forgets what a sequence holds.
    pub(crate) fn empty(&mut self, decoder: &mut impl Decoder, slot: Slot) {
        if self.length(slot) > 0 || self.unsettled.contains(&slot) {
            // Whole sequences can always be removed; where even that fails the context is broken and decoding says so.
            let _ = decoder.remove(slot, 0);
        }
        let key = self.slots[slot].key;
        self.index.insert(slot as EntryId, &key, &[]);
        self.slots[slot].runs.clear();
    }

    /// As [`Slots::empty`], where llama.cpp may hold more than is known here.
    pub(crate) fn reset(&mut self, decoder: &mut impl Decoder, slot: Slot) {
        let _ = decoder.remove(slot, 0);
        self.empty(decoder, slot);
    }

    /// The batch was computed: copies have been made.
    pub(crate) fn settle(&mut self) {
        self.unsettled.clear();
    }

    /// Keeps a copy of a sequence in host memory, for models whose sequences cannot be cut.
    pub(crate) fn checkpoint(&mut self, decoder: &mut impl Decoder, slot: Slot, stats: &Recorder) {
        self.save(decoder, slot, stats);
    }

    /// The last token of a sequence, which may be computed once more by who computes `beside`; `Some(None)` of an empty one.
    pub(crate) fn last_token(&self, slot: Slot, beside: Slot) -> Option<Option<TokenId>> {
        let state = &self.slots[slot];
        if self.unsettled.contains(&slot) {
            return None;
        }
        // Other adapters would leave other keys and values.
        let same = state.key == self.slots[beside].key;
        match self.index.tokens(slot as EntryId).and_then(<[TokenId]>::last) {
            Some(last) => (same && !state.moved).then_some(Some(*last)),
            None => (same || !state.busy).then_some(None),
        }
    }

    /// Makes the place of a sequence's last token free, of which it is still said that it is held. False, and it is empty,
    /// where that cannot be.
    pub(crate) fn uncover(&mut self, decoder: &mut impl Decoder, slot: Slot, position: usize) -> bool {
        let free = decoder.remove(slot, position);
        if !free {
            self.empty(decoder, slot);
        }
        free
    }

    /// Makes sure that `need` more cells can be taken; finished sequences go, the least recently used first.
    pub(crate) fn make_room(&mut self, decoder: &mut impl Decoder, need: usize, stats: &Recorder) -> bool {
        loop {
            if self.room(need) {
                return true;
            }
            let idle = (0..self.slots.len()).filter(|slot| !self.slots[*slot].busy && self.length(*slot) > 0);
            let Some(oldest) = idle.min_by_key(|slot| self.slots[*slot].used) else { return false };
            self.evict(decoder, oldest, stats);
        }
    }

    fn room(&self, need: usize) -> bool {
        !self.shape.unified || self.cells_used() + need <= self.shape.cells
    }

    /// Empties an idle sequence; what it holds goes to host memory where that is worth it.
    fn evict(&mut self, decoder: &mut impl Decoder, slot: Slot, stats: &Recorder) {
        if self.length(slot) == 0 {
            return;
        }
        self.save(decoder, slot, stats);
        stats.cache_evictions.add(1);
        self.empty(decoder, slot);
    }

    fn save(&mut self, decoder: &mut impl Decoder, slot: Slot, stats: &Recorder) {
        let id = slot as EntryId;
        let worth = self.host.budget() > 0
            && self.length(slot) >= MIN_SAVED
            && !self.slots[slot].moved
            && !self.unsettled.contains(&slot)
            && !self.is_covered(id);
        if !worth {
            return;
        }
        let Some(state) = decoder.save(slot) else { return };
        let tokens = self.index.tokens(id).unwrap_or_default().to_vec();
        self.tick += 1;
        let key = self.slots[slot].key;
        let cut = self.shape.partial_removal;
        self.host.insert(&mut self.index, (&key, &tokens), (state, self.tick), cut);
        stats.host_saves.add(1);
        stats.host_bytes_used.set(self.host.bytes());
    }

    fn touch(&mut self, slot: Slot) {
        self.tick += 1;
        self.slots[slot].used = self.tick;
    }

    fn new_run(&mut self, length: usize) -> Run {
        self.next_run += 1;
        Run { id: self.next_run, length }
    }

    fn sharers(&self, run: u64) -> usize {
        self.slots.iter().filter(|slot| slot.runs.iter().any(|one| one.id == run)).count()
    }

    /// Tokens in a sequence.
    pub(crate) fn length(&self, slot: Slot) -> usize {
        self.index.tokens(slot as EntryId).map_or(0, <[TokenId]>::len)
    }

    /// The longest prefix of `prompt` that is held, which is what placing it would save.
    pub(crate) fn longest(&self, prompt: &[TokenId], key: &SaltKey) -> usize {
        self.sources(&prompt[..prompt.len().saturating_sub(1)], key).0
    }

    /// The longest prefix that somebody else has, whether it can be taken over or not.
    pub(crate) fn known(&self, prompt: &[TokenId], key: &SaltKey) -> usize {
        self.index.longest(key, prompt, 1).length
    }

    /// Does the sequence share cells?
    pub(crate) fn shares(&self, slot: Slot) -> bool {
        self.slots[slot].runs.iter().any(|run| self.sharers(run.id) > 1)
    }

    /// Forgets what idle sequences hold.
    pub(crate) fn drop_idle(&mut self, decoder: &mut impl Decoder) {
        for slot in 0..self.slots.len() {
            if !self.slots[slot].busy {
                self.reset(decoder, slot);
            }
        }
    }

    /// Is all that this one holds held by another, from which it could be taken?
    fn is_covered(&self, id: EntryId) -> bool {
        self.shape.partial_removal && self.index.is_covered(id)
    }

    /// Is there a sequence that nobody uses?
    pub(crate) fn has_free(&self) -> bool {
        self.slots.iter().any(|slot| !slot.busy)
    }

    /// Cells in use, those that are shared counted once.
    pub(crate) fn cells_used(&self) -> usize {
        if !self.shape.unified {
            return (0..self.slots.len()).map(|slot| self.length(slot)).sum();
        }
        let mut longest = std::collections::HashMap::new();
        for run in self.slots.iter().flat_map(|slot| &slot.runs) {
            let known = longest.entry(run.id).or_insert(0);
            *known = run.length.max(*known);
        }
        longest.values().sum()
    }

    /// Cells of sequences in use; shared ones may count more than once.
    pub(crate) fn cells_busy(&self) -> usize {
        (0..self.slots.len()).filter(|slot| self.slots[*slot].busy).map(|slot| self.length(slot)).sum()
    }
}

/// The runs of the first `length` tokens.
fn cut(runs: &[Run], length: usize) -> Vec<Run> {
    let mut left = length;
    let mut cut = Vec::with_capacity(runs.len());
    for run in runs {
        let take = run.length.min(left);
        if take == 0 {
            break;
        }
        cut.push(Run { id: run.id, length: take });
        left -= take;
    }
    cut
}

/// A key that no request has.
fn salted(key: &SaltKey, tick: u64) -> SaltKey {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"moved");
    hasher.update(key);
    hasher.update(&tick.to_le_bytes());
    *hasher.finalize().as_bytes()
}

/// Holders that are looked at of those with the same longest prefix.
const MAX_SOURCES: usize = 64;
/// Shorter ones are computed as fast as they are copied twice.
const MIN_SAVED: usize = 32;
