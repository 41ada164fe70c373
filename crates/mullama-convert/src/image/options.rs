//! The formats of pictures, and what can be chosen about them.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::ConversionConfig;
use crate::error::{Error, Result};

/// An image format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ImageFormatType {
    /// JPEG: lossy, 8 bits, no transparency, sides up to 65 535 pixels.
    JPEG,
    /// PNG: lossless, 8 or 16 bits.
    PNG,
    /// WebP: lossy or lossless, 8 bits, sides up to 16 383 pixels.
    WEBP,
    /// TIFF: lossless, 8 or 16 bits.
    TIFF,
    /// BMP: lossless, 8 bits; holds no EXIF, no ICC profile and no XMP.
    BMP,
    /// GIF. It is read, not written.
    GIF,
    /// QOI. It is read, not written.
    QOI,
}

impl ImageFormatType {
    /// All that are read.
    pub const READ: [Self; 7] = [Self::JPEG, Self::PNG, Self::WEBP, Self::TIFF, Self::BMP, Self::GIF, Self::QOI];
    /// All that are written.
    pub const WRITTEN: [Self; 5] = [Self::JPEG, Self::PNG, Self::WEBP, Self::TIFF, Self::BMP];

    /// The extension of its files, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::JPEG => "jpg",
            Self::PNG => "png",
            Self::WEBP => "webp",
            Self::TIFF => "tiff",
            Self::BMP => "bmp",
            Self::GIF => "gif",
            Self::QOI => "qoi",
        }
    }

    /// The name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::JPEG => "JPEG",
            Self::PNG => "PNG",
            Self::WEBP => "WebP",
            Self::TIFF => "TIFF",
            Self::BMP => "BMP",
            Self::GIF => "GIF",
            Self::QOI => "QOI",
        }
    }

    /// The format that a file's extension stands for.
    #[must_use]
    pub fn from_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Self::from_extension(&extension)
    }

    /// The format that these bytes, the first 12 or more of a file, are the beginning of.
    #[must_use]
    pub fn from_content(first: &[u8]) -> Option<Self> {
        Some(match first {
            [0xff, 0xd8, 0xff, ..] => Self::JPEG,
            [0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, ..] => Self::PNG,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::WEBP,
            // The second two: BigTIFF.
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Self::TIFF,
            // Two letters are little: the reserved words must be 0 too.
            [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Self::BMP,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::GIF,
            [b'q', b'o', b'i', b'f', ..] => Self::QOI,
            _ => return None,
        })
    }

    fn from_extension(lower: &str) -> Option<Self> {
        Some(match lower {
            "jpg" | "jpeg" | "jpe" | "jfif" => Self::JPEG,
            "png" | "apng" => Self::PNG,
            "webp" => Self::WEBP,
            "tif" | "tiff" => Self::TIFF,
            "bmp" | "dib" => Self::BMP,
            "gif" => Self::GIF,
            "qoi" => Self::QOI,
            _ => return None,
        })
    }

    /// The longest side that the format can hold, in pixels.
    #[must_use]
    pub const fn max_side(self) -> u32 {
        match self {
            Self::JPEG | Self::GIF => 65_535,
            Self::WEBP => 16_383,
            Self::PNG | Self::BMP => i32::MAX.cast_unsigned(),
            Self::TIFF | Self::QOI => u32::MAX,
        }
    }

    pub(crate) const fn holds_sixteen_bits(self) -> bool {
        matches!(self, Self::PNG | Self::TIFF)
    }

    pub(crate) const fn holds_alpha(self) -> bool {
        !matches!(self, Self::JPEG)
    }
}

impl fmt::Display for ImageFormatType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ImageFormatType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::from_extension(&name.to_ascii_lowercase()).ok_or_else(|| Error::UnknownTarget {
            name: name.chars().take(32).collect(),
            known: "jpg, png, webp, tiff and bmp",
        })
    }
}

/// What can be chosen about pictures. Every `None` means: as the source, or the format's default.
///
/// The orientation that EXIF (or a TIFF tag) asks for is always applied to the pixels, and the tag set to upright.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageOptions {
    /// Quality of JPEG and of lossy WebP, 1..=100. Default: 90 and 80.
    pub quality: Option<u8>,
    /// How the colours of JPEG are thinned out. Default: [`Chroma::Auto`].
    pub chroma: Chroma,
    /// Lossy or lossless WebP. Default: [`WebpMode::Auto`].
    pub webp: WebpMode,
    /// How much time a smaller file is worth. Default: [`Effort::Normal`].
    pub effort: Effort,
    /// The size of the result. Default: the source's.
    pub resize: Option<Resize>,
    /// What transparent pixels are laid on where the target has no transparency (JPEG). Default: white.
    pub background: Color,
    /// What happens with 16 bits a channel. Default: [`SixteenBit::Keep`].
    pub sixteen_bit: SixteenBit,
}

