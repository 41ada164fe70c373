//! The ways in: blocking and async, files and bytes; nothing half-written, nothing overwritten.

use std::fs;
use std::path::Path;
use std::time::Duration;

use mullama_convert::{
    ConversionConfig, Error, Existing, FitMode, ImageConverter, ImageFormatType, ImageWarning, PixelColor,
};

use super::tools::{Scene, convert, picture};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn pairs_and_generic_forms_agree() {
    let scene = Scene::opaque();
    let photo = scene.made("photo.jpg", &[]);
    let converter = ImageConverter::new();
    let config = ConversionConfig::new();
    let png = converter.jpeg_to_png(&photo, config).await.unwrap();
    assert_eq!(
        png.bytes(),
        converter.load_and_convert_with(&photo, ImageFormatType::PNG, config).await.unwrap().bytes()
    );
    assert_eq!(
        png.bytes(),
        converter.load_and_convert_blocking(&photo, ImageFormatType::PNG, &config).unwrap().bytes()
    );
    let file = fs::read(&photo).unwrap();
    assert_eq!(png.bytes(), converter.convert_bytes(file.clone(), ImageFormatType::PNG, config).await.unwrap().bytes());
    assert_eq!(png.bytes(), converter.convert_bytes_blocking(file, ImageFormatType::PNG, &config).unwrap().bytes());
    converter.convert_file(&photo, scene.path("out.png"), config).await.unwrap();
    assert_eq!(png.bytes(), fs::read(scene.path("out.png")).unwrap());
    png.save(scene.path("saved.png"), Existing::Keep).unwrap();
    assert_eq!(png.bytes(), fs::read(scene.path("saved.png")).unwrap());
    for (converted, format) in [
        (converter.png_to_webp(&scene.master, config).await.unwrap(), ImageFormatType::WEBP),
        (converter.png_to_jpeg(&scene.master, config).await.unwrap(), ImageFormatType::JPEG),
        (converter.png_to_tiff(&scene.master, config).await.unwrap(), ImageFormatType::TIFF),
        (converter.png_to_bmp(&scene.master, config).await.unwrap(), ImageFormatType::BMP),
    ] {
        assert_eq!(converted.format(), format);
        assert_eq!(ImageFormatType::from_content(converted.as_ref()), Some(format));
    }
}

#[tokio::test]
async fn the_snippet_of_the_mission_compiles() {
    let scene = Scene::opaque();
    scene.made("input.jpg", &[]);
    let input = scene.path("input.jpg");
    let config = ConversionConfig::default();
    let image_converter = ImageConverter::new();
    let png_data = image_converter.jpeg_to_png(input, config).await.unwrap();
    assert!(png_data.bytes().starts_with(b"\x89PNG"));
}

#[tokio::test]
async fn a_dropped_future_writes_nothing() {
    let scene = Scene::new(picture(3_000, 2_000, false));
    let output = scene.path("late.webp");
    let converter = ImageConverter::new();
    let convert = converter.convert_file(&scene.master, &output, ConversionConfig::new().quality(90));
    assert!(tokio::time::timeout(Duration::from_millis(1), convert).await.is_err(), "it was too fast to be dropped");
    // The work ends at its next step, which is far below this.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(names(scene.folder.path()), ["master.png"]);
}

#[test]
fn nothing_is_overwritten_unasked() {
    let scene = Scene::opaque();
    let output = scene.path("out.bmp");
    fs::write(&output, "precious").unwrap();
    let converter = ImageConverter::new();
    let error = converter.convert_file_blocking(&scene.master, &output, &ConversionConfig::new()).unwrap_err();
    assert!(matches!(&error, Error::OutputExists { path } if *path == output), "{error}");
    assert_eq!(fs::read(&output).unwrap(), b"precious");
    let saved = convert(&scene.master, ImageFormatType::BMP, ConversionConfig::new()).save(&output, Existing::Keep);
    assert!(matches!(saved, Err(Error::OutputExists { .. })));
    assert_eq!(fs::read(&output).unwrap(), b"precious");
    converter.convert_file_blocking(&scene.master, &output, &ConversionConfig::new().overwrite(true)).unwrap();
    assert!(fs::read(&output).unwrap().starts_with(b"BM"));
    let error = converter.convert_file_blocking(&scene.master, &scene.master, &ConversionConfig::new().overwrite(true));
    assert!(matches!(error, Err(Error::SameFile { .. })));
}

