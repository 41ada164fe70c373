//! Converts files and pictures in memory.

mod pairs;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use mullama_core::ImageBuffer;

use crate::config::{ConversionConfig, Existing, Limits};
use crate::error::{Error, Result};
use crate::file;
use crate::job::{guarded, on_pool};
use crate::metadata::MetadataItem;

use super::options::ImageFormatType;
use super::pipeline::{self, Check};
use super::report::{ImageInfo, ImageReport};
use super::{decode, describe, encode};

/// Converts pictures between formats.
///
/// It has no state of its own and is `Copy`. A method of its own for each pair of formats, [`load_and_convert`] for any,
/// [`convert_file`] from file to file. Async forms work on tokio's blocking threads and must be awaited on a tokio runtime; forms
/// that end in `_blocking` work on the caller's thread.
///
/// Memory: the file, the decoded picture (twice while it is turned or resized) and the encoded one are held at once. JPEG
/// with many passes takes 6 bytes a pixel more while it is decoded.
///
/// ```
/// use mullama_convert::{ConversionConfig, FitMode, ImageConverter, ImageFormatType};
///
/// # fn main() -> mullama_convert::Result<()> {
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let photo = folder.path().join("photo.bmp");
/// # let pixels = image::RgbImage::from_fn(640, 480, |x, y| image::Rgb([x as u8, y as u8, 0]));
/// # pixels.save(&photo).expect("a picture");
/// let converter = ImageConverter::new();
/// let config = ConversionConfig::new().quality(85).resize(320, 320, FitMode::Contain);
/// let small = converter.load_and_convert_blocking(&photo, ImageFormatType::JPEG, &config)?;
/// assert_eq!((small.report().output.width, small.report().output.height), (320, 240));
/// # Ok(())
/// # }
/// ```
///
/// [`load_and_convert`]: Self::load_and_convert
/// [`convert_file`]: Self::convert_file
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImageConverter {
    _private: (),
}

/// A picture that was converted: the bytes of a file, and what was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvertedImage {
    bytes: Vec<u8>,
    report: ImageReport,
}

impl ConvertedImage {
    /// The file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The file.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The format of the file.
    #[must_use]
    pub fn format(&self) -> ImageFormatType {
        self.report.output.format
    }

    /// What was read, written and left out.
    #[must_use]
    pub fn report(&self) -> &ImageReport {
        &self.report
    }

    /// Writes the file at once or not at all, whatever its extension says. Waits for the disk.
    ///
    /// # Errors
    /// [`Error::OutputExists`] unless `existing` allows to replace it; [`Error::File`].
    pub fn save(&self, path: impl AsRef<Path>, existing: Existing) -> Result<()> {
        file::write(path.as_ref(), &self.bytes, existing)
    }
}

impl AsRef<[u8]> for ConvertedImage {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl ImageConverter {
    /// A converter.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }

    /// Converts a file into another, whose format its extension tells. The target appears when it is whole.
    ///
    /// # Errors
    /// [`Error::OutputExists`] unless the configuration allows to replace it, [`Error::SameFile`], [`Error::UnknownTarget`];
    /// [`Error::File`]; else as [`load_and_convert_with`](Self::load_and_convert_with).
    ///
    /// # Cancel safety
    /// Dropping the future stops the work at its next step; the target is whole or not there.
    pub async fn convert_file(
        &self,
        input: impl AsRef<Path>,
        output: impl AsRef<Path>,
        config: ConversionConfig,
    ) -> Result<ImageReport> {
        let (input, output) = (input.as_ref().to_owned(), output.as_ref().to_owned());
        on_pool(move |stop| file_to_file(&input, &output, &config, &|| stop.check())).await
    }

    /// As [`convert_file`](Self::convert_file), on the caller's thread.
    ///
    /// # Errors
    /// As [`convert_file`](Self::convert_file).
    pub fn convert_file_blocking(
        &self,
        input: impl AsRef<Path>,
        output: impl AsRef<Path>,
        config: &ConversionConfig,
    ) -> Result<ImageReport> {
        file_to_file(input.as_ref(), output.as_ref(), config, &|| Ok(()))
    }

    /// Reads a picture of any format and gives it in another.
    ///
    /// # Errors
    /// [`Error::EmptyInput`], [`Error::UnknownFormat`], [`Error::TruncatedImage`], [`Error::Corrupt`], [`Error::Decode`],
    /// [`Error::UnsupportedImage`], [`Error::TooLarge`], [`Error::DecoderLimit`] for the input;
    /// [`Error::InvalidParameter`], [`Error::SixteenBit`], [`Error::UnknownTarget`] for what was asked; [`Error::File`].
    ///
    /// # Cancel safety
    /// Dropping the future stops the work at its next step.
    pub async fn load_and_convert_with(
        &self,
        path: impl AsRef<Path>,
        target: ImageFormatType,
        config: ConversionConfig,
    ) -> Result<ConvertedImage> {
        let path = path.as_ref().to_owned();
        on_pool(move |stop| load(&path, target, &config, &|| stop.check())).await
    }

