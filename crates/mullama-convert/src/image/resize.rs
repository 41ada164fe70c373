//! Other sizes.

use fast_image_resize as fir;
use image::DynamicImage;

use crate::config::Limits;
use crate::error::{Error, Result};

use super::options::{FitMode, ImageFormatType, Resize, ResizeFilter};

/// The size that a picture of `width` x `height` gets.
///
/// # Errors
/// [`Error::InvalidParameter`] if a side is 0 or none is given, [`Error::TooLarge`] if the target or the limits do not take
/// it.
pub(super) fn size(
    (width, height): (u32, u32),
    resize: Option<&Resize>,
    target: ImageFormatType,
    limits: &Limits,
) -> Result<(u32, u32)> {
    let (width, height) = match resize {
        Some(resize) => fitted((width, height), resize)?,
        None => (width, height),
    };
    let side = u64::from(width.max(height));
    if side > u64::from(target.max_side()) {
        let what = match target {
            ImageFormatType::JPEG => "a side of a JPEG",
            ImageFormatType::WEBP => "a side of a WebP",
            _ => "a side of the picture",
        };
        return Err(Error::TooLarge { what, value: side, limit: target.max_side().into(), unit: "pixels" });
    }
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.max_pixels {
        let limit = limits.max_pixels;
        return Err(Error::TooLarge { what: "the resized picture", value: pixels, limit, unit: "pixels" });
    }
    Ok((width, height))
}

fn fitted((width, height): (u32, u32), resize: &Resize) -> Result<(u32, u32)> {
    let refuse = |name, value: String| Error::InvalidParameter { name, value, expected: "1 or more".to_owned() };
    for (name, side) in [("resize.width", resize.width), ("resize.height", resize.height)] {
        if side == Some(0) {
            return Err(refuse(name, "0".to_owned()));
        }
    }
    // How much each side wants to change, as fractions: exact, where floats would be a pixel off.
    let (to_width, to_height) = match (resize.width, resize.height) {
        (None, None) => return Err(refuse("resize", "without a width and a height".to_owned())),
        (Some(box_width), Some(box_height)) => match resize.fit {
            FitMode::Fill | FitMode::Cover => return Ok((box_width, box_height)),
            FitMode::Contain | FitMode::ScaleDown => {
                let wide = u64::from(width) * u64::from(box_height) > u64::from(height) * u64::from(box_width);
                if wide {
                    (box_width, scaled(height, box_width, width))
                } else {
                    (scaled(width, box_height, height), box_height)
                }
            }
        },
        (Some(box_width), None) => (box_width, scaled(height, box_width, width)),
        (None, Some(box_height)) => (scaled(width, box_height, height), box_height),
    };
    if resize.fit == FitMode::ScaleDown && (to_width > width || to_height > height) {
        return Ok((width, height));
    }
    Ok((to_width, to_height))
}

/// `side * to / from`, rounded to the nearest, 1 at least.
fn scaled(side: u32, to: u32, from: u32) -> u32 {
    let from = u64::from(from.max(1));
    let scaled = (u64::from(side) * u64::from(to) + from / 2) / from;
    u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
}

/// Computes the picture in its new size. Transparent pixels weigh as much as they are seen.
pub(super) fn apply(
    image: DynamicImage,
    (width, height): (u32, u32),
    resize: Option<&Resize>,
    limits: &Limits,
) -> Result<DynamicImage> {
    let Some(resize) = resize.filter(|_| (image.width(), image.height()) != (width, height)) else {
        return Ok(image);
    };
    let bytes = u64::from(width) * u64::from(height) * u64::from(image.color().bytes_per_pixel());
    if bytes > limits.max_image_bytes {
        let limit = limits.max_image_bytes;
        return Err(Error::TooLarge { what: "the resized picture", value: bytes, limit, unit: "bytes" });
    }
    let algorithm = match resize.filter {
        ResizeFilter::Nearest => fir::ResizeAlg::Nearest,
        ResizeFilter::Bilinear => fir::ResizeAlg::Convolution(fir::FilterType::Bilinear),
        ResizeFilter::CatmullRom => fir::ResizeAlg::Convolution(fir::FilterType::CatmullRom),
        ResizeFilter::Mitchell => fir::ResizeAlg::Convolution(fir::FilterType::Mitchell),
        ResizeFilter::Lanczos3 => fir::ResizeAlg::Convolution(fir::FilterType::Lanczos3),
    };
    let mut options = fir::ResizeOptions::new().resize_alg(algorithm);
    if resize.fit == FitMode::Cover && resize.width.is_some() && resize.height.is_some() {
        options = options.fit_into_destination(None);
    }
    let mut resized = DynamicImage::new(width, height, image.color());
    fir::Resizer::new()
        .resize(&image, &mut resized, &options)
        .map_err(|error| Error::Encode { format: "resized picture", source: Box::new(error) })?;
    Ok(resized)
}
