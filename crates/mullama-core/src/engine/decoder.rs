//! What the loop asks of llama.cpp, so that a script can stand in for it in tests.

use std::time::Instant;

use crate::context::ContextParams;
use crate::error::{Error, Result};
use crate::ffi::{Batch, ContextPtr, RawContextParams, ThreadPoolPtr};
use crate::generate::Vocabulary;
use crate::lora::Lora;
use crate::model::Model;
use crate::prepare::on_own_thread;
use crate::sampling::Rows;
use crate::tokenizer::{TokenId, Tokenizer};

use super::params::{EngineParams, KvLayout};

/// The number of a sequence in the context: 0, 1, ...
pub(crate) type Slot = usize;

/// What a context can hold and do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) slots: usize,
    /// Tokens of one sequence, no more than there are cells.
    pub(crate) length: usize,
    /// Cells of the whole context.
    pub(crate) cells: usize,
    /// Tokens of one batch.
    pub(crate) batch: usize,
    /// Do the sequences take their cells from one pool, which they can share?
    pub(crate) unified: bool,
    /// Can the end of a sequence be taken back? Not with recurrent states.
    pub(crate) partial_removal: bool,
    /// Steps in which gaps between sequences cost as much as copying a sequence does.
    pub(crate) gather_after: u32,
}

/// How a batch ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// No cells are free.
    NoRoom,
    /// The abort flag was set.
    Aborted,
    Failed {
        code: i32,
        reason: String,
    },
}

/// A context with several sequences.
pub(crate) trait Decoder: Rows {
    /// What turns its tokens into text.
    type Vocabulary: Vocabulary;

    /// The time.
    fn now(&self) -> Instant;
    fn shape(&self) -> Shape;
    /// Begins a batch.
    fn begin(&mut self);
    /// Adds a row; false when the batch is full.
    fn push(&mut self, token: TokenId, position: usize, slot: Slot, output: bool) -> bool;
    /// Computes the batch. Output rows are numbered as they were pushed, rows without output counted too.
    fn decode(&mut self) -> Outcome;
    /// Forgets a sequence from position `from` on. False: it cannot forget a part.
    fn remove(&mut self, slot: Slot, from: usize) -> bool;
    /// Makes the empty sequence `to` hold what `from` holds below `end` (all of it, where sequences have cells of their own).
    fn copy(&mut self, from: Slot, to: Slot, end: usize) -> Result<()>;
    /// Forgets positions `from..to` of a sequence of `held` tokens, and moves the rest down. False: it cannot; the sequence
    /// may then be lost and must be removed.
    fn shift(&mut self, slot: Slot, from: usize, to: usize, held: usize) -> bool;
    /// A sequence's keys and values as bytes.
    fn save(&mut self, slot: Slot) -> Option<Vec<u8>>;
    /// Takes up what `save` gave, in an empty sequence.
    fn restore(&mut self, slot: Slot, state: &[u8]) -> bool;
    /// Uses these adapters from now on.
    fn adapt(&mut self, adapters: &[(Lora, f32)]) -> Result<()>;
    /// Uses this many threads for single tokens, and for prompts.
    fn threads(&mut self, single: u32, batch: u32);
}

/// llama.cpp's context.
#[derive(Debug)]
pub(crate) struct Llama {
    // In this order: the context is freed before what it points to.
    ptr: ContextPtr,
    #[expect(dead_code, reason = "the context points to it")]
    pool: Option<ThreadPoolPtr>,
    /// Of the batch in force; held while the context points to them.
    adapters: Vec<(Lora, f32)>,
    batch: Batch,
    shape: Shape,
    recurrent: bool,
}

impl Llama {
    /// Makes the context. `params` are resolved for the model.
    pub(crate) fn new(
        model: &Model,
        engine: &EngineParams,
        params: &ContextParams,
        abort: &std::sync::Arc<std::sync::atomic::AtomicBool>,
    ) -> Result<Self> {
        let unsupported = |reason| Error::Unsupported { what: "generation with this model", reason };
        if model.is_vocab_only() {
            return Err(unsupported("only its vocabulary was loaded"));
        }
        if model.has_encoder() || !model.has_decoder() {
            return Err(unsupported("it is an encoder, or needs one first (T5)"));
        }
        let unified = engine.kv_layout == KvLayout::Unified;
        let cells = engine.cells(params);
        let batch = params.batch.max(engine.sequences);
        let raw = RawContextParams {
            n_ctx: cells,
            n_batch: batch,
            n_seq_max: engine.sequences,
            n_outputs_max_per_seq: engine.speculation.rows(),
            kv_unified: unified,
            ..params.raw()
        };
        let ptr = ContextPtr::new(model.ptr(), &raw, abort);
        let mut ptr = ptr.map_err(|reason| Error::CreateContext { n_ctx: cells, reason })?;
        if !ptr.has_memory() {
            return Err(unsupported("it embeds texts; ask the engine for embeddings"));
        }
        let threads = params.threads.max(params.threads_batch);
        // Its threads are called as the one that makes them.
        let pool = on_own_thread("mullama-compute", || ThreadPoolPtr::new(i32::try_from(threads).unwrap_or(1), POLL))?;
        if let Some(pool) = &pool {
            ptr.attach_pool(pool);
        }
        let batch = Batch::new((ptr.n_batch() as usize).min(batch as usize));
        let shape = Shape {
            slots: engine.sequences as usize,
            // More than there are cells for would be shifted, or end, too late.
            length: params.length.min(cells) as usize,
            cells: cells as usize,
            batch: batch.capacity(),
            unified,
            partial_removal: !model.is_recurrent(),
            gather_after: gather_after(model, params.length),
        };
        Ok(Self { ptr, pool, adapters: Vec::new(), batch, shape, recurrent: model.is_recurrent() })
    }
}

