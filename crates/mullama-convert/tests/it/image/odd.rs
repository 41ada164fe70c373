//! Pictures that are right, and strange: of one pixel, of one column, of many frames, of two formats at once.

use std::path::Path;
use std::time::Instant;

use image::{DynamicImage, Rgb, RgbImage};
use mullama_convert::{ConversionConfig, ConvertedImage, Error, ImageConverter, ImageFormatType, ImageWarning};

use super::tools::{Scene, picture, pixels, run, text};
use crate::peak;

/// Converts, soon and in little memory.
fn convert(file: Vec<u8>, target: ImageFormatType) -> Result<ConvertedImage, Error> {
    let started = Instant::now();
    let work = || ImageConverter::new().convert_bytes_blocking(file, target, &ConversionConfig::new());
    let (result, grown) = peak::growth(work);
    assert!(grown < peak::LIMIT, "{grown} MiB");
    assert!(started.elapsed() < peak::SOON, "{:?}", started.elapsed());
    result
}

#[test]
fn one_pixel_and_one_column_go_through_every_pair() {
    for (width, height) in [(1, 1), (1, 20_000), (20_000, 1)] {
        let scene = Scene::new(RgbImage::from_fn(width, height, |x, y| {
            let light = ((x + y) / 80) as u8;
            Rgb([light, 120, 255 - light])
        }));
        // As libvips sees them; ImageMagick takes no sides as long as these. What libvips leaves to ImageMagick is read here.
        let seen = |path: &Path| {
            if path.extension().is_some_and(|extension| extension == "bmp") {
                return image::open(path).unwrap().into_rgb8().into_raw();
            }
            let raw = scene.path("seen.raw");
            run("vips", &["rawsave", text(path), text(&raw)]);
            std::fs::read(raw).unwrap()
        };
        let before = seen(&scene.master);
        for from in ImageFormatType::WRITTEN {
            let beyond = |format| width.max(height) > 16_383 && format == ImageFormatType::WEBP;
            let source = convert(std::fs::read(&scene.master).unwrap(), from);
            if beyond(from) {
                let error = source.unwrap_err();
                assert!(matches!(error, Error::TooLarge { limit: 16_383, .. }), "{width} x {height}: {error:?}");
                continue;
            }
            let source = source.unwrap().into_bytes();
            for to in ImageFormatType::WRITTEN.into_iter().filter(|to| !beyond(*to)) {
                let path = scene.path(&format!("{from}.{}", to.extension()));
                std::fs::write(&path, convert(source.clone(), to).unwrap().into_bytes()).unwrap();
                let found = psnr(&before, &seen(&path));
                assert!(found > 34.0, "{width} x {height}, {from} to {to}: {found:.1} dB");
            }
        }
    }
}

#[test]
fn of_ten_thousand_frames_the_first_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    for (name, kind) in [("many.apng", "apng"), ("many.gif", "gif")] {
        let path = folder.path().join(name);
        let frames = ["-f", "lavfi", "-i", "testsrc=s=16x16:r=50", "-frames:v", "10000", "-f", kind];
        run("ffmpeg", &[&["-v", "error"][..], &frames, &[text(&path)]].concat());
        let done = convert(std::fs::read(&path).unwrap(), ImageFormatType::PNG).unwrap();
        let told = &done.report().warnings;
        assert!(told.contains(&ImageWarning::FirstFrameOnly { frames: 10_000 }), "{name}: {told:?}");
        let output = folder.path().join("first.png");
        std::fs::write(&output, done.bytes()).unwrap();
        assert!(pixels(&path, &[]) == pixels(&output, &[]), "{name}");
    }
}

#[test]
fn of_two_formats_at_once_the_first_is_believed() {
    let scene = Scene::new(DynamicImage::from(picture(64, 48, false)).into_rgb8());
    for format in ImageFormatType::WRITTEN {
        let plain = convert(std::fs::read(&scene.master).unwrap(), format).unwrap().into_bytes();
        let other = if format == ImageFormatType::PNG { ImageFormatType::BMP } else { ImageFormatType::PNG };
        let behind = convert(std::fs::read(&scene.master).unwrap(), other).unwrap().into_bytes();
        let page = b"<html><script>alert(1)</script></html>PK\x05\x06".as_slice();
        let polyglot = [&plain[..], &behind, page].concat();
        let expected = convert(plain, ImageFormatType::PNG).unwrap();
        let found = convert(polyglot, ImageFormatType::PNG).unwrap();
        assert_eq!(found.report().input.format, expected.report().input.format);
        // What stood behind is not carried along.
        assert!(found.bytes() == expected.bytes(), "{format}");
    }
}

/// Peak signal to noise in dB.
fn psnr(one: &[u8], other: &[u8]) -> f64 {
    assert_eq!(one.len(), other.len());
    let square = |(one, other): (&u8, &u8)| (f64::from(*one) - f64::from(*other)).powi(2);
    let sum: f64 = one.iter().zip(other).map(square).sum();
    10.0 * (255_f64.powi(2) * one.len() as f64 / sum).log10()
}
