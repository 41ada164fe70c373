//! From the bytes of a file to pixels, within limits that are checked before memory is taken.

use std::io::{self, Cursor};

use bytes::Bytes;
use image::codecs::{bmp, gif, jpeg, png, qoi, tiff, webp};
use image::error::ImageError;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ExtendedColorType, ImageDecoder};

use crate::config::{ConversionConfig, Damaged, Limits};
use crate::error::{Error, Media, Result};

use super::metadata::{MetadataSet, dropped};
use super::options::ImageFormatType;
use super::report::{DropReason, ImageInfo, ImageWarning, Metadata, PixelColor};
use super::structure::{self, Structure};

/// A picture whose header is read.
pub(super) struct Opened<'a> {
    decoder: Box<dyn ImageDecoder + 'a>,
    orientation: Orientation,
    structure: Structure,
    pub(super) info: ImageInfo,
    pub(super) metadata: MetadataSet,
    pub(super) warnings: Vec<ImageWarning>,
}

/// The format by content.
pub(super) fn format_of(file: &[u8]) -> Result<ImageFormatType> {
    if file.is_empty() {
        return Err(Error::EmptyInput);
    }
    ImageFormatType::from_content(file).ok_or_else(|| Error::unknown(Media::Image, file))
}

/// Reads the header and the metadata; decodes no pixels.
pub(super) fn open<'a>(file: &'a Bytes, limits: &Limits) -> Result<Opened<'a>> {
    let format = format_of(file)?;
    let structure = structure::read(format, file);
    if format == ImageFormatType::WEBP && !structure.whole {
        return Err(Error::TruncatedImage { format: format.name(), bytes: file.len() as u64 });
    }
    let mut decoder = decoder(format, file, limits).map_err(|error| failure(format, file, limits, error))?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        let problem = format!("the picture has {width} x {height} pixels");
        return Err(Error::Corrupt { format: format.name(), problem });
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.max_pixels {
        return Err(Error::TooLarge { what: "the picture", value: pixels, limit: limits.max_pixels, unit: "pixels" });
    }
    // `Limits` of the image crate do not refuse this on the way that leaves the metadata readable.
    let bytes = decoder.total_bytes();
    if bytes > limits.max_image_bytes {
        let limit = limits.max_image_bytes;
        return Err(Error::TooLarge { what: "the decoded picture", value: bytes, limit, unit: "bytes" });
    }
    // What decoders need beside the picture itself: a compressed strip of TIFF, a frame of GIF, a palette.
    let mut allocation = image::Limits::no_limits();
    allocation.max_alloc = Some(bytes.saturating_mul(2).saturating_add(limits.max_metadata_bytes).max(1 << 20));
    decoder.set_limits(allocation).map_err(|error| failure(format, file, limits, error))?;

    let mut warnings = Vec::new();
    let metadata = MetadataSet::read(&mut *decoder, (format, file), limits, &mut warnings)?;
    if structure.icc > 0 && metadata.icc.is_none() {
        warnings.push(dropped(Metadata::Icc, DropReason::Damaged, structure.icc));
    }
    if structure.iptc > 0 {
        warnings.push(dropped(Metadata::Iptc, DropReason::Target, structure.iptc));
    }
    if structure.text > 0 {
        warnings.push(dropped(Metadata::Text, DropReason::Target, structure.text));
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let turned = orientation.to_exif() >= 5;
    let original = decoder.original_color_type();
    let (color, bits) = match original {
        _ if format != ImageFormatType::TIFF => (structure.color, structure.bits),
        ExtendedColorType::Cmyk8 => (PixelColor::Cmyk, 8),
        ExtendedColorType::Cmyk16 => (PixelColor::Cmyk, 16),
        other => {
            let channels = u16::from(other.channel_count().max(1));
            let bits = u8::try_from(other.bits_per_pixel() / channels).unwrap_or(8);
            (if channels < 3 { PixelColor::Gray } else { PixelColor::Rgb }, bits)
        }
    };
    let [exif_bytes, icc_bytes, xmp_bytes] = metadata.sizes();
    let info = ImageInfo {
        format,
        width: if turned { height } else { width },
        height: if turned { width } else { height },
        color,
        bits,
        alpha: decoder.color_type().has_alpha(),
        lossy: structure.lossy,
        frames: structure.frames,
        orientation: orientation.to_exif(),
        exif_bytes,
        icc_bytes,
        xmp_bytes,
        location: metadata.has_location(),
        bytes: file.len() as u64,
    };
    Ok(Opened { decoder, orientation, structure, info, metadata, warnings })
}

