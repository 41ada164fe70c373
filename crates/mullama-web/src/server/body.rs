//! Bodies on their way in and out.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::pulse::Pulse;

/// A body that must not stall. Only the time counts in which somebody waits for it.
#[derive(Debug)]
pub(super) struct Arriving<B = Incoming> {
    body: B,
    limit: Duration,
    /// Allocated with the first wait.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    stalled: Arc<AtomicBool>,
}

/// What the reader of a body is told that stalled.
#[derive(Debug, thiserror::Error)]
#[error("nothing of the body has come for {limit:?}")]
pub(crate) struct Stalled {
    limit: Duration,
}

impl<B> Arriving<B> {
    /// `stalled` is set when the time is over.
    pub(super) fn new(body: B, limit: Duration, stalled: Arc<AtomicBool>) -> Self {
        Self { body, limit, timer: None, waiting: false, stalled }
    }
}

impl<B> http_body::Body for Arriving<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let limit = self.limit;
        let begins = !std::mem::replace(&mut self.waiting, true);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if begins {
            timer.as_mut().reset(Instant::now() + limit);
        }
        if timer.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.stalled.store(true, Ordering::Release);
        Poll::Ready(Some(Err(Stalled { limit }.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body: tells the [`Pulse`] when it is over.
#[derive(Debug)]
pub(super) struct Leaving {
    body: Body,
    pulse: Arc<Pulse>,
}

impl Leaving {
    pub(super) fn new(body: Body, pulse: Arc<Pulse>) -> Self {
        Self { body, pulse }
    }
}

impl http_body::Body for Leaving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.pulse.ended();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    /// A body of these pieces, each after so many seconds.
    fn body(gaps: Vec<u64>) -> (impl http_body::Body<Data = Bytes, Error = BoxError>, Arc<AtomicBool>) {
        let frames = stream::unfold(gaps.into_iter(), |mut gaps| async {
            sleep(Duration::from_secs(gaps.next()?)).await;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x"))), gaps))
        });
        let stalled = Arc::<AtomicBool>::default();
        (Arriving::new(Box::pin(StreamBody::new(frames)), Duration::from_secs(30), Arc::clone(&stalled)), stalled)
    }

    type BoxError = Box<dyn std::error::Error + Send + Sync>;

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_body_and_slowness_does_not() {
        let (slow, stalled) = body(vec![29; 20]);
        assert_eq!(slow.collect().await.unwrap().to_bytes().len(), 20);
        assert!(!stalled.load(Ordering::Acquire));

        let start = Instant::now();
        let (silent, stalled) = body(vec![1, 29, 31]);
        let error = silent.collect().await.unwrap_err();
        assert!(error.is::<Stalled>(), "{error}");
        assert_eq!(start.elapsed().as_secs(), 60);
        assert!(stalled.load(Ordering::Acquire));
    }
}