impl Rows for Llama {
    fn logits(&mut self, row: i32) -> Option<&[f32]> {
        self.ptr.logits(row)
    }

    fn context(&mut self) -> Option<&mut ContextPtr> {
        Some(&mut self.ptr)
    }
}

impl Decoder for Llama {
    type Vocabulary = Tokenizer;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn begin(&mut self) {
        self.batch.clear();
    }

    fn push(&mut self, token: TokenId, position: usize, slot: Slot, output: bool) -> bool {
        self.batch.push(token.0, number(position), number(slot), output)
    }

    fn decode(&mut self) -> Outcome {
        match self.ptr.decode(&mut self.batch) {
            (0, _) => Outcome::Done,
            (1, _) => Outcome::NoRoom,
            (2, _) => Outcome::Aborted,
            (code, reason) => Outcome::Failed { code, reason },
        }
    }

    fn remove(&mut self, slot: Slot, from: usize) -> bool {
        self.ptr.remove(number(slot), number(from), -1)
    }

    fn copy(&mut self, from: Slot, to: Slot, end: usize) -> Result<()> {
        let whole = !self.shape.unified || self.recurrent;
        let copied = self.ptr.copy(number(from), number(to), (!whole).then(|| number(end)));
        copied.map_err(|reason| Error::Decode { code: mullama_sys::MULLAMA_EXCEPTION, reason })?;
        if whole && !self.recurrent && !self.remove(to, end) {
            return Err(Error::Internal { what: "the end of a copied sequence could not be removed".to_owned() });
        }
        Ok(())
    }

    fn shift(&mut self, slot: Slot, from: usize, to: usize, held: usize) -> bool {
        // A recurrent state says that it can, and forgets nothing.
        if self.recurrent || !self.ptr.can_shift() {
            return false;
        }
        self.ptr.remove(number(slot), number(from), number(to))
            && self.ptr.shift(number(slot), number(to), number(held), -number(to - from))
    }

    fn save(&mut self, slot: Slot) -> Option<Vec<u8>> {
        self.ptr.state(number(slot))
    }

    fn restore(&mut self, slot: Slot, state: &[u8]) -> bool {
        self.ptr.set_state(number(slot), state)
    }

    fn adapt(&mut self, adapters: &[(Lora, f32)]) -> Result<()> {
        let raw: Vec<_> =
            adapters.iter().map(|(adapter, scale)| (std::sync::Arc::clone(&adapter.ptr), *scale)).collect();
        self.ptr.set_adapters(&raw).map_err(|reason| {
            let path = adapters.first().map(|(adapter, _)| adapter.path().to_owned()).unwrap_or_default();
            Error::Lora { path, reason }
        })?;
        self.adapters = adapters.to_vec();
        Ok(())
    }

    fn threads(&mut self, single: u32, batch: u32) {
        self.ptr.set_threads(i32::try_from(single.max(1)).unwrap_or(1), i32::try_from(batch.max(1)).unwrap_or(1));
    }
}

/// A gap costs up to a pass over the weights in each step; a copy reads and writes all cells of a sequence, used or not.
fn gather_after(model: &Model, length: u32) -> u32 {
    let (heads, of_keys) = model.head_counts();
    let width = u64::from(model.embedding_length() / heads.max(1) * of_keys);
    // Keys and values, two bytes each.
    let cells = u64::from(length) * u64::from(model.layer_count()) * width * 4;
    u32::try_from(4 * cells / model.size().max(1)).unwrap_or(u32::MAX).saturating_add(16)
}

/// Positions and sequences are far within `i32`: the context's length is at most 2^24.
fn number(of: usize) -> i32 {
    i32::try_from(of).unwrap_or(i32::MAX)
}

/// ggml's default: idle workers spin for a while before they sleep.
const POLL: u32 = 50;
