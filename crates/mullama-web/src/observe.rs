//! Around every request: its id and trace, what is logged and counted, and what becomes of a panic.

mod body;
mod shape;
#[cfg(test)]
mod tests;
mod trace;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::header::{HeaderName, SERVER};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use tracing::{Instrument as _, Span};

use crate::error::{ApiError, Dialect, Told};
use crate::id;
use crate::metrics::{Finished, Outcome};
use crate::notes::Notes;
use crate::state::AppState;
use body::Watched;
use trace::Trace;

/// The outermost layer: sees what all others make of a request.
pub(crate) async fn observe(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let request_id = request_id(request.headers());
    let trace = Trace::of(request.headers());
    let notes = Notes::default();
    notes.request_id(&request_id);
    request.extensions_mut().insert(notes.clone());
    let route = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str).to_owned();
    let method = method_name(request.method());
    let (asked, path) = (request.method().clone(), request.uri().path().to_owned());
    let trace_id = trace.as_ref().map(Trace::id);
    let span = tracing::info_span!("request", method, %route, %request_id, trace_id);
    let mut track = Track::begin(&state, notes, span.clone(), route, method);
    track.request_id.clone_from(&request_id);

    // What a handler shares with others stands behind locks whose poison is taken off, so it can be used after a panic.
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let response = handled.unwrap_or_else(|panic| {
        span.in_scope(|| tracing::error!(panic = panic_text(&*panic), "a handler panicked"));
        state.metrics().panicked();
        ApiError::internal("The server failed at this request; its log says why.").into_response()
    });
    let mut response = shape::in_dialect(response, &asked, &path, &request_id).await;
    if let Some(Told(error)) = response.extensions().get::<Told>() {
        state.metrics().error(error.kind, error.code);
    }
    let load =
        (asked == Method::POST && response.status().is_success()).then(|| state.metrics().load(&state)).flatten();
    let ignored = track.notes.ignored_fields();
    let headers = response.headers_mut();
    headers.insert(PROCESSING_MS, HeaderValue::from(millis(track.started.elapsed())));
    headers.insert(SERVER, SERVER_NAME);
    if let Ok(value) = HeaderValue::try_from(request_id) {
        if Dialect::of(&path) == Dialect::Anthropic {
            headers.insert(REQUEST_ID, value.clone());
        }
        headers.insert(X_REQUEST_ID, value);
    }
    if let Some(value) = trace.and_then(|trace| HeaderValue::try_from(trace.next()).ok()) {
        headers.insert(TRACEPARENT, value);
    }
    if !ignored.is_empty() {
        state.metrics().ignored_fields(ignored.len() as u64);
        headers.insert(IGNORED_FIELDS, list(&ignored));
    }
    if let Some(load) = load {
        headers.insert(LOAD_METRICS, load);
    }
    track.status = Some(response.status());
    track.bodiless = asked == Method::HEAD;
    response.map(|body| Body::new(Watched::new(body, track)))
}

/// What is answered where no route is.
pub(crate) async fn not_found(method: Method, uri: Uri) -> ApiError {
    shape::no_route(&method, uri.path())
}

/// What is answered where a route is not for this method.
pub(crate) async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    shape::no_method(&method, uri.path())
}

/// A request until the last byte of its answer. When it is dropped it is counted and logged.
struct Track {
    state: AppState,
    notes: Notes,
    span: Span,
    route: String,
    method: &'static str,
    request_id: String,
    started: Instant,
    /// `None` until there is an answer.
    status: Option<StatusCode>,
    /// Its answer has a head only.
    bodiless: bool,
    outcome: Option<Outcome>,
    bytes: u64,
}

impl Track {
    fn begin(state: &AppState, notes: Notes, span: Span, route: String, method: &'static str) -> Self {
        state.metrics().began();
        Self {
            state: state.clone(),
            notes,
            span,
            route,
            method,
            request_id: String::new(),
            started: Instant::now(),
            status: None,
            bodiless: false,
            outcome: None,
            bytes: 0,
        }
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        let time = self.started.elapsed();
        let outcome = self.outcome.unwrap_or(Outcome::Disconnected);
        // Nobody gets this one: the client went away before there was an answer.
        let status = self.status.map_or(CLIENT_GONE, |status| status.as_u16());
        self.state.metrics().finished(&Finished {
            route: &self.route,
            method: self.method,
            status,
            outcome,
            time,
            bytes: self.bytes,
        });
        let _entered = self.span.enter();
        tracing::info!(
            target: "mullama_web::access",
            method = self.method,
            route = %self.route,
            status,
            outcome = outcome.name(),
            ms = millis(time),
            bytes = self.bytes,
            model = self.notes.model_name(),
            key = self.notes.key_name(),
            request_id = %self.request_id,
            "answered"
        );
    }
}

/// The client's own, if it can be written into headers and logs as it is.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
    let plain = |id: &&str| {
        (1..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'".contains(&byte))
    };
    given.filter(plain).map_or_else(|| id::new("req_"), str::to_owned)
}

/// A label: clients may make up methods without end.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("not a text")
}

/// Names as one header: as many as fit, whole, what is not plain ASCII replaced.
fn list(fields: &[String]) -> HeaderValue {
    let mut text = String::new();
    for field in fields {
        if text.len() + field.chars().count() + 1 > MAX_LIST {
            break;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.extend(field.chars().map(|c| if c.is_ascii_graphic() && c != ',' { c } else { '?' }));
    }
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Where Anthropic's clients look for it.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");
const IGNORED_FIELDS: HeaderName = HeaderName::from_static("x-mullama-ignored-fields");
/// Open Request Cost Aggregation, as Envoy reads it.
const LOAD_METRICS: HeaderName = HeaderName::from_static("endpoint-load-metrics");
const SERVER_NAME: HeaderValue = HeaderValue::from_static(concat!("mullama/", env!("CARGO_PKG_VERSION")));
const UNMATCHED: &str = "unmatched";
/// As nginx logs it.
const CLIENT_GONE: u16 = 499;
const MAX_ID: usize = 128;
const MAX_LIST: usize = 1_024;
