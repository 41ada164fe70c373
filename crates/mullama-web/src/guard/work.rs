//! How much is taken: the size of a body before it is read, requests at once, requests in a minute.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::{Frame, SizeHint};

use crate::error::ApiError;
use crate::limits::{Allowance, Limits, Place};
use crate::notes::Notes;
use crate::state::AppState;

/// Refuses a body that is announced to be too large, before it is read. What does not announce its size is measured by
/// whoever reads it.
pub(crate) async fn announced_size(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let most = state.config().max_body_bytes as u64;
    match size(request.headers()).filter(|size| *size > most) {
        None => next.run(request).await,
        Some(size) => {
            let message = format!("The body has {size} bytes, but this server takes {most} at most.");
            let error = ApiError::protocol(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message);
            let mut response = error.into_response();
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

/// Gives a request a place until its answer is over, and counts it for its key. For routes that cause work.
pub(crate) async fn work_limits(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let key = Notes::of(request.extensions());
    match admit(state.limits(), key.key_name().unwrap_or("anonymous"), Instant::now()) {
        Err(response) => *response,
        Ok((place, allowance)) => {
            let mut response = next.run(request).await;
            if let Some(allowance) = allowance {
                tell(response.headers_mut(), allowance);
            }
            response.map(|body| Body::new(Placed { body, place: Some(place) }))
        }
    }
}

/// A place, and what the key has left; or the answer that says why not. A request that finds no place does not count.
fn admit(limits: &Limits, key: &str, now: Instant) -> Result<(Place, Option<Allowance>), Box<Response>> {
    let Some(place) = limits.place() else {
        let message = format!("The server answers {} requests, which is as many as it takes.", limits.capacity());
        return Err(Box::new(ApiError::too_many("server_overloaded", message, SOON).into_response()));
    };
    let allowance = limits.count(key, now);
    if let Some(allowance) = allowance
        && let Some(wait) = allowance.retry_after
    {
        let message = format!(
            "This is more than {} requests in a minute; the next one is taken in {}.",
            allowance.limit,
            duration(wait)
        );
        let mut response = ApiError::too_many("rate_limit_exceeded", message, wait).into_response();
        tell(response.headers_mut(), allowance);
        return Err(Box::new(response));
    }
    Ok((place, allowance))
}

fn tell(headers: &mut HeaderMap, allowance: Allowance) {
    headers.insert(LIMIT, allowance.limit.into());
    headers.insert(REMAINING, allowance.remaining.into());
    if let Ok(reset) = HeaderValue::try_from(duration(allowance.reset)) {
        headers.insert(RESET, reset);
    }
}

/// As OpenAI writes times: `250ms`, `1s`, `1.5s`, `6m0s`, `1h0m0s`. Rounded up to whole ms.
fn duration(time: Duration) -> String {
    let ms = time.as_nanos().div_ceil(1_000_000);
    if (1..1_000).contains(&ms) {
        return format!("{ms}ms");
    }
    let (minutes, ms) = (ms / 60_000, ms % 60_000);
    let mut seconds = (ms / 1_000).to_string();
    if ms % 1_000 > 0 {
        seconds = format!("{seconds}.{:03}", ms % 1_000).trim_end_matches('0').to_owned();
    }
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn size(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body that holds a place until it is over.
#[derive(Debug)]
struct Placed {
    body: Body,
    place: Option<Place>,
}

impl http_body::Body for Placed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) || self.body.is_end_stream() {
            self.place = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

pub(super) const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
pub(super) const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
pub(super) const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");
const SOON: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use http::header::RETRY_AFTER;
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn times_are_written_as_openai_does() {
        let of = |ms| duration(Duration::from_millis(ms));
        let times = [0, 1, 999, 1_000, 1_500, 7_660, 59_999, 60_000, 360_000, 3_600_000, 3_661_010].map(of);
        let texts = ["0s", "1ms", "999ms", "1s", "1.5s", "7.66s", "59.999s", "1m0s", "6m0s", "1h0m0s", "1h1m1.01s"]
            .map(str::to_owned);
        assert_eq!(times, texts);
        assert_eq!(duration(Duration::from_nanos(1)), "1ms");
        assert_eq!(duration(Duration::from_nanos(999_999_999)), "1s");
    }

    fn refusal(limits: &Limits, key: &str, now: Instant) -> Response {
        *admit(limits, key, now).unwrap_err()
    }

    #[test]
    fn a_full_server_refuses_and_counts_nothing() {
        let limits = Limits::new(1, Some(2));
        let now = Instant::now();
        let (place, allowance) = admit(&limits, "key", now).unwrap();
        assert_eq!(allowance.unwrap().remaining, 1);
        let refused = refusal(&limits, "key", now);
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers()[RETRY_AFTER], "1");
        assert!(!refused.headers().contains_key(LIMIT));
        drop(place);
        assert_eq!(admit(&limits, "key", now).unwrap().1.unwrap().remaining, 0);
    }

    #[test]
    fn each_key_has_its_rate_and_a_refusal_takes_no_place() {
        let limits = Limits::new(1, Some(1));
        let now = Instant::now();
        drop(admit(&limits, "key", now).unwrap());
        let refused = refusal(&limits, "key", now);
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers()[RETRY_AFTER], "60");
        assert_eq!(refused.headers()[LIMIT], "1");
        assert_eq!(refused.headers()[REMAINING], "0");
        assert_eq!(refused.headers()[RESET], "1m0s");
        assert_eq!(limits.taken(), 0);
        assert!(admit(&limits, "other", now).is_ok());
        assert!(admit(&limits, "key", now + Duration::from_secs(60)).is_ok());
    }

    #[tokio::test]
    async fn a_place_is_held_until_the_body_is_over() {
        let limits = Limits::new(1, None);
        let placed = || Placed { body: Body::from("text"), place: limits.place() };
        let unread = placed();
        assert_eq!(limits.taken(), 1);
        drop(unread);
        assert_eq!(limits.taken(), 0);
        let mut read = placed();
        assert_eq!(limits.taken(), 1);
        assert!(read.frame().await.is_some());
        assert_eq!(limits.taken(), 0);
        assert!(read.frame().await.is_none());
    }

    #[test]
    fn only_sizes_are_sizes() {
        let of = |text: &'static str| size(&HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static(text))]));
        assert_eq!(of("5"), Some(5));
        assert_eq!(of("-5"), None);
        assert_eq!(size(&HeaderMap::new()), None);
    }
}
