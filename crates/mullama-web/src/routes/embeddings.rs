//! POST /v1/embeddings.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mullama_core::{EmbedInput, TokenId};

use crate::answering::Caller;
use crate::config::EmbeddingTokens;
use crate::error::{ApiError, ApiResult};
use crate::extract::ApiJson;
use crate::state::AppState;
use crate::wire::embedding::{
    EmbeddingItem, EmbeddingRequest, EmbeddingUsage, EmbeddingVector, Embeddings, EncodingFormat,
};
use crate::wire::loose::{Inputs, TextOrTokens};

/// Vectors for texts.
#[utoipa::path(
    post, path = "/v1/embeddings", tag = "OpenAI", request_body = EmbeddingRequest,
    responses(
        (status = 200, description = "The vectors, in the order of the texts", body = Embeddings),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn embeddings(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(request): ApiJson<EmbeddingRequest>,
) -> ApiResult<Json<Embeddings>> {
    let model = state.resolve(request.model.as_deref())?;
    caller.notes.model(&model);
    let inputs = request.input.or(request.content).map(Inputs::into_vec).unwrap_or_default();
    if inputs.is_empty() {
        return Err(ApiError::invalid("input", "`input` is empty; give a text."));
    }
    let most = state.config().max_inputs;
    if inputs.len() > most {
        return Err(ApiError::invalid(
            "input",
            format!("`input` has {} texts, but at most {most} are taken.", inputs.len()),
        ));
    }
    let inputs = inputs.into_iter().enumerate().map(|(index, input)| text(&state, index, input));
    let work = state.backend().embed(&model, inputs.collect::<ApiResult<_>>()?);
    let vectors = caller.within(&state, work).await?;
    let format = request.encoding_format.unwrap_or_default();
    let mut usage = EmbeddingUsage::default();
    let mut data = Vec::with_capacity(vectors.len());
    for (index, embedding) in vectors.into_iter().enumerate() {
        usage.prompt_tokens += u64::from(embedding.tokens);
        let vector = cut(&state, embedding.vector, request.dimensions)?;
        let embedding = match format {
            EncodingFormat::Float => EmbeddingVector::Float(vector),
            EncodingFormat::Base64 => {
                let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
                EmbeddingVector::Base64(STANDARD.encode(bytes))
            }
        };
        data.push(EmbeddingItem { object: "embedding", index, embedding });
    }
    usage.total_tokens = usage.prompt_tokens;
    Ok(Json(Embeddings { object: "list", data, model, usage }))
}

fn text(state: &AppState, index: usize, input: TextOrTokens) -> ApiResult<EmbedInput> {
    match input {
        TextOrTokens::Text(text) if text.is_empty() => {
            Err(ApiError::invalid(format!("input[{index}]"), "A text is empty; leave it out."))
        }
        TextOrTokens::Text(text) => Ok(EmbedInput::Text(text)),
        TextOrTokens::Tokens(_) if state.config().embedding_tokens == EmbeddingTokens::Reject => {
            let message = "`input` holds tokens, which clients usually make with another model's vocabulary. Send texts: in \
                           LangChain set `check_embedding_ctx_length=False`.";
            Err(ApiError::invalid(format!("input[{index}]"), message).code("token_input"))
        }
        TextOrTokens::Tokens(tokens) => Ok(EmbedInput::Tokens(tokens.into_iter().map(TokenId).collect())),
    }
}

/// The first numbers of a vector, made as long as before. Only models that were trained for it bear this.
fn cut(state: &AppState, mut vector: Vec<f32>, dimensions: Option<i64>) -> ApiResult<Vec<f32>> {
    let Some(wanted) = dimensions else { return Ok(vector) };
    let has = vector.len();
    let length = usize::try_from(wanted).ok().filter(|length| (1..=has).contains(length));
    let length = length.ok_or_else(|| {
        ApiError::invalid(
            "dimensions",
            format!("`dimensions` is {wanted}, but the model's vectors have {has} numbers."),
        )
    })?;
    if length == has {
        return Ok(vector);
    }
    if !state.config().embedding_truncation {
        let message = format!("The model's vectors have {has} numbers, and this server does not cut them.");
        return Err(ApiError::unsupported("dimensions", message));
    }
    vector.truncate(length);
    let norm = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if norm > 0.0 {
        vector.iter_mut().for_each(|number| *number /= norm);
    }
    Ok(vector)
}
