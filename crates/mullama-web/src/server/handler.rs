//! One request at the door: from hyper to the router, and what the router cannot see.

use std::any::Any;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use futures_util::FutureExt as _;
use http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use tower::{Service, ServiceExt as _};

use super::body::{Arriving, Leaving};
use super::pulse::Pulse;
use crate::error::{ApiError, Dialect};
use crate::state::AppState;

/// Answers the requests of one connection.
#[derive(Debug)]
pub(super) struct Handler<S> {
    app: S,
    peer: SocketAddr,
    pulse: Arc<Pulse>,
    body_timeout: Duration,
    state: Option<AppState>,
}

impl<S> Handler<S> {
    /// `state`: counts what goes wrong.
    pub(super) fn new(
        app: S,
        peer: SocketAddr,
        pulse: Arc<Pulse>,
        body_timeout: Duration,
        state: Option<AppState>,
    ) -> Self {
        Self { app, peer, pulse, body_timeout, state }
    }
}

impl<S> hyper::service::Service<Request<Incoming>> for Handler<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Leaving>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let has_length = self.pulse.called();
        let (app, pulse) = (self.app.clone(), Arc::clone(&self.pulse));
        let (peer, body_timeout, state) = (self.peer, self.body_timeout, self.state.clone());
        Box::pin(async move {
            let response = match unsound(&request, has_length) {
                Some(error) => refusal(&request, &error),
                None => answer(app, request, peer, body_timeout, state).await,
            };
            pulse.answered(response.status() == StatusCode::SWITCHING_PROTOCOLS);
            Ok(response.map(|body| Leaving::new(body, pulse)))
        })
    }
}

async fn answer<S>(
    app: S,
    request: Request<Incoming>,
    peer: SocketAddr,
    body_timeout: Duration,
    state: Option<AppState>,
) -> Response<Body>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let dialect = Dialect::of(request.uri().path());
    let stalled = Arc::<AtomicBool>::default();
    let mut request = request.map(|body| {
        if body.is_end_stream() {
            return Body::empty();
        }
        Body::new(Arriving::new(body, body_timeout, Arc::clone(&stalled)))
    });
    request.extensions_mut().insert(ConnectInfo(peer));
    let response = match AssertUnwindSafe(app.oneshot(request)).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(panic) => {
            tracing::error!(panic = told(&*panic), "a request failed by a defect of the server");
            // What our own router makes of a panic is counted there.
            state.iter().for_each(|state| state.metrics().panicked());
            return ApiError::internal("The server failed at this request; its log says more.").response(dialect);
        }
    };
    let status = response.status();
    if stalled.load(Ordering::Acquire) && (status.is_client_error() || status.is_server_error()) {
        return too_slow(response, body_timeout, dialect);
    }
    response
}

/// Who reads the body knows only that it broke off.
fn too_slow(response: Response<Body>, body_timeout: Duration, dialect: Dialect) -> Response<Body> {
    let message = format!("Nothing of the body has come for {body_timeout:?}.");
    let (mut parts, _) = response.into_parts();
    let told = ApiError::protocol(StatusCode::REQUEST_TIMEOUT, "body_timeout", message).response(dialect);
    let (error, body) = told.into_parts();
    for name in [CONTENT_LENGTH, CONTENT_ENCODING] {
        parts.headers.remove(name);
    }
    parts.headers.extend(error.headers);
    parts.headers.insert(CONNECTION, CLOSE);
    parts.status = error.status;
    Response::from_parts(parts, body)
}

/// What the protocol tells servers to refuse, whoever answers. `has_length`: its head had a `content-length`.
fn unsound<B>(request: &Request<B>, has_length: bool) -> Option<ApiError> {
    let bad = |code, message| Some(ApiError::protocol(StatusCode::BAD_REQUEST, code, message));
    if has_length && request.headers().contains_key(TRANSFER_ENCODING) {
        // Servers that disagree about which of both counts see different requests in the same bytes.
        return bad("invalid_framing", "The request has both `content-length` and `transfer-encoding`.");
    }
    // RFC 9112, section 3.2. Older clients do not know it.
    if request.version() == Version::HTTP_11 && !request.headers().contains_key(HOST) {
        return bad("invalid_host", "The request has no header `host`, which HTTP/1.1 asks for.");
    }
    None
}

/// The last answer of its connection.
fn refusal<B>(request: &Request<B>, error: &ApiError) -> Response<Body> {
    let mut response = error.response(Dialect::of(request.uri().path()));
    response.headers_mut().insert(CONNECTION, CLOSE);
    response
}

fn told(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&'static str>().copied()).unwrap_or("without a text")
}

const CLOSE: HeaderValue = HeaderValue::from_static("close");
