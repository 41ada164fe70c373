//! The way of a picture: open, decode, resize, fit to the target, encode.

use std::time::Instant;

use bytes::Bytes;
use image::DynamicImage;

use crate::config::ConversionConfig;
use crate::error::Result;

use super::metadata::MetadataSet;
use super::options::{ImageFormatType, WebpMode};
use super::report::{ImageInfo, ImageReport, ImageWarning, PixelColor};
use super::{decode, encode, pixels, resize};

/// Asked between the steps: an error ends the conversion.
pub(crate) type Check<'a> = &'a dyn Fn() -> Result<()>;

/// Converts the bytes of a file. `promised` is the format that its name stands for.
pub(super) fn convert(
    file: &Bytes,
    promised: Option<ImageFormatType>,
    target: ImageFormatType,
    config: &ConversionConfig,
    check: Check<'_>,
) -> Result<(Vec<u8>, ImageReport)> {
    let start = Instant::now();
    let options = &config.image;
    encode::validate(options)?;
    let opened = decode::open(file, &config.limits)?;
    let info = &opened.info;
    // Refused before the pixels are decoded.
    let size = resize::size((info.width, info.height), options.resize.as_ref(), target, &config.limits)?;
    check()?;
    let (image, input, mut metadata, mut warnings) = opened.pixels(file, config)?;
    let mismatch = promised.filter(|promised| *promised != input.format);
    warnings.extend(mismatch.map(|expected| ImageWarning::FormatMismatch { expected, found: input.format }));
    check()?;
    let image = resize::apply(image, size, options.resize.as_ref(), &config.limits)?;
    check()?;
    let image = pixels::fit(image, target, options, &mut warnings)?;
    let image = colored(image, target);
    if input.orientation != 1 || (input.width, input.height) != (image.width(), image.height()) {
        metadata.set_size(image.width(), image.height());
    }
    metadata.apply(config.metadata, &mut warnings);
    metadata.fit(target, &mut warnings);
    metadata.match_icc(!image.color().has_color(), &mut warnings);
    let lossy = match (target, options.webp) {
        (ImageFormatType::JPEG, _) | (ImageFormatType::WEBP, WebpMode::Lossy) => true,
        (ImageFormatType::WEBP, WebpMode::Auto) => options.quality.is_some() || input.lossy,
        _ => false,
    };
    check()?;
    let bytes = encode::encode(&image, target, options, (lossy, &metadata))?;
    let output = describe(&image, (target, lossy), &metadata, bytes.len() as u64);
    Ok((bytes, ImageReport { input, output, warnings, elapsed: start.elapsed() }))
}

/// Only the decoding: upright pixels of 8-bit RGB on the background colour, resized as the options say.
pub(super) fn load(file: &Bytes, config: &ConversionConfig) -> Result<mullama_core::ImageBuffer> {
    let opened = decode::open(file, &config.limits)?;
    let (target, resize) = (ImageFormatType::JPEG, config.image.resize.as_ref());
    // Neither the target's sides nor its depth bind pixels that stay in memory.
    let size = resize::size((opened.info.width, opened.info.height), resize, ImageFormatType::PNG, &config.limits)?;
    let (image, ..) = opened.pixels(file, config)?;
    let image = resize::apply(image, size, resize, &config.limits)?;
    let options = super::ImageOptions { sixteen_bit: super::SixteenBit::Reduce, ..config.image };
    let image = pixels::fit(image, target, &options, &mut Vec::new())?;
    let (width, height) = (image.width(), image.height());
    Ok(mullama_core::ImageBuffer::new(image.into_rgb8().into_raw(), width, height)?)
}

/// WebP knows red, green and blue only. Grey with transparency is read by few programs in TIFF, and the encoder of BMP
/// leaves the transparency out.
fn colored(image: DynamicImage, target: ImageFormatType) -> DynamicImage {
    match (target, image) {
        (ImageFormatType::WEBP, image @ DynamicImage::ImageLuma8(_)) => image.into_rgb8().into(),
        (
            ImageFormatType::WEBP | ImageFormatType::TIFF | ImageFormatType::BMP,
            image @ DynamicImage::ImageLumaA8(_),
        ) => image.into_rgba8().into(),
        (ImageFormatType::TIFF, image @ DynamicImage::ImageLumaA16(_)) => image.into_rgba16().into(),
        (_, image) => image,
    }
}

fn describe(
    image: &DynamicImage,
    (format, lossy): (ImageFormatType, bool),
    metadata: &MetadataSet,
    bytes: u64,
) -> ImageInfo {
    let color = image.color();
    let [exif_bytes, icc_bytes, xmp_bytes] = metadata.sizes();
    ImageInfo {
        format,
        width: image.width(),
        height: image.height(),
        color: if color.has_color() { PixelColor::Rgb } else { PixelColor::Gray },
        bits: color.bytes_per_pixel() / color.channel_count() * 8,
        alpha: color.has_alpha(),
        lossy,
        frames: 1,
        orientation: 1,
        exif_bytes,
        icc_bytes,
        xmp_bytes,
        location: metadata.has_location(),
        bytes,
    }
}
