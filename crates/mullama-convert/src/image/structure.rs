//! What a file says of itself before its pixels are decoded, and whether it is whole.

use bytes::Bytes;
use img_parts::riff::{RiffChunk, RiffContent};

use super::exif::Exif;
use super::options::ImageFormatType;
use super::report::PixelColor;

/// What can be told without decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Structure {
    pub(super) color: PixelColor,
    /// Bits of a channel.
    pub(super) bits: u8,
    /// Frames or pages, 1 at least.
    pub(super) frames: u32,
    pub(super) lossy: bool,
    /// Whether the file ends where it should, as far as its format shows that.
    pub(super) whole: bool,
    /// Bytes of IPTC, which is not carried over.
    pub(super) iptc: u64,
    /// Bytes of comments and other loose text, which is not carried over.
    pub(super) text: u64,
    /// Bytes of an ICC profile as PNG holds it. Its decoder leaves out what it cannot unpack without a word.
    pub(super) icc: u64,
}

/// Reads the structure of a file of this format. What does not show in it has the format's usual value.
pub(super) fn read(format: ImageFormatType, file: &Bytes) -> Structure {
    let plain =
        Structure { color: PixelColor::Rgb, bits: 8, frames: 1, lossy: false, whole: true, iptc: 0, text: 0, icc: 0 };
    match format {
        ImageFormatType::JPEG => jpeg(file, plain),
        ImageFormatType::PNG => png(file, plain),
        ImageFormatType::WEBP => webp(file, plain),
        ImageFormatType::TIFF => Structure { frames: Exif::new(file).map_or(1, |exif| exif.pages().max(1)), ..plain },
        ImageFormatType::GIF => gif(file, Structure { color: PixelColor::Palette, ..plain }),
        ImageFormatType::BMP => bmp(file, plain),
        ImageFormatType::QOI => plain,
    }
}

/// Walks the segments. Entropy-coded data has no length: its end is the next marker.
fn jpeg(file: &[u8], plain: Structure) -> Structure {
    let mut found = Structure { lossy: true, whole: false, ..plain };
    let mut at = 2;
    while let Some([0xff, marker]) = file.get(at..at + 2) {
        match marker {
            0xff => at += 1,
            0xd9 => return Structure { whole: true, ..found },
            0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
            _ => {
                let Some(length) = number(file, at + 2, 2) else { return found };
                let segment = file.get(at + 4..at + 2 + length).unwrap_or_default();
                match (marker, segment) {
                    (0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf, [bits, _, _, _, _, components, ..]) => {
                        found.bits = *bits;
                        found.lossy = !matches!(marker, 0xc3 | 0xc7 | 0xcb | 0xcf);
                        found.color = match components {
                            1 => PixelColor::Gray,
                            4 => PixelColor::Cmyk,
                            _ => PixelColor::Rgb,
                        };
                    }
                    (0xed, segment) => found.iptc += segment.len() as u64,
                    (0xfe, segment) => found.text += segment.len() as u64,
                    _ => {}
                }
                at += 2 + length.max(2);
                if *marker == 0xda {
                    let rest = file.get(at..).unwrap_or_default();
                    let end = rest.windows(2).position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xd0..=0xd7));
                    let Some(end) = end else { return found };
                    at += end;
                }
            }
        }
    }
    found
}

/// Walks the chunks.
fn png(file: &[u8], plain: Structure) -> Structure {
    let mut found = plain;
    if let Some([bits, color]) = file.get(24..26) {
        found.bits = *bits;
        found.color = match color {
            0 | 4 => PixelColor::Gray,
            3 => PixelColor::Palette,
            _ => PixelColor::Rgb,
        };
    }
    let mut at = 8;
    while let (Some(length), Some(kind)) = (number(file, at, 4), file.get(at + 4..at + 8)) {
        match kind {
            b"acTL" => found.frames = number(file, at + 8, 4).and_then(|n| u32::try_from(n).ok()).unwrap_or(1).max(1),
            b"iCCP" => found.icc = length as u64,
            // XMP is one of them, and is carried over.
            b"tEXt" | b"zTXt" => found.text += length as u64,
            b"iTXt" if !file.get(at + 8..).unwrap_or_default().starts_with(b"XML:com.adobe.xmp") => {
                found.text += length as u64;
            }
            _ => {}
        }
        at = at.saturating_add(length).saturating_add(12);
    }
    found
}

fn webp(file: &Bytes, plain: Structure) -> Structure {
    let Ok(file) = img_parts::webp::WebP::from_bytes(file.clone()) else {
        return Structure { whole: false, ..plain };
    };
    let frames = file.chunks_by_id(*b"ANMF").count();
    // The pictures of an animation: 16 bytes about the frame, then chunks.
    let inside = file.chunk_by_id(*b"ANMF").map(RiffChunk::content).and_then(RiffContent::data);
    let lossy = match inside.map(|frame| frame.get(16..20).unwrap_or_default()) {
        Some(kind) => kind != b"VP8L",
        None => file.has_chunk(*b"VP8 "),
    };
    Structure { frames: u32::try_from(frames).unwrap_or(u32::MAX).max(1), lossy, ..plain }
}

/// Walks the blocks, skipping pixels.
fn gif(file: &[u8], plain: Structure) -> Structure {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut found = Structure { frames: 0, whole: false, ..plain };
    let mut at = 13 + file.get(10).copied().map_or(0, table);
    loop {
        let mut is_comment = false;
        match file.get(at) {
            Some(0x2c) => {
                found.frames += 1;
                // Ten bytes of the descriptor, its colours, one byte of code size.
                at += 11 + file.get(at + 9).copied().map_or(0, table);
            }
            Some(0x21) => {
                is_comment = file.get(at + 1) == Some(&0xfe);
                at += 2;
            }
            Some(0x3b) => break found.whole = true,
            _ => break,
        }
        while let Some(&length) = file.get(at) {
            at += 1 + usize::from(length);
            found.text += if is_comment { u64::from(length) } else { 0 };
            if length == 0 {
                break;
            }
        }
    }
    Structure { frames: found.frames.max(1), ..found }
}

fn bmp(file: &[u8], plain: Structure) -> Structure {
    // Before version 3 the header has 12 bytes and the bits stand earlier.
    let at = if file.get(14) == Some(&12) { 24 } else { 28 };
    match file.get(at) {
        Some(bits @ 1..=8) => Structure { color: PixelColor::Palette, bits: *bits, ..plain },
        _ => plain,
    }
}

/// A number of `bytes` bytes, the highest first.
fn number(file: &[u8], at: usize, bytes: usize) -> Option<usize> {
    let bytes = file.get(at..at.checked_add(bytes)?)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}
