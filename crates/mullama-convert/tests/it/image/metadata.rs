//! EXIF, ICC and XMP, as ExifTool reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mullama_convert::{
    ConversionConfig, DropReason, ImageConverter, ImageFormatType, ImageWarning, Metadata, MetadataPolicy,
};

use super::tools::{Scene, exiftool, magick, run, text};

/// Formats that hold EXIF as one block of bytes.
const WHOLE: [ImageFormatType; 3] = [ImageFormatType::JPEG, ImageFormatType::PNG, ImageFormatType::WEBP];

fn block(path: &Path, name: &str) -> Vec<u8> {
    exiftool(&["-b", name, text(path)])
}

/// A JPEG with EXIF, a place, XMP and an ICC profile for wide colours.
fn photo(scene: &Scene) -> PathBuf {
    let plain = scene.made("plain.jpg", &["-quality", "90"]);
    let path = scene.path("photo.jpg");
    // libvips has profiles of its own.
    run("vips", &["icc_transform", text(&plain), text(&path), "p3", "--input-profile", "srgb"]);
    exiftool(&["-q", "-overwrite_original", "-all=", "--ICC_Profile:all", text(&path)]);
    exiftool(&[
        "-q",
        "-overwrite_original",
        "-Make=Maker",
        "-Model=Model 7",
        "-Artist=Zoë",
        "-ImageDescription=a test",
        "-DateTimeOriginal=2026:01:02 03:04:05",
        "-ExposureTime=1/250",
        "-FNumber=2.8",
        "-ISO=400",
        "-LensModel=A lens with a long name",
        "-UserComment=a comment",
        "-InteropIndex=R98",
        "-GPSLatitude=52.5",
        "-GPSLatitudeRef=N",
        "-GPSLongitude=13.4",
        "-GPSLongitudeRef=E",
        "-XMP:Title=A title",
        "-XMP:Rating=4",
        "-XMP:Creator=Zoë",
        text(&path),
    ]);
    path
}