#[test]
fn a_failure_leaves_no_file() {
    let scene = Scene::opaque();
    let mut damaged = fs::read(&scene.master).unwrap();
    damaged.truncate(damaged.len() / 2);
    fs::write(scene.path("damaged.png"), &damaged).unwrap();
    let converter = ImageConverter::new();
    let config = ConversionConfig::new();
    assert!(converter.convert_file_blocking(scene.path("damaged.png"), scene.path("out.jpg"), &config).is_err());
    for (output, what) in [("out.gif", "gif"), ("out", ""), ("out.txt", "txt")] {
        let error = converter.convert_file_blocking(&scene.master, scene.path(output), &config).unwrap_err();
        assert!(matches!(&error, Error::UnknownTarget { name, .. } if name == what), "{error}");
    }
    let error = converter.convert_file_blocking(&scene.master, scene.path("no/folder/out.jpg"), &config).unwrap_err();
    assert!(matches!(error, Error::File { action: "create", .. }), "{error}");
    let error = converter.convert_file_blocking(scene.path("none.png"), scene.path("out.jpg"), &config).unwrap_err();
    assert_eq!(error.kind(), mullama_core::ErrorKind::NotFound);
    assert_eq!(names(scene.folder.path()), ["damaged.png", "master.png"]);
}

#[cfg(unix)]
#[test]
fn others_may_read_the_result_as_the_system_lets_them() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::opaque();
    let output = scene.converted(&scene.master, "out.bmp", ConversionConfig::new());
    fs::write(scene.path("plain"), "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&output), mode(&scene.path("plain")));
}

#[test]
fn a_name_that_lies_is_named() {
    let scene = Scene::opaque();
    let lying = scene.path("really.jpg");
    fs::copy(&scene.master, &lying).unwrap();
    let report = convert(&lying, ImageFormatType::BMP, ConversionConfig::new()).report().clone();
    let expected = ImageWarning::FormatMismatch { expected: ImageFormatType::JPEG, found: ImageFormatType::PNG };
    assert_eq!(report.warnings, [expected]);
}

#[test]
fn parameters_out_of_range_are_refused_before_anything_is_read() {
    let missing = Path::new("does-not-exist.png");
    for quality in [0, 101, 255] {
        let config = ConversionConfig::new().quality(quality);
        let error =
            ImageConverter::new().load_and_convert_blocking(missing, ImageFormatType::JPEG, &config).unwrap_err();
        assert!(matches!(error, Error::InvalidParameter { name: "quality", .. }), "{error}");
    }
}

#[test]
fn probe_tells_what_is_in_a_file() {
    let scene = Scene::opaque();
    let photo = scene.made("photo.jpg", &["-colorspace", "Gray"]);
    let info = ImageConverter::new().probe_blocking(&photo, &ConversionConfig::new()).unwrap();
    assert_eq!((info.format, info.width, info.height), (ImageFormatType::JPEG, 321, 214));
    assert_eq!((info.color, info.bits, info.alpha, info.lossy, info.frames), (PixelColor::Gray, 8, false, true, 1));
    assert_eq!(info.bytes, fs::metadata(&photo).unwrap().len());
    for (name, frames) in [("three.gif", 3), ("three.webp", 3), ("three.tiff", 3)] {
        let path = scene.path(name);
        let master = super::tools::text(&scene.master);
        super::tools::magick(&[
            master,
            "-resize",
            "40x40!",
            "(",
            "+clone",
            "-negate",
            ")",
            "(",
            "+clone",
            "-flip",
            ")",
            super::tools::text(&path),
        ]);
        let info = ImageConverter::new().probe_blocking(&path, &ConversionConfig::new()).unwrap();
        assert_eq!(info.frames, frames, "{name}");
        let report = convert(&path, ImageFormatType::PNG, ConversionConfig::new()).report().clone();
        assert!(report.warnings.contains(&ImageWarning::FirstFrameOnly { frames }), "{name}: {:?}", report.warnings);
    }
}

#[test]
fn pixels_for_a_model_are_upright_rgb() {
    let scene = Scene::new(picture(160, 120, true));
    let config = ConversionConfig::new().background([0, 0, 0]).resize(80, 80, FitMode::Contain);
    let pixels = ImageConverter::new().load_blocking(&scene.master, &config).unwrap();
    assert_eq!((pixels.width, pixels.height, pixels.rgb8.len()), (80, 60, 80 * 60 * 3));
    let theirs = super::tools::pixels(
        &scene.master,
        &["-filter", "Lanczos", "-resize", "80x60!", "-background", "black", "-flatten"],
    );
    let theirs: Vec<u8> =
        theirs.rgba.chunks(4).flat_map(|pixel| pixel[..3].iter().map(|sample| (sample >> 8) as u8)).collect();
    let far = pixels.rgb8.iter().zip(&theirs).map(|(one, other)| u32::from(one.abs_diff(*other))).sum::<u32>();
    assert!(f64::from(far) / (theirs.len() as f64) < 1.5, "mean difference {}", f64::from(far) / (theirs.len() as f64));
}

#[test]
fn configurations_travel_as_json() {
    let config = ConversionConfig::new().quality(70).resize(10, 20, FitMode::Cover).background([1, 2, 3]);
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ConversionConfig>(&json).unwrap(), config);
    let partial: ConversionConfig = serde_json::from_str(r#"{"image":{"quality":70}}"#).unwrap();
    assert_eq!(partial, ConversionConfig::new().quality(70));
    assert!(serde_json::from_str::<ConversionConfig>(r#"{"image":{"qualty":70}}"#).is_err());
}
