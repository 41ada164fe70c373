//! `ImageConverter`: the way in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use mullama_core::ImageBuffer;

use crate::config::{ConversionConfig, Existing};
use crate::error::{Error, Result};

use super::convert::{self, Check, guarded};
use super::file;
use super::options::ImageFormatType;
use super::report::{ImageInfo, ImageReport};
use super::{decode, encode};

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

/// Writes one method for each pair.
macro_rules! pairs {
    ($($name:ident: $from:ident => $to:ident;)*) => {
        impl ImageConverter {
            $(
                #[doc = concat!("Converts a file that must be ", stringify!($from), " into ", stringify!($to), " in memory.")]
                ///
                /// # Errors
                /// [`Error::InvalidParameter`] if the file is of another format, else as
                /// [`ImageConverter::load_and_convert_with`].
                ///
                /// # Cancel safety
                /// Dropping the future stops the work at its next step.
                pub async fn $name(&self, input: impl AsRef<Path>, config: ConversionConfig) -> Result<ConvertedImage> {
                    pair(input.as_ref(), ImageFormatType::$from, ImageFormatType::$to, config).await
                }
            )*
        }
    };
}

pairs! {
    jpeg_to_png: JPEG => PNG;
    jpeg_to_webp: JPEG => WEBP;
    jpeg_to_tiff: JPEG => TIFF;
    jpeg_to_bmp: JPEG => BMP;
    png_to_jpeg: PNG => JPEG;
    png_to_webp: PNG => WEBP;
    png_to_tiff: PNG => TIFF;
    png_to_bmp: PNG => BMP;
    webp_to_jpeg: WEBP => JPEG;
    webp_to_png: WEBP => PNG;
    webp_to_tiff: WEBP => TIFF;
    webp_to_bmp: WEBP => BMP;
    tiff_to_jpeg: TIFF => JPEG;
    tiff_to_png: TIFF => PNG;
    tiff_to_webp: TIFF => WEBP;
    tiff_to_bmp: TIFF => BMP;
    bmp_to_jpeg: BMP => JPEG;
    bmp_to_png: BMP => PNG;
    bmp_to_webp: BMP => WEBP;
    bmp_to_tiff: BMP => TIFF;
    gif_to_png: GIF => PNG;
    qoi_to_png: QOI => PNG;
}

async fn pair(
    path: &Path,
    from: ImageFormatType,
    to: ImageFormatType,
    config: ConversionConfig,
) -> Result<ConvertedImage> {
    let path = path.to_owned();
    in_background(move |check| {
        let file = file::read(&path, &config.limits)?;
        let found = decode::format_of(&file)?;
        if found != from {
            return Err(Error::InvalidParameter {
                name: "input",
                value: format!("{found}"),
                expected: format!("{from}; `load_and_convert` takes any format"),
            });
        }
        from_bytes(&file, Some(from), to, &config, check)
    })
    .await
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
        in_background(move |check| file_to_file(&input, &output, &config, check)).await
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
        in_background(move |check| load(&path, target, &config, check)).await
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
        in_background(move |check| from_bytes(&file, None, target, &config, check)).await
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
        in_background(move |_| Self::new().load_blocking(path, &config)).await
    }

    /// As [`load`](Self::load), on the caller's thread.
    ///
    /// # Errors
    /// As [`load_and_convert_with`](Self::load_and_convert_with).
    pub fn load_blocking(&self, path: impl AsRef<Path>, config: &ConversionConfig) -> Result<ImageBuffer> {
        let file = file::read(path.as_ref(), &config.limits)?;
        self.load_bytes_blocking(file, config)
    }

    /// As [`load_blocking`](Self::load_blocking), from the bytes of a file.
    ///
    /// # Errors
    /// As [`load_and_convert_with`](Self::load_and_convert_with).
    pub fn load_bytes_blocking(&self, file: impl Into<Bytes>, config: &ConversionConfig) -> Result<ImageBuffer> {
        let file = file.into();
        guarded("a picture", || convert::load(&file, config))
    }

    /// Tells what a file holds. Reads the whole file, decodes no pixels.
    ///
    /// # Errors
    /// As [`load_and_convert_with`](Self::load_and_convert_with).
    pub fn probe_blocking(&self, path: impl AsRef<Path>, config: &ConversionConfig) -> Result<ImageInfo> {
        let file = file::read(path.as_ref(), &config.limits)?;
        guarded("a picture", || decode::open(&file, &config.limits).map(|opened| opened.info))
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
        in_background(move |_| Self::new().probe_blocking(path, &config)).await
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
    let file = file::read(path, &config.limits)?;
    from_bytes(&file, ImageFormatType::from_path(path), target, config, check)
}

fn from_bytes(
    file: &Bytes,
    promised: Option<ImageFormatType>,
    target: ImageFormatType,
    config: &ConversionConfig,
    check: Check<'_>,
) -> Result<ConvertedImage> {
    let (bytes, report) = guarded("a picture", || convert::convert(file, promised, target, config, check))?;
    Ok(ConvertedImage { bytes, report })
}

/// Runs a job on tokio's blocking threads. If the future is dropped, the job's check fails from then on.
async fn in_background<T: Send + 'static>(job: impl FnOnce(Check<'_>) -> Result<T> + Send + 'static) -> Result<T> {
    /// Says so when it is dropped before the job is done.
    struct Dropped(Arc<AtomicBool>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let dropped = Dropped(Arc::default());
    let flag = Arc::clone(&dropped.0);
    let check = move || if flag.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) };
    let done = tokio::task::spawn_blocking(move || job(&check)).await;
    match done {
        Ok(done) => done,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Error::RuntimeGone),
    }
}

/// Futures may move between threads.
const _: fn() = || {
    fn send<T: Send>(_: T) {}
    send(ImageConverter::new().convert_file(PathBuf::new(), PathBuf::new(), ConversionConfig::new()));
};
