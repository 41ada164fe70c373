//! Server-sent events (WHATWG HTML, section 9.2), as OpenAI's clients read them.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures_core::Stream;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use tokio::time::{Instant, Sleep, sleep};

/// A response of these events. After `silence` without one a comment keeps the connection open.
pub(crate) fn response<S>(events: S, silence: Duration) -> Response
where
    S: Stream<Item = Bytes> + Send + 'static,
{
    let last = Instant::now();
    let body = KeepAlive { events: Box::pin(events), silence, last, timer: Box::pin(sleep(silence)), over: false };
    let mut response = Response::new(Body::from_stream(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx would hold small pieces back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// `data: <json>`. JSON has no line breaks.
pub(crate) fn data(value: &impl Serialize) -> Bytes {
    event(None, value)
}

/// `event: <name>` and `data: <json>`.
pub(crate) fn named(name: &str, value: &impl Serialize) -> Bytes {
    event(Some(name), value)
}

/// Appends `data: <json>` to what is there.
pub(crate) fn append(to: &mut BytesMut, value: &impl Serialize) {
    write(to, None, value);
}

/// The same beginning of many events: an object of JSON whose end is left open.
#[derive(Debug)]
pub(crate) struct Head(Vec<u8>);

impl Head {
    /// `value`: an object with at least one field.
    pub(crate) fn new(value: &impl Serialize) -> Self {
        let mut bytes = BytesMut::with_capacity(256);
        write(&mut bytes, None, value);
        let end = bytes.len().saturating_sub(b"}\n\n".len());
        Self(bytes.get(..end).unwrap_or_default().to_vec())
    }

    /// Appends an event of this beginning and the fields of `rest`, an object with at least one.
    pub(crate) fn append(&self, to: &mut BytesMut, rest: &impl Serialize) {
        let before = to.len();
        to.put_slice(&self.0);
        let at = to.len();
        match serde_json::to_writer((&mut *to).writer(), rest) {
            Ok(()) => {
                if let Some(brace) = to.get_mut(at) {
                    *brace = b',';
                }
                to.put_slice(b"\n\n");
            }
            Err(error) => {
                to.truncate(before);
                failed(to, &error);
            }
        }
    }
}

fn event(name: Option<&str>, value: &impl Serialize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(320);
    write(&mut bytes, name, value);
    bytes.freeze()
}

fn write(to: &mut BytesMut, name: Option<&str>, value: &impl Serialize) {
    if let Some(name) = name {
        to.put_slice(b"event: ");
        to.put_slice(name.as_bytes());
        to.put_slice(b"\n");
    }
    to.put_slice(b"data: ");
    let before = to.len();
    match serde_json::to_writer((&mut *to).writer(), value) {
        Ok(()) => to.put_slice(b"\n\n"),
        Err(error) => {
            to.truncate(before - b"data: ".len());
            failed(to, &error);
        }
    }
}

fn failed(to: &mut BytesMut, error: &serde_json::Error) {
    tracing::error!(%error, "an event cannot be written as JSON");
    to.put_slice(FAILED);
}

const FAILED: &[u8] =
    b"data: {\"error\":{\"message\":\"internal error\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n";

/// How OpenAI's streams end.
pub(crate) const DONE: Bytes = Bytes::from_static(b"data: [DONE]\n\n");

/// The events, and comments between them.
struct KeepAlive<S> {
    events: Pin<Box<S>>,
    silence: Duration,
    /// The last event.
    last: Instant,
    /// Ends when there may have been silence for so long, not later: it is not moved for each event.
    timer: Pin<Box<Sleep>>,
    over: bool,
}

impl<S: Stream<Item = Bytes>> Stream for KeepAlive<S> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let event = match self.events.as_mut().poll_next(context) {
            Poll::Ready(Some(event)) => event,
            Poll::Ready(None) => {
                self.over = true;
                return Poll::Ready(None);
            }
            Poll::Pending => {
                ready!(self.poll_silence(context));
                PING
            }
        };
        self.last = Instant::now();
        Poll::Ready(Some(Ok(event)))
    }
}

impl<S> KeepAlive<S> {
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            let next = self.last + self.silence;
            let over = next <= Instant::now();
            let from = if over { Instant::now() } else { self.last };
            self.timer.as_mut().reset(from + self.silence);
            if over {
                return Poll::Ready(());
            }
        }
    }
}

/// A comment: clients of OpenAI's API choke on named events without data.
const PING: Bytes = Bytes::from_static(b": ping\n\n");

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn a_beginning_and_a_rest_are_one_object() {
        let mut events = BytesMut::new();
        let head = Head::new(&serde_json::json!({ "id": "a\"b", "n": 1 }));
        head.append(&mut events, &serde_json::json!({ "text": "x" }));
        head.append(&mut events, &serde_json::json!({ "text": "y" }));
        let expected =
            "data: {\"id\":\"a\\\"b\",\"n\":1,\"text\":\"x\"}\n\ndata: {\"id\":\"a\\\"b\",\"n\":1,\"text\":\"y\"}\n\n";
        assert_eq!(events, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_in_time_leaves_no_room_for_comments() {
        let events = stream::unfold(0, |step| async move {
            sleep(Duration::from_secs(10)).await;
            (step < 5).then_some((data(&step), step + 1))
        });
        let body = response(events, Duration::from_secs(15)).into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_with_comments() {
        let events = stream::unfold(0, |step| async move {
            match step {
                0 => Some((data(&"a\nb"), 1)),
                1 => {
                    sleep(Duration::from_secs(40)).await;
                    Some((DONE, 2))
                }
                _ => None,
            }
        });
        let response = response(events, Duration::from_secs(15));
        assert_eq!(response.headers()[CONTENT_TYPE], "text/event-stream; charset=utf-8");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, "data: \"a\\nb\"\n\n: ping\n\n: ping\n\ndata: [DONE]\n\n");
    }
}