impl Opened<'_> {
    /// Decodes the pixels and turns them upright.
    pub(super) fn pixels(
        self,
        file: &Bytes,
        config: &ConversionConfig,
    ) -> Result<(DynamicImage, ImageInfo, MetadataSet, Vec<ImageWarning>)> {
        let Self { decoder, orientation, structure, info, mut metadata, mut warnings } = self;
        let format = info.format;
        let accept = config.damaged == Damaged::Accept;
        if structure.frames > 1 {
            warnings.push(ImageWarning::FirstFrameOnly { frames: structure.frames });
        }
        // zune-jpeg fills the rest with grey and says nothing; the others fail by themselves.
        let short = format == ImageFormatType::JPEG && !structure.whole;
        if short && !accept {
            return Err(Error::TruncatedImage { format: format.name(), bytes: file.len() as u64 });
        }
        let (width, height) = decoder.dimensions();
        let mut image = blank(decoder.color_type(), width, height);
        let read = decoder.read_image_boxed(bytes_of(&mut image));
        match read.map_err(|error| failure(format, file, &config.limits, error)) {
            Ok(()) if short => warnings.push(ImageWarning::Truncated),
            Ok(()) => {}
            // These decode row after row into the picture: what came before is there.
            Err(Error::TruncatedImage { .. })
                if accept && matches!(format, ImageFormatType::PNG | ImageFormatType::BMP | ImageFormatType::GIF) =>
            {
                warnings.push(ImageWarning::Truncated);
            }
            Err(error) => return Err(error),
        }
        image.apply_orientation(orientation);
        metadata.set_upright();
        Ok((image, info, metadata, warnings))
    }
}

fn decoder<'a>(
    format: ImageFormatType,
    file: &'a [u8],
    limits: &Limits,
) -> std::result::Result<Box<dyn ImageDecoder + 'a>, ImageError> {
    let reader = Cursor::new(file);
    Ok(match format {
        ImageFormatType::JPEG => Box::new(jpeg::JpegDecoder::new(reader)?),
        ImageFormatType::PNG => {
            // Text and profiles come compressed: their bombs burst before the picture is looked at. Each byte counts twice,
            // as it came and as it is unpacked.
            let mut allocation = image::Limits::no_limits();
            allocation.max_alloc = Some(limits.max_metadata_bytes.saturating_mul(2).max(1 << 16));
            Box::new(png::PngDecoder::with_limits(reader, allocation)?)
        }
        ImageFormatType::WEBP => Box::new(webp::WebPDecoder::new(reader)?),
        ImageFormatType::TIFF => Box::new(tiff::TiffDecoder::new(reader)?),
        ImageFormatType::BMP => Box::new(bmp::BmpDecoder::new(reader)?),
        ImageFormatType::GIF => Box::new(gif::GifDecoder::new(reader)?),
        ImageFormatType::QOI => Box::new(qoi::QoiDecoder::new(reader)?),
    })
}

fn blank(color: ColorType, width: u32, height: u32) -> DynamicImage {
    DynamicImage::new(width, height, color)
}

/// The bytes of the pixels, in the machine's order.
fn bytes_of(image: &mut DynamicImage) -> &mut [u8] {
    match image {
        DynamicImage::ImageLuma8(pixels) => pixels,
        DynamicImage::ImageLumaA8(pixels) => pixels,
        DynamicImage::ImageRgb8(pixels) => pixels,
        DynamicImage::ImageRgba8(pixels) => pixels,
        DynamicImage::ImageLuma16(pixels) => bytemuck::cast_slice_mut(pixels),
        DynamicImage::ImageLumaA16(pixels) => bytemuck::cast_slice_mut(pixels),
        DynamicImage::ImageRgb16(pixels) => bytemuck::cast_slice_mut(pixels),
        DynamicImage::ImageRgba16(pixels) => bytemuck::cast_slice_mut(pixels),
        DynamicImage::ImageRgb32F(pixels) => bytemuck::cast_slice_mut(pixels),
        DynamicImage::ImageRgba32F(pixels) => bytemuck::cast_slice_mut(pixels),
        // Kinds that a later version may add; no decoder here gives them.
        _ => &mut [],
    }
}

/// What a decoder's failure means to the caller.
fn failure(format: ImageFormatType, file: &[u8], limits: &Limits, error: ImageError) -> Error {
    let format = format.name();
    if ends_early(&error) {
        return Error::TruncatedImage { format, bytes: file.len() as u64 };
    }
    match error {
        ImageError::Limits(_) => Error::DecoderLimit { format, limit: limits.max_image_bytes },
        ImageError::Unsupported(error) => Error::UnsupportedImage { format, feature: error.to_string() },
        error => Error::Decode { format, source: Box::new(error) },
    }
}

/// Whether the bytes ran out, at any depth of the error.
fn ends_early(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
            return true;
        }
        // An `io::Error` may wrap another one and does not name it as its source.
        if io.and_then(io::Error::get_ref).is_some_and(|inner| ends_early(inner)) {
            return true;
        }
        if let Some(ImageError::IoError(error)) = error.downcast_ref() {
            return ends_early(error);
        }
        cause = error.source();
    }
    false
}