/// What ExifTool says of EXIF, without what describes the pixels or where bytes are.
fn exif_tags(path: &Path) -> BTreeMap<String, String> {
    let listed =
        exiftool(&["-a", "-G1", "-s", "-n", "-IFD0:all", "-ExifIFD:all", "-GPS:all", "-InteropIFD:all", text(path)]);
    let structural = [
        "ImageWidth",
        "ImageHeight",
        "BitsPerSample",
        "Compression",
        "PhotometricInterpretation",
        "StripOffsets",
        "SamplesPerPixel",
        "RowsPerStrip",
        "StripByteCounts",
        "Predictor",
        "SampleFormat",
        "PlanarConfiguration",
        "FillOrder",
        "PageNumber",
        "ExtraSamples",
        "ApplicationNotes",
        "ICC_Profile",
        "SubfileType",
        "YCbCrPositioning",
    ];
    let lines = String::from_utf8(listed).unwrap();
    let tags = lines.lines().filter_map(|line| line.split_once(':').map(|(name, value)| (name.trim(), value.trim())));
    tags.filter(|(name, _)| !structural.iter().any(|known| name.ends_with(&format!(" {known}"))))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn what_the_target_holds_is_kept_byte_for_byte() {
    let scene = Scene::opaque();
    let photo = photo(&scene);
    let blocks = |path: &Path| ["-Exif", "-ICC_Profile", "-XMP"].map(|name| block(path, name));
    let before = blocks(&photo);
    assert!(before.iter().all(|block| block.len() > 100), "{:?}", before.each_ref().map(Vec::len));
    for source in WHOLE {
        let input = if source == ImageFormatType::JPEG {
            photo.clone()
        } else {
            scene.converted(&photo, &format!("photo.{}", source.extension()), ConversionConfig::new())
        };
        for target in WHOLE {
            for lossy in [false, true] {
                let mut config = ConversionConfig::new().overwrite(true);
                config.image.quality = lossy.then_some(80);
                config.image.webp =
                    if lossy { mullama_convert::WebpMode::Lossy } else { mullama_convert::WebpMode::Lossless };
                let name = format!("kept-{source}.{}", target.extension());
                let report = ImageConverter::new().convert_file_blocking(&input, scene.path(&name), &config).unwrap();
                assert_eq!(report.warnings, [], "{source} to {target}");
                assert!(
                    blocks(&scene.path(&name)) == before,
                    "{source} to {target}: {:?}",
                    blocks(&scene.path(&name)).map(|b| b.len())
                );
            }
        }
    }
}

#[test]
fn tiff_holds_the_same_tags() {
    let scene = Scene::opaque();
    let photo = photo(&scene);
    let before = exif_tags(&photo);
    assert!(before.len() > 12, "{before:?}");
    let report = ImageConverter::new()
        .convert_file_blocking(&photo, scene.path("photo.tiff"), &ConversionConfig::new())
        .unwrap();
    assert_eq!(report.warnings, []);
    assert_eq!(exif_tags(&scene.path("photo.tiff")), before);
    for name in ["-ICC_Profile", "-XMP"] {
        assert!(block(&scene.path("photo.tiff"), name) == block(&photo, name), "{name}");
    }
    // And on from TIFF, ours and one that ImageMagick wrote with the bytes in the other order.
    let theirs = scene.path("theirs.tiff");
    magick(&[text(&photo), "-endian", "MSB", text(&theirs)]);
    exiftool(&["-q", "-overwrite_original", "-TagsFromFile", text(&photo), "-all:all", text(&theirs)]);
    for source in [scene.path("photo.tiff"), theirs] {
        let expected = exif_tags(&source);
        for target in WHOLE {
            let output = scene.converted(
                &source,
                &format!("from-tiff.{}", target.extension()),
                ConversionConfig::new().overwrite(true),
            );
            assert_eq!(exif_tags(&output), expected, "{} to {target}", source.display());
            assert!(block(&output, "-XMP") == block(&source, "-XMP"), "{} to {target}", source.display());
        }
    }
}

#[test]
fn what_has_no_place_is_reported() {
    let scene = Scene::opaque();
    let photo = photo(&scene);
    let sizes = ["-Exif", "-ICC_Profile", "-XMP"].map(|name| block(&photo, name).len() as u64);
    let report =
        ImageConverter::new().convert_file_blocking(&photo, scene.path("photo.bmp"), &ConversionConfig::new()).unwrap();
    let dropped = |what, bytes| ImageWarning::Dropped { what, reason: DropReason::Target, bytes };
    let expected =
        [dropped(Metadata::Exif, sizes[0]), dropped(Metadata::Icc, sizes[1]), dropped(Metadata::Xmp, sizes[2])];
    assert_eq!(report.warnings, expected);
    assert_eq!([report.input.exif_bytes, report.input.icc_bytes, report.input.xmp_bytes], sizes);
    // A packet that no single segment of JPEG takes.
    let png = scene.converted(&photo, "long.png", ConversionConfig::new());
    exiftool(&["-q", "-overwrite_original", &format!("-XMP:Description={}", "long ".repeat(15_000)), text(&png)]);
    let xmp = block(&png, "-XMP").len() as u64;
    let report =
        ImageConverter::new().convert_file_blocking(&png, scene.path("short.jpg"), &ConversionConfig::new()).unwrap();
    assert_eq!(
        report.warnings,
        [ImageWarning::Dropped { what: Metadata::Xmp, reason: DropReason::TooLarge, bytes: xmp }]
    );
    assert!(block(&scene.path("short.jpg"), "-XMP").is_empty());
}

#[test]
fn strip_leaves_the_profile_alone_and_nothing_else() {
    let scene = Scene::opaque();
    let photo = photo(&scene);
    let config = ConversionConfig::new().metadata(MetadataPolicy::Strip);
    for target in ["jpg", "png", "webp", "tiff"] {
        let output = scene.converted(&photo, &format!("stripped.{target}"), config);
        assert!(block(&output, "-ICC_Profile") == block(&photo, "-ICC_Profile"), "{target}");
        let left = exif_tags(&output);
        let left: Vec<_> = left.keys().filter(|name| !name.contains("Resolution")).collect();
        assert!(left.is_empty(), "{target}: {left:?}");
        assert!(block(&output, "-XMP").is_empty(), "{target}");
        let bytes = std::fs::read(&output).unwrap();
        assert!(!bytes.windows(5).any(|window| window == b"Maker" || window == b"title"), "{target}");
    }
}

#[test]
fn the_location_alone_can_be_stripped() {
    let scene = Scene::opaque();
    let photo = photo(&scene);
    let big_endian = scene.path("big.jpg");
    // ExifTool writes EXIF anew in this order.
    std::fs::copy(&photo, &big_endian).unwrap();
    exiftool(&[
        "-q",
        "-overwrite_original",
        "-all=",
        "-TagsFromFile",
        "@",
        "-all:all",
        "-ExifByteOrder=II",
        text(&big_endian),
    ]);
    assert_ne!(block(&photo, "-Exif")[..2], block(&big_endian, "-Exif")[..2]);
    let config = ConversionConfig::new().metadata(MetadataPolicy::StripLocation).overwrite(true);
    for source in [&photo, &big_endian] {
        let mut expected = exif_tags(source);
        assert!(expected.keys().any(|name| name.starts_with("[GPS]")));
        expected.retain(|name, _| !name.starts_with("[GPS]"));
        for target in ["jpg", "png", "webp", "tiff"] {
            let output = scene.path(&format!("nowhere.{target}"));
            let report = ImageConverter::new().convert_file_blocking(source, &output, &config).unwrap();
            assert!(report.input.location && !report.output.location);
            let gone =
                |warning: &ImageWarning| matches!(warning, ImageWarning::Dropped { what: Metadata::Location, .. });
            assert!(report.warnings.iter().any(gone), "{:?}", report.warnings);
            assert_eq!(exif_tags(&output), expected, "{target}");
            assert!(block(&output, "-XMP") == block(source, "-XMP"), "{target}");
            // The bytes of 13.4 degrees are nowhere, nor those of 52.5.
            let degrees = [13_u32.to_be_bytes(), 1_u32.to_be_bytes()].concat();
            assert!(!block(&output, "-Exif").windows(8).any(|window| window == degrees), "{target}");
            let verdict = String::from_utf8(exiftool(&["-validate", "-s3", text(&output)])).unwrap();
            assert!(!verdict.contains("Error"), "{target}: {verdict}");
        }
    }
    // XMP that says where goes as a whole.
    exiftool(&["-q", "-overwrite_original", "-XMP:City=Berlin", text(&photo)]);
    let report = ImageConverter::new().convert_file_blocking(&photo, scene.path("nowhere.jpg"), &config).unwrap();
    let gone = |warning: &ImageWarning| {
        matches!(warning, ImageWarning::Dropped { what: Metadata::Xmp, reason: DropReason::HoldsLocation, .. })
    };
    assert!(report.warnings.iter().any(gone), "{:?}", report.warnings);
}

#[test]
fn a_profile_for_other_colours_is_left_out() {
    let scene = Scene::opaque();
    let plain = scene.made("plain.jpg", &["-quality", "95"]);
    let print = scene.path("print.jpg");
    run("vips", &["icc_transform", text(&plain), text(&print), "cmyk", "--input-profile", "srgb"]);
    assert!(block(&print, "-ICC_Profile").len() > 1_000);
    let report =
        ImageConverter::new().convert_file_blocking(&print, scene.path("shown.png"), &ConversionConfig::new()).unwrap();
    assert_eq!(report.input.color, mullama_convert::PixelColor::Cmyk);
    let left_out = |warning: &ImageWarning| {
        matches!(warning, ImageWarning::Dropped { what: Metadata::Icc, reason: DropReason::OtherPixels, .. })
    };
    assert!(report.warnings.iter().any(left_out), "{:?}", report.warnings);
    assert!(block(&scene.path("shown.png"), "-ICC_Profile").is_empty());
}

#[test]
fn exif_tells_the_new_size_and_shows_no_old_thumbnail() {
    let scene = Scene::opaque();
    let photo = photo(&scene);
    let thumbnail = scene.made("thumbnail.jpg", &["-resize", "80x80"]);
    exiftool(&[
        "-q",
        "-overwrite_original",
        &format!("-ThumbnailImage<={}", text(&thumbnail)),
        "-ExifImageWidth=321",
        "-ExifImageHeight=214",
        text(&photo),
    ]);
    let thumbnail = std::fs::read(&thumbnail).unwrap();
    assert_eq!(block(&photo, "-ThumbnailImage"), thumbnail);
    // As it is: all of it stays.
    let same = scene.converted(&photo, "same.webp", ConversionConfig::new());
    assert!(block(&same, "-Exif") == block(&photo, "-Exif"));
    let told =
        |path: &Path| String::from_utf8(exiftool(&["-s3", "-ExifImageWidth", "-ExifImageHeight", text(path)])).unwrap();
    for (name, turned) in [("small.jpg", false), ("small.png", false), ("turned.webp", true)] {
        if turned {
            exiftool(&["-q", "-n", "-overwrite_original", "-Orientation=6", text(&photo)]);
        }
        let config = ConversionConfig::new().resize(100, 100, mullama_convert::FitMode::Contain);
        let output = scene.converted(&photo, name, config);
        assert_eq!(told(&output), if turned { "67\n100\n" } else { "100\n67\n" }, "{name}");
        assert!(block(&output, "-ThumbnailImage").is_empty(), "{name}");
        let bytes = std::fs::read(&output).unwrap();
        let inside = &thumbnail[thumbnail.len() / 2..][..64];
        assert!(!bytes.windows(64).any(|window| window == inside), "{name}: the thumbnail's bytes are there");
        assert!(
            !String::from_utf8(exiftool(&["-validate", "-s3", text(&output)])).unwrap().contains("Error"),
            "{name}"
        );
    }
}

#[test]
fn text_that_is_left_out_is_told() {
    let scene = Scene::opaque();
    for name in ["said.jpg", "said.png", "said.gif"] {
        let input = scene.made(name, &["-define", "png:exclude-chunks=date,tIME", "-set", "comment", "twelve bytes"]);
        let report = ImageConverter::new().convert_file_blocking(
            &input,
            scene.path("out.bmp"),
            &ConversionConfig::new().overwrite(true),
        );
        let report = report.unwrap();
        let told =
            |warning: &ImageWarning| matches!(warning, ImageWarning::Dropped { what: Metadata::Text, bytes: 12.., .. });
        assert!(report.warnings.iter().any(told), "{name}: {:?}", report.warnings);
    }
}

#[test]
fn what_is_said_in_words_is_what_exiftool_reads() {
    let scene = Scene::opaque();
    let photo = photo(&scene);
    let config = ConversionConfig::new();
    let said = |path: &Path| {
        let items = ImageConverter::new().metadata_blocking(path, &config).unwrap();
        items.into_iter().map(|item| (item.name, item.value)).collect::<BTreeMap<_, _>>()
    };
    let profile = String::from_utf8(exiftool(&["-s3", "-ICC_Profile:ProfileDescription", text(&photo)])).unwrap();
    let expected = [
        ("description", "a test"),
        ("make", "Maker"),
        ("model", "Model 7"),
        ("artist", "Zoë"),
        ("taken", "2026:01:02 03:04:05"),
        ("exposure_time", "1/250 s"),
        ("aperture", "f/2.8"),
        ("iso", "400"),
        ("lens", "A lens with a long name"),
        ("latitude", "52.500000"),
        ("longitude", "13.400000"),
        ("color_profile", profile.trim()),
        ("title", "A title"),
        ("creator", "Zoë"),
        ("rating", "4"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(said(&photo), BTreeMap::from(expected));
    for target in ["png", "webp", "tiff"] {
        let other = scene.converted(&photo, &format!("said.{target}"), config);
        assert_eq!(said(&other), said(&photo), "{target}");
    }
    exiftool(&["-q", "-overwrite_original", "-GPSLatitudeRef=S", "-ExposureTime=2.5", text(&photo)]);
    let found = said(&photo);
    assert_eq!((&*found["latitude"], &*found["exposure_time"]), ("-52.500000", "2.5 s"));
}
