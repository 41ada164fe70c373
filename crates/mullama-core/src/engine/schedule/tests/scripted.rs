//! A decoder without llama.cpp. Where llama.cpp keeps numbers it keeps the tokens that they came from, and the next token
//! depends on all of them: whatever is lost, mixed up or taken for something else gives another answer.
//!
//! It panics where the engine asks for something that llama.cpp does not do, or does wrongly without a word.

use std::cell::Cell as Counter;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::engine::decoder::{Decoder, Outcome, Shape, Slot};
use crate::error::{Error, Result};
use crate::ffi::ContextPtr;
use crate::generate::Vocabulary;
use crate::lora::Lora;
use crate::sampling::Rows;
use crate::tokenizer::TokenId;

pub(crate) const TOKENS: usize = 16;
pub(crate) const END: TokenId = TokenId(0);
/// What a decode takes, and each of its tokens.
pub(crate) const STEP: Duration = Duration::from_millis(5);
pub(crate) const EACH: Duration = Duration::from_micros(200);

/// One letter for each token, but for the end and the two halves of an é.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Letters;

impl Vocabulary for Letters {
    fn is_end(&self, token: TokenId) -> bool {
        token == END
    }

    fn append(&self, token: TokenId, _special: bool, into: &mut Vec<u8>) -> Result<()> {
        into.push(match token.0 {
            1 => 0xC3,
            2 => 0xA9,
            other => b'a' + u8::try_from(other - 3).unwrap(),
        });
        Ok(())
    }
}

/// What follows tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// Depends on all of them.
    Whole,
    /// Mostly on the last two, so that texts repeat themselves.
    Repeating,
    /// `a`, and never an end.
    Monotonous,
}

impl Script {
    pub(crate) fn next(self, tokens: impl IntoIterator<Item = TokenId>) -> TokenId {
        let (mut whole, mut last) = (0_u64, (0, 0));
        for token in tokens {
            whole = mix(whole ^ u64::from(token.0.unsigned_abs()).wrapping_add(1));
            last = (last.1, token.0.unsigned_abs());
        }
        match self {
            Self::Monotonous => TokenId(3),
            Self::Repeating if whole % 8 != 0 => letter(mix(u64::from(last.0 * 16 + last.1)) | 32),
            Self::Whole | Self::Repeating => letter(whole >> 8),
        }
    }
}

/// Seldom an end, sometimes half a character.
fn letter(hash: u64) -> TokenId {
    TokenId(match hash % 64 {
        0 => 0,
        1..=4 => 1,
        5..=8 => 2,
        _ => 3 + i32::try_from((hash >> 6) % 13).unwrap(),
    })
}

/// One of many texts without an end, which have nothing in common.
pub(crate) fn family(number: u8) -> impl Iterator<Item = TokenId> {
    (0..).map(move |at| TokenId(3 + i32::try_from(mix(u64::from(number) << 32 | at) % 13).unwrap()))
}

pub(crate) fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// How often, of 255 times, something goes wrong.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) seed: u64,
    pub(crate) no_room: u8,
    pub(crate) failed: u8,
    pub(crate) aborted: u8,
    pub(crate) copy: u8,
    pub(crate) save: u8,
    pub(crate) restore: u8,
    pub(crate) shift: u8,
    pub(crate) adapt: u8,
}

/// What was asked of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) tokens: usize,
    pub(crate) no_room: usize,
    pub(crate) decodes: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    token: TokenId,
    position: usize,
    pub(crate) slot: Slot,
    output: bool,
}

/// A token in memory; copies of a unified cache have the same number.
#[derive(Debug, Clone, Copy)]
struct Cell {
    number: u64,
    token: TokenId,
}

#[derive(Debug)]
pub(crate) struct Scripted {
    shape: Shape,
    script: Script,
    pub(crate) faults: Faults,
    random: u64,
    /// Of each sequence. With cells of their own it is longer than what is held: what lay there before.
    memory: Vec<Vec<Cell>>,
    held: Vec<usize>,
    /// Copies between cells of their own, which the next decode makes.
    pending: Vec<(Slot, Slot)>,
    /// Sequences whose positions the next decode moves.
    moved: Vec<Slot>,
    next_cell: u64,
    batch: Vec<Row>,
    /// The last batch, and its numbers.
    pub(crate) rows: Vec<Row>,
    logits: Vec<Option<[f32; TOKENS]>>,
    clock: Instant,
    pub(crate) counts: Counts,
    /// Questions since the last decode: too many are a loop without an end.
    asked: Counter<u32>,
}

