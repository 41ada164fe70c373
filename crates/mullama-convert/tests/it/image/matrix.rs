//! Every format into every other: what ImageMagick sees in the result is what it sees in the source.

use std::path::PathBuf;

use image::DynamicImage;
use mullama_convert::{ConversionConfig, Effort, ImageFormatType, ImageWarning, PixelColor, WebpMode};

use super::tools::{Pixels, Scene, convert, magick, picture, pixels, psnr, text};

/// What ImageMagick is told to write each format with, and how near two decoders of it come to each other, in dB.
const SOURCES: [(&str, &[&str], f64); 6] = [
    ("source.jpg", &["-quality", "92", "-sampling-factor", "4:4:4"], 50.0),
    ("source.png", &[], f64::INFINITY),
    ("lossless.webp", &["-define", "webp:lossless=true"], f64::INFINITY),
    ("lossy.webp", &["-quality", "85"], 50.0),
    ("source.tiff", &["-compress", "LZW"], f64::INFINITY),
    ("source.bmp", &[], f64::INFINITY),
];

#[test]
fn every_pair_keeps_the_pixels() {
    let scene = Scene::opaque();
    for (source, args, decoders) in SOURCES {
        let input = scene.made(source, args);
        let before = pixels(&input, &[]);
        for target in ImageFormatType::WRITTEN {
            let mut config = ConversionConfig::new();
            config.image.webp = WebpMode::Lossless;
            let output = scene.converted(&input, &format!("{source}.{}", target.extension()), config);
            let found = psnr(&before, &pixels(&output, &[]));
            // JPEG at quality 90 of a noisy picture.
            let floor = if target == ImageFormatType::JPEG { 38.0 } else { decoders };
            assert!(found >= floor, "{source} to {target}: {found:.1} dB, not {floor}");
        }
    }
}

#[test]
fn transparency_survives_where_there_is_a_place_for_it() {
    let scene = Scene::new(picture(160, 120, true));
    for source in ["source.png", "source.webp", "source.tiff", "source.bmp"] {
        let input = scene.made(source, &["-define", "webp:lossless=true", "-define", "webp:exact=true"]);
        let before = pixels(&input, &[]);
        assert!(before.rgba.chunks(4).any(|pixel| pixel[3] < 60_000), "{source} is not transparent");
        for target in ["png", "webp", "tiff", "bmp"] {
            for effort in [Effort::Fast, Effort::Normal, Effort::Small] {
                let name = format!("{source}-{effort:?}.{target}");
                let output = scene.converted(&input, &name, ConversionConfig::new().effort(effort));
                assert!(before == pixels(&output, &[]), "{source} to {target}, {effort:?}");
            }
        }
    }
}

#[test]
fn lossy_webp_keeps_transparency_too() {
    let scene = Scene::new(picture(160, 120, true));
    let output = scene.converted(&scene.master, "lossy.webp", ConversionConfig::new().quality(90));
    // Under transparent pixels libwebp may write what it likes: both are seen on black.
    let on_black = ["-background", "black", "-alpha", "remove"];
    let (before, after) = (pixels(&scene.master, &on_black), pixels(&output, &on_black));
    assert!(psnr(&before, &after) > 36.0, "{}", psnr(&before, &after));
    let alpha = |pixels: &Pixels| pixels.rgba.chunks(4).map(|pixel| pixel[3]).collect::<Vec<_>>();
    assert_eq!(alpha(&pixels(&scene.master, &[])), alpha(&pixels(&output, &[])));
}