/// A colour in sRGB: red, green, blue, 0..=255 each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Color(pub [u8; 3]);

impl Default for Color {
    /// White.
    fn default() -> Self {
        Self([255; 3])
    }
}

impl FromStr for Color {
    type Err = Error;

    /// From `rrggbb` or `#rrggbb`, in hexadecimal.
    fn from_str(text: &str) -> Result<Self> {
        let refuse = || Error::InvalidParameter {
            name: "background",
            value: text.chars().take(32).collect(),
            expected: "six hexadecimal digits, like ffffff".to_owned(),
        };
        let digits = text.strip_prefix('#').unwrap_or(text);
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).map_err(|_| refuse())?.to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

/// How the colours of JPEG are thinned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Chroma {
    /// `Full` from quality 90 on, `Half` below.
    #[default]
    Auto,
    /// 4:4:4: a colour for each pixel.
    Full,
    /// 4:2:0: a colour for four pixels, their mean.
    Half,
}

/// Lossy or lossless WebP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WebpMode {
    /// Lossy if a quality is given or the source is lossy (JPEG, lossy WebP), lossless otherwise.
    #[default]
    Auto,
    /// Lossy.
    Lossy,
    /// Lossless.
    Lossless,
}

/// How much time a smaller file is worth. The pixels are the same in all, but for lossy WebP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Effort {
    /// The fastest: PNG is larger, TIFF is not compressed.
    Fast,
    /// Between the two.
    #[default]
    Normal,
    /// The smallest: several times slower.
    Small,
}

/// The size of the result. A side that is not given follows from the other and the shape of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Resize {
    /// Pixels in a row, from 1 on.
    pub width: Option<u32>,
    /// Rows, from 1 on.
    pub height: Option<u32>,
    /// What happens if the source has another shape. Default: [`FitMode::Contain`].
    pub fit: FitMode,
    /// How pixels are computed. Default: [`ResizeFilter::Lanczos3`].
    pub filter: ResizeFilter,
}

/// What happens if the source has another shape than the box of width and height.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FitMode {
    /// The whole picture, as large as the box takes, in its own shape; one side may be shorter than the box.
    #[default]
    Contain,
    /// The box is filled, in the picture's own shape; what stands out at both ends is cut off.
    Cover,
    /// The box is filled; the shape is not kept.
    Fill,
    /// As `Contain`, but nothing is enlarged.
    ScaleDown,
}

/// How pixels are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResizeFilter {
    /// The nearest pixel: for pixel art.
    Nearest,
    /// Linear interpolation, with a wider kernel where the picture shrinks.
    Bilinear,
    /// Catmull-Rom cubic.
    CatmullRom,
    /// Mitchell-Netravali cubic.
    Mitchell,
    /// Lanczos with three lobes: the sharpest.
    #[default]
    Lanczos3,
}

/// What happens with 16 bits a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SixteenBit {
    /// PNG and TIFF keep them; for other targets they are rounded to 8 bits, and the report says so.
    #[default]
    Keep,
    /// They are rounded to 8 bits for all targets, and the report says so.
    Reduce,
    /// [`Error::SixteenBit`] where the target holds 8 bits only.
    Refuse,
}

impl ConversionConfig {
    /// Quality of JPEG and of lossy WebP, 1..=100. Default: 90 and 80.
    #[must_use]
    pub fn quality(mut self, quality: u8) -> Self {
        self.image.quality = Some(quality);
        self
    }

    /// Lossy or lossless WebP. Default: as the source.
    #[must_use]
    pub fn webp(mut self, mode: WebpMode) -> Self {
        self.image.webp = mode;
        self
    }

    /// How much time a smaller picture is worth. Default: [`Effort::Normal`].
    #[must_use]
    pub fn effort(mut self, effort: Effort) -> Self {
        self.image.effort = effort;
        self
    }

    /// The size of the result, in pixels, and what happens if the source has another shape. Default: the source's size.
    #[must_use]
    pub fn resize(mut self, width: u32, height: u32, fit: FitMode) -> Self {
        self.image.resize = Some(Resize { width: Some(width), height: Some(height), fit, ..Resize::default() });
        self
    }

    /// What transparent pixels are laid on in JPEG. Default: white.
    #[must_use]
    pub fn background(mut self, rgb: [u8; 3]) -> Self {
        self.image.background = Color(rgb);
        self
    }
}