impl Scripted {
    pub(crate) fn new(shape: Shape, script: Script, faults: Faults) -> Self {
        Self {
            shape,
            script,
            faults,
            random: faults.seed,
            memory: vec![Vec::new(); shape.slots],
            held: vec![0; shape.slots],
            pending: Vec::new(),
            moved: Vec::new(),
            next_cell: 0,
            batch: Vec::new(),
            rows: Vec::new(),
            logits: Vec::new(),
            clock: Instant::now(),
            counts: Counts::default(),
            asked: Counter::new(0),
        }
    }

    pub(crate) fn jump(&mut self, time: Duration) {
        self.clock += time;
    }

    /// Begins to count questions anew.
    pub(crate) fn be_patient(&self) {
        self.asked.set(0);
    }

    /// What a sequence would be read as by the next decode.
    pub(crate) fn sees(&self, slot: Slot) -> Vec<TokenId> {
        // Followed backwards: where what lies there at the end came from.
        let from = self.pending.iter().rev().fold(slot, |at, (from, to)| if *to == at { *from } else { at });
        assert!(self.memory[from].len() >= self.held[slot], "sequence {slot} has more tokens than memory");
        self.memory[from][..self.held[slot]].iter().map(|cell| cell.token).collect()
    }

    /// The numbers of a sequence's cells, in a unified cache.
    pub(crate) fn cells(&self, slot: Slot) -> impl Iterator<Item = u64> {
        self.memory[slot].iter().map(|cell| cell.number)
    }

    /// Cells that hold something, shared ones once.
    pub(crate) fn used(&self) -> usize {
        if !self.shape.unified {
            return self.held.iter().sum();
        }
        (0..self.shape.slots).flat_map(|slot| self.cells(slot)).collect::<HashSet<_>>().len()
    }

    fn ask(&self) {
        self.asked.set(self.asked.get() + 1);
        assert!(self.asked.get() < 100_000, "a turn does not end");
    }

    fn fails(&mut self, of_255: u8) -> bool {
        self.random = mix(self.random);
        self.random % 255 < u64::from(of_255)
    }

    fn cell(&mut self, token: TokenId) -> Cell {
        self.next_cell += 1;
        Cell { number: self.next_cell, token }
    }

    fn is_pending(&self, slot: Slot) -> bool {
        self.pending.iter().any(|(from, to)| *from == slot || *to == slot)
    }

    fn make_copies(&mut self) {
        for (from, to) in std::mem::take(&mut self.pending) {
            self.memory[to] = self.memory[from].clone();
        }
        self.moved.clear();
    }

    fn compute(&mut self, row: Row) {
        let Row { token, position, slot, output } = row;
        assert_eq!(position, self.held[slot], "positions of sequence {slot} follow each other");
        assert!(position < self.shape.length, "sequence {slot} is too long");
        let cell = self.cell(token);
        self.memory[slot].truncate(position);
        self.memory[slot].push(cell);
        self.held[slot] += 1;
        self.counts.tokens += 1;
        let numbers = output.then(|| {
            let next = self.script.next(self.memory[slot].iter().map(|cell| cell.token));
            let mut logits = [0.0; TOKENS];
            logits.iter_mut().zip(0_u8..).for_each(|(logit, at)| *logit = f32::from(at * 7 % 16) / 16.0);
            logits[usize::try_from(next.0).unwrap()] = 9.0;
            logits
        });
        self.logits.push(numbers);
    }
}

impl Rows for Scripted {
    fn logits(&mut self, row: i32) -> Option<&[f32]> {
        let row = usize::try_from(row).expect("the engine names rows by their number");
        assert!(row < self.logits.len(), "row {row} of {}", self.logits.len());
        self.logits[row].as_ref().map(|row| row.as_slice())
    }

    fn context(&mut self) -> Option<&mut ContextPtr> {
        None
    }
}

impl Decoder for Scripted {
    type Vocabulary = Letters;

    fn now(&self) -> Instant {
        self.ask();
        self.clock
    }

    fn shape(&self) -> Shape {
        self.ask();
        self.shape
    }

    fn begin(&mut self) {
        self.batch.clear();
    }

    fn push(&mut self, token: TokenId, position: usize, slot: Slot, output: bool) -> bool {
        assert!(self.batch.len() < self.shape.batch, "the batch is full");
        assert!(usize::try_from(token.0).is_ok_and(|token| token < TOKENS), "{token} is no token");
        assert!(slot < self.shape.slots);
        self.batch.push(Row { token, position, slot, output });
        true
    }

