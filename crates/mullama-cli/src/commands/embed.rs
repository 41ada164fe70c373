//! `mullama embed`: texts to vectors.

use mullama_core::{Embedder, Pooling};
use serde::Serialize;

use crate::cli::Embed;
use crate::error::Result;
use crate::input;
use crate::load::ModelSource;
use crate::settings::{Settings, VECTORS};
use crate::terminal::{Output, Ui};

pub(crate) fn run(args: &Embed, ui: &Ui) -> Result<()> {
    let mut texts = input::texts(&args.text)?;
    let settings = Settings::read(&args.config, ModelSource::File(args.model.clone()), VECTORS)?;
    let source = &settings.source;
    let model = source.load(args.load.params(settings.model_base()), ui)?;
    let context = args.size.params(&settings.vectors_base());
    let mut builder = model.embedder().params(context).normalize(!args.no_normalize);
    if let Some(pooling) = args.pooling {
        builder = builder.pooling(pooling);
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
        let usage = Usage { prompt_tokens: tokens, total_tokens: tokens };
        output.json(&Report { model: source.name(), embeddings: all, usage })?;
    }
    output.flush()
}

/// What `--json` prints. Written as it is: a `Value` would make each number twice as long.
#[derive(Serialize)]
struct Report {
    model: String,
    embeddings: Vec<Rows>,
    usage: Usage,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: u64,
    total_tokens: u64,
}

/// What a text becomes.
#[derive(Serialize)]
#[serde(untagged)]
enum Rows {
    One(Vec<f32>),
    /// Without pooling, one for each token.
    Each(Vec<Vec<f32>>),
}

/// The vectors of each text, and the number of tokens.
fn embed(embedder: &mut Embedder, texts: &[String]) -> Result<(Vec<Rows>, u64)> {
    if embedder.pooling() == Pooling::None {
        let rows = texts.iter().map(|text| embedder.embed_tokens(text)).collect::<mullama_core::Result<Vec<_>>>()?;
        let tokens = rows.iter().map(|rows| rows.len() as u64).sum();
        return Ok((rows.into_iter().map(Rows::Each).collect(), tokens));
    }
    let embeddings = embedder.embed(texts)?;
    let tokens = embeddings.iter().map(|embedding| u64::from(embedding.tokens)).sum();
    Ok((embeddings.into_iter().map(|embedding| Rows::One(embedding.vector)).collect(), tokens))
}

/// Texts that are read and computed before their vectors are printed.
const AT_ONCE: usize = 64;
