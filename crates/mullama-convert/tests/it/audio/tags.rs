//! Tags and covers through every pair of formats, as ffprobe sees them.

use std::path::Path;

use mullama_convert::{AudioFormatType, ConversionConfig, MetadataPolicy, Method};

use super::tools::{convert, ffmpeg, run, sound, wav};

const TITLE: &str = "Grüße, 世界";

/// The tags of a file in lower case, as ffprobe prints them, and the codec of its picture.
fn probe(path: &Path) -> (String, String) {
    let args = ["-v", "error", "-show_entries", "format_tags:stream_tags:stream=codec_name", "-of", "default"];
    let text = String::from_utf8(run("ffprobe", &[&args[..], &[path.to_str().unwrap()]].concat())).unwrap();
    let picture = text.lines().find(|line| line.contains("codec_name=png")).unwrap_or_default().to_owned();
    (text, picture)
}

fn tagged(folder: &Path) -> std::path::PathBuf {
    let (input, _) = wav(folder, "plain", 44_100, 2, &sound(44_100, 2, 44_100));
    let cover = folder.join("cover.png");
    run(
        "ffmpeg",
        &["-v", "error", "-f", "lavfi", "-i", "color=red:s=32x32", "-frames:v", "1", cover.to_str().unwrap()],
    );
    let path = folder.join("tagged.flac");
    let title = format!("title={TITLE}");
    let args =
        ["-v", "error", "-i", input.to_str().unwrap(), "-i", cover.to_str().unwrap(), "-map", "0:a", "-map", "1:v"];
    let tags =
        ["-metadata", &title, "-metadata", "artist=Ensemble", "-metadata", "album=Album", "-metadata", "track=7"];
    let more = ["-metadata", "genre=Jazz", "-metadata", "date=1999", "-disposition:v", "attached_pic", "-c:v", "copy"];
    run("ffmpeg", &[&args[..], &tags, &more, &[path.to_str().unwrap()]].concat());
    path
}

#[test]
fn tags_and_covers_survive_every_pair() {
    let folder = tempfile::tempdir().unwrap();
    let flac = tagged(folder.path());
    for from in AudioFormatType::ALL {
        let source = folder.path().join(format!("from.{}", from.extension()));
        convert(&flac, &source, &ConversionConfig::new()).unwrap();
        for to in AudioFormatType::ALL {
            let target = folder.path().join(format!("to.{}", to.extension()));
            let report = convert(&source, &target, &ConversionConfig::new().overwrite(true)).unwrap();
            let (text, picture) = probe(&target);
            for wanted in [TITLE, "Ensemble", "Album", "Jazz", "1999"] {
                assert!(text.contains(wanted), "{from} to {to}: no {wanted} in {text}; {report:?}");
            }
            assert!(!picture.is_empty(), "{from} to {to}: no picture in {text}");
        }
    }
}

#[test]
fn stripped_files_tell_nothing_and_are_not_encoded_anew() {
    let folder = tempfile::tempdir().unwrap();
    let flac = tagged(folder.path());
    for format in AudioFormatType::ALL {
        let source = folder.path().join(format!("from.{}", format.extension()));
        convert(&flac, &source, &ConversionConfig::new()).unwrap();
        let target = folder.path().join(format!("to.{}", format.extension()));
        let report = convert(&source, &target, &ConversionConfig::new().metadata(MetadataPolicy::Strip)).unwrap();
        assert_eq!(report.method, Method::Copied);
        let (text, picture) = probe(&target);
        assert!(!text.contains(TITLE) && !text.contains("Ensemble") && picture.is_empty(), "{format}: {text}");
        assert_eq!(ffmpeg(&source).0, ffmpeg(&target).0, "{format}");
        let other = folder.path().join(format!("other-{}.wav", format.extension()));
        convert(&source, &other, &ConversionConfig::new().metadata(MetadataPolicy::Strip)).unwrap();
        if format != AudioFormatType::WAV {
            assert!(!probe(&other).0.contains("Ensemble"), "{format}");
        }
    }
}
