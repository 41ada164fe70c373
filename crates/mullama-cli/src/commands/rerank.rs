//! `mullama rerank`: texts by how well they answer a query.

use mullama_core::{RerankScore, Reranker};
use serde_json::json;

use crate::cli::Rerank;
use crate::error::Result;
use crate::input;
use crate::load::ModelSource;
use crate::settings::{Settings, VECTORS};
use crate::terminal::{Output, Ui, one_line};

pub(crate) fn run(args: &Rerank, ui: &Ui) -> Result<()> {
    let documents = input::texts(&args.document)?;
    let settings = Settings::read(&args.config, ModelSource::File(args.model.clone()), VECTORS)?;
    let source = &settings.source;
    let model = source.load(args.load.params(settings.model_base()), ui)?;
    let mut reranker = Reranker::with_params(&model, &args.context.params(&settings.vectors_base()))?;
    let documents = documents.collect::<Result<Vec<_>>>()?;
    if documents.is_empty() {
        return Err(mullama_core::Error::EmptyPrompt.into());
    }
    let mut scores = reranker.rerank(&args.query, &documents)?;
    scores.truncate(args.top_n.unwrap_or(usize::MAX));

    let mut output = Output::lock();
    let text = |score: &RerankScore| documents.get(score.index).map(String::as_str).unwrap_or_default();
    if args.json {
        let results = scores.iter().map(|one| json!({ "index": one.index, "score": one.score, "document": text(one) }));
        output.json(&json!({ "model": source.name(), "results": results.collect::<Vec<_>>() }))?;
    } else {
        let row = |(rank, score): (usize, &RerankScore)| {
            vec![(rank + 1).to_string(), format!("{:.4}", score.score), one_line(text(score), 100)]
        };
        output.table(&["rank", "score", "text"], &[0, 1], &scores.iter().enumerate().map(row).collect::<Vec<_>>())?;
    }
    output.flush()
}
