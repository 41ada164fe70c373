//! What was read, what was written, and what was lost on the way.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::options::AudioFormatType;

/// A sound file in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AudioInfo {
    /// The format, if it is one that can be written.
    pub format: Option<AudioFormatType>,
    /// The container's name.
    pub container: &'static str,
    /// The codec's name.
    pub codec: &'static str,
    /// Frames per second, in Hz. For HE-AAC that which is heard, not the core's.
    pub sample_rate: u32,
    /// Samples in a frame.
    pub channels: u16,
    /// Bits of a sample where the codec has such a number.
    pub bits: Option<u32>,
    /// Frames, without the encoder's delay and padding.
    pub frames: u64,
    /// Whether `frames` was counted by decoding; otherwise it is what the file says.
    pub counted: bool,
    /// Bytes of the file.
    pub bytes: u64,
}

impl AudioInfo {
    /// Playing time.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "2^53 frames are 6,500 years at 44.1 kHz")]
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.frames as f64 / f64::from(self.sample_rate.max(1)))
    }
}

/// How the sound came from one file into the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// The file had the target's format and nothing was to be changed: its bytes were copied, after it was decoded once to
    /// see that it is whole.
    Copied,
    /// The coded sound was put into another container as it is, after it was decoded once to see that it is whole.
    Remuxed,
    /// Every sample is the source's, bit for bit.
    Lossless,
    /// Decoded, perhaps changed, and encoded.
    Encoded,
}

/// What a conversion did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AudioReport {
    /// What was read.
    pub input: AudioInfo,
    /// What was written.
    pub output: AudioInfo,
    /// How.
    pub method: Method,
    /// The change of level that was asked for, in dB; 0 if none.
    pub gain_db: f32,
    /// What is worth knowing.
    pub warnings: Vec<AudioWarning>,
    /// Wall-clock time.
    pub elapsed: Duration,
}

/// Something that is worth knowing about a conversion that went well.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
#[non_exhaustive]
pub enum AudioWarning {
    /// The file's name says one format, its content another. The content was believed.
    ExtensionMismatch {
        /// The name's extension.
        extension: String,
        /// What the file is.
        found: &'static str,
    },
    /// Parts of the input could not be decoded and became silence, or are missing.
    Damaged {
        /// Packets that could not be decoded.
        packets: u64,
        /// Packets in all.
        of: u64,
        /// The first problem.
        problem: String,
    },
    /// The input ends early.
    Truncated {
        /// Frames that it announces.
        expected: u64,
        /// Frames that are there.
        got: u64,
    },
    /// The content does not match the checksum that the file carries.
    ChecksumMismatch {
        /// Which checksum.
        checksum: &'static str,
    },
    /// The header does not know the length, as that of a file that was written to a pipe.
    UnknownLength,
    /// Bytes behind the sound belong to nothing.
    TrailingData {
        /// How many.
        bytes: u64,
    },
    /// Samples that were not finite numbers became 0.
    NonFinite {
        /// How many.
        samples: u64,
    },
    /// Samples beyond full scale were cut off.
    Clipped {
        /// How many.
        samples: u64,
    },
    /// The target has another sample rate, in Hz.
    Resampled {
        /// The source's.
        from: u32,
        /// The target's.
        to: u32,
    },
    /// The target has other channels.
    Remixed {
        /// The source's.
        from: u16,
        /// The target's.
        to: u16,
    },
    /// The target has fewer bits than the source.
    DepthReduced {
        /// The source's.
        from: u32,
        /// The target's.
        to: u32,
    },
    /// The level that was asked for would have clipped.
    GainLimited {
        /// What was needed, in dB.
        wanted: f32,
        /// What was given, in dB.
        given: f32,
    },
    /// The target cannot say where the sound begins and ends: it plays this many frames of silence more.
    InexactLength {
        /// How many.
        frames: u64,
    },
    /// A tag is left out: the target cannot hold it, or it is no longer true, as `replaygain_track_gain` of sound whose level
    /// was changed.
    DroppedTag {
        /// Its name.
        key: String,
    },
    /// Tags could not be read; they are left out.
    UnreadableTags {
        /// Why.
        problem: String,
    },
}

impl fmt::Display for AudioWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExtensionMismatch { extension, found } => write!(f, "the file is called .{extension} but is {found}"),
            Self::Damaged { packets, of, problem } => {
                write!(f, "{packets} of {of} packets cannot be decoded: {problem}")
            }
            Self::Truncated { expected, got } => write!(f, "{expected} frames are announced, {got} are there"),
            Self::ChecksumMismatch { checksum } => write!(f, "the {checksum} does not match the content"),
            Self::UnknownLength => f.write_str("the header does not know the length"),
            Self::TrailingData { bytes } => write!(f, "{bytes} bytes behind the sound belong to nothing"),
            Self::NonFinite { samples } => write!(f, "{samples} samples were no finite numbers and became 0"),
            Self::Clipped { samples } => write!(f, "{samples} samples beyond full scale were cut off"),
            Self::Resampled { from, to } => write!(f, "resampled from {from} to {to} Hz"),
            Self::Remixed { from, to } => write!(f, "mixed from {from} to {to} channels"),
            Self::DepthReduced { from, to } => write!(f, "reduced from {from} to {to} bits"),
            Self::GainLimited { wanted, given } => {
                write!(f, "{wanted:+.1} dB would have clipped, {given:+.1} dB were given")
            }
            Self::InexactLength { frames } => write!(f, "the target plays {frames} frames of silence more"),
            Self::DroppedTag { key } => write!(f, "the tag `{key}` does not fit the target"),
            Self::UnreadableTags { problem } => write!(f, "tags are left out: {problem}"),
        }
    }
}
