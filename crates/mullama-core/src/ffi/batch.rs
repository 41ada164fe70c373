//! `llama_batch`, checked as it grows.

use mullama_sys as sys;

/// Tokens for one call of `llama_decode`. Never holds more than its capacity, which must be the context's `n_batch`.
#[derive(Debug)]
pub(crate) struct Batch {
    capacity: usize,
    tokens: Vec<i32>,
    positions: Vec<i32>,
    sequences: Vec<i32>,
    outputs: Vec<i8>,
    counts: Vec<i32>,
    sequence_pointers: Vec<*mut i32>,
}

// SAFETY: the pointers are into the batch's own vectors and are rewritten before each use.
unsafe impl Send for Batch {}

impl Batch {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            tokens: Vec::with_capacity(capacity),
            positions: Vec::with_capacity(capacity),
            sequences: Vec::with_capacity(capacity),
            outputs: Vec::with_capacity(capacity),
            counts: Vec::with_capacity(capacity),
            sequence_pointers: Vec::with_capacity(capacity),
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.sequences.clear();
        self.outputs.clear();
        self.counts.clear();
    }

    /// Adds a token; false when the batch is full. Token, position and sequence must be in range for the context.
    #[must_use]
    pub(crate) fn push(&mut self, token: i32, position: i32, sequence: i32, output: bool) -> bool {
        debug_assert!(token >= 0 && position >= 0 && sequence >= 0);
        if self.len() >= self.capacity {
            return false;
        }
        self.tokens.push(token);
        self.positions.push(position);
        self.sequences.push(sequence);
        self.outputs.push(i8::from(output));
        self.counts.push(1);
        true
    }

    /// The C view; valid until the batch is next touched.
    pub(super) fn raw(&mut self) -> sys::llama_batch {
        self.sequence_pointers.clear();
        let sequences = self.sequences.as_mut_ptr();
        for index in 0..self.sequences.len() {
            self.sequence_pointers.push(sequences.wrapping_add(index));
        }
        sys::llama_batch {
            n_tokens: i32::try_from(self.tokens.len()).unwrap_or(0),
            token: self.tokens.as_mut_ptr(),
            embd: std::ptr::null_mut(),
            pos: self.positions.as_mut_ptr(),
            n_seq_id: self.counts.as_mut_ptr(),
            seq_id: self.sequence_pointers.as_mut_ptr(),
            logits: self.outputs.as_mut_ptr(),
        }
    }
}
