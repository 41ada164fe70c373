//! Pictures: every format into every other.

mod convert;
mod converter;
mod decode;
mod encode;
mod exif;
mod file;
mod metadata;
mod options;
mod pixels;
mod report;
mod resize;
mod structure;

pub(crate) use self::convert::guarded;
pub(crate) use self::converter::file_to_file;
pub use self::converter::{ConvertedImage, ImageConverter};
pub use self::options::{
    Chroma, Color, Effort, FitMode, ImageFormatType, ImageOptions, Resize, ResizeFilter, SixteenBit, WebpMode,
};
pub use self::report::{DropReason, ImageInfo, ImageReport, ImageWarning, Metadata, PixelColor};
