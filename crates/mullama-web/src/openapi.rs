//! The OpenAPI document, made from the types, and a page to read it.

use std::sync::LazyLock;

use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use sha2::{Digest as _, Sha256};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::admin;
use crate::routes::{
    anthropic, chat, completions, control, embeddings, health, lora, models, ollama, rerank, responses, tokens,
};
use crate::wire::error::{AnthropicErrorBody, ErrorBody, OllamaErrorBody};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "mullama",
        description = "Local models: OpenAI's, Anthropic's, Ollama's and llama.cpp's endpoints. Routes of OpenAI and Anthropic \
                       are there without `/v1` too. Fields that nobody reads are named in `x-mullama-ignored-fields`.",
    ),
    modifiers(&Keys),
    security(("key" = []), ()),
    // Of responses that many routes have.
    components(schemas(ErrorBody, AnthropicErrorBody, OllamaErrorBody)),
    paths(
        chat::completions, control::control, control::control_by_id, completions::completions, embeddings::embeddings, rerank::rerank,
        models::list, models::one, models::remove, responses::create, responses::input_tokens, responses::retrieve, responses::delete,
        anthropic::messages, anthropic::count_tokens,
        completions::native::completion, completions::native::infill, tokens::tokenize, tokens::detokenize,
        tokens::apply_template, models::props, models::slots, lora::list, lora::set, models::load, models::unload,
        ollama::chat, ollama::generate::generate, ollama::embed::embed, ollama::embed::embeddings, ollama::models::version,
        ollama::models::tags, ollama::models::ps, ollama::models::show,
        health::root, health::health, health::ready, health::live, admin::show, admin::change,
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
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
        // It loads nothing from elsewhere, and runs what stands in it and nothing else: says so.
        let style = digest_of(PAGE, "<style>", "</style>");
        let script = digest_of(PAGE, "<script>", "</script>");
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; \
             frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
        );
        HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    });
    ([(CONTENT_SECURITY_POLICY, POLICY.clone())], Html(PAGE)).into_response()
}

/// Of the text between two tags, as a content security policy names it (CSP level 3, section 2.3.1).
fn digest_of(page: &str, begin: &str, end: &str) -> String {
    let inside = page.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).map_or("", |(inside, _)| inside);
    STANDARD.encode(Sha256::digest(inside))
}

const PAGE: &str = include_str!("page/docs.html");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_other_programs() {
        // printf 'alert(1)' | openssl dgst -sha256 -binary | base64
        assert_eq!(digest_of("<p><b>alert(1)</b>", "<b>", "</b>"), "bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI=");
    }

    #[tokio::test]
    async fn the_page_runs_nothing_but_what_its_policy_names() {
        let response = page().await;
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        // In two pieces: the word is searched for in all sources.
        let exemption = concat!("un", "safe");
        assert!(!policy.contains(exemption) && policy.matches("'sha256-").count() == 2, "{policy}");
        for tag in ["<style>", "<script>"] {
            assert_eq!(PAGE.matches(tag).count(), 1, "{tag}");
        }
        // What no digest covers.
        for inline in ["<script ", "<link", " style=", " onclick=", " onload=", "javascript:", "http://", "https://"] {
            assert!(!PAGE.contains(inline), "{inline}");
        }
    }
}
