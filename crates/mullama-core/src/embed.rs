//! Texts to vectors.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use crate::context::ContextParams;
use crate::error::{Error, Result};
use crate::ffi::{self, Batch, ContextPtr, ThreadPoolPtr};
use crate::model::Model;
use crate::tokenizer::{EncodeOptions, TokenId};

/// How the vectors of a text's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pooling {
    /// They do not: [`Embedder::embed_tokens`].
    None,
    /// Their mean.
    Mean,
    /// The first one's.
    Cls,
    /// The last one's.
    Last,
}

/// A text's vector.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// [`Embedder::dimensions`] numbers; of Euclidean length 1 unless normalization is off.
    pub vector: Vec<f32>,
    /// Tokens of the text.
    pub tokens: u32,
}

/// A text to embed: as text, or as tokens of the model, special ones included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EmbedInput {
    /// Text.
    Text(String),
    /// Tokens.
    Tokens(Vec<TokenId>),
}

impl From<String> for EmbedInput {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&String> for EmbedInput {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<&str> for EmbedInput {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<TokenId>> for EmbedInput {
    fn from(tokens: Vec<TokenId>) -> Self {
        Self::Tokens(tokens)
    }
}

/// Turns texts into vectors: near ones for texts that mean the same.
///
/// ```no_run
/// use mullama_core::Model;
///
/// let mut embedder = Model::load("all-MiniLM-L6-v2.gguf")?.embedder().build()?;
/// let vectors = embedder.embed(&["The cat sits on the mat.", "A feline rests on a rug."])?;
/// let cosine: f32 = vectors[0].vector.iter().zip(&vectors[1].vector).map(|(a, b)| a * b).sum();
/// # Ok::<(), mullama_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Embedder {
    pub(crate) rows: PooledRows,
    normalize: bool,
    pooling: Pooling,
}

impl Embedder {
    /// Length of the vectors.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.rows.width
    }

    /// The pooling in force: the builder's, else the model's own, else the mean.
    #[must_use]
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// Tokens that one text may have.
    #[must_use]
    pub fn length(&self) -> usize {
        self.rows.batch.capacity()
    }

    /// One vector for each text, in their order; several texts are computed at once. Blocks.
    ///
    /// The number of tokens computed at once decides which of ggml's kernels run, and they round differently: with flash
    /// attention on the CPU a text among many may differ from the same text alone (a cosine of 0.9994 was seen for the
    /// empty text, 0.9998 for sentences). Without flash attention it does not.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`] for a text without tokens, [`Error::PromptTooLong`], those of
    /// [`Tokenizer::encode`](crate::Tokenizer::encode), [`Error::Unsupported`] with [`Pooling::None`],
    /// [`Error::Decode`].
    pub fn embed<T: AsRef<str>>(&mut self, texts: &[T]) -> Result<Vec<Embedding>> {
        let encode = |text: &T| self.rows.encode(text.as_ref());
        let texts = texts.iter().map(encode).collect::<Result<Vec<_>>>()?;
        self.embed_checked(&texts)
    }

    /// As [`Embedder::embed`], for texts that are tokens already, special tokens included.
    ///
    /// # Errors
    /// As [`Embedder::embed`], and [`Error::UnknownToken`].
    pub fn embed_ids(&mut self, texts: &[Vec<TokenId>]) -> Result<Vec<Embedding>> {
        let tokenizer = self.rows.model.tokenizer();
        for text in texts {
            text.iter().try_for_each(|token| tokenizer.check("tokens", *token).map(drop))?;
            self.rows.check(text)?;
        }
        self.embed_checked(texts)
    }

    /// As [`Embedder::embed`], for texts of which some are tokens already.
    ///
    /// # Errors
    /// As [`Embedder::embed_ids`].
    pub fn embed_inputs(&mut self, inputs: &[EmbedInput]) -> Result<Vec<Embedding>> {
        let tokenizer = self.rows.model.tokenizer();
        let encode = |input: &EmbedInput| match input {
            EmbedInput::Text(text) => self.rows.encode(text),
            EmbedInput::Tokens(tokens) => {
                tokens.iter().try_for_each(|token| tokenizer.check("tokens", *token).map(drop))?;
                self.rows.check(tokens)?;
                Ok(tokens.clone())
            }
        };
        let texts = inputs.iter().map(encode).collect::<Result<Vec<_>>>()?;
        self.embed_checked(&texts)
    }

