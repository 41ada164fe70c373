//! Sound: every format into every other.

mod options;

pub use self::options::{AudioFormatType, AudioOptions, BitDepth, ClipPolicy, Dither};
