//! What a conversion of a picture read, wrote and had to leave out.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::options::ImageFormatType;

/// What a picture file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImageInfo {
    /// The format, by content.
    pub format: ImageFormatType,
    /// Pixels in a row, as it is shown (after its orientation).
    pub width: u32,
    /// Rows, as it is shown.
    pub height: u32,
    /// What a pixel is made of in the file.
    pub color: PixelColor,
    /// Bits of a channel in the file: 1..=8, 16 or 32 (floats).
    pub bits: u8,
    /// Whether pixels can be transparent.
    pub alpha: bool,
    /// Whether the pixels were compressed with loss.
    pub lossy: bool,
    /// Pictures in the file: frames of an animation, pages.
    pub frames: u32,
    /// The EXIF orientation, 1..=8; 1 is upright.
    pub orientation: u8,
    /// Bytes of EXIF, 0 for none. EXIF in TIFF is part of its directories and counted as it would be elsewhere.
    pub exif_bytes: u64,
    /// Bytes of the ICC profile, 0 for none.
    pub icc_bytes: u64,
    /// Bytes of XMP, 0 for none.
    pub xmp_bytes: u64,
    /// Whether EXIF or XMP say where the picture was taken.
    pub location: bool,
    /// Bytes of the file.
    pub bytes: u64,
}

/// What a pixel is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PixelColor {
    /// One channel.
    Gray,
    /// Red, green and blue.
    Rgb,
    /// Cyan, magenta, yellow and black; read as RGB.
    Cmyk,
    /// A palette; read as RGB.
    Palette,
}

/// What a conversion read, wrote and had to leave out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImageReport {
    /// What was read.
    pub input: ImageInfo,
    /// What was written.
    pub output: ImageInfo,
    /// What is not as it was; empty if all was kept.
    pub warnings: Vec<ImageWarning>,
    /// How long it took.
    pub elapsed: Duration,
}

/// Something that is not as it was in the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImageWarning {
    /// The file's name promises another format than the content has.
    FormatMismatch {
        /// What was promised.
        expected: ImageFormatType,
        /// What it is.
        found: ImageFormatType,
    },
    /// The input ends too early; what is missing is grey or transparent. Only with `damaged: accept`.
    Truncated,
    /// The file holds more pictures; the first was converted.
    FirstFrameOnly {
        /// Pictures in the file.
        frames: u32,
    },
    /// 16 bits or floats were rounded to fewer.
    DepthReduced {
        /// Bits of a channel in the source.
        from: u8,
        /// Bits of a channel in the target.
        to: u8,
    },
    /// Transparent pixels were laid on the background colour.
    AlphaFlattened,
    /// Metadata was left out.
    Dropped {
        /// Which.
        what: Metadata,
        /// Why.
        reason: DropReason,
        /// How much it was.
        bytes: u64,
    },
}

/// Kinds of metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Metadata {
    /// EXIF: camera, time, exposure, ...
    Exif,
    /// The ICC profile: what the numbers mean as colours.
    Icc,
    /// XMP: title, author, editing, ...
    Xmp,
    /// IPTC: older captions and keywords. Never written.
    Iptc,
    /// Comments and other loose text. Never written.
    Text,
    /// Where the picture was taken.
    Location,
}

/// Why metadata was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DropReason {
    /// It was asked for.
    Requested,
    /// The target has no place for it.
    Target,
    /// The target has a place, but a smaller one.
    TooLarge,
    /// It describes other pixels than those that are written, such as an ICC profile for CMYK.
    OtherPixels,
    /// It cannot be read.
    Damaged,
    /// It holds the location among other things.
    HoldsLocation,
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exif => "EXIF",
            Self::Icc => "the ICC profile",
            Self::Xmp => "XMP",
            Self::Iptc => "IPTC",
            Self::Text => "text beside the picture",
            Self::Location => "the location",
        })
    }
}

impl fmt::Display for ImageWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FormatMismatch { expected, found } => write!(f, "named as {expected}, but is {found}"),
            Self::Truncated => f.write_str("the input ends too early; what is missing is blank"),
            Self::FirstFrameOnly { frames } => write!(f, "the first of {frames} pictures was converted"),
            Self::DepthReduced { from, to } => write!(f, "{from} bits a channel became {to}"),
            Self::AlphaFlattened => f.write_str("transparent pixels were laid on the background"),
            Self::Dropped { what, reason, bytes } => {
                let reason = match reason {
                    DropReason::Requested => "as asked for",
                    DropReason::Target => "it has no place in the target",
                    DropReason::TooLarge => "the target's place is too small",
                    DropReason::OtherPixels => "it describes other pixels than those written",
                    DropReason::Damaged => "it cannot be read",
                    DropReason::HoldsLocation => "it holds the location",
                };
                write!(f, "{what} was left out ({bytes} bytes): {reason}")
            }
        }
    }
}
