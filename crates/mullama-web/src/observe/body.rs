//! The body of an answer, watched until it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{Track, panic_text};
use crate::metrics::Outcome;

/// A body that counts its bytes and tells how it ended.
pub(super) struct Watched {
    body: Body,
    track: Track,
}

impl Watched {
    pub(super) fn new(body: Body, track: Track) -> Self {
        Self { body, track }
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, track } = &mut *self;
        let _entered = track.span.enter();
        let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut *body).poll_frame(context)));
        let frame = match polled {
            Ok(poll) => ready!(poll),
            Err(panic) => {
                tracing::error!(panic = panic_text(&*panic), "an answer's body panicked");
                track.state.metrics().panicked();
                *body = Body::empty();
                Some(Err(axum::Error::new("the server failed in the midst of this answer")))
            }
        };
        match &frame {
            Some(Ok(frame)) => track.bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) => track.outcome = Some(Outcome::Failed),
            None => {
                track.outcome.get_or_insert(Outcome::Complete);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Who writes a body of known length does not ask for its end.
        if self.track.outcome.is_none() && (self.track.bodiless || self.body.is_end_stream()) {
            self.track.outcome = Some(Outcome::Complete);
        }
    }
}
