//! Samples into files: what each format can hold, and the traits that every encoder hides behind.

mod aac;
mod blocks;
mod flac;
mod mp3;
mod mp4;
mod opus;
mod plan;
mod units;
mod vorbis;
mod wav;

pub(crate) use self::plan::Target;
pub(crate) use self::units::{AdtsUnits, UnitWriter};
use super::options::{AudioFormatType, BitDepth};
use super::sink::Sink;
use super::tags::Tags;
use crate::error::{Error, Result};

/// Takes interleaved floats. An encoder stays on the thread that made it.
pub(crate) trait FloatEncoder {
    fn write(&mut self, samples: &[f32]) -> Result<()>;

    /// Writes what is left and mends the header.
    fn finish(self: Box<Self>) -> Result<Encoded>;
}

/// Takes interleaved integers.
pub(crate) trait IntEncoder {
    /// Takes samples that have the target's depth once their lowest `shift` bits are dropped.
    fn write(&mut self, samples: &[i32], shift: u32) -> Result<()>;

    /// Writes what is left and mends the header.
    fn finish(self: Box<Self>) -> Result<Encoded>;
}

/// An encoder of either kind.
pub(crate) enum Encoder {
    Float(Box<dyn FloatEncoder>),
    Int(Box<dyn IntEncoder>),
}

/// What an encoder leaves.
pub(crate) struct Encoded {
    pub(crate) sink: Sink,
    /// Frames of silence that players hear beyond the sound, because the format cannot tell them.
    pub(crate) surplus: u64,
    /// Samples that were cut off at full scale by the encoder's own limit.
    pub(crate) clipped: u64,
}

impl Encoded {
    fn exact(sink: Sink) -> Self {
        Self { sink, surplus: 0, clipped: 0 }
    }
}

impl Encoder {
    /// Writes the headers.
    pub(crate) fn new(target: &Target, tags: &Tags, sink: Sink) -> Result<Self> {
        let needs_seek = matches!(target.format, AudioFormatType::MP3 | AudioFormatType::M4A);
        if needs_seek && !sink.can_patch() {
            return Err(Error::NeedsSeek {
                format: target.format.name(),
                instead: "WAV, FLAC, AAC (ADTS), OGG Vorbis or Opus",
            });
        }
        Ok(match target.format {
            AudioFormatType::WAV if target.bits == BitDepth::Float32 => {
                Self::Float(Box::new(wav::FloatWav::new(target, tags, sink)?))
            }
            AudioFormatType::WAV => Self::Int(Box::new(wav::IntWav::new(target, tags, sink)?)),
            AudioFormatType::FLAC => Self::Int(Box::new(flac::Flac::new(target, tags, sink)?)),
            AudioFormatType::MP3 => Self::Float(Box::new(mp3::Mp3::new(target, tags, sink)?)),
            AudioFormatType::AAC => Self::Float(Box::new(aac::Aac::adts(target, tags, sink)?)),
            AudioFormatType::M4A => Self::Float(Box::new(aac::Aac::m4a(target, tags, sink)?)),
            AudioFormatType::OGG => Self::Float(Box::new(vorbis::Vorbis::new(target, tags, sink)?)),
            AudioFormatType::OPUS => Self::Float(Box::new(opus::Opus::new(target, tags, sink)?)),
        })
    }

    pub(crate) fn finish(self) -> Result<Encoded> {
        match self {
            Self::Float(encoder) => encoder.finish(),
            Self::Int(encoder) => encoder.finish(),
        }
    }
}

/// An encoder's own error.
fn failed(format: AudioFormatType, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Encode { format: format.name(), source: Box::new(error) }
}
