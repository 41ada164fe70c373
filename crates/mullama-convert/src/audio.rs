//! Sound: every format into every other.

mod chunk;
mod convert;
mod decode;
mod encode;
mod flac;
#[cfg(fuzzing)]
#[expect(clippy::missing_panics_doc, reason = "a panic is how a target tells what it found")]
pub(crate) mod fuzz;
mod loudness;
mod options;
mod pcm;
mod pipeline;
mod quantise;
mod remix;
mod report;
mod resample;
mod sink;
mod source;
mod stages;
pub(crate) mod stream;
mod tags;
mod wave;

pub use self::chunk::{ChunkConverter, ConvertedChunk};
pub use self::convert::{AudioConverter, ConvertedAudio};
pub use self::options::{AudioFormatType, AudioOptions, BitDepth, ClipPolicy, Dither};
pub use self::pipeline::AudioProgress;
pub use self::report::{AudioInfo, AudioReport, AudioWarning, Method};
