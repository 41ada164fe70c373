//! Requests to an engine: how they are handed in without blocking the runtime.

use mullama_core::{EmbedInput, Embedding, Engine, GenerationRequest, RerankScore};

use crate::blocking;
use crate::error::Result;
use crate::stream::{Keep, TokenStream};

/// Prepares a request on a thread that may block, and submits it. `keep` is held as long as the stream is.
pub(crate) async fn submit(engine: Engine, request: GenerationRequest, keep: Option<Keep>) -> Result<TokenStream> {
    let stream = blocking::run("preparing a request", move || engine.submit(request)).await??;
    Ok(TokenStream::keeping(stream, keep))
}

pub(crate) async fn embed(engine: &Engine, texts: Vec<EmbedInput>) -> Result<Vec<Embedding>> {
    Ok(engine.embed(texts)?.await?)
}

pub(crate) async fn rerank(engine: &Engine, query: String, documents: Vec<String>) -> Result<Vec<RerankScore>> {
    Ok(engine.rerank(query, documents)?.await?)
}

/// Owned copies of what a caller gives.
pub(crate) fn texts(texts: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    texts.into_iter().map(Into::into).collect()
}
