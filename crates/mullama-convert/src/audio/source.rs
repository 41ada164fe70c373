//! Where bytes come from: files, memory, streams. Sizes are checked before anything is read.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use symphonia::core::io::MediaSource;

use super::decode::edit::{self, TrackEdit};
use super::wave::{self, Rf64, WaveTail};
use crate::config::Limits;
use crate::error::{Error, Result};
use crate::file::{self, HEAD};

/// Something that sound is read from.
pub(crate) struct Source {
    pub(crate) media: Box<dyn MediaSource>,
    /// The first bytes, [`HEAD`] at most.
    pub(crate) head: Vec<u8>,
    /// Bytes in all, where that is known.
    pub(crate) bytes: Option<u64>,
    /// The extension of the file's name, in lower case.
    pub(crate) extension: Option<String>,
    /// Edit lists of an MP4.
    pub(crate) edits: Vec<TrackEdit>,
    /// What lies behind the sound of a WAV.
    pub(crate) tail: WaveTail,
}

impl Source {
    pub(crate) fn file(path: &Path, limits: &Limits) -> Result<Self> {
        let (mut file, len) = file::open(path)?;
        let mut source = Self::seekable(&mut file, len, limits, file::failed("read", path))?;
        source.extension = path.extension().and_then(|name| name.to_str()).map(str::to_ascii_lowercase);
        source.media = source.whole(file);
        Ok(source)
    }

    pub(crate) fn bytes(bytes: Bytes, limits: &Limits) -> Result<Self> {
        let len = bytes.len() as u64;
        let mut cursor = Cursor::new(bytes);
        let mut source = Self::seekable(&mut cursor, len, limits, |source| Error::Stream { action: "read", source })?;
        source.media = source.whole(cursor);
        Ok(source)
    }

    /// From a reader that cannot go back. Its first bytes are read here.
    pub(crate) fn stream(mut reader: impl Read + Send + Sync + 'static, limits: &Limits) -> Result<Self> {
        let mut head = Vec::new();
        reader
            .by_ref()
            .take(HEAD as u64)
            .read_to_end(&mut head)
            .map_err(|source| Error::Stream { action: "read", source })?;
        if head.is_empty() {
            return Err(Error::EmptyInput);
        }
        if head.get(4..8) == Some(b"ftyp") {
            return Err(Error::NotStreamable { format: "M4A", problem: "its index may lie at its end" });
        }
        if head.starts_with(b"RF64") {
            return Err(Error::NotStreamable { format: "RF64", problem: "chunks may lie behind its sound" });
        }
        let media = Forward {
            reader: Cursor::new(head.clone()).chain(reader),
            left: limits.max_input_bytes,
            limit: limits.max_input_bytes,
        };
        Ok(Self {
            media: Box::new(media),
            head,
            bytes: None,
            extension: None,
            edits: Vec::new(),
            tail: WaveTail::default(),
        })
    }

    /// The same, so that it seems impossible to go back: a demuxer then does not look for an end that may be damaged.
    pub(crate) fn forward(self) -> Self {
        Self { media: Box::new(Forward { reader: self.media, left: u64::MAX, limit: u64::MAX }), ..self }
    }

    /// What the demuxer reads of a file.
    fn whole(&self, file: impl MediaSource + 'static) -> Box<dyn MediaSource> {
        match self.tail.long {
            Some(sound) => Box::new(Rf64::new(file, sound)),
            None => Box::new(file),
        }
    }

    fn seekable<R: Read + Seek>(
        reader: &mut R,
        len: u64,
        limits: &Limits,
        failed: impl Fn(io::Error) -> Error,
    ) -> Result<Self> {
        if len == 0 {
            return Err(Error::EmptyInput);
        }
        if len > limits.max_input_bytes {
            let limit = limits.max_input_bytes;
            return Err(Error::TooLarge { what: "the input", value: len, limit, unit: "bytes" });
        }
        let mut head = Vec::new();
        reader.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(&failed)?;
        let (mut edits, mut tail) = (Vec::new(), WaveTail::default());
        if head.get(4..8) == Some(b"ftyp") {
            edits = edit::read(reader, len).map_err(&failed)?;
        } else if head.get(8..12) == Some(b"WAVE") {
            tail = wave::tail(reader, len).map_err(&failed)?;
        }
        reader.seek(SeekFrom::Start(0)).map_err(&failed)?;
        let media = Box::new(Cursor::new(Bytes::new()));
        Ok(Self { media, head, bytes: Some(len), extension: None, edits, tail })
    }
}

/// A reader that cannot go back, with a limit on what it gives.
struct Forward<R> {
    reader: R,
    left: u64,
    limit: u64,
}

/// A stream gave more bytes than it may.
#[derive(Debug, thiserror::Error)]
#[error("the stream is longer than {limit} bytes")]
pub(crate) struct TooLong {
    pub(crate) limit: u64,
}

impl<R: Read> Read for Forward<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buf)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::new(io::ErrorKind::FileTooLarge, TooLong { limit: self.limit })),
        }
        Ok(read)
    }
}

impl<R> Seek for Forward<R> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl<R: Read + Send + Sync> MediaSource for Forward<R> {
    fn is_seekable(&self) -> bool {
        false
    }

    fn byte_len(&self) -> Option<u64> {
        None
    }
}
