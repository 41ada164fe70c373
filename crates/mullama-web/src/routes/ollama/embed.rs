//! POST /api/embed and POST /api/embeddings.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use mullama_core::{EmbedInput, Embedding, EncodeOptions};

use super::time::nanos;
use super::{load, resolve};
use crate::error::{ApiError, ApiResult};
use crate::extract::ApiJson;
use crate::notes::Notes;
use crate::state::AppState;
use crate::wire::ollama::{OllamaEmbedRequest, OllamaEmbedding, OllamaEmbeddings, OllamaEmbeddingsRequest};

/// Turns texts into vectors.
#[utoipa::path(
    post, path = "/api/embed", tag = "Ollama", request_body = OllamaEmbedRequest,
    responses(
        (status = 200, description = "A vector for each text, of length 1", body = OllamaEmbeddings),
        crate::wire::error::OllamaFailures,
    ),
)]
pub(crate) async fn embed(
    State(state): State<AppState>,
    notes: Notes,
    ApiJson(request): ApiJson<OllamaEmbedRequest>,
) -> ApiResult<Json<OllamaEmbeddings>> {
    let begun = Instant::now();
    let model = resolve(&state, request.model.as_deref())?;
    notes.model(&model);
    let mut texts = request.input.map(crate::wire::loose::OneOrMany::into_vec).unwrap_or_default();
    if texts.len() == 1 && texts[0].is_empty() {
        // Ollama's clients load a model that way.
        texts.clear();
    }
    let (vectors, loaded) = vectors(&state, &model, texts, request.truncate != Some(false), begun).await?;
    let tokens = vectors.iter().fold(0_u32, |sum, one| sum.saturating_add(one.tokens));
    let cut = |one: Embedding| dimensions(&state, one.vector, request.dimensions);
    Ok(Json(OllamaEmbeddings {
        embeddings: vectors.into_iter().map(cut).collect::<ApiResult<_>>()?,
        total_duration: nanos(begun.elapsed()),
        load_duration: nanos(loaded),
        prompt_eval_count: tokens,
        model,
    }))
}

/// Turns a text into a vector, the older way.
#[utoipa::path(
    post, path = "/api/embeddings", tag = "Ollama", request_body = OllamaEmbeddingsRequest,
    responses(
        (status = 200, description = "Its vector, of length 1; without a text an empty one", body = OllamaEmbedding),
        crate::wire::error::OllamaFailures,
    ),
)]
pub(crate) async fn embeddings(
    State(state): State<AppState>,
    notes: Notes,
    ApiJson(request): ApiJson<OllamaEmbeddingsRequest>,
) -> ApiResult<Json<OllamaEmbedding>> {
    let model = resolve(&state, request.model.as_deref())?;
    notes.model(&model);
    let texts = request.prompt.filter(|text| !text.is_empty()).into_iter().collect();
    let (vectors, _) = vectors(&state, &model, texts, true, Instant::now()).await?;
    Ok(Json(OllamaEmbedding { embedding: vectors.into_iter().next().map(|one| one.vector).unwrap_or_default() }))
}

/// The texts' vectors, and the time until the model was loaded.
async fn vectors(
    state: &AppState,
    model: &str,
    texts: Vec<String>,
    truncate: bool,
    begun: Instant,
) -> ApiResult<(Vec<Embedding>, Duration)> {
    let most = state.config().max_inputs;
    if texts.len() > most {
        let message = format!("`input` has {} texts, but at most {most} are taken.", texts.len());
        return Err(ApiError::invalid("input", message));
    }
    let loaded = load(state, model, begun).await?;
    if texts.is_empty() {
        return Ok((Vec::new(), loaded));
    }
    let inputs = texts.iter().map(EmbedInput::from).collect();
    let result = match state.backend().embed(model, inputs).await {
        Err(mullama_async::Error::Core(mullama_core::Error::PromptTooLong { limit, .. })) if truncate => {
            let mut inputs = Vec::with_capacity(texts.len());
            for text in texts {
                inputs.push(cut(state, model, text, limit).await?);
            }
            state.backend().embed(model, inputs).await
        }
        result => result,
    };
    let in_input = |error: mullama_async::Error| {
        let mut error = ApiError::from(error);
        if error.param.as_deref().is_some_and(|param| param == "messages" || param == "prompt") {
            error.param = Some("input".into());
        }
        error
    };
    Ok((result.map_err(in_input)?, loaded))
}

/// The beginning of a text, of so many tokens. What a model puts behind each text stays at its end.
async fn cut(state: &AppState, model: &str, text: String, limit: usize) -> ApiResult<EmbedInput> {
    // No token is shorter than a byte, and few models put more than two of their own around a text.
    if text.len() + 8 <= limit {
        return Ok(text.into());
    }
    let backend = state.backend();
    let mut tokens = backend.tokenize(model, text.clone(), EncodeOptions::default()).await?;
    if tokens.len() <= limit {
        return Ok(text.into());
    }
    let plain = EncodeOptions { add_special: false, ..EncodeOptions::default() };
    let own = backend.tokenize(model, text, plain).await?;
    let end = tokens.last().copied().filter(|last| own.last() != Some(last));
    tokens.truncate(limit.saturating_sub(usize::from(end.is_some())));
    tokens.extend(end);
    Ok(tokens.into())
}

/// Cuts a vector to `dimensions`, where the operator has allowed it.
fn dimensions(state: &AppState, mut vector: Vec<f32>, wanted: Option<i64>) -> ApiResult<Vec<f32>> {
    // Ollama takes 0 for "all".
    let Some(wanted) = wanted.filter(|wanted| *wanted != 0) else { return Ok(vector) };
    let has = vector.len();
    let refuse = |message: String| Err(ApiError::invalid("dimensions", message));
    match usize::try_from(wanted) {
        Ok(wanted) if wanted == has => Ok(vector),
        Ok(wanted) if wanted < has && state.config().embedding_truncation => {
            vector.truncate(wanted);
            let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            if length > 0.0 {
                vector.iter_mut().for_each(|x| *x /= length);
            }
            Ok(vector)
        }
        Ok(wanted) if wanted < has => refuse(format!(
            "`dimensions` is {wanted}, but the model has {has}, and this server cuts no vectors (`embedding_truncation`)."
        )),
        _ => refuse(format!("`dimensions` is {wanted}, but must be 1 to {has}.")),
    }
}
