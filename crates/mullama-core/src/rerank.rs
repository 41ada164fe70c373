//! Texts by how well they answer a question.

use serde::{Deserialize, Serialize};

use crate::context::ContextParams;
use crate::embed::PooledRows;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::tokenizer::{EncodeOptions, TokenId};

/// Scores texts against a question with a model made for it (a cross-encoder, such as bge-reranker or Qwen3-Reranker).
///
/// ```no_run
/// use mullama_core::{Model, Reranker};
///
/// let mut reranker = Reranker::new(&Model::load("bge-reranker-v2-m3.gguf")?)?;
/// let best = reranker.rerank("What is a panda?", &["It is a bear.", "It is a kind of bread."])?;
/// println!("number {} scores {}", best[0].index, best[0].score);
/// # Ok::<(), mullama_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Reranker {
    rows: PooledRows,
    /// The model's own form of question and text, where it has one.
    template: Option<String>,
}

/// How well a text answers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RerankScore {
    /// The text's place in the list that was given.
    pub index: usize,
    /// The model's own number: higher is better. Its range depends on the model; it is not a probability.
    pub score: f32,
}

impl Reranker {
    /// Makes a reranker. Question and text together may have as many tokens as the model was trained with, at most
    /// 8,192.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for models that do not rank; [`Error::CreateContext`].
    pub fn new(model: &Model) -> Result<Self> {
        Self::with_params(model, &ContextParams::default())
    }

    /// As [`Reranker::new`], with a length and a number of threads of your own.
    ///
    /// # Errors
    /// As [`Reranker::new`], and [`Error::InvalidParameter`].
    pub fn with_params(model: &Model, params: &ContextParams) -> Result<Self> {
        let ranks = model.metadata().into_iter().any(|(key, value)| key.ends_with(".pooling_type") && value == "4");
        if !ranks {
            let reason = "its metadata does not name rank pooling: it embeds texts, or generates";
            return Err(Error::Unsupported { what: "ranking with this model", reason });
        }
        let width = model.ptr().n_cls_out().max(1) as usize;
        let rows = PooledRows::new(model, params, mullama_sys::LLAMA_POOLING_TYPE_RANK, width)?;
        let template = model.ptr().chat_template(Some(c"rerank"));
        Ok(Self { rows, template })
    }

    /// The score of each text, in their order. Blocks.
    ///
    /// # Errors
    /// As [`Embedder::embed`](crate::Embedder::embed).
    pub fn score<T: AsRef<str>>(&mut self, query: &str, documents: &[T]) -> Result<Vec<f32>> {
        let pairs = documents.iter().map(|document| self.pair(query, document.as_ref())).collect::<Result<Vec<_>>>()?;
        let rows = self.rows.compute(&pairs)?;
        Ok(rows.into_iter().map(|row| row.first().copied().unwrap_or(f32::NAN)).collect())
    }

    /// The texts' scores, best first.
    ///
    /// # Errors
    /// As [`Reranker::score`].
    pub fn rerank<T: AsRef<str>>(&mut self, query: &str, documents: &[T]) -> Result<Vec<RerankScore>> {
        let scores = self.score(query, documents)?;
        let mut ranked: Vec<_> =
            scores.into_iter().enumerate().map(|(index, score)| RerankScore { index, score }).collect();
        ranked.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(ranked)
    }

    /// As llama.cpp's server puts them together: by the model's template, else BOS question EOS SEP text EOS.
    fn pair(&self, query: &str, document: &str) -> Result<Vec<TokenId>> {
        let tokenizer = self.rows.model().tokenizer();
        let tokens = if let Some(template) = &self.template {
            // The document last: its own text must not be taken for a place in the template.
            let parts = template.split("{document}").map(|part| part.replace("{query}", query));
            let text = parts.collect::<Vec<_>>().join(document);
            tokenizer.encode(&text, EncodeOptions { add_special: false, parse_special: true })?
        } else {
            let plain = EncodeOptions { add_special: false, parse_special: false };
            let (question, answer) = (tokenizer.encode(query, plain)?, tokenizer.encode(document, plain)?);
            let eos = tokenizer.eos().or(tokenizer.sep()).filter(|_| tokenizer.adds_eos());
            let mut tokens = Vec::with_capacity(question.len() + answer.len() + 4);
            tokens.extend(tokenizer.bos().filter(|_| tokenizer.adds_bos()));
            tokens.extend(question);
            tokens.extend(eos);
            tokens.extend(tokenizer.sep().filter(|_| tokenizer.adds_sep()));
            tokens.extend(answer);
            tokens.extend(eos);
            tokens
        };
        self.rows.check(&tokens)?;
        Ok(tokens)
    }
}