#[test]
fn sixteen_bits_stay_sixteen_between_png_and_tiff() {
    let folder = tempfile::tempdir().unwrap();
    for (name, kind) in
        [("rgb", "TrueColor"), ("rgba", "TrueColorAlpha"), ("gray", "Grayscale"), ("ga", "GrayscaleAlpha")]
    {
        let source: PathBuf = folder.path().join(format!("{name}.png"));
        let alpha: &[&str] = if kind.ends_with("Alpha") {
            &["-alpha", "set", "-channel", "A", "-evaluate", "multiply", "0.7", "+channel"]
        } else {
            &[]
        };
        let colors: &[&str] = if kind.starts_with("Gray") { &["-colorspace", "Gray"] } else { &[] };
        let made = [
            &["-size", "90x70", "gradient:#123456-#fedcba"],
            colors,
            alpha,
            &["-depth", "16", "-type", kind, text(&source)],
        ];
        magick(&made.concat());
        let before = pixels(&source, &[]);
        assert!(before.rgba.iter().any(|sample| sample % 257 != 0), "{name} has 8 bits");
        let converter = mullama_convert::ImageConverter::new();
        for effort in [Effort::Fast, Effort::Normal, Effort::Small] {
            let config = ConversionConfig::new().effort(effort).overwrite(true);
            let tiff = folder.path().join(format!("{name}.tiff"));
            let report = converter.convert_file_blocking(&source, &tiff, &config).unwrap();
            let reduced = |warning: &ImageWarning| matches!(warning, ImageWarning::DepthReduced { .. });
            assert!(report.output.bits == 16 && !report.warnings.iter().any(reduced), "{report:?}");
            assert!(before == pixels(&tiff, &[]), "{name} to TIFF, {effort:?}");
            let back = folder.path().join(format!("{name}-back.png"));
            converter.convert_file_blocking(&tiff, &back, &config).unwrap();
            assert!(before == pixels(&back, &[]), "{name} back to PNG, {effort:?}");
        }
        let report = converter.convert_file_blocking(
            &source,
            folder.path().join(format!("{name}.bmp")),
            &ConversionConfig::new(),
        );
        let warnings = report.unwrap().warnings;
        assert!(warnings.contains(&ImageWarning::DepthReduced { from: 16, to: 8 }), "{warnings:?}");
        let eight = pixels(&folder.path().join(format!("{name}.bmp")), &[]);
        let far = before.rgba.iter().zip(&eight.rgba).map(|(one, other)| one.abs_diff(*other)).max();
        assert!(far <= Some(129), "{name}: rounding moved a sample by {far:?} of 65535");
    }
}

#[test]
fn jpeg_is_as_good_and_as_small_as_libjpegs() {
    let scene = Scene::opaque();
    let before = pixels(&scene.master, &[]);
    for (quality, chroma) in [(50_u8, "4:2:0"), (75, "4:2:0"), (85, "4:2:0"), (95, "4:4:4")] {
        let args = ["-quality", &quality.to_string(), "-sampling-factor", chroma];
        let theirs = scene.made(&format!("their-{quality}.jpg"), &args);
        let ours =
            scene.converted(&scene.master, &format!("our-{quality}.jpg"), ConversionConfig::new().quality(quality));
        let (theirs_db, ours_db) = (psnr(&before, &pixels(&theirs, &[])), psnr(&before, &pixels(&ours, &[])));
        assert!(ours_db > theirs_db - 0.5, "quality {quality}: {ours_db:.2} dB, libjpeg {theirs_db:.2} dB");
        // ImageMagick has libjpeg look for the best codes; on a picture as small as this they are a good part of the file.
        let theirs = std::fs::metadata(&theirs).unwrap().len() as f64;
        for (effort, most) in [(Effort::Normal, 1.35), (Effort::Small, 1.02)] {
            let config = ConversionConfig::new().quality(quality).effort(effort);
            let ours = convert(&scene.master, ImageFormatType::JPEG, config).bytes().len() as f64;
            assert!(ours < most * theirs, "quality {quality}, {effort:?}: {ours} bytes, libjpeg {theirs}");
        }
    }
}

#[test]
fn effort_makes_files_smaller_and_leaves_pixels_alone() {
    let scene = Scene::opaque();
    for target in [ImageFormatType::PNG, ImageFormatType::TIFF, ImageFormatType::WEBP, ImageFormatType::JPEG] {
        let size = |effort| convert(&scene.master, target, ConversionConfig::new().effort(effort)).bytes().len();
        assert!(size(Effort::Small) < size(Effort::Fast), "{target}");
        assert!(size(Effort::Normal) <= size(Effort::Fast), "{target}");
    }
}