    /// As [`load_and_convert_with`](Self::load_and_convert_with) with the default configuration.
    ///
    /// # Errors
    /// As [`load_and_convert_with`](Self::load_and_convert_with).
    ///
    /// # Cancel safety
    /// Dropping the future stops the work at its next step.
    pub async fn load_and_convert(&self, path: impl AsRef<Path>, target: ImageFormatType) -> Result<ConvertedImage> {
        self.load_and_convert_with(path, target, ConversionConfig::default()).await
    }

    /// As [`load_and_convert_with`](Self::load_and_convert_with), on the caller's thread.
    ///
    /// # Errors
    /// As [`load_and_convert_with`](Self::load_and_convert_with).
    pub fn load_and_convert_blocking(
        &self,
        path: impl AsRef<Path>,
        target: ImageFormatType,
        config: &ConversionConfig,
    ) -> Result<ConvertedImage> {
        load(path.as_ref(), target, config, &|| Ok(()))
    }

    /// Converts the bytes of a file.
    ///
    /// # Errors
    /// As [`load_and_convert_with`](Self::load_and_convert_with).
    ///
    /// # Cancel safety
    /// Dropping the future ends the work at its next step.
    pub async fn convert_bytes(
        &self,
        file: impl Into<Bytes>,
        target: ImageFormatType,
        config: ConversionConfig,
    ) -> Result<ConvertedImage> {
        let file = file.into();
        on_pool(move |stop| from_bytes(&file, None, target, &config, &|| stop.check())).await
    }

    /// As [`convert_bytes`](Self::convert_bytes), on the caller's thread.
    ///
    /// # Errors
    /// As [`load_and_convert_with`](Self::load_and_convert_with).
    pub fn convert_bytes_blocking(
        &self,
        file: impl Into<Bytes>,
        target: ImageFormatType,
        config: &ConversionConfig,
    ) -> Result<ConvertedImage> {
        from_bytes(&file.into(), None, target, config, &|| Ok(()))
    }

    /// Decodes a file to upright pixels, 8-bit RGB, transparent ones on the background colour; resized as configured.
    ///
    /// # Errors
    /// As [`load_and_convert_with`](Self::load_and_convert_with).
    ///
    /// # Cancel safety
    /// Dropping the future gives up the pixels; the decoding ends by itself.
    pub async fn load(&self, path: impl AsRef<Path>, config: ConversionConfig) -> Result<ImageBuffer> {
        let path = path.as_ref().to_owned();
        on_pool(move |_| Self::new().load_blocking(path, &config)).await
    }

    /// As [`load`](Self::load), on the caller's thread.
    ///
    /// # Errors
    /// As [`load_and_convert_with`](Self::load_and_convert_with).
    pub fn load_blocking(&self, path: impl AsRef<Path>, config: &ConversionConfig) -> Result<ImageBuffer> {
        let file = read(path.as_ref(), &config.limits)?;
        self.load_bytes_blocking(file, config)
    }

    /// As [`load_blocking`](Self::load_blocking), from the bytes of a file.
    ///
    /// # Errors
    /// As [`load_and_convert_with`](Self::load_and_convert_with).
    pub fn load_bytes_blocking(&self, file: impl Into<Bytes>, config: &ConversionConfig) -> Result<ImageBuffer> {
        let file = file.into();
        guarded(picture, || pipeline::load(&file, config))
    }

    /// Tells what a file holds. Reads the whole file, decodes no pixels.
    ///
    /// # Errors
    /// As [`load_and_convert_with`](Self::load_and_convert_with).
    pub fn probe_blocking(&self, path: impl AsRef<Path>, config: &ConversionConfig) -> Result<ImageInfo> {
        let file = read(path.as_ref(), &config.limits)?;
        guarded(picture, || decode::open(&file, &config.limits).map(|opened| opened.info))
    }

    /// Tells what EXIF, the ICC profile and XMP say: camera, time, exposure, place, title and the like. Reads the whole file,
    /// decodes no pixels.
    ///
    /// # Errors
    /// As [`load_and_convert_with`](Self::load_and_convert_with).
    pub fn metadata_blocking(&self, path: impl AsRef<Path>, config: &ConversionConfig) -> Result<Vec<MetadataItem>> {
        let file = read(path.as_ref(), &config.limits)?;
        guarded(picture, || Ok(describe::items(&decode::open(&file, &config.limits)?.metadata)))
    }

