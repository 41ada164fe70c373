//! What WAV files say about their own length, read without decoding them.

use std::io::{self, Read, Seek, SeekFrom};

/// What lies behind the sound of a WAV.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WaveTail {
    /// The sound's length is one of those that programs write to pipes, where they cannot come back to fill it in.
    pub(crate) unknown_length: bool,
    /// Bytes behind the sound that are no chunk.
    pub(crate) trailing: u64,
}

/// Walks over the chunks of a WAV of `len` bytes.
pub(crate) fn tail<R: Read + Seek>(reader: &mut R, len: u64) -> io::Result<WaveTail> {
    let mut at = 12;
    let mut seen = false;
    for _ in 0..MAX_CHUNKS {
        let mut header = [0; 8];
        if at + 8 > len {
            break;
        }
        reader.seek(SeekFrom::Start(at))?;
        reader.read_exact(&mut header)?;
        let [a, b, c, d, size @ ..] = header;
        let size = u64::from(u32::from_le_bytes(size));
        if seen && ![a, b, c, d].iter().all(|letter| (0x20..0x7f).contains(letter)) {
            return Ok(WaveTail { trailing: len - at, ..WaveTail::default() });
        }
        if [a, b, c, d] == *b"data" {
            // RF64 keeps the true length elsewhere and 2^32 - 1 here; players without RF64 see a streamed file, as we do.
            if size >= STREAMED {
                return Ok(WaveTail { unknown_length: true, trailing: 0 });
            }
            seen = true;
        }
        at += 8 + size + (size & 1);
    }
    let trailing = if seen { len.saturating_sub(at) } else { 0 };
    Ok(WaveTail { unknown_length: false, trailing })
}

/// Lengths from here on mean "not known": sox writes 0x7ffff000 and some, ffmpeg 0xffffffff.
pub(crate) const STREAMED: u64 = 0x7fff_0000;

/// Chunks that are looked at: no file has so many, and a hostile one must not keep us.
const MAX_CHUNKS: usize = 4096;
