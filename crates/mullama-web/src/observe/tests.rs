//! Tests.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::Query;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::stream;
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use mullama_async::LocalBackend;
use mullama_core::EngineParams;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::config::WebConfig;

fn state() -> AppState {
    let backend = LocalBackend::builder().model("m", "missing.gguf", EngineParams::default()).build().unwrap();
    AppState::with_backend(Arc::new(backend), WebConfig::default()).unwrap()
}

fn app(state: &AppState) -> Router {
    let endless = || async {
        let pieces = stream::iter((0..3).map(|_| Ok::<_, Infallible>(Bytes::from_static(b"abc"))));
        Body::from_stream(futures_util::StreamExt::chain(pieces, stream::pending()))
    };
    let torn = || async {
        Body::from_stream(stream::poll_fn(|_| -> std::task::Poll<Option<Result<Bytes, Infallible>>> {
            panic!("secret of a body")
        }))
    };
    let noted = |notes: Notes| async move {
        notes.model("m");
        notes.ignored(vec!["a.b".to_owned(), "ü,x".to_owned(), "c".repeat(2_000)]);
        "{}"
    };
    Router::new()
        .route("/v1/ok/{id}", get(|| async { "fine" }).post(noted))
        .route(
            "/v1/panic",
            get(|| async {
                if true {
                    panic!("secret")
                }
            }),
        )
        .route("/v1/messages", post(|| async { ApiError::too_many("busy", "Later.", Duration::from_secs(3)) }))
        .route("/api/chat", post(|| async { ApiError::no_model("x") }))
        .route("/v1/query", get(|_: Query<Vec<(String, u8)>>| async {}))
        .route("/v1/endless", get(endless))
        .route("/v1/torn", get(torn))
        .route("/v1/never", get(|| async { std::future::pending::<()>().await }))
        .layer(from_fn_with_state(state.clone(), observe))
}

