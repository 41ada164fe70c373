//! What the fuzz targets found: each file must end in a result or a typed error, soon.

use std::time::Instant;

use mullama_convert::{
    AudioConverter, ConversionConfig, Damaged, Error, ImageConverter, ImageFormatType, MetadataPolicy,
};

#[test]
fn findings_do_no_harm_any_more() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 5, "{files:?}");
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        let check = |what: &str, error: Option<Error>, start: Instant| {
            assert!(
                !matches!(error, Some(Error::Panicked { .. } | Error::Encode { .. })),
                "{path:?}, {what}: {error:?}"
            );
            assert!(start.elapsed() < crate::peak::SOON, "{path:?}, {what}: {:?}", start.elapsed());
        };
        for damaged in [Damaged::Refuse, Damaged::Accept] {
            let config = ConversionConfig::new().damaged(damaged).metadata(MetadataPolicy::StripLocation);
            let start = Instant::now();
            let sound = AudioConverter::new().decode_blocking(bytes.clone(), &config);
            if let Ok(sound) = &sound {
                assert!(sound.samples.iter().all(|sample| sample.is_finite()), "{path:?}");
            }
            check("sound", sound.err(), start);
            let start = Instant::now();
            let tags = AudioConverter::new().tags_blocking(&path, &config);
            check("tags", tags.err(), start);
            for target in ImageFormatType::WRITTEN {
                let start = Instant::now();
                let picture = ImageConverter::new().convert_bytes_blocking(bytes.clone(), target, &config);
                check("picture", picture.err(), start);
            }
            let start = Instant::now();
            let words = ImageConverter::new().metadata_blocking(&path, &config);
            check("metadata", words.err(), start);
        }
    }
}
