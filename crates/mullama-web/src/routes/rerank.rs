//! POST /v1/rerank.

use axum::Json;
use axum::extract::State;

use crate::answering::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::ApiJson;
use crate::state::AppState;
use crate::wire::embedding::EmbeddingUsage;
use crate::wire::rerank::{RankedDocument, RankedText, Ranking, RerankRequest};

/// Texts by how well they answer a query.
#[utoipa::path(
    post, path = "/v1/rerank", tag = "OpenAI", request_body = RerankRequest,
    responses(
        (status = 200, description = "Best first", body = Ranking),
        crate::wire::error::Failures,
    ),
)]
pub(crate) async fn rerank(
    State(state): State<AppState>,
    caller: Caller,
    ApiJson(request): ApiJson<RerankRequest>,
) -> ApiResult<Json<Ranking>> {
    let model = state.resolve(request.model.as_deref())?;
    caller.notes.model(&model);
    let query = request.query.filter(|query| !query.is_empty());
    let query = query.ok_or_else(|| ApiError::invalid("query", "`query` is missing."))?;
    let documents = request.documents.or(request.texts).unwrap_or_default();
    if documents.is_empty() {
        return Err(ApiError::invalid("documents", "`documents` is empty; give at least one text."));
    }
    let most = state.config().max_inputs;
    if documents.len() > most {
        let message = format!("`documents` has {} texts, but at most {most} are taken.", documents.len());
        return Err(ApiError::invalid("documents", message));
    }
    let top = match request.top_n {
        None => documents.len(),
        Some(n) => usize::try_from(n)
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| ApiError::invalid("top_n", format!("`top_n` is {n}, but must be at least 1.")))?,
    };
    let texts: Vec<String> = documents.into_iter().map(|document| document.0).collect();
    let ranked = caller.within(&state, state.backend().rerank(&model, query, texts.clone())).await?;
    let document = |index: usize| {
        let text = texts.get(index).filter(|_| request.return_documents == Some(true));
        text.map(|text| RankedText { text: text.clone() })
    };
    let results = ranked.scores.into_iter().take(top).map(|one| RankedDocument {
        index: one.index,
        relevance_score: one.score,
        document: document(one.index),
    });
    let usage = EmbeddingUsage { prompt_tokens: ranked.tokens, total_tokens: ranked.tokens };
    Ok(Json(Ranking { object: "list", usage, results: results.collect(), model }))
}