async fn send(state: &AppState, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app(state).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn json_of(response: Response) -> Value {
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let length: usize =
        response.headers().get(CONTENT_LENGTH).map_or(0, |value| value.to_str().unwrap().parse().unwrap());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(length == 0 || length == body.len());
    serde_json::from_slice(&body).unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[track_caller]
fn counted(state: &AppState, line: &str) {
    let text = crate::metrics::render(state);
    assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
}

#[tokio::test]
async fn an_answer_is_told_apart_and_counted_when_its_body_ends() {
    let state = state();
    let response = send(&state, "GET", "/v1/ok/1", &[]).await;
    assert!(header(&response, "x-request-id").starts_with("req_") && header(&response, "x-request-id").len() == 28);
    assert_eq!(header(&response, "server"), concat!("mullama/", env!("CARGO_PKG_VERSION")));
    header(&response, "openai-processing-ms").parse::<u64>().unwrap();
    assert_eq!((header(&response, "traceparent"), header(&response, "request-id")), ("", ""));
    counted(&state, "mullama_http_requests_in_flight 1");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "fine");
    counted(&state, "mullama_http_requests_in_flight 0");
    counted(
        &state,
        r#"mullama_http_requests_total{route="/v1/ok/{id}",method="GET",status="200",outcome="complete"} 1"#,
    );
    counted(&state, "mullama_http_response_bytes_total 4");
    counted(&state, r#"mullama_http_request_duration_seconds_count{route="/v1/ok/{id}"} 1"#);
    drop(send(&state, "HEAD", "/v1/ok/1", &[]).await);
    counted(
        &state,
        r#"mullama_http_requests_total{route="/v1/ok/{id}",method="HEAD",status="200",outcome="complete"} 1"#,
    );
}

#[tokio::test]
async fn ids_and_traces_are_kept_where_they_are_plain() {
    let state = state();
    let given = [("x-request-id", "a-1"), ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
    let response = send(&state, "GET", "/v1/ok/1", &given).await;
    assert_eq!(header(&response, "x-request-id"), "a-1");
    assert!(header(&response, "traceparent").starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    let long = "x".repeat(129);
    for id in ["", "a b", "a\"b", "it's", "a\tb", long.as_str()] {
        let response = send(&state, "GET", "/v1/ok/1", &[("x-request-id", id)]).await;
        assert!(header(&response, "x-request-id").starts_with("req_"), "{id:?}");
    }
    let response = send(&state, "GET", "/v1/ok/1", &[("x-request-id", &long[..128])]).await;
    assert_eq!(header(&response, "x-request-id"), &long[..128]);
}

#[tokio::test]
async fn a_panic_is_an_error_that_tells_nothing() {
    let state = state();
    let response = send(&state, "GET", "/v1/panic", &[]).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(header(&response, "x-should-retry"), "false");
    let body = json_of(response).await;
    assert_eq!(body["error"]["type"], "server_error");
    assert!(!body.to_string().contains("secret"));
    let response = send(&state, "GET", "/v1/torn", &[]).await;
    let error = response.into_body().collect().await.unwrap_err();
    assert!(!error.to_string().contains("secret"));
    counted(&state, "mullama_http_panics_total 2");
    counted(&state, r#"mullama_http_errors_total{type="server_error",code=""} 1"#);
    counted(&state, r#"mullama_http_requests_total{route="/v1/torn",method="GET",status="200",outcome="failed"} 1"#);
    counted(&state, "mullama_http_requests_in_flight 0");
}

#[tokio::test]
async fn every_failure_has_its_dialects_shape() {
    let state = state();
    let response = send(&state, "POST", "/v1/messages", &[]).await;
    assert_eq!((response.status(), header(&response, "retry-after")), (StatusCode::TOO_MANY_REQUESTS, "3"));
    assert!(header(&response, "request-id").starts_with("req_"));
    assert_eq!(header(&response, "request-id"), header(&response, "x-request-id"));
    let id = header(&response, "request-id").to_owned();
    let error = json!({"type": "rate_limit_error", "message": "Later."});
    let expected = json!({"type": "error", "error": error, "request_id": id});
    assert_eq!(json_of(response).await, expected);

    let response = send(&state, "POST", "/api/chat", &[]).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(json_of(response).await["error"].is_string());

    let response = send(&state, "GET", "/v1/nothing", &[]).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let body = json_of(response).await;
    assert_eq!(body["error"]["type"], "not_found_error");
    assert_eq!(body["error"]["message"], "Nothing is served at `GET /v1/nothing`.");

    let response = send(&state, "DELETE", "/v1/ok/1", &[]).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(response.headers().contains_key(ALLOW));
    let body = json_of(response).await;
    assert_eq!(body["error"]["code"], "method_not_allowed");
    assert_eq!(body["error"]["message"], "`/v1/ok/1` does not take the method DELETE.");

    let response = send(&state, "GET", "/v1/query?a=x", &[]).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let body = json_of(response).await;
    assert!(body["error"]["message"].as_str().unwrap().contains("query"), "{body}");

    counted(&state, r#"mullama_http_errors_total{type="not_found_error",code="model_not_found"} 1"#);
    counted(&state, r#"mullama_http_requests_total{route="unmatched",method="GET",status="404",outcome="complete"} 1"#);
    drop(send(&state, "BREW", "/v1/nothing", &[]).await);
    assert!(crate::metrics::render(&state).contains(r#"route="unmatched",method="OTHER",status="404""#));
}

#[tokio::test]
async fn the_fallbacks_answer_in_our_shape() {
    let state = state();
    let app = Router::new()
        .route("/v1/ok", get(|| async {}))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(state.clone(), observe));
    for (method, path, status) in [("GET", "/x", 404), ("POST", "/v1/ok", 405)] {
        let request = http::Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().contains_key(ALLOW), status == 405);
        assert!(json_of(response).await["error"]["message"].is_string());
    }
}

#[tokio::test]
async fn fields_that_nobody_reads_are_told_in_a_header_of_bounded_length() {
    let state = state();
    let response = send(&state, "POST", "/v1/ok/1", &[]).await;
    assert_eq!(header(&response, "x-mullama-ignored-fields"), "a.b,??x");
    assert!(header(&response, "endpoint-load-metrics").starts_with("TEXT application_utilization=0"));
    counted(&state, "mullama_http_ignored_fields_total 3");
    let many: Vec<_> = (0..1_000).map(|n| format!("field{n}")).collect();
    let text = list(&many);
    assert!(text.len() <= 1_024 && text.to_str().unwrap().ends_with(|c: char| c.is_ascii_digit()));
}

#[tokio::test]
async fn who_goes_away_is_counted_as_gone() {
    let state = state();
    let mut response = send(&state, "GET", "/v1/endless", &[]).await;
    for _ in 0..3 {
        response.body_mut().frame().await.unwrap().unwrap();
    }
    drop(response);
    counted(
        &state,
        r#"mullama_http_requests_total{route="/v1/endless",method="GET",status="200",outcome="disconnected"} 1"#,
    );
    counted(&state, "mullama_http_response_bytes_total 9");
    let waiting = tokio::time::timeout(Duration::from_millis(20), send(&state, "GET", "/v1/never", &[]));
    assert!(waiting.await.is_err());
    counted(
        &state,
        r#"mullama_http_requests_total{route="/v1/never",method="GET",status="499",outcome="disconnected"} 1"#,
    );
    counted(&state, "mullama_http_requests_in_flight 0");
}

#[tokio::test]
async fn the_access_log_names_the_request_and_nothing_of_it() {
    let heard = crate::heard::Heard::listen();
    let headers = [("x-request-id", "id-7"), ("authorization", "Bearer canary"), ("x-canary", "canary")];
    drop(send(&state(), "POST", "/v1/ok/canary?canary", &headers).await.into_body().collect().await.unwrap());
    let lines = heard.take().into_iter().filter(|line| line.target == "mullama_web::access");
    let text: String = lines.map(|line| line.text).collect();
    for part in ["method=\"POST\"", "route=/v1/ok/{id}", "status=200", "bytes=2", "model=\"m\"", "request_id=id-7"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("canary"), "{text}");
}
