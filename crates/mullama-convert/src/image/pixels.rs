//! What a target cannot hold: more than 8 bits, transparency.

use image::{DynamicImage, GrayAlphaImage, GrayImage, RgbImage, RgbaImage};

use crate::error::{Error, Result};

use super::options::{Color, ImageFormatType, ImageOptions, SixteenBit};
use super::report::ImageWarning;

/// Makes pixels that the target can hold.
pub(super) fn fit(
    image: DynamicImage,
    target: ImageFormatType,
    options: &ImageOptions,
    warnings: &mut Vec<ImageWarning>,
) -> Result<DynamicImage> {
    let image = depth(image, target, options.sixteen_bit, warnings)?;
    if target.holds_alpha() || !image.color().has_alpha() {
        return Ok(image);
    }
    let (flat, changed) = match image {
        DynamicImage::ImageLumaA8(pixels) => flatten_gray(&pixels, options.background),
        image => flatten(&image.into_rgba8(), options.background),
    };
    if changed {
        warnings.push(ImageWarning::AlphaFlattened);
    }
    Ok(flat)
}

fn depth(
    image: DynamicImage,
    target: ImageFormatType,
    policy: SixteenBit,
    warnings: &mut Vec<ImageWarning>,
) -> Result<DynamicImage> {
    let float = matches!(image, DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_));
    let from = match image.color().bytes_per_pixel() / image.color().channel_count() {
        1 => return Ok(image),
        bytes => bytes * 8,
    };
    if target.holds_sixteen_bits() && policy != SixteenBit::Reduce {
        if !float {
            return Ok(image);
        }
        warnings.push(ImageWarning::DepthReduced { from, to: 16 });
        return Ok(if image.color().has_alpha() { image.into_rgba16().into() } else { image.into_rgb16().into() });
    }
    if policy == SixteenBit::Refuse {
        return Err(Error::SixteenBit { format: target.name() });
    }
    warnings.push(ImageWarning::DepthReduced { from, to: 8 });
    Ok(match (image.color().has_color(), image.color().has_alpha()) {
        (false, false) => image.into_luma8().into(),
        (false, true) => image.into_luma_alpha8().into(),
        (true, false) => image.into_rgb8().into(),
        (true, true) => image.into_rgba8().into(),
    })
}

/// Lays grey pixels on the background: they stay grey if it is. Tells whether any was transparent.
fn flatten_gray(pixels: &GrayAlphaImage, background: Color) -> (DynamicImage, bool) {
    let [red, green, blue] = background.0;
    if red != green || green != blue {
        return flatten(&DynamicImage::ImageLumaA8(pixels.clone()).into_rgba8(), background);
    }
    let mut flat = GrayImage::new(pixels.width(), pixels.height());
    let mut changed = false;
    for (to, [gray, alpha]) in flat.iter_mut().zip(pixels.as_chunks::<2>().0) {
        *to = lay(*gray, red, *alpha);
        changed |= *alpha != u8::MAX;
    }
    (flat.into(), changed)
}

fn flatten(pixels: &RgbaImage, background: Color) -> (DynamicImage, bool) {
    let mut flat = RgbImage::new(pixels.width(), pixels.height());
    let mut changed = false;
    let ground = background.0;
    for (to, [red, green, blue, alpha]) in flat.as_chunks_mut::<3>().0.iter_mut().zip(pixels.as_chunks::<4>().0) {
        *to = [lay(*red, ground[0], *alpha), lay(*green, ground[1], *alpha), lay(*blue, ground[2], *alpha)];
        changed |= *alpha != u8::MAX;
    }
    (flat.into(), changed)
}

/// The mean of both, by the weight of `alpha`, rounded to the nearest.
fn lay(over: u8, under: u8, alpha: u8) -> u8 {
    let (over, under, alpha) = (u32::from(over), u32::from(under), u32::from(alpha));
    u8::try_from((over * alpha + under * (255 - alpha) + 127) / 255).unwrap_or(u8::MAX)
}