#[test]
fn other_kinds_are_read_as_imagemagick_reads_them() {
    let scene = Scene::opaque();
    let exact = f64::INFINITY;
    for (name, args, floor, color) in [
        ("palette.png", &["-colors", "200"][..], exact, PixelColor::Palette),
        ("bits.png", &["-colors", "4", "-define", "png:bit-depth=2"], exact, PixelColor::Palette),
        ("gray.jpg", &["-colorspace", "Gray", "-quality", "90"], 55.0, PixelColor::Gray),
        ("gray.png", &["-colorspace", "Gray"], exact, PixelColor::Gray),
        (
            "progressive.jpg",
            &["-interlace", "JPEG", "-quality", "90", "-sampling-factor", "4:4:4"],
            50.0,
            PixelColor::Rgb,
        ),
        ("thin.jpg", &["-quality", "90", "-sampling-factor", "4:2:0"], 42.0, PixelColor::Rgb),
        ("interlaced.png", &["-interlace", "PNG"], exact, PixelColor::Rgb),
        ("zip.tiff", &["-compress", "Zip"], exact, PixelColor::Rgb),
        ("packbits.tiff", &["-compress", "RLE"], exact, PixelColor::Rgb),
        ("big.tiff", &["-endian", "MSB"], exact, PixelColor::Rgb),
        ("picture.gif", &["-colors", "64"], exact, PixelColor::Palette),
        ("palette.bmp", &["-colors", "64", "-type", "Palette"], exact, PixelColor::Palette),
    ] {
        let input = scene.made(name, args);
        let report = mullama_convert::ImageConverter::new();
        let output = scene.path(&format!("{name}.png"));
        let report = report.convert_file_blocking(&input, &output, &ConversionConfig::new()).unwrap();
        assert_eq!(report.input.color, color, "{name}");
        let found = psnr(&pixels(&input, &[]), &pixels(&output, &[]));
        assert!(found >= floor, "{name}: {found:.1} dB, not {floor}");
    }
}

#[test]
fn qoi_is_read() {
    let scene = Scene::new(picture(120, 90, true));
    let input = scene.path("picture.qoi");
    DynamicImage::from(picture(120, 90, true)).save(&input).unwrap();
    let output = scene.converted(&input, "from-qoi.png", ConversionConfig::new());
    assert!(pixels(&scene.master, &[]) == pixels(&output, &[]));
}

#[test]
fn transparent_pixels_are_laid_on_the_background() {
    let scene = Scene::new(picture(160, 120, true));
    let config = ConversionConfig::new().quality(100).background([32, 64, 96]);
    let output = scene.converted(&scene.master, "flat.jpg", config);
    let theirs = pixels(&scene.master, &["-background", "#204060", "-flatten"]);
    let found = psnr(&theirs, &pixels(&output, &[]));
    assert!(found > 44.0, "{found:.1} dB");
    let report = convert(&scene.master, ImageFormatType::JPEG, config).report().clone();
    assert_eq!(report.warnings, [ImageWarning::AlphaFlattened]);
    // Grey with transparency stays grey on a grey background, and takes colours on a coloured one.
    let gray = scene.made("gray-alpha.png", &["-colorspace", "Gray"]);
    for (background, text, color) in
        [([128; 3], "#808080", PixelColor::Gray), ([32, 64, 96], "#204060", PixelColor::Rgb)]
    {
        let config = ConversionConfig::new().quality(100).background(background).overwrite(true);
        let output = scene.converted(&gray, "flat.jpg", config);
        let theirs = pixels(&gray, &["-colorspace", "sRGB", "-background", text, "-flatten"]);
        assert!(psnr(&theirs, &pixels(&output, &[])) > 44.0, "{}", psnr(&theirs, &pixels(&output, &[])));
        assert_eq!(convert(&gray, ImageFormatType::JPEG, config).report().output.color, color);
    }
}
