//! The OpenAPI document, made from the types, and a page to read it.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::routes::{
    anthropic, chat, completions, control, embeddings, health, lora, models, ollama, rerank, responses, tokens,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "mullama",
        description = "Local models: OpenAI's, Anthropic's, Ollama's and llama.cpp's endpoints. Routes of OpenAI and Anthropic \
                       are there without `/v1` too. Fields that nobody reads are named in `x-mullama-ignored-fields`.",
    ),
    modifiers(&Keys),
    security(("key" = []), ()),
    paths(
        chat::completions, control::control, completions::completions, embeddings::embeddings, rerank::rerank,
        models::list, models::one, responses::create, responses::input_tokens, responses::retrieve, responses::delete,
        anthropic::messages, anthropic::count_tokens,
        completions::native::completion, completions::native::infill, tokens::tokenize, tokens::detokenize,
        tokens::apply_template, models::props, models::slots, lora::list, lora::set, models::load, models::unload,
        ollama::chat, ollama::generate::generate, ollama::embed::embed, ollama::embed::embeddings, ollama::models::version,
        ollama::models::tags, ollama::models::ps, ollama::models::show,
        health::root, health::health, health::ready, health::live,
    ),
)]
struct Document;

/// How requests bring their key.
struct Keys;

impl Modify for Keys {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("key", scheme);
    }
}

/// GET /openapi.json.
pub(crate) async fn document() -> Response {
    static JSON: LazyLock<Bytes> = LazyLock::new(|| {
        let json = Document::openapi().to_json();
        json.map_or_else(
            |error| {
                tracing::error!(%error, "the OpenAPI document cannot be written");
                Bytes::from_static(b"{}")
            },
            Bytes::from,
        )
    });
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], JSON.clone()).into_response()
}

/// GET /docs.
pub(crate) async fn page() -> Response {
    // It loads nothing from elsewhere, and says so.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                  frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    ([(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy))], Html(include_str!("page/docs.html")))
        .into_response()
}
