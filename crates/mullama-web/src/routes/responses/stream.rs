//! A response as events.

mod writer;

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::response::Response;
use bytes::{Bytes, BytesMut};
use futures_core::Stream;

use self::writer::Writer;
use super::{Keeper, write};
use crate::answering::{Answering, Event};
use crate::sse;
use crate::state::AppState;
use crate::wire::responses::output::ResponseObject;

pub(super) fn response(
    state: &AppState,
    answering: Answering,
    response: ResponseObject,
    keeper: Option<Keeper>,
) -> Response {
    let events = Events { answering, writer: Writer::new(response), keeper, stage: Stage::Begin };
    sse::response(events, Duration::from_millis(state.config().keep_alive_ms))
}

struct Events {
    answering: Answering,
    writer: Writer,
    keeper: Option<Keeper>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begin,
    Going,
    Over,
}

impl Stream for Events {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut out = BytesMut::new();
        if self.stage == Stage::Begin {
            self.stage = Stage::Going;
            self.writer.begin(&mut out);
            return Poll::Ready(Some(out.freeze()));
        }
        while self.stage == Stage::Going {
            let event = ready!(self.answering.poll_next(context));
            match event {
                Some(Ok((_, Event::Tokens(delta)))) => self.writer.tokens(&mut out, delta),
                Some(Ok((_, Event::End(end)))) => {
                    self.stage = Stage::Over;
                    self.writer.finish(&mut out, *end);
                    self.keep();
                    self.writer.last(&mut out);
                }
                Some(Err(error)) => {
                    self.stage = Stage::Over;
                    let error = self.answering.failed(error);
                    self.writer.fail(&error);
                    self.writer.last(&mut out);
                }
                None => self.stage = Stage::Over,
            }
            if !out.is_empty() {
                return Poll::Ready(Some(out.freeze()));
            }
        }
        Poll::Ready(None)
    }
}

impl Events {
    /// Before the last event goes out: who has read it may continue from this response.
    fn keep(&mut self) {
        let Some(keeper) = self.keeper.take() else { return };
        match write(self.writer.response()) {
            Ok(body) => keeper.keep(self.writer.response(), body),
            Err(error) => tracing::error!(error = %error.message, "a response is not kept"),
        }
    }
}
