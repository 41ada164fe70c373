//! The formats, and what can be chosen about them.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::ConversionConfig;
use crate::error::{Error, Result};

/// An audio format: a container with its codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum AudioFormatType {
    /// RIFF WAVE with PCM; RF64 from 4 GiB on.
    WAV,
    /// FLAC in its own container.
    FLAC,
    /// MPEG-1, MPEG-2 and MPEG-2.5 layer III, with the header that tells players the exact length.
    MP3,
    /// AAC-LC in ADTS. It cannot say where the sound begins and ends: 1024 to 2112 frames of silence more come out when it
    /// is decoded. [`AudioFormatType::M4A`] is exact.
    AAC,
    /// AAC-LC in MP4.
    M4A,
    /// Vorbis in Ogg.
    OGG,
    /// Opus in Ogg; always 48 kHz when decoded.
    OPUS,
}

impl AudioFormatType {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::WAV, Self::FLAC, Self::MP3, Self::AAC, Self::M4A, Self::OGG, Self::OPUS];

    /// The extension of its files, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::WAV => "wav",
            Self::FLAC => "flac",
            Self::MP3 => "mp3",
            Self::AAC => "aac",
            Self::M4A => "m4a",
            Self::OGG => "ogg",
            Self::OPUS => "opus",
        }
    }

    /// The name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WAV => "WAV",
            Self::FLAC => "FLAC",
            Self::MP3 => "MP3",
            Self::AAC => "AAC (ADTS)",
            Self::M4A => "AAC (M4A)",
            Self::OGG => "OGG Vorbis",
            Self::OPUS => "Opus",
        }
    }

    /// The format that a file's extension stands for.
    #[must_use]
    pub fn from_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "wav" | "wave" | "rf64" => Self::WAV,
            "flac" => Self::FLAC,
            "mp3" => Self::MP3,
            "aac" | "adts" => Self::AAC,
            "m4a" | "mp4" | "m4b" => Self::M4A,
            "ogg" | "oga" => Self::OGG,
            "opus" => Self::OPUS,
            _ => return None,
        })
    }

    /// Whether a file of this format may begin with these bytes, 36 or more of them.
    pub(crate) fn begins(self, head: &[u8]) -> bool {
        match (self, head) {
            (Self::WAV, [b'R', b'I', b'F', b'F', ..] | [b'R', b'F', b'6', b'4', ..]) => {
                head.get(8..12) == Some(b"WAVE")
            }
            (Self::FLAC, [b'f', b'L', b'a', b'C', ..]) | (Self::MP3 | Self::AAC, [b'I', b'D', b'3', ..]) => true,
            // Layer III; ADTS has 0 in the bits of the layer.
            (Self::MP3, [0xff, second, ..]) => second & 0xe6 == 0xe2,
            (Self::AAC, [0xff, second, ..]) => second & 0xf6 == 0xf0,
            (Self::M4A, [_, _, _, _, b'f', b't', b'y', b'p', ..]) => true,
            // The first packet lies behind a page's header of 28 bytes.
            (Self::OGG, [b'O', b'g', b'g', b'S', ..]) => head.get(28..35) == Some(b"\x01vorbis"),
            (Self::OPUS, [b'O', b'g', b'g', b'S', ..]) => head.get(28..36) == Some(b"OpusHead"),
            _ => false,
        }
    }

    /// Whether decoding gives back the samples that were encoded.
    #[must_use]
    pub const fn is_lossless(self) -> bool {
        matches!(self, Self::WAV | Self::FLAC)
    }
}

impl fmt::Display for AudioFormatType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for AudioFormatType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let lower = name.to_ascii_lowercase();
        Self::ALL.into_iter().find(|format| format.extension() == lower).ok_or_else(|| Error::UnknownTarget {
            name: name.chars().take(32).collect(),
            known: "wav, flac, mp3, aac, m4a, ogg and opus",
        })
    }
}

