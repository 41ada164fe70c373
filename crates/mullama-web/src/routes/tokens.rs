//! Tokens and templates.

use axum::Json;
use axum::extract::State;
use mullama_core::{EncodeOptions, TokenId};

use super::chat::translate;
use crate::answering::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::ApiJson;
use crate::state::AppState;
use crate::wire::chat::ChatCompletionRequest;
use crate::wire::tokens::{
    AppliedTemplate, DetokenizeRequest, Detokenized, PieceText, Token, TokenPiece, TokenizeRequest, Tokenized,
};

/// Tokens of a text.
#[utoipa::path(
    post, path = "/tokenize", tag = "llama.cpp", request_body = TokenizeRequest,
    responses(
        (status = 200, description = "The tokens", body = Tokenized),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn tokenize(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(request): ApiJson<TokenizeRequest>,
) -> ApiResult<Json<Tokenized>> {
    let model = state.resolve(request.model.as_deref())?;
    caller.notes.model(&model);
    let text = request.content.ok_or_else(|| ApiError::invalid("content", "`content` is missing."))?;
    let options = EncodeOptions {
        add_special: request.add_special.unwrap_or(false),
        parse_special: request.parse_special.unwrap_or(true),
    };
    let tokens = state.backend().tokenize(&model, text, options).await?;
    if request.with_pieces != Some(true) {
        return Ok(Json(Tokenized { tokens: tokens.into_iter().map(|token| Token::Id(token.0)).collect() }));
    }
    let ids: Vec<i32> = tokens.iter().map(|token| token.0).collect();
    let pieces = state.backend().pieces(&model, tokens).await?;
    let piece = |(id, bytes): (i32, Vec<u8>)| {
        let piece = String::from_utf8(bytes).map_or_else(|error| PieceText::Bytes(error.into_bytes()), PieceText::Text);
        Token::Piece(TokenPiece { id, piece })
    };
    Ok(Json(Tokenized { tokens: ids.into_iter().zip(pieces).map(piece).collect() }))
}

/// The text of tokens.
#[utoipa::path(
    post, path = "/detokenize", tag = "llama.cpp", request_body = DetokenizeRequest,
    responses(
        (status = 200, description = "The text", body = Detokenized),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn detokenize(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(request): ApiJson<DetokenizeRequest>,
) -> ApiResult<Json<Detokenized>> {
    let model = state.resolve(request.model.as_deref())?;
    caller.notes.model(&model);
    let tokens = request.tokens.ok_or_else(|| ApiError::invalid("tokens", "`tokens` is missing."))?;
    let tokens = tokens.into_iter().map(TokenId).collect();
    let content = state.backend().detokenize(&model, tokens).await?;
    Ok(Json(Detokenized { content }))
}

/// What a conversation becomes before it is computed.
#[utoipa::path(
    post, path = "/apply-template", tag = "llama.cpp", request_body = ChatCompletionRequest,
    responses(
        (status = 200, description = "The prompt", body = AppliedTemplate),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn apply_template(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(request): ApiJson<ChatCompletionRequest>,
) -> ApiResult<Json<AppliedTemplate>> {
    let model = state.resolve(request.model.as_deref())?;
    caller.notes.model(&model);
    let translated = translate::translate(&state, request)?;
    let rendered = state.backend().apply_template(&model, Box::new(translated.chat)).await;
    let rendered = rendered.map_err(|error| ApiError::from(error).formed_by(translated.checks.form))?;
    Ok(Json(AppliedTemplate { prompt: rendered.text, n_tokens: rendered.tokens }))
}
