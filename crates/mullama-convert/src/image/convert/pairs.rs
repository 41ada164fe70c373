//! Conversions that say in their name what they take.

use std::path::Path;

use super::{ConvertedImage, ImageConverter, from_bytes, read};
use crate::config::ConversionConfig;
use crate::error::{Error, Result};
use crate::image::decode;
use crate::image::options::ImageFormatType;
use crate::job::on_pool;
use crate::pairs::pairs;

pairs! {
    ImageConverter, ImageFormatType => ConvertedImage, pair;
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
    on_pool(move |stop| {
        let file = read(&path, &config.limits)?;
        let found = decode::format_of(&file)?;
        if found != from {
            return Err(Error::InvalidParameter {
                name: "input",
                value: format!("{found}"),
                expected: format!("{from}; `load_and_convert` takes any format"),
            });
        }
        from_bytes(&file, Some(from), to, &config, &|| stop.check())
    })
    .await
}
