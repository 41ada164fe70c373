//! What a conversion is to do: one plain struct for sound and pictures.

use serde::{Deserialize, Serialize};

use crate::audio::AudioOptions;
use crate::image::ImageOptions;

/// How files are converted. The default changes nothing that the target can hold.
///
/// ```
/// use mullama_convert::{AudioOptions, ConversionConfig};
///
/// let speech = ConversionConfig::new().sample_rate(16_000).channels(1);
/// let same = ConversionConfig {
///     audio: AudioOptions { sample_rate: Some(16_000), channels: Some(1), ..AudioOptions::default() },
///     ..ConversionConfig::default()
/// };
/// assert_eq!(speech, same);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConversionConfig {
    /// What happens if the target is there already. Default: it is left alone and an error comes.
    pub existing: Existing,
    /// What happens with input that is damaged but can be read in part. Default: an error.
    pub damaged: Damaged,
    /// What happens with tags, pictures in tags, EXIF, ICC and XMP. Default: kept.
    pub metadata: MetadataPolicy,
    /// What hostile input may cost.
    pub limits: Limits,
    /// Sound.
    pub audio: AudioOptions,
    /// Pictures.
    pub image: ImageOptions,
}

/// What happens if the target is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Existing {
    /// [`Error::OutputExists`](crate::Error::OutputExists).
    #[default]
    Keep,
    /// It is replaced, at once, when the new file is whole.
    Overwrite,
}

/// What happens with input that is damaged but can be read in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Damaged {
    /// An error says what is wrong.
    #[default]
    Refuse,
    /// What can be read is converted, and a warning says what is missing.
    Accept,
}

/// What happens with tags, pictures in tags, EXIF, ICC and XMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MetadataPolicy {
    /// All that the target can hold is kept; the report names what it cannot.
    #[default]
    Keep,
    /// As `Keep`, without the place where a picture was taken.
    StripLocation,
    /// Nothing is kept but what is needed to show or play the file right (ICC, channel layout).
    Strip,
}

/// What hostile input may cost. Checked before memory is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of a file or stream. Default: 16 GiB.
    pub max_input_bytes: u64,
    /// Seconds of sound. Default: 172 800 (two days).
    pub max_duration_s: u64,
    /// Bytes of samples that a call which gives sound in memory may hold. Default: 1 GiB (f32: 1 h 33 min of 48 kHz mono).
    pub max_audio_bytes: u64,
    /// Pixels of a picture. Default: 100 million.
    pub max_pixels: u64,
    /// Bytes of a decoded picture. Default: 256 MiB.
    pub max_image_bytes: u64,
    /// Bytes of tags, EXIF, ICC and XMP together. Default: 16 MiB.
    pub max_metadata_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_input_bytes: 16 << 30,
            max_duration_s: 172_800,
            max_audio_bytes: 1 << 30,
            max_pixels: 100_000_000,
            max_image_bytes: 256 << 20,
            max_metadata_bytes: 16 << 20,
        }
    }
}

impl ConversionConfig {
    /// The default: nothing is changed that the target can hold.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a target that exists is replaced. Default: no.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.existing = if overwrite { Existing::Overwrite } else { Existing::Keep };
        self
    }

    /// What happens with damaged input. Default: an error.
    #[must_use]
    pub fn damaged(mut self, damaged: Damaged) -> Self {
        self.damaged = damaged;
        self
    }

    /// What happens with metadata. Default: kept.
    #[must_use]
    pub fn metadata(mut self, metadata: MetadataPolicy) -> Self {
        self.metadata = metadata;
        self
    }

    /// What hostile input may cost.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}
