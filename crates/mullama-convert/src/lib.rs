//! Audio and images: every format into every other. Depends on the media types of `mullama-core` alone; no llama.cpp is built.
#![forbid(unsafe_code)]

mod audio;
mod batch;
mod config;
mod error;
mod file;
#[cfg(fuzzing)]
pub mod fuzz;
mod image;
mod job;
mod metadata;
mod pairs;
mod streaming;

pub use self::audio::{
    AudioConverter, AudioFormatType, AudioInfo, AudioOptions, AudioProgress, AudioReport, AudioWarning, BitDepth,
    ChunkConverter, ClipPolicy, ConvertedAudio, ConvertedChunk, Dither, Method,
};
pub use self::batch::{
    BatchConverter, BatchJob, BatchReport, ConversionProgress, FileOutcome, FileReport, FileResult, StopButton,
    TargetFormat,
};
pub use self::config::{ConversionConfig, Damaged, Existing, Limits, MetadataPolicy};
pub use self::error::{Error, Media, Result};
pub use self::image::{
    Chroma, Color, ConvertedImage, DropReason, Effort, FitMode, ImageConverter, ImageFormatType, ImageInfo,
    ImageOptions, ImageReport, ImageWarning, Metadata, PixelColor, Resize, ResizeFilter, SixteenBit, WebpMode,
};
pub use self::job::is_parsing;
pub use self::metadata::{AudioTags, MetadataItem, TagPicture};
pub use self::streaming::{ConvertedStream, StreamItem, StreamingConverter};