    fn embed_checked(&mut self, texts: &[Vec<TokenId>]) -> Result<Vec<Embedding>> {
        if self.pooling == Pooling::None {
            let reason = "its vectors are not pooled: each token has one";
            return Err(Error::Unsupported { what: "one vector for a text", reason });
        }
        let mut rows = self.rows.compute(texts)?;
        if self.normalize {
            rows.iter_mut().for_each(|row| normalize(row));
        }
        let tokens = texts.iter().map(|text| u32::try_from(text.len()).unwrap_or(u32::MAX));
        Ok(rows.into_iter().zip(tokens).map(|(vector, tokens)| Embedding { vector, tokens }).collect())
    }

    /// A vector for each token of a text. Blocks.
    ///
    /// # Errors
    /// As [`Embedder::embed`]; [`Error::Unsupported`] unless the pooling is [`Pooling::None`].
    pub fn embed_tokens(&mut self, text: &str) -> Result<Vec<Vec<f32>>> {
        if self.pooling != Pooling::None {
            let reason = "build the embedder with `Pooling::None`";
            return Err(Error::Unsupported { what: "a vector for each token", reason });
        }
        let tokens = self.rows.encode(text)?;
        let mut rows = self.rows.compute_tokens(&tokens)?;
        if self.normalize {
            rows.iter_mut().for_each(|row| normalize(row));
        }
        Ok(rows)
    }
}

/// How an embedder is to be made. Made by [`Model::embedder`]; ends with [`EmbedderBuilder::build`].
#[derive(Debug, Clone)]
#[must_use]
pub struct EmbedderBuilder {
    model: Model,
    pooling: Option<Pooling>,
    normalize: bool,
    params: ContextParams,
}

impl EmbedderBuilder {
    pub(crate) fn new(model: &Model) -> Self {
        Self { model: model.clone(), pooling: None, normalize: true, params: ContextParams::default() }
    }

    /// How vectors of tokens become one. Default: as the model says, else the mean.
    pub fn pooling(mut self, pooling: Pooling) -> Self {
        self.pooling = Some(pooling);
        self
    }

    /// Scale vectors to Euclidean length 1. Default true.
    pub fn normalize(mut self, on: bool) -> Self {
        self.normalize = on;
        self
    }

    /// Tokens of one text, and of the texts computed at once. Default: what the model was trained with, at most 8,192.
    pub fn length(mut self, tokens: u32) -> Self {
        self.params.length = tokens;
        self
    }

    /// Replaces the parameters of the context; the batch sizes have no effect, a text is always computed at once.
    pub fn params(mut self, params: ContextParams) -> Self {
        self.params = params;
        self
    }

    /// CPU threads; see [`ContextParams::threads`].
    pub fn threads(mut self, threads: u32) -> Self {
        self.params.threads = threads;
        self.params.threads_batch = threads;
        self
    }

