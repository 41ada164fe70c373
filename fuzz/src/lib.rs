//! What the targets of one kind share.
#![forbid(unsafe_code)]

use mullama_convert::{
    AudioConverter, ConversionConfig, Damaged, Error, ImageConverter, ImageFormatType, Limits, MetadataPolicy,
};

/// What a target of sound takes: each stays with its own demuxer.
#[derive(Debug, Clone, Copy)]
pub enum Container {
    Wav,
    Flac,
    Mp3,
    Adts,
    M4a,
    Ogg,
    Opus,
    Aiff,
    Caf,
    Matroska,
}

/// Assertions of others that hostile headers break, where the release build has them too: our code makes an error of them.
/// What libFuzzer sets up ends the process at any panic, so these are kept from it, by name.
const KNOWN: [(&str, &str); 3] = [
    ("symphonia-format-ogg", "src/mappings/vorbis.rs"),
    ("symphonia-codec-vorbis", "src/codebook.rs"),
    ("symphonia-core", "src/io/media_source_stream.rs"),
];

fn know_assertions() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let file = panic.location().map_or("", |place| place.file());
            let known = |(package, end): &(&str, &str)| file.contains(package) && file.ends_with(end);
            if !KNOWN.iter().any(known) {
                usual(panic);
            }
        }));
    });
}

/// Decodes sound with both policies. Whatever it is, it ends in samples or in an error.
pub fn sound(container: Container, bytes: &[u8]) {
    know_assertions();
    let mut bytes = bytes.to_vec();
    if !container.begins(&bytes) {
        return;
    }
    if matches!(container, Container::Ogg | Container::Opus) {
        mend_pages(&mut bytes);
    }
    let limits =
        Limits { max_audio_bytes: 16 << 20, max_duration_s: 600, max_metadata_bytes: 1 << 20, ..Limits::default() };
    for damaged in [Damaged::Refuse, Damaged::Accept] {
        let config = ConversionConfig::new().limits(limits).damaged(damaged);
        match AudioConverter::new().decode_blocking(bytes.clone(), &config) {
            Ok(samples) => {
                samples.validate().expect("frames are whole");
                assert!(samples.samples.iter().all(|sample| sample.is_finite()), "not all samples are numbers");
            }
            Err(error) => assert!(!matches!(error, Error::Panicked { .. } | Error::Encode { .. }), "{error}"),
        }
    }
}

/// Converts a picture into every format. Whatever it is, it ends in a picture or in an error.
pub fn picture(format: ImageFormatType, bytes: &[u8]) {
    if ImageFormatType::from_content(bytes) != Some(format) {
        return;
    }
    let limits =
        Limits { max_pixels: 1 << 16, max_image_bytes: 1 << 20, max_metadata_bytes: 1 << 18, ..Limits::default() };
    for (damaged, target) in [
        (Damaged::Refuse, ImageFormatType::TIFF),
        (Damaged::Accept, ImageFormatType::JPEG),
        (Damaged::Accept, ImageFormatType::PNG),
    ] {
        let config = ConversionConfig::new().limits(limits).damaged(damaged).metadata(MetadataPolicy::StripLocation);
        match ImageConverter::new().convert_bytes_blocking(bytes.to_vec(), target, &config) {
            Ok(done) => assert!(!done.report().output.location, "the location is still there"),
            Err(error) => assert!(!matches!(error, Error::Panicked { .. } | Error::Encode { .. }), "{error}"),
        }
    }
}

impl Container {
    fn begins(self, bytes: &[u8]) -> bool {
        let opus = bytes.get(28..36) == Some(b"OpusHead");
        match self {
            Self::Wav => matches!(bytes.get(..4), Some(b"RIFF" | b"RF64")),
            Self::Flac => bytes.starts_with(b"fLaC"),
            Self::Mp3 => matches!(bytes, [0xff, second, ..] if second & 0xe0 == 0xe0 && second & 6 != 0),
            Self::Adts => matches!(bytes, [0xff, second, ..] if second & 0xf6 == 0xf0),
            Self::M4a => bytes.get(4..8) == Some(b"ftyp"),
            Self::Ogg => bytes.starts_with(b"OggS") && !opus,
            Self::Opus => bytes.starts_with(b"OggS") && opus,
            Self::Aiff => bytes.starts_with(b"FORM"),
            Self::Caf => bytes.starts_with(b"caff"),
            Self::Matroska => bytes.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]),
        }
    }
}

/// Makes the checksums of Ogg's pages right: without it every change would end at the first page.
fn mend_pages(bytes: &mut [u8]) {
    let mut at = 0;
    while bytes.get(at..at + 4) == Some(b"OggS") {
        let Some(&count) = bytes.get(at + 26) else { return };
        let table = bytes.get(at + 27..at + 27 + usize::from(count)).unwrap_or_default();
        let length: usize = 27 + table.len() + table.iter().map(|size| usize::from(*size)).sum::<usize>();
        let end = bytes.len().min(at + length);
        let page = &mut bytes[at..end];
        page[22..26].fill(0);
        let sum = page.iter().fold(0u32, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
        });
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
}