/// What can be chosen about sound. Every `None` means: as the source, or the format's default.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AudioOptions {
    /// Frames per second, 1000..=768 000 Hz. A rate that the target cannot hold is an error; without a choice the nearest
    /// that it can hold is taken.
    pub sample_rate: Option<u32>,
    /// Channels, 1..=8. Without a choice what the target cannot hold is mixed down to stereo.
    pub channels: Option<u16>,
    /// Bits of a sample in WAV and FLAC. Default: the source's, or 16 if the source is lossy; floats stay floats in WAV and
    /// become 24 bits in FLAC.
    pub bits: Option<BitDepth>,
    /// Bitrate in kbit/s of MP3 (8..=320, default 192 in stereo), AAC (default 80 for each channel) and Opus (6..=510,
    /// default 64 for each channel).
    pub bitrate: Option<u32>,
    /// Quality of Vorbis: -1.0..=10.0, as `oggenc -q`. Default: 6.
    pub quality: Option<f32>,
    /// Noise that hides the rounding where the depth shrinks. Default: [`Dither::Tpdf`].
    pub dither: Dither,
    /// Loudness that the whole is brought to, in LUFS (EBU R 128): -70.0..=-5.0. It costs a second decoding. The gain is
    /// limited so that nothing clips, and the report says so. Default: unchanged.
    pub loudness: Option<f32>,
    /// What happens with samples beyond full scale. Default: [`ClipPolicy::Clip`].
    pub clip: ClipPolicy,
}

/// Bits of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum BitDepth {
    /// Integers of 8 bits; unsigned in WAV.
    Int8,
    /// Integers of 16 bits.
    Int16,
    /// Integers of 24 bits.
    Int24,
    /// Integers of 32 bits. Sound passes through 32-bit floats: the lowest 8 bits are kept only where nothing is computed.
    Int32,
    /// Floats of 32 bits. WAV only.
    Float32,
}

/// Noise that hides the rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Dither {
    /// Rounding to the nearest.
    None,
    /// Triangular noise of two steps' width, added where sound is brought to 16 bits or fewer from more, and nowhere else.
    /// The same input gives the same noise.
    #[default]
    Tpdf,
}

/// What happens with samples beyond full scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClipPolicy {
    /// They are cut off at full scale, counted and reported.
    #[default]
    Clip,
    /// [`Error::Clipped`]; nothing is written.
    Refuse,
    /// Everything is made quieter so that the loudest sample just fits. It costs a second decoding.
    Attenuate,
}

impl BitDepth {
    /// Bits that a sample takes.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Int8 => 8,
            Self::Int16 => 16,
            Self::Int24 => 24,
            Self::Int32 | Self::Float32 => 32,
        }
    }
}

impl ConversionConfig {
    /// Frames per second of the target, in Hz. Default: as the source.
    #[must_use]
    pub fn sample_rate(mut self, rate: u32) -> Self {
        self.audio.sample_rate = Some(rate);
        self
    }

    /// Channels of the target. Default: as the source.
    #[must_use]
    pub fn channels(mut self, channels: u16) -> Self {
        self.audio.channels = Some(channels);
        self
    }

    /// Bits of a sample in WAV and FLAC. Default: as the source.
    #[must_use]
    pub fn bits(mut self, bits: BitDepth) -> Self {
        self.audio.bits = Some(bits);
        self
    }

    /// Bitrate of MP3, AAC and Opus, in kbit/s.
    #[must_use]
    pub fn bitrate(mut self, kbps: u32) -> Self {
        self.audio.bitrate = Some(kbps);
        self
    }

    /// Quality of Vorbis, -1.0..=10.0. Default: 6.
    #[must_use]
    pub fn vorbis_quality(mut self, quality: f32) -> Self {
        self.audio.quality = Some(quality);
        self
    }

    /// Loudness that the whole is brought to, in LUFS. Default: unchanged.
    #[must_use]
    pub fn loudness(mut self, lufs: f32) -> Self {
        self.audio.loudness = Some(lufs);
        self
    }
}
