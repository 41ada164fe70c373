//! Pictures: every format into every other.

mod convert;
mod decode;
mod describe;
mod encode;
mod exif;
#[cfg(fuzzing)]
#[expect(clippy::missing_panics_doc, reason = "a panic is how a target tells what it found")]
pub(crate) mod fuzz;
mod metadata;
mod options;
mod pipeline;
mod pixels;
mod report;
mod resize;
mod structure;

pub(crate) use self::convert::file_to_file;
pub use self::convert::{ConvertedImage, ImageConverter};
pub use self::options::{
    Chroma, Color, Effort, FitMode, ImageFormatType, ImageOptions, Resize, ResizeFilter, SixteenBit, WebpMode,
};
pub use self::report::{DropReason, ImageInfo, ImageReport, ImageWarning, Metadata, PixelColor};
