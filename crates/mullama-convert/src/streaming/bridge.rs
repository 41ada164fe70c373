//! Between streams, which are awaited, and codecs, which block: a reader and a writer over channels.

use std::io::{self, Read, Write};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::error::Result;

/// What the input's task sends.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Bytes),
    Failed(io::Error),
    End,
}

/// Reads what the input's task sends.
#[derive(Debug)]
pub(crate) struct PieceReader {
    received: mpsc::Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl PieceReader {
    pub(crate) fn new(received: mpsc::Receiver<Piece>) -> Self {
        Self { received, current: Bytes::new(), ended: false }
    }
}

impl Read for PieceReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.received.blocking_recv() {
                Some(Piece::Bytes(bytes)) => self.current = bytes,
                Some(Piece::End) => self.ended = true,
                Some(Piece::Failed(error)) => {
                    self.ended = true;
                    return Err(error);
                }
                // The task was aborted: the output is gone.
                None => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        let count = buf.len().min(self.current.len());
        buf[..count].copy_from_slice(&self.current[..count]);
        self.current.advance(count);
        Ok(count)
    }
}

/// Sends pieces of one size.
#[derive(Debug)]
pub(crate) struct ChunkWriter {
    chunks: mpsc::Sender<Result<Bytes>>,
    size: usize,
    waiting: BytesMut,
}

impl ChunkWriter {
    pub(crate) fn new(chunks: mpsc::Sender<Result<Bytes>>, size: usize) -> Self {
        Self { chunks, size, waiting: BytesMut::with_capacity(size) }
    }

    fn send(&mut self) -> io::Result<()> {
        let piece = self.waiting.split().freeze();
        self.chunks.blocking_send(Ok(piece)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for ChunkWriter {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let count = buf.len().min(self.size - self.waiting.len());
        self.waiting.extend_from_slice(&buf[..count]);
        if self.waiting.len() == self.size {
            self.send()?;
        }
        Ok(count)
    }

    /// Sends what is left. It is called once, at the end.
    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() { Ok(()) } else { self.send() }
    }
}
