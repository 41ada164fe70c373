//! Audio and images: every format into every other. Depends on the media types of `mullama-core` alone; no llama.cpp is built.
#![forbid(unsafe_code)]

mod audio;
mod config;
mod error;

pub use self::audio::{AudioFormatType, AudioOptions, BitDepth, ClipPolicy, Dither};
pub use self::config::{ConversionConfig, Damaged, Existing, Limits, MetadataPolicy};
pub use self::error::{Error, Media, Result};
