//! Files that lie, bombs, and files that end too early: a typed error each, soon and without much memory.

use std::fs;
use std::time::Instant;

use image::{DynamicImage, ImageEncoder, RgbImage, codecs::png::PngEncoder};
use mullama_convert::{
    ConversionConfig, Damaged, DropReason, Error, ImageConverter, ImageFormatType, ImageWarning, Limits, Metadata,
};

use super::tools::{Scene, picture};
use crate::peak;

fn refused(file: &[u8]) -> Error {
    let start = Instant::now();
    let converter = ImageConverter::new();
    let error =
        converter.convert_bytes_blocking(file.to_vec(), ImageFormatType::PNG, &ConversionConfig::new()).unwrap_err();
    assert!(start.elapsed() < peak::SOON, "{:?}: {error}", start.elapsed());
    assert!(!matches!(error, Error::Panicked { .. }), "{error}");
    error
}

/// A PNG whose header claims other sides, with the right checksum.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut file = encoded(ImageFormatType::PNG);
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    let chunk = img_parts::png::PngChunk::new(*b"IHDR", file[16..29].to_vec().into()).encoder().bytes();
    file.splice(8..33, chunk);
    file
}

fn encoded(format: ImageFormatType) -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    let image = DynamicImage::from(picture(64, 48, false)).into_rgb8();
    image.write_to(&mut png, image::ImageFormat::Png).unwrap();
    let config = ConversionConfig::new().quality(90);
    ImageConverter::new().convert_bytes_blocking(png.into_inner(), format, &config).unwrap().into_bytes()
}

