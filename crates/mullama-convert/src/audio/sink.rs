//! Where encoded bytes go: a file, memory, or a stream that cannot go back.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use crate::error::{Error, Result};

/// Takes bytes in order; most can also be mended at places already written.
#[derive(Debug)]
pub(crate) struct Sink {
    kind: Kind,
    written: u64,
}

enum Kind {
    File(BufWriter<File>),
    Memory { bytes: Vec<u8>, limit: u64 },
    Stream(Box<dyn Write + Send>),
}

impl Sink {
    pub(crate) fn file(file: File) -> Self {
        Self { kind: Kind::File(BufWriter::with_capacity(BUFFER, file)), written: 0 }
    }

    /// Memory, up to `limit` bytes.
    pub(crate) fn memory(limit: u64) -> Self {
        Self { kind: Kind::Memory { bytes: Vec::new(), limit }, written: 0 }
    }

    pub(crate) fn stream(writer: Box<dyn Write + Send>) -> Self {
        Self { kind: Kind::Stream(writer), written: 0 }
    }

    /// Bytes written so far.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Whether [`Sink::patch`] works.
    pub(crate) fn can_patch(&self) -> bool {
        !matches!(self.kind, Kind::Stream(_))
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes).map_err(write_error)
    }

    /// Replaces bytes that were written before.
    pub(crate) fn patch(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let patched = match &mut self.kind {
            Kind::File(file) => {
                let mut run = || {
                    file.seek(SeekFrom::Start(at))?;
                    file.write_all(bytes)?;
                    file.seek(SeekFrom::End(0)).map(drop)
                };
                run()
            }
            Kind::Memory { bytes: memory, .. } => {
                let start = usize::try_from(at).unwrap_or(usize::MAX);
                match memory.get_mut(start..start.saturating_add(bytes.len())) {
                    Some(place) => {
                        place.copy_from_slice(bytes);
                        Ok(())
                    }
                    None => Err(io::ErrorKind::InvalidInput.into()),
                }
            }
            Kind::Stream(_) => Err(io::ErrorKind::NotSeekable.into()),
        };
        patched.map_err(write_error)
    }

    /// Flushes what is buffered; gives the bytes of memory, none else.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        match self.kind {
            Kind::File(mut file) => file.flush().map(|()| Vec::new()),
            Kind::Memory { bytes, .. } => Ok(bytes),
            Kind::Stream(mut writer) => writer.flush().map(|()| Vec::new()),
        }
        .map_err(write_error)
    }
}

impl Write for Sink {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = match &mut self.kind {
            Kind::File(file) => file.write(buf)?,
            Kind::Memory { bytes, limit } => {
                if (bytes.len() + buf.len()) as u64 > *limit {
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, OutputTooLarge { limit: *limit }));
                }
                bytes.extend_from_slice(buf);
                buf.len()
            }
            Kind::Stream(writer) => writer.write(buf)?,
        };
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Kind::File(file) => file.flush(),
            Kind::Memory { .. } => Ok(()),
            Kind::Stream(writer) => writer.flush(),
        }
    }
}

/// An output in memory would be larger than it may.
#[derive(Debug, thiserror::Error)]
#[error("the output is larger than {limit} bytes")]
struct OutputTooLarge {
    limit: u64,
}

pub(crate) fn write_error(source: io::Error) -> Error {
    match source.get_ref().and_then(|inner| inner.downcast_ref::<OutputTooLarge>()) {
        Some(OutputTooLarge { limit }) => Error::TooLarge {
            what: "the output in memory",
            value: limit.saturating_add(1),
            limit: *limit,
            unit: "bytes",
        },
        None if source.kind() == io::ErrorKind::BrokenPipe => Error::Cancelled,
        None => Error::Stream { action: "write", source },
    }
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File(_) => "File",
            Self::Memory { .. } => "Memory",
            Self::Stream(_) => "Stream",
        })
    }
}

/// Bytes that are written to a file at once.
const BUFFER: usize = 64 << 10;
