//! `mullama embed`: texts to vectors.

use mullama_core::{Embedder, Pooling};
use serde_json::{Value, json};

use crate::cli::Embed;
use crate::error::Result;
use crate::input;
use crate::load::ModelSource;
use crate::terminal::{Output, Ui};

pub(crate) fn run(args: &Embed, ui: &Ui) -> Result<()> {
    let mut texts = input::texts(&args.text)?;
    let source = ModelSource::File(args.model.clone());
    let model = source.load(args.load.params(), ui)?;
    let mut builder = model.embedder().normalize(!args.no_normalize);
    if let Some(pooling) = args.pooling {
        builder = builder.pooling(pooling);
    }
    if let Some(tokens) = args.ctx_size {
        builder = builder.length(tokens);
    }
    if let Some(threads) = args.threads {
        builder = builder.threads(threads);
    }
    let mut embedder = builder.build()?;

    let mut output = Output::lock();
    let (mut all, mut tokens, mut count) = (Vec::new(), 0_u64, 0_usize);
    loop {
        let some = texts.by_ref().take(AT_ONCE).collect::<Result<Vec<_>>>()?;
        if some.is_empty() {
            break;
        }
        count += some.len();
        let (vectors, used) = embed(&mut embedder, &some)?;
        tokens += used;
        if args.json {
            all.extend(vectors);
        } else {
            vectors.iter().try_for_each(|vector| output.json(vector))?;
            output.flush()?;
        }
    }
    if count == 0 {
        return Err(mullama_core::Error::EmptyPrompt.into());
    }
    if args.json {
        let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
        output.json(&json!({ "model": source.name(), "embeddings": all, "usage": usage }))?;
    }
    output.flush()
}

/// A vector for each text, or without pooling a vector for each of its tokens; and the number of tokens.
fn embed(embedder: &mut Embedder, texts: &[String]) -> Result<(Vec<Value>, u64)> {
    if embedder.pooling() == Pooling::None {
        let rows = texts.iter().map(|text| embedder.embed_tokens(text)).collect::<mullama_core::Result<Vec<_>>>()?;
        let tokens = rows.iter().map(|rows| rows.len() as u64).sum();
        return Ok((rows.into_iter().map(|rows| json!(rows)).collect(), tokens));
    }
    let embeddings = embedder.embed(texts)?;
    let tokens = embeddings.iter().map(|embedding| u64::from(embedding.tokens)).sum();
    Ok((embeddings.into_iter().map(|embedding| json!(embedding.vector)).collect(), tokens))
}

/// Texts that are read and computed before their vectors are printed.
const AT_ONCE: usize = 64;