/// Sets numbers of 16 or 32 bits in a little-endian file.
fn patched(mut file: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

/// The value of a tag in the first directory of a little-endian TIFF, changed.
fn tiff_with(tag: u16, value: u32) -> Vec<u8> {
    let file = encoded(ImageFormatType::TIFF);
    let directory = u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize;
    let entries = usize::from(u16::from_le_bytes(file[directory..directory + 2].try_into().unwrap()));
    let entry = (0..entries).map(|index| directory + 2 + index * 12).find(|at| file[*at..at + 2] == tag.to_le_bytes());
    patched(file, entry.expect("the tag") + 8, &value.to_le_bytes())
}

fn gif(width: u16, height: u16) -> Vec<u8> {
    let mut file = b"GIF89a".to_vec();
    file.extend([width.to_le_bytes(), height.to_le_bytes()].concat());
    file.extend([0x80, 0, 0, 0, 0, 0, 255, 255, 255]);
    file.extend([0x2c, 0, 0, 0, 0]);
    file.extend([width.to_le_bytes(), height.to_le_bytes()].concat());
    file.extend([0, 2, 2, 0x44, 1, 0, 0x3b]);
    file
}

#[test]
fn bombs_are_refused_before_memory_is_taken() {
    let qoi = [b"qoif".as_slice(), &60_000_u32.to_be_bytes(), &60_000_u32.to_be_bytes(), &[3, 0], &[0; 8]].concat();
    let bmp = encoded(ImageFormatType::BMP);
    let jpeg = encoded(ImageFormatType::JPEG);
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    // Progressive, as those take most memory.
    let jpeg = patched(patched(jpeg, frame + 5, &[0xff, 0xff, 0xff, 0xff]), frame + 1, &[0xc2]);
    let mut profile = Vec::new();
    let mut encoder = PngEncoder::new(&mut profile);
    encoder.set_icc_profile(vec![0; 100 << 20]).unwrap();
    encoder.write_image(&[0; 3], 1, 1, image::ExtendedColorType::Rgb8).unwrap();
    assert!(profile.len() < 1 << 20, "{} bytes are no bomb", profile.len());
    let (_, grown) = peak::growth(|| refuse_bombs(profile, bmp, jpeg, qoi));
    assert!(grown < peak::LIMIT, "{grown} MiB");
}

fn refuse_bombs(profile: Vec<u8>, bmp: Vec<u8>, jpeg: Vec<u8>, qoi: Vec<u8>) {
    for (name, file) in [
        ("PNG, 400 MP", png_of(20_000, 20_000)),
        ("PNG, 2 Gi x 2 Gi", png_of(0x7fff_ffff, 0x7fff_ffff)),
        ("PNG, 99 MP of 3 bytes", png_of(9_900, 10_000)),
        ("GIF, 4 GP", gif(65_535, 65_535)),
        ("QOI, 3.6 GP", qoi),
        ("BMP, 2 Gi wide", patched(bmp.clone(), 18, &i32::MAX.to_le_bytes())),
        ("BMP, 2 Gi x 2 Gi", patched(patched(bmp, 18, &i32::MAX.to_le_bytes()), 22, &i32::MAX.to_le_bytes())),
        ("JPEG, 4 GP", jpeg),
        ("TIFF, 4 Gi wide", tiff_with(256, u32::MAX)),
        ("TIFF, 4 Gi high", tiff_with(257, u32::MAX)),
        ("TIFF, 60 000 high", tiff_with(257, 60_000)),
    ] {
        let error = refused(&file);
        let large = matches!(error, Error::TooLarge { .. } | Error::DecoderLimit { .. });
        let lies =
            matches!(error, Error::Decode { .. } | Error::TruncatedImage { .. } | Error::UnsupportedImage { .. });
        assert!(
            large || lies && (name.contains("Gi") || name.starts_with("TIFF") || name.starts_with("QOI")),
            "{name}: {error:?}"
        );
    }
    // The picture beside it is good: the profile is left out, and that is told.
    let size = profile.len() as u64;
    let config = ConversionConfig::new();
    let kept = ImageConverter::new().convert_bytes_blocking(profile, ImageFormatType::PNG, &config).unwrap();
    let told = |warning: &ImageWarning| matches!(warning, ImageWarning::Dropped { what: Metadata::Icc, reason: DropReason::Damaged, bytes } if *bytes > size / 2);
    assert!(kept.report().warnings.iter().any(told), "{:?}", kept.report().warnings);
}

#[test]
fn what_is_no_picture_is_told_by_its_first_bytes() {
    assert!(matches!(refused(b""), Error::EmptyInput));
    for file in [
        &b"x"[..],
        b"hello, this is text",
        b"<svg></svg>",
        b"BM is how this text begins",
        b"RIFF\0\0\0\0WAVEfmt ",
        &[0; 4_096],
    ] {
        let error = refused(file);
        assert!(matches!(error, Error::UnknownFormat { .. }), "{error:?}");
        assert!(error.to_string().contains("JPEG, PNG, WebP"), "{error}");
    }
}

#[test]
fn a_mark_alone_is_an_error_of_its_format() {
    for file in [
        &b"\x89PNG\r\n\x1a\n"[..],
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"GIF89a",
        b"II*\0",
        b"MM\0*",
        b"II+\0\x08\0\0\0",
        b"qoif",
        b"RIFF\x04\0\0\0WEBP",
        b"RIFF\xff\xff\xff\xffWEBPVP8X",
        b"BM\0\0\0\0\0\0\0\0\0\0\0\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
    ] {
        let error = refused(file);
        let typed = matches!(
            error,
            Error::Decode { .. }
                | Error::TruncatedImage { .. }
                | Error::UnsupportedImage { .. }
                | Error::DecoderLimit { .. }
        );
        assert!(typed, "{file:?}: {error:?}");
    }
}

#[test]
fn files_that_end_too_early_are_errors_at_every_length() {
    for format in ImageFormatType::WRITTEN {
        let whole = encoded(format);
        for part in (1..40).map(|part| whole.len() * part / 40) {
            let error = refused(&whole[..part]);
            let typed =
                matches!(error, Error::TruncatedImage { .. } | Error::Decode { .. } | Error::UnsupportedImage { .. });
            assert!(typed || part < 16, "{format}, {part} of {} bytes: {error:?}", whole.len());
        }
    }
}

#[test]
fn truncated_files_can_be_kept_in_part() {
    let scene = Scene::new(DynamicImage::from(picture(64, 48, false)).into_rgb8());
    let accept = ConversionConfig::new().damaged(Damaged::Accept);
    for format in [ImageFormatType::JPEG, ImageFormatType::PNG, ImageFormatType::BMP] {
        let whole = encoded(format);
        let part = whole[..whole.len() * 7 / 10].to_vec();
        assert!(matches!(refused(&part), Error::TruncatedImage { .. }), "{format}: {:?}", refused(&part));
        let converter = ImageConverter::new();
        let kept = converter.convert_bytes_blocking(part, ImageFormatType::PNG, &accept).unwrap();
        assert_eq!(kept.report().warnings, [ImageWarning::Truncated], "{format}");
        let all = converter.convert_bytes_blocking(whole, ImageFormatType::PNG, &accept).unwrap();
        let rows = |file: &[u8]| -> RgbImage { image::load_from_memory(file).unwrap().into_rgb8() };
        let (kept, all) = (rows(kept.bytes()), rows(all.bytes()));
        // BMP is written from the bottom up.
        let row = |image: &RgbImage| {
            let y = if format == ImageFormatType::BMP { 40 } else { 8 };
            (0..64).map(|x| *image.get_pixel(x, y)).collect::<Vec<_>>()
        };
        assert_eq!(row(&kept), row(&all), "{format}");
        assert!(kept != all, "{format}");
    }
    drop(scene);
}

#[test]
fn limits_are_the_callers() {
    let file = encoded(ImageFormatType::PNG);
    let with = |limits| {
        let config = ConversionConfig::new().limits(limits);
        ImageConverter::new().convert_bytes_blocking(file.clone(), ImageFormatType::BMP, &config)
    };
    let few = with(Limits { max_pixels: 64 * 48 - 1, ..Limits::default() });
    assert!(matches!(few, Err(Error::TooLarge { value: 3_072, limit: 3_071, unit: "pixels", .. })), "{few:?}");
    let small = with(Limits { max_image_bytes: 9_215, ..Limits::default() });
    assert!(matches!(small, Err(Error::TooLarge { value: 9_216, limit: 9_215, unit: "bytes", .. })), "{small:?}");
    assert!(with(Limits { max_pixels: 64 * 48, max_image_bytes: 9_216, ..Limits::default() }).is_ok());
}

#[test]
fn long_files_and_pipes_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("long.png");
    // 1 GiB on paper.
    fs::File::create(&long).unwrap().set_len(1 << 30).unwrap();
    let converter = ImageConverter::new();
    let error = converter.probe_blocking(&long, &ConversionConfig::new()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "the file", .. }), "{error}");
    let error = converter.probe_blocking(folder.path(), &ConversionConfig::new()).unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
    let pipe = folder.path().join("pipe.png");
    super::tools::run("mkfifo", &[&pipe]);
    let error = converter.probe_blocking(&pipe, &ConversionConfig::new()).unwrap_err();
    assert!(matches!(error, Error::File { action: "open", .. }), "{error}");
}