    fn decode(&mut self) -> Outcome {
        self.be_patient();
        self.rows = std::mem::take(&mut self.batch);
        assert!(!self.rows.is_empty(), "nothing to compute");
        assert!(self.rows.is_sorted_by_key(|row| row.slot), "neighbours are computed together only in rising order");
        let rows = u32::try_from(self.rows.len()).unwrap();
        self.clock += STEP + EACH * rows;
        self.counts.decodes += 1;
        self.logits.clear();
        self.make_copies();
        if self.fails(self.faults.no_room) {
            self.counts.no_room += 1;
            return Outcome::NoRoom;
        }
        assert!(
            !self.shape.unified || self.used() + self.rows.len() <= self.shape.cells,
            "{} cells are used and {rows} wanted of {}",
            self.used(),
            self.shape.cells
        );
        // What fails is computed in part.
        let aborted = self.fails(self.faults.aborted);
        let failed = aborted || self.fails(self.faults.failed);
        let computed =
            if failed { usize::try_from(self.random >> 32).unwrap() % self.rows.len() } else { self.rows.len() };
        self.rows.clone().into_iter().take(computed).for_each(|row| self.compute(row));
        match (aborted, failed) {
            (true, _) => Outcome::Aborted,
            (_, true) => Outcome::Failed { code: -3, reason: "as asked".to_owned() },
            _ => Outcome::Done,
        }
    }

    fn remove(&mut self, slot: Slot, from: usize) -> bool {
        if !self.shape.partial_removal && from > 0 && from < self.held[slot] {
            return false;
        }
        self.held[slot] = self.held[slot].min(from);
        if self.held[slot] == 0 {
            // Moves belong to cells, and go with them.
            self.moved.retain(|moved| *moved != slot);
        }
        if self.shape.unified {
            self.memory[slot].truncate(from);
        }
        true
    }

    fn copy(&mut self, from: Slot, to: Slot, end: usize) -> Result<()> {
        assert!(from != to && self.held[to] == 0, "only into another sequence, which must be empty");
        assert!(end <= self.held[from], "{end} tokens of {}", self.held[from]);
        assert!(self.shape.partial_removal || end == self.held[from], "states are copied whole");
        assert!(!self.moved.contains(&from), "positions of {from} are being moved");
        if self.fails(self.faults.copy) {
            return Err(Error::Internal { what: "as asked".to_owned() });
        }
        self.held[to] = end;
        if self.shape.unified {
            self.memory[to] = self.memory[from][..end].to_vec();
        } else {
            self.pending.push((from, to));
        }
        Ok(())
    }

    fn shift(&mut self, slot: Slot, from: usize, to: usize, held: usize) -> bool {
        assert!(held == self.held[slot] && from < to && to <= held);
        assert!(!self.is_pending(slot), "a copy of {slot} is being made");
        if !self.shape.partial_removal {
            return false;
        }
        let moved: HashSet<u64> = self.memory[slot][from..held].iter().map(|cell| cell.number).collect();
        let others = (0..self.shape.slots).filter(|other| *other != slot);
        let shared = others.flat_map(|other| &self.memory[other]).any(|cell| moved.contains(&cell.number));
        assert!(!self.shape.unified || !shared, "others share cells that {slot} moves");
        self.memory[slot].truncate(held);
        self.memory[slot].drain(from..to);
        self.held[slot] -= to - from;
        self.moved.push(slot);
        // What cannot be moved is lost.
        !self.fails(self.faults.shift)
    }

    fn save(&mut self, slot: Slot) -> Option<Vec<u8>> {
        if self.fails(self.faults.save) {
            return None;
        }
        // Read as it lies there: a copy that is not made yet, or positions that are not moved, are something else.
        let lies = self.memory[slot].iter().map(|cell| cell.token.0).chain(std::iter::repeat(-1));
        let moved = self.moved.contains(&slot);
        let tokens = lies.map(|token| if moved { -1 } else { token });
        Some(tokens.take(self.held[slot]).flat_map(i32::to_le_bytes).collect())
    }

    fn restore(&mut self, slot: Slot, state: &[u8]) -> bool {
        assert!(self.held[slot] == 0, "only an empty sequence takes up a state");
        assert!(!self.is_pending(slot), "a copy of {slot} is being made");
        let failed = self.fails(self.faults.restore);
        let tokens = state.as_chunks::<4>().0.iter().map(|bytes| TokenId(i32::from_le_bytes(*bytes)));
        let tokens: Vec<_> = tokens.take(if failed { state.len() / 8 } else { state.len() }).collect();
        self.memory[slot] = tokens.into_iter().map(|token| self.cell(token)).collect();
        self.held[slot] = self.memory[slot].len();
        assert!(!self.shape.unified || self.used() <= self.shape.cells, "no cells for a state");
        !failed
    }

    fn adapt(&mut self, _adapters: &[(Lora, f32)]) -> Result<()> {
        if self.fails(self.faults.adapt) {
            return Err(Error::Lora { path: "adapter".into(), reason: "as asked".to_owned() });
        }
        Ok(())
    }

    fn threads(&mut self, _single: u32, _batch: u32) {}
}
