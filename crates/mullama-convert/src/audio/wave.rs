//! What WAV files say about their own length, read without decoding them; RF64 (EBU Tech 3306), which the demuxer does not
//! know.

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

/// What lies behind the sound of a WAV.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WaveTail {
    /// The sound's length is one of those that programs write to pipes, where they cannot come back to fill it in.
    pub(crate) unknown_length: bool,
    /// Bytes behind the sound that are no chunk.
    pub(crate) trailing: u64,
    /// The sound of an RF64 file.
    pub(crate) long: Option<LongSound>,
    /// Whether tags lie before or behind the sound.
    pub(crate) tagged: bool,
}

/// Sound whose length may take 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LongSound {
    /// Bytes that the file announces.
    pub(crate) bytes: u64,
    /// Where they end, or the file does.
    end: u64,
}

/// Walks over the chunks of a WAV of `len` bytes.
pub(crate) fn tail<R: Read + Seek>(reader: &mut R, len: u64) -> io::Result<WaveTail> {
    let mut found = WaveTail::default();
    let mut first = [0; 4];
    reader.seek(SeekFrom::Start(0))?;
    reader.read_exact(&mut first)?;
    let rf64 = first == *b"RF64";
    let mut at = 12u64;
    let mut seen = false;
    // What RF64 says in the place of lengths of 2^32 - 1.
    let mut long = None;
    for _ in 0..MAX_CHUNKS {
        let mut header = [0; 8];
        // A length may have led anywhere.
        if at.saturating_add(8) > len {
            break;
        }
        reader.seek(SeekFrom::Start(at))?;
        reader.read_exact(&mut header)?;
        let [a, b, c, d, size @ ..] = header;
        let mut size = u64::from(u32::from_le_bytes(size));
        if seen && ![a, b, c, d].iter().all(|letter| (0x20..0x7f).contains(letter)) {
            return Ok(WaveTail { trailing: len.saturating_sub(at), ..found });
        }
        match &[a, b, c, d] {
            b"ds64" if size >= 16 && at + 24 <= len => {
                let mut lengths = [0; 16];
                reader.read_exact(&mut lengths)?;
                let [_, _, _, _, _, _, _, _, bytes @ ..] = lengths;
                long = Some(u64::from_le_bytes(bytes));
            }
            b"data" => {
                // RF64 may have its length in 32 bits too, if it fits.
                let bytes = if size == UNKNOWN { long } else { Some(size).filter(|_| rf64) };
                if let Some(bytes) = bytes {
                    size = bytes;
                    let end = (at + 8).saturating_add(bytes).min(len);
                    found.long = Some(LongSound { bytes, end });
                } else if size == UNKNOWN || (size >= STREAMED && size > len - at - 8) {
                    return Ok(WaveTail { unknown_length: true, ..found });
                }
                seen = true;
            }
            b"id3 " | b"ID3 " => found.tagged = true,
            b"LIST" if size >= 4 && at + 12 <= len => {
                let mut kind = [0; 4];
                reader.read_exact(&mut kind)?;
                found.tagged |= kind == *b"INFO";
            }
            _ => {}
        }
        at = at.saturating_add(8).saturating_add(size).saturating_add(size & 1);
    }
    found.trailing = if seen { len.saturating_sub(at) } else { 0 };
    Ok(found)
}

/// An RF64 file as the demuxer takes it: called RIFF, and ending where the sound ends.
pub(crate) struct Rf64<R> {
    inner: R,
    at: u64,
    end: u64,
}

impl<R: Read + Seek> Rf64<R> {
    /// Begins at the file's start, where `inner` must be.
    pub(crate) fn new(inner: R, sound: LongSound) -> Self {
        Self { inner, at: 0, end: sound.end }
    }
}

impl<R: Read> Read for Rf64<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = buf.len().min(left);
        let read = self.inner.read(&mut buf[..most])?;
        for (place, byte) in (self.at..4).zip(&mut buf[..read]) {
            *byte = b"RIFF"[usize::try_from(place).unwrap_or(0)];
        }
        self.at += read as u64;
        Ok(read)
    }
}

impl<R: Seek> Seek for Rf64<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let to = match to {
            SeekFrom::End(offset) => {
                SeekFrom::Start(self.end.checked_add_signed(offset).ok_or(io::ErrorKind::InvalidInput)?)
            }
            to => to,
        };
        self.at = self.inner.seek(to)?;
        Ok(self.at)
    }
}

impl<R: Read + Seek + Send + Sync> MediaSource for Rf64<R> {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.end)
    }
}

/// The length that stands for one that is told elsewhere, or not at all.
const UNKNOWN: u64 = u32::MAX as u64;

/// Lengths from here on that pass the file's end mean "not known": sox writes 0x7ffff000 and some, ffmpeg 0xffffffff.
pub(crate) const STREAMED: u64 = 0x7fff_0000;

/// Chunks that are looked at: no file has so many, and a hostile one must not keep us.
const MAX_CHUNKS: usize = 4096;
