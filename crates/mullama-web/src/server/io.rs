//! A connection's bytes: tells the [`Pulse`] what passes, and closes so that the last answer arrives.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::accept::Seat;
use super::pulse::Pulse;

/// A stream that is watched. Holds the connection's seat, also when something else than HTTP is spoken on it.
#[derive(Debug)]
pub(super) struct Io<I> {
    inner: I,
    pulse: Arc<Pulse>,
    /// The other side says no more.
    eof: bool,
    lingering: Option<Pin<Box<Sleep>>>,
    /// Bytes that were thrown away while lingering.
    discarded: usize,
    _seat: Seat,
}

impl<I> Io<I> {
    pub(super) fn new(inner: I, pulse: Arc<Pulse>, seat: Seat) -> Self {
        Self { inner, pulse, eof: false, lingering: None, discarded: 0, _seat: seat }
    }

    fn note(&self, written: &Poll<Result<usize>>) {
        match written {
            Poll::Pending => self.pulse.blocked(),
            Poll::Ready(_) => self.pulse.wrote(),
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Io<I> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let before = buffer.filled().len();
        if !self.eof {
            ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
            self.eof = buffer.filled().len() == before && buffer.remaining() > 0;
        }
        if self.eof && self.pulse.half_closed(context.waker()) {
            return Poll::Pending;
        }
        if let Some(bytes) = buffer.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            self.pulse.read(bytes);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Io<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(context);
        if flushed.is_pending() {
            self.pulse.blocked();
        }
        flushed
    }

    /// Says no more, and reads on for a moment: to close while something is unread would take the last answer (431, 413)
    /// back.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.inner).poll_shutdown(context))?;
            self.lingering = Some(Box::pin(sleep(LINGER)));
        }
        let Self { inner, lingering: Some(timer), eof, discarded, .. } = &mut *self else { return Poll::Ready(Ok(())) };
        let mut scratch = [0; 4_096];
        while !*eof && *discarded < MOST_DISCARDED && timer.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            // A connection that the other side has broken off is closed too.
            *eof = ready!(Pin::new(&mut *inner).poll_read(context, &mut buffer)).is_err() || buffer.filled().is_empty();
            *discarded += buffer.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}

const LINGER: Duration = Duration::from_secs(1);
const MOST_DISCARDED: usize = 4 << 20;