    /// As [`probe_blocking`](Self::probe_blocking) and [`metadata_blocking`](Self::metadata_blocking) together, which reads the
    /// file once.
    ///
    /// # Errors
    /// As [`load_and_convert_with`](Self::load_and_convert_with).
    pub fn describe_blocking(
        &self,
        path: impl AsRef<Path>,
        config: &ConversionConfig,
    ) -> Result<(ImageInfo, Vec<MetadataItem>)> {
        let file = read(path.as_ref(), &config.limits)?;
        guarded(picture, || {
            decode::open(&file, &config.limits).map(|opened| (opened.info, describe::items(&opened.metadata)))
        })
    }

    /// As [`metadata_blocking`](Self::metadata_blocking), on tokio's blocking threads.
    ///
    /// # Errors
    /// As [`load_and_convert_with`](Self::load_and_convert_with).
    ///
    /// # Cancel safety
    /// Dropping the future gives up the answer.
    pub async fn metadata(&self, path: impl AsRef<Path>, config: ConversionConfig) -> Result<Vec<MetadataItem>> {
        let path = path.as_ref().to_owned();
        on_pool(move |_| Self::new().metadata_blocking(path, &config)).await
    }

    /// As [`probe_blocking`](Self::probe_blocking), on tokio's blocking threads.
    ///
    /// # Errors
    /// As [`load_and_convert_with`](Self::load_and_convert_with).
    ///
    /// # Cancel safety
    /// Dropping the future gives up the answer.
    pub async fn probe(&self, path: impl AsRef<Path>, config: ConversionConfig) -> Result<ImageInfo> {
        let path = path.as_ref().to_owned();
        on_pool(move |_| Self::new().probe_blocking(path, &config)).await
    }
}

/// Converts a file into another one.
pub(crate) fn file_to_file(
    input: &Path,
    output: &Path,
    config: &ConversionConfig,
    check: Check<'_>,
) -> Result<ImageReport> {
    let target = target_of(output)?;
    file::check_target(input, output, config.existing)?;
    let converted = load(input, target, config, check)?;
    check()?;
    file::write(output, &converted.bytes, config.existing)?;
    Ok(converted.report)
}

/// The format that the name of a target stands for, if it can be written.
fn target_of(output: &Path) -> Result<ImageFormatType> {
    let known = "jpg, png, webp, tiff and bmp";
    let target = ImageFormatType::from_path(output).filter(|format| ImageFormatType::WRITTEN.contains(format));
    target.ok_or_else(|| Error::UnknownTarget {
        name: output.extension().unwrap_or_default().to_string_lossy().chars().take(32).collect(),
        known,
    })
}

fn load(path: &Path, target: ImageFormatType, config: &ConversionConfig, check: Check<'_>) -> Result<ConvertedImage> {
    encode::validate(&config.image)?;
    let file = read(path, &config.limits)?;
    from_bytes(&file, ImageFormatType::from_path(path), target, config, check)
}

fn from_bytes(
    file: &Bytes,
    promised: Option<ImageFormatType>,
    target: ImageFormatType,
    config: &ConversionConfig,
    check: Check<'_>,
) -> Result<ConvertedImage> {
    let (bytes, report) = guarded(picture, || pipeline::convert(file, promised, target, config, check))?;
    Ok(ConvertedImage { bytes, report })
}

/// Reads a picture's file as a whole. One that is no picture is refused after its first bytes.
fn read(path: &Path, limits: &Limits) -> Result<Bytes> {
    let (file, length) = file::open(path)?;
    // No picture within its own limits takes more: an animation may, and its file is read as a whole.
    let limit = limits.max_input_bytes.min(limits.max_image_bytes.saturating_add(limits.max_metadata_bytes));
    if length > limit {
        return Err(Error::TooLarge { what: "the file", value: length, limit, unit: "bytes" });
    }
    let mut bytes = Vec::with_capacity(64);
    (&file).take(64).read_to_end(&mut bytes).map_err(file::failed("read", path))?;
    decode::format_of(&bytes)?;
    bytes.reserve_exact(usize::try_from(length).unwrap_or(0).saturating_sub(bytes.len()));
    // A file that grows meanwhile is cut where the limit is.
    file.take(limit).read_to_end(&mut bytes).map_err(file::failed("read", path))?;
    Ok(bytes.into())
}

/// What a job is called that has no name of its own.
fn picture() -> String {
    "a picture".to_owned()
}

/// Futures may move between threads.
const _: fn() = || {
    fn send<T: Send>(_: T) {}
    send(ImageConverter::new().convert_file(PathBuf::new(), PathBuf::new(), ConversionConfig::new()));
};
