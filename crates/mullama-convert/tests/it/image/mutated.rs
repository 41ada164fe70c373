//! Random damage to small files of each format: an error or a picture, never a panic, never long.

use std::sync::LazyLock;
use std::time::Instant;

use mullama_convert::{ConversionConfig, Damaged, Error, ImageConverter, ImageFormatType, MetadataPolicy};
use proptest::prelude::*;

use super::tools::{Scene, exiftool, picture, text};

/// Files of each format, with metadata where it can be.
static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let scene = Scene::new(picture(40, 30, true));
    let mut names = Vec::new();
    for (name, args) in [
        ("plain.jpg", &[][..]),
        ("progressive.jpg", &["-interlace", "JPEG"]),
        ("plain.png", &[]),
        ("palette.png", &["-colors", "32"]),
        ("lossy.webp", &[]),
        ("lossless.webp", &["-define", "webp:lossless=true"]),
        ("lzw.tiff", &["-compress", "LZW"]),
        ("zip.tiff", &["-compress", "Zip"]),
        ("plain.bmp", &[]),
        ("plain.gif", &[]),
    ] {
        let path = scene.made(name, args);
        if !name.ends_with("bmp") && !name.ends_with("gif") {
            exiftool(&[
                "-q",
                "-overwrite_original",
                "-Make=x",
                "-Orientation#=6",
                "-GPSLatitude=1",
                "-XMP:Title=y",
                text(&path),
            ]);
        }
        names.push(path);
    }
    let qoi = scene.path("plain.qoi");
    image::DynamicImage::from(picture(40, 30, true)).save(&qoi).unwrap();
    names.push(qoi);
    names.iter().map(|path| std::fs::read(path).unwrap()).collect()
});

/// What is done to a file.
#[derive(Debug, Clone)]
enum Damage {
    Byte(prop::sample::Index, u8),
    Word(prop::sample::Index, u32),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        6 => (at(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        3 => (at(), prop_oneof![Just(0), Just(u32::MAX), Just(0x7fff_ffff), Just(0xffff), any::<u32>()])
            .prop_map(|(at, word)| Damage::Word(at, word)),
        1 => at().prop_map(Damage::Cut),
        1 => (at(), 1_usize..64).prop_map(|(at, length)| Damage::Remove(at, length)),
        1 => (at(), 1_usize..64).prop_map(|(at, length)| Damage::Repeat(at, length)),
    ]
}

fn apply(file: &mut Vec<u8>, damage: &Damage) {
    if file.is_empty() {
        return;
    }
    let length = file.len();
    match damage {
        Damage::Byte(at, byte) => file[at.index(length)] = *byte,
        Damage::Word(at, word) => {
            let at = at.index(length);
            let end = length.min(at + 4);
            file[at..end].copy_from_slice(&word.to_be_bytes()[..end - at]);
        }
        Damage::Cut(at) => file.truncate(at.index(length)),
        Damage::Remove(at, count) => {
            let at = at.index(length);
            file.drain(at..length.min(at + count));
        }
        Damage::Repeat(at, count) => {
            let at = at.index(length);
            file.extend_from_within(at..length.min(at + count));
            let tail = file.split_off(length);
            file.splice(at..at, tail);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic(
        file in 0_usize..11,
        damages in prop::collection::vec(damage(), 1..8),
        accept in any::<bool>(),
        target in 0_usize..5,
    ) {
        let mut bytes = FILES[file].clone();
        damages.iter().for_each(|damage| apply(&mut bytes, damage));
        let mut config = ConversionConfig::new().metadata(MetadataPolicy::StripLocation);
        config.damaged = if accept { Damaged::Accept } else { Damaged::Refuse };
        // A header may claim a large picture that is quickly made of nothing: time is for small ones.
        config.limits.max_pixels = 1 << 20;
        let start = Instant::now();
        let done = ImageConverter::new().convert_bytes_blocking(bytes, ImageFormatType::WRITTEN[target], &config);
        prop_assert!(start.elapsed() < crate::peak::SOON, "{:?}", start.elapsed());
        match done {
            Err(error @ (Error::Panicked { .. } | Error::Encode { .. })) => prop_assert!(false, "{error:?}"),
            Err(_) => {}
            Ok(converted) => {
                prop_assert!(!converted.report().output.location);
                // What was made of it is a sound file.
                let probed = image::load_from_memory(converted.bytes());
                prop_assert!(probed.is_ok(), "{:?}", probed.err());
            }
        }
    }
}
