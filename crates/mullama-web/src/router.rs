//! All routes, and what every request goes through.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, NotForContentType, Predicate as _};

use crate::routes::{
    anthropic, chat, completions, control, embeddings, health, lora, models, ollama, rerank, responses, tokens,
};
use crate::state::AppState;
use crate::{admin, auth, guard, metrics, observe, openapi};

/// The routes, ready to be served or to be mounted in another app.
///
/// A request goes, from the outside in, through: the log and the metrics; CORS; the allow-lists of hosts and origins; the
/// keys; for work the limits; the route.
pub fn create_router(state: AppState) -> Router {
    let body = DefaultBodyLimit::max(state.config().max_body_bytes);
    let plain = DefaultPredicate::new().and(NotForContentType::const_new("application/x-ndjson"));
    let work = work_routes()
        .layer(from_fn_with_state(state.clone(), guard::work_limits))
        .merge(steering_routes())
        .layer(from_fn_with_state(state.clone(), guard::announced_size));
    work.merge(read_routes())
        .fallback(observe::not_found)
        .method_not_allowed_fallback(observe::method_not_allowed)
        .layer(CompressionLayer::new().gzip(true).compress_when(plain))
        .layer(body)
        .layer(from_fn_with_state(state.clone(), auth::authenticate))
        .layer(from_fn_with_state(state.clone(), guard::known_caller))
        .layer(from_fn_with_state(state.clone(), guard::cors))
        .layer(from_fn_with_state(state.clone(), observe::observe))
        .with_state(state)
}

/// What takes time, memory or the engine.
fn work_routes() -> Router<AppState> {
    let router = Router::new();
    let router = both(router, "/chat/completions", || post(chat::completions));
    let router = both(router, "/completions", || post(completions::completions));
    let router = both(router, "/embeddings", || post(embeddings::embeddings));
    let router = both(router, "/rerank", || post(rerank::rerank));
    let router = both(router, "/reranking", || post(rerank::rerank));
    let router = both(router, "/responses", || post(responses::create));
    let router = both(router, "/responses/input_tokens", || post(responses::input_tokens));
    let router = both(router, "/messages", || post(anthropic::messages));
    let router = both(router, "/messages/count_tokens", || post(anthropic::count_tokens));
    router
        .route("/completion", post(completions::native::completion))
        .route("/infill", post(completions::native::infill))
        .route("/embedding", post(embeddings::embeddings))
        .route("/tokenize", post(tokens::tokenize))
        .route("/detokenize", post(tokens::detokenize))
        .route("/apply-template", post(tokens::apply_template))
        .route("/lora-adapters", get(lora::list).post(lora::set))
        .route("/models/load", post(models::load))
        .route("/models/unload", post(models::unload))
        .route("/v1/models/{*id}", delete(models::remove))
        .route("/api/chat", post(ollama::chat))
        .route("/api/generate", post(ollama::generate::generate))
        .route("/api/embed", post(ollama::embed::embed))
        .route("/api/embeddings", post(ollama::embed::embeddings))
        .route("/api/show", post(ollama::models::show))
}

/// What gives places back: needed most when there are none.
fn steering_routes() -> Router<AppState> {
    let router = both(Router::new(), "/chat/completions/{id}/control", || post(control::control));
    // Nobody is counted here, so none may bring much.
    both(router, "/chat/completions/control", || post(control::control_by_id)).layer(DefaultBodyLimit::max(MAX_CONTROL))
}

/// Bytes of a body that steers an answer.
const MAX_CONTROL: usize = 16 << 10;

/// What is told at once, also when no more work is taken.
fn read_routes() -> Router<AppState> {
    let router = Router::new();
    let router = both(router, "/models", || get(models::list));
    let router = both(router, "/responses/{id}", || get(responses::retrieve).delete(responses::delete));
    router
        .route("/v1/models/{*id}", get(models::one))
        .route("/", get(health::root))
        .route("/health", get(health::health))
        .route("/v1/health", get(health::health))
        .route("/health/ready", get(health::ready))
        .route("/health/live", get(health::live))
        .route("/metrics", get(metrics::metrics))
        .route("/props", get(models::props))
        .route("/slots", get(models::slots))
        .route("/api/version", get(ollama::models::version))
        .route("/api/tags", get(ollama::models::tags))
        .route("/api/ps", get(ollama::models::ps))
        .route("/openapi.json", get(openapi::document))
        .route("/docs", get(openapi::page))
        .route("/admin/config", get(admin::show).patch(admin::change).layer(DefaultBodyLimit::max(MAX_PATCH)))
}

/// Bytes of a change of the configuration.
const MAX_PATCH: usize = 1 << 20;

/// With `/v1` before it and without, and with a slash behind it and without.
fn both(router: Router<AppState>, path: &str, handler: impl Fn() -> MethodRouter<AppState>) -> Router<AppState> {
    let router = router.route(path, handler()).route(&format!("/v1{path}"), handler());
    router.route(&format!("/v1{path}/"), handler())
}
