//! Pictures, against ImageMagick, ExifTool and libvips.

mod api;
mod hostile;
mod matrix;
mod metadata;
mod mutated;
mod odd;
mod orientation;
mod resize;
pub(crate) mod tools;
