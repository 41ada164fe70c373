//! From pixels to the bytes of a file.

mod tiff;

use std::error::Error as StdError;

use bytes::Bytes;
use image::codecs::{bmp, png, webp as lossless_webp};
use image::{DynamicImage, ImageEncoder};
use img_parts::riff::{RiffChunk, RiffContent};
use img_parts::{ImageEXIF, ImageICC};
use jpeg_encoder::{ChromaSubsamplingMethod, SamplingFactor};

use crate::error::{Error, Result};

use super::metadata::MetadataSet;
use super::options::{Chroma, Effort, ImageFormatType, ImageOptions};

/// Quality of JPEG where none is chosen.
const JPEG_QUALITY: u8 = 90;
/// Quality of lossy WebP where none is chosen.
const WEBP_QUALITY: u8 = 80;

type Encoded = std::result::Result<Vec<u8>, Box<dyn StdError + Send + Sync>>;

/// Checks what was chosen, before anything is read.
pub(super) fn validate(options: &ImageOptions) -> Result<()> {
    match options.quality {
        Some(quality) if !(1..=100).contains(&quality) => Err(Error::InvalidParameter {
            name: "quality",
            value: quality.to_string(),
            expected: "1 to 100".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Encodes pixels of a kind and a size that the target holds. `lossy` decides for WebP.
pub(super) fn encode(
    image: &DynamicImage,
    target: ImageFormatType,
    options: &ImageOptions,
    (lossy, metadata): (bool, &MetadataSet),
) -> Result<Vec<u8>> {
    let encoded = match target {
        ImageFormatType::JPEG => jpeg(image, options, metadata),
        ImageFormatType::PNG => png(image, options, metadata),
        ImageFormatType::WEBP => webp(image, options, lossy, metadata),
        ImageFormatType::TIFF => tiff::encode(image, options.effort, metadata),
        ImageFormatType::BMP => bmp(image),
        ImageFormatType::GIF | ImageFormatType::QOI => {
            return Err(Error::UnknownTarget {
                name: target.extension().to_owned(),
                known: "jpg, png, webp, tiff and bmp",
            });
        }
    };
    encoded.map_err(|source| Error::Encode { format: target.name(), source })
}

fn jpeg(image: &DynamicImage, options: &ImageOptions, metadata: &MetadataSet) -> Encoded {
    let quality = options.quality.unwrap_or(JPEG_QUALITY);
    let mut file = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut file, quality);
    // The encoder's own default takes one pixel of four for the colour of all.
    encoder.set_chroma_subsampling_method(ChromaSubsamplingMethod::Average);
    encoder.set_sampling_factor(match options.chroma {
        Chroma::Full => SamplingFactor::R_4_4_4,
        Chroma::Auto if quality >= 90 => SamplingFactor::R_4_4_4,
        Chroma::Auto | Chroma::Half => SamplingFactor::R_4_2_0,
    });
    // This writes a scan for each colour: of a file that is cut off nothing is left to see.
    encoder.set_optimized_huffman_tables(options.effort == Effort::Small);
    if let Some(exif) = &metadata.exif {
        encoder.add_exif_metadata(exif)?;
    }
    if let Some(xmp) = &metadata.xmp {
        encoder.add_app_segment(1, [b"http://ns.adobe.com/xap/1.0/\0", &xmp[..]].concat())?;
    }
    if let Some(icc) = &metadata.icc {
        encoder.add_icc_profile(icc)?;
    }
    let (width, height) = (u16::try_from(image.width())?, u16::try_from(image.height())?);
    match image {
        DynamicImage::ImageLuma8(pixels) => encoder.encode(pixels, width, height, jpeg_encoder::ColorType::Luma)?,
        DynamicImage::ImageRgb8(pixels) => encoder.encode(pixels, width, height, jpeg_encoder::ColorType::Rgb)?,
        other => encoder.encode(&other.to_rgb8(), width, height, jpeg_encoder::ColorType::Rgb)?,
    }
    Ok(file)
}

fn png(image: &DynamicImage, options: &ImageOptions, metadata: &MetadataSet) -> Encoded {
    let compression = match options.effort {
        Effort::Fast => png::CompressionType::Fast,
        Effort::Normal => png::CompressionType::Level(NORMAL_DEFLATE),
        Effort::Small => png::CompressionType::Best,
    };
    let mut file = Vec::new();
    let mut encoder = png::PngEncoder::new_with_quality(&mut file, compression, png::FilterType::Adaptive);
    if let Some(icc) = &metadata.icc {
        encoder.set_icc_profile(icc.clone())?;
    }
    if let Some(exif) = &metadata.exif {
        encoder.set_exif_metadata(exif.clone())?;
    }
    encoder.write_image(image.as_bytes(), image.width(), image.height(), image.color().into())?;
    if let Some(xmp) = &metadata.xmp {
        // The image crate writes no text. XMP is a chunk of text, not compressed, without language (PNG, third edition,
        // 11.3.3.4); it may stand anywhere behind the first chunk, which takes 8 + 25 bytes with the file's mark.
        let text = [b"XML:com.adobe.xmp\0\0\0\0\0", &xmp[..]].concat();
        let chunk = img_parts::png::PngChunk::new(*b"iTXt", Bytes::from(text)).encoder().bytes();
        file.splice(33..33, chunk);
    }
    Ok(file)
}

fn webp(image: &DynamicImage, options: &ImageOptions, lossy: bool, metadata: &MetadataSet) -> Encoded {
    let file = if lossy || options.effort == Effort::Small {
        let (pixels, layout) = match image {
            DynamicImage::ImageRgb8(pixels) => (pixels.as_raw(), ::webp::PixelLayout::Rgb),
            DynamicImage::ImageRgba8(pixels) => (pixels.as_raw(), ::webp::PixelLayout::Rgba),
            other => return Err(format!("libwebp takes no {:?}", other.color()).into()),
        };
        let mut config = ::webp::WebPConfig::new().map_err(|()| "libwebp made no configuration")?;
        config.lossless = i32::from(!lossy);
        // Lossless: how hard it tries. 75 is its default for both.
        config.quality = if lossy { f32::from(options.quality.unwrap_or(WEBP_QUALITY)) } else { 75.0 };
        config.method = match options.effort {
            Effort::Fast => 1,
            Effort::Normal => 4,
            Effort::Small => 6,
        };
        // The colours of transparent pixels stay; without it lossless would not be.
        config.exact = i32::from(!lossy);
        let encoder = ::webp::Encoder::new(pixels, layout, image.width(), image.height());
        let encoded = encoder.encode_advanced(&config).map_err(|error| format!("libwebp: {error:?}"))?;
        Bytes::copy_from_slice(&encoded)
    } else {
        let mut file = Vec::new();
        let encoder = lossless_webp::WebPEncoder::new_lossless(&mut file);
        encoder.write_image(image.as_bytes(), image.width(), image.height(), image.color().into())?;
        Bytes::from(file)
    };
    if *metadata == MetadataSet::default() {
        return Ok(file.into());
    }
    let mut parts = img_parts::webp::WebP::from_bytes(file)?;
    // XMP first: the header with the flags is made with the first profile or EXIF, from the chunks that are there.
    if let Some(xmp) = &metadata.xmp {
        parts.chunks_mut().push(RiffChunk::new(*b"XMP ", RiffContent::Data(Bytes::copy_from_slice(xmp))));
    }
    parts.set_exif(metadata.exif.as_deref().map(Bytes::copy_from_slice));
    parts.set_icc_profile(metadata.icc.as_deref().map(Bytes::copy_from_slice));
    // EXIF stands before XMP (WebP container specification).
    parts.chunks_mut().sort_by_key(|chunk| match &chunk.id() {
        b"EXIF" => 1,
        b"XMP " => 2,
        _ => 0,
    });
    // img-parts knows the flags of EXIF and ICC, and sets XMP's only where it makes the header itself.
    if metadata.xmp.is_some() {
        let header = parts.chunks_mut().iter_mut().find(|chunk| chunk.id() == *b"VP8X").map(RiffChunk::content_mut);
        if let Some(RiffContent::Data(data)) = header {
            let mut flags = data.to_vec();
            flags.first_mut().into_iter().for_each(|flags| *flags |= XMP_FLAG);
            *data = flags.into();
        }
    }
    Ok(parts.encoder().bytes().into())
}

fn bmp(image: &DynamicImage) -> Encoded {
    let mut file = Vec::new();
    bmp::BmpEncoder::new(&mut file).encode(image.as_bytes(), image.width(), image.height(), image.color().into())?;
    Ok(file)
}

/// In the first byte of WebP's extended header.
const XMP_FLAG: u8 = 0x04;
/// Level of deflate that is worth its time: see the bench `images`.
const NORMAL_DEFLATE: u8 = 4;
