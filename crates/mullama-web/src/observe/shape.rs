//! Every failure in the shape of its route's dialect, whoever made it.

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::response::Response;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::error::{ApiError, Dialect, Told};
use crate::names::Names;

/// Our own errors are written in OpenAI's shape, those of axum's routes and extractors in none.
pub(super) async fn in_dialect(response: Response, method: &Method, path: &str, request_id: &str) -> Response {
    let dialect = Dialect::of(path);
    if let Some(Told(error)) = response.extensions().get::<Told>() {
        let named = Names::of(path).of_error(ApiError::clone(error));
        if dialect == Dialect::OpenAi && named.param == error.param {
            return response;
        }
        let body = named.body_of(dialect, Some(request_id)).to_string();
        return with_body(response, body);
    }
    if !is_plain_failure(&response) {
        return response;
    }
    let (parts, body) = response.into_parts();
    let error = match parts.status {
        StatusCode::NOT_FOUND => no_route(method, path),
        StatusCode::METHOD_NOT_ALLOWED => no_method(method, path),
        status if status.is_client_error() => ApiError::protocol(status, "bad_request", text_of(body, status).await),
        // What it says may be for us alone.
        status => ApiError::internal(status.canonical_reason().unwrap_or("The server failed at this request.")),
    };
    let text = error.body_of(dialect, Some(request_id)).to_string();
    let mut response = with_body(Response::from_parts(parts, Body::empty()), text);
    response.extensions_mut().insert(Told(error.into()));
    response
}

pub(super) fn no_route(method: &Method, path: &str) -> ApiError {
    ApiError::not_found(format!("Nothing is served at `{} {}`.", short(method.as_str()), short(path)))
}

/// The header `allow`, which axum adds further out, names those that it takes.
pub(super) fn no_method(method: &Method, path: &str) -> ApiError {
    let message = format!("`{}` does not take the method {}.", short(path), short(method.as_str()));
    ApiError::protocol(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

fn is_plain_failure(response: &Response) -> bool {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    (status.is_client_error() || status.is_server_error())
        && kind.is_none_or(|kind| kind.to_ascii_lowercase().starts_with(b"text/plain"))
}

/// What an extractor of axum says, or the name of the status.
async fn text_of(body: Body, status: StatusCode) -> String {
    let known = body.size_hint().exact().is_some_and(|bytes| (1..=MAX_TEXT as u64).contains(&bytes));
    let bytes = if known { to_bytes(body, MAX_TEXT).await.ok() } else { None };
    let text = bytes.and_then(|bytes| String::from_utf8(bytes.into()).ok());
    text.unwrap_or_else(|| status.canonical_reason().unwrap_or("The request cannot be answered.").to_owned())
}

fn with_body(response: Response, json: String) -> Response {
    let (mut parts, _) = response.into_parts();
    for name in [CONTENT_LENGTH, CONTENT_ENCODING, TRANSFER_ENCODING] {
        parts.headers.remove(name);
    }
    set_json(&mut parts.headers);
    Response::from_parts(parts, Body::from(json))
}

fn set_json(headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
}

fn short(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

const MAX_TEXT: usize = 1_024;
const MAX_SHOWN: usize = 200;