    /// Makes the embedder.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`], [`Error::CreateContext`]; [`Error::Unsupported`] for models that rank.
    pub fn build(self) -> Result<Embedder> {
        let asked = match self.pooling {
            None => mullama_sys::LLAMA_POOLING_TYPE_UNSPECIFIED,
            Some(Pooling::None) => mullama_sys::LLAMA_POOLING_TYPE_NONE,
            Some(Pooling::Mean) => mullama_sys::LLAMA_POOLING_TYPE_MEAN,
            Some(Pooling::Cls) => mullama_sys::LLAMA_POOLING_TYPE_CLS,
            Some(Pooling::Last) => mullama_sys::LLAMA_POOLING_TYPE_LAST,
        };
        let width = self.model.ptr().n_embd_out();
        let mut rows = PooledRows::new(&self.model, &self.params, asked, width.try_into().unwrap_or(0))?;
        let found = rows.ptr.pooling();
        let pooling = match found {
            mullama_sys::LLAMA_POOLING_TYPE_MEAN => Pooling::Mean,
            mullama_sys::LLAMA_POOLING_TYPE_CLS => Pooling::Cls,
            mullama_sys::LLAMA_POOLING_TYPE_LAST => Pooling::Last,
            mullama_sys::LLAMA_POOLING_TYPE_RANK => {
                let reason = "it ranks texts";
                return Err(Error::Unsupported { what: "embedding with this model", reason });
            }
            _ if self.pooling == Some(Pooling::None) => Pooling::None,
            _ => {
                // The model does not say.
                rows = PooledRows::new(&self.model, &self.params, mullama_sys::LLAMA_POOLING_TYPE_MEAN, rows.width)?;
                Pooling::Mean
            }
        };
        Ok(Embedder { rows, normalize: self.normalize, pooling })
    }
}

/// A context that gives a row of numbers for each sequence, or for each token.
#[derive(Debug)]
pub(crate) struct PooledRows {
    // In this order: the context is freed before what it points to.
    ptr: ContextPtr,
    #[expect(dead_code, reason = "the context points to it")]
    pool: Option<ThreadPoolPtr>,
    batch: Batch,
    width: usize,
    model: Model,
}

impl PooledRows {
    /// `width`: numbers in a row.
    pub(crate) fn new(model: &Model, params: &ContextParams, pooling: i32, width: usize) -> Result<Self> {
        ffi::init();
        let unsupported = |reason| Error::Unsupported { what: "embedding with this model", reason };
        if model.is_vocab_only() {
            return Err(unsupported("only its vocabulary was loaded"));
        }
        if model.has_encoder() {
            return Err(unsupported("encoders with a decoder (T5) are not"));
        }
        let params = params.resolve(model)?;
        let mut raw = params.raw();
        // Without causal attention a text must be computed at once; a batch beyond n_ubatch would abort the process.
        raw.n_batch = params.length;
        raw.n_ubatch = params.length;
        raw.n_seq_max = MAX_TEXTS;
        raw.n_outputs_max_per_seq = 0;
        raw.kv_unified = true;
        raw.embeddings = true;
        raw.pooling = pooling;
        let failed = |reason| Error::CreateContext { n_ctx: params.length, reason };
        let mut ptr = ContextPtr::new(model.ptr(), &raw, &Arc::new(AtomicBool::new(false))).map_err(failed)?;
        let pool = ThreadPoolPtr::new(raw.threads.max(raw.threads_batch), 50);
        if let Some(pool) = &pool {
            ptr.attach_pool(pool);
        }
        let batch = Batch::new((params.length as usize).min(ptr.n_batch() as usize));
        Ok(Self { ptr, pool, batch, width, model: model.clone() })
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    pub(crate) fn encode(&self, text: &str) -> Result<Vec<TokenId>> {
        let tokens = self.model.tokenizer().encode(text, EncodeOptions::default())?;
        self.check(&tokens)?;
        Ok(tokens)
    }

    pub(crate) fn check(&self, tokens: &[TokenId]) -> Result<()> {
        if tokens.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if tokens.len() > self.batch.capacity() {
            return Err(Error::PromptTooLong { got: tokens.len(), exact: true, limit: self.batch.capacity() });
        }
        Ok(())
    }

    /// One row for each text; as many texts at once as the batch holds.
    pub(crate) fn compute(&mut self, texts: &[Vec<TokenId>]) -> Result<Vec<Vec<f32>>> {
        let mut rows = Vec::with_capacity(texts.len());
        let mut rest = texts;
        while !rest.is_empty() {
            self.batch.clear();
            let mut count = 0;
            for text in rest.iter().take(MAX_TEXTS as usize) {
                if count > 0 && self.batch.len() + text.len() > self.batch.capacity() {
                    break;
                }
                self.push(text, count)?;
                count += 1;
            }
            self.decode()?;
            for sequence in 0..count {
                let row = self.ptr.embedding_of_sequence(sequence, self.width);
                rows.push(row.ok_or_else(missing_row)?.to_vec());
            }
            rest = &rest[usize::try_from(count).unwrap_or(0)..];
        }
        Ok(rows)
    }

    fn compute_tokens(&mut self, text: &[TokenId]) -> Result<Vec<Vec<f32>>> {
        self.batch.clear();
        self.push(text, 0)?;
        self.decode()?;
        let rows = 0..i32::try_from(text.len()).unwrap_or(0);
        rows.map(|index| Ok(self.ptr.embedding_of_row(index, self.width).ok_or_else(missing_row)?.to_vec())).collect()
    }

    fn push(&mut self, text: &[TokenId], sequence: i32) -> Result<()> {
        for (position, token) in (0..).zip(text) {
            if !self.batch.push(token.0, position, sequence, true) {
                return Err(Error::BatchFull { capacity: self.batch.capacity() });
            }
        }
        Ok(())
    }

    fn decode(&mut self) -> Result<()> {
        self.ptr.clear();
        match self.ptr.decode(&mut self.batch) {
            (0, _) => Ok(()),
            (code, reason) => Err(Error::Decode { code, reason }),
        }
    }
}

fn missing_row() -> Error {
    Error::Internal { what: "llama.cpp gave no embedding for a text".to_owned() }
}

fn normalize(row: &mut [f32]) {
    let length = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if length > 0.0 {
        #[expect(clippy::cast_possible_truncation, reason = "numbers of at most 1")]
        row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
}

/// Texts in one batch; llama.cpp takes up to 256 sequences.
const MAX_TEXTS: u32 = 64;
