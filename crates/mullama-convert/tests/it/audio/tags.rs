//! Tags and covers through every pair of formats, as ffprobe sees them.

use std::path::Path;

use mullama_convert::{AudioConverter, AudioFormatType, AudioWarning, ConversionConfig, MetadataPolicy, Method};

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
    let cover = ["-metadata:s:v", "comment=Cover (front)"];
    run("ffmpeg", &[&args[..], &tags, &more, &cover, &[path.to_str().unwrap()]].concat());
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

/// What a Vorbis comment is called, as FLAC files have it, and a value of its own for each.
const NAMES: &[&str] = &[
    "title",
    "artist",
    "album",
    "albumartist",
    "tracknumber",
    "tracktotal",
    "discnumber",
    "disctotal",
    "date",
    "genre",
    "composer",
    "conductor",
    "lyricist",
    "performer",
    "arranger",
    "remixer",
    "producer",
    "engineer",
    "comment",
    "description",
    "lyrics",
    "language",
    "mood",
    "grouping",
    "work",
    "movementname",
    "copyright",
    "license",
    "label",
    "catalognumber",
    "barcode",
    "isrc",
    "encodedby",
    "bpm",
    "initialkey",
    "titlesort",
    "artistsort",
    "albumsort",
    "composersort",
    "compilation",
    "originaldate",
    "musicbrainz_trackid",
    "replaygain_track_gain",
    "a name of its own",
];

/// Numbers where numbers are expected, else words.
fn value(name: &str) -> String {
    match name {
        "tracknumber" => "7",
        "tracktotal" => "9",
        "discnumber" => "3",
        "disctotal" => "5",
        "compilation" => "1",
        "bpm" => "121",
        "date" => "1999-05-17",
        "originaldate" => "1987-03-12",
        "language" => "deu",
        "isrc" => "DEA629900017",
        "replaygain_track_gain" => "-6.40 dB",
        "musicbrainz_trackid" => "0f4d4be6-3bf4-4be4-b1a5-4f4b4a3c2d11",
        name => return format!("Wert {name}"),
    }
    .to_owned()
}

/// The names of [`NAMES`] whose values a file has.
fn held(path: &Path) -> Vec<&'static str> {
    let tags = AudioConverter::new().tags_blocking(path, &ConversionConfig::default()).unwrap();
    assert_eq!(tags.problem, None, "{}", path.display());
    // By their values: the label of one format is the publisher of another.
    let holds = |name: &str| tags.items.iter().any(|item| item.value == value(name));
    let mut held: Vec<&str> = NAMES.iter().copied().filter(|name| holds(name)).collect();
    held.extend((tags.pictures.len() == 1 && tags.pictures[0].media_type == "image/png").then_some("picture"));
    held
}

#[test]
fn the_table_in_the_docs_says_which_format_holds_which_tag() {
    let folder = tempfile::tempdir().unwrap();
    let flac = tagged(folder.path());
    let mut args = vec!["--remove-all-tags".to_owned()];
    args.extend(NAMES.iter().map(|name| format!("--set-tag={}={}", name.to_uppercase(), value(name))));
    args.push(flac.to_str().unwrap().to_owned());
    run("metaflac", &args.iter().map(String::as_str).collect::<Vec<_>>());
    let all = held(&flac);
    assert_eq!(all.len(), NAMES.len() + 1, "{all:?}");

    let path = |name: &str, format: AudioFormatType| folder.path().join(format!("{name}.{}", format.extension()));
    let mut columns = Vec::new();
    for format in AudioFormatType::ALL {
        let output = path("one", format);
        let report = convert(&flac, &output, &ConversionConfig::new()).unwrap();
        let held = held(&output);
        // What is not there is told, and nothing else.
        for name in NAMES {
            let dropped = report
                .warnings
                .iter()
                .any(|warning| matches!(warning, AudioWarning::DroppedTag { key } if key == name));
            assert_eq!(dropped, !held.contains(name), "{format}: {name}; {:?}", report.warnings);
        }
        // Another program finds the same.
        let text = String::from_utf8_lossy(&run("exiftool", &["-a", "-G", output.to_str().unwrap()])).into_owned();
        for name in held.iter().filter(|name| value(name).starts_with("Wert") && **name != "picture") {
            assert!(text.contains(&value(name)), "{format}: exiftool finds no {name} in {text}");
        }
        columns.push((format, held));
    }
    // Every pair keeps what both hold.
    for (from, before) in &columns {
        for (to, able) in &columns {
            let output = path("two", *to);
            convert(&path("one", *from), &output, &ConversionConfig::new().overwrite(true)).unwrap();
            let kept = held(&output);
            for name in before.iter().filter(|name| able.contains(name)) {
                assert!(kept.contains(name), "{from} to {to} loses {name}");
            }
        }
    }

    let mut table = String::from("| tag |");
    columns.iter().for_each(|(format, _)| table += &format!(" {} |", format.extension()));
    table += &format!("\n|---|{}\n", "---|".repeat(columns.len()));
    for name in &all {
        table += &format!("| {name} |");
        columns.iter().for_each(|(_, held)| table += if held.contains(name) { " yes |" } else { " |" });
        table.push('\n');
    }
    let (begin, end) = ("<!-- table of tags, written by a test -->\n", "<!-- end of the table -->");
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sound.md");
    let text = std::fs::read_to_string(&docs).unwrap();
    let (before, rest) = text.split_once(begin).unwrap();
    let (written, after) = rest.split_once(end).unwrap();
    if std::env::var_os("WRITE_DOCS").is_some() {
        std::fs::write(&docs, format!("{before}{begin}{table}{end}{after}")).unwrap();
    } else {
        assert!(written == table, "docs/sound.md is out of date; WRITE_DOCS=1 writes it:\n{table}");
    }
}

#[test]
fn tags_that_are_no_longer_true_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let flac = tagged(folder.path());
    let levels = ["replaygain_track_gain", "replaygain_album_peak", "r128_track_gain", "replaygain_reference_loudness"];
    let mask = "waveformatextensible_channel_mask";
    let args: Vec<String> = levels.iter().chain([&mask]).map(|name| format!("--set-tag={name}=-6")).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).chain([flac.to_str().unwrap()]).collect();
    run("metaflac", &args);
    let output = folder.path().join("out.flac");
    let left_out = |config: ConversionConfig| {
        let report = convert(&flac, &output, &config.overwrite(true)).unwrap();
        let told = |name: &&str| {
            report.warnings.iter().any(|warning| matches!(warning, AudioWarning::DroppedTag { key } if key == name))
        };
        let text = String::from_utf8(run("metaflac", &["--export-tags-to=-", output.to_str().unwrap()])).unwrap();
        assert!(text.contains("Ensemble"), "{text}");
        let text = text.to_lowercase();
        let gone: Vec<&str> = levels.into_iter().chain([mask]).filter(|name| !text.contains(name)).collect();
        assert!(gone.iter().all(told), "{gone:?}: {:?}", report.warnings);
        gone
    };
    let config = ConversionConfig::new().bits(mullama_convert::BitDepth::Int24);
    assert_eq!(left_out(config), [""; 0]);
    assert_eq!(left_out(config.loudness(-30.0)), levels);
    assert_eq!(left_out(config.channels(1)), [mask]);
    // It does not clip: nothing is changed.
    let mut config = ConversionConfig::new().bits(mullama_convert::BitDepth::Int24);
    config.audio.clip = mullama_convert::ClipPolicy::Attenuate;
    assert_eq!(left_out(config), [""; 0]);
}

#[test]
fn names_of_their_own_go_everywhere_and_what_is_bound_to_id3_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, _) = wav(folder.path(), "plain", 44_100, 1, &sound(44_100, 1, 10_000));
    let path = |name: &str| folder.path().join(name);
    let told = ["-metadata", "Farbe=blau", "-metadata", "Größe=XL", "-metadata", "id3v2_priv.someone=secret"];
    let (from, to) = (path("from.mp3"), path("to"));
    run("ffmpeg", &[&["-v", "error", "-i", plain.to_str().unwrap()][..], &told, &[from.to_str().unwrap()]].concat());
    for format in AudioFormatType::ALL {
        let output = to.with_extension(format.extension());
        let report = convert(&from, &output, &ConversionConfig::new()).unwrap();
        let (text, _) = probe(&output);
        assert!(text.to_lowercase().contains("farbe=blau"), "{format}: {text}");
        // Names of Vorbis comments are ASCII.
        let ascii = matches!(format, AudioFormatType::FLAC | AudioFormatType::OGG | AudioFormatType::OPUS);
        assert_eq!(!text.contains("Größe=XL"), ascii, "{format}: {text}");
        let dropped: Vec<&str> = report
            .warnings
            .iter()
            .filter_map(|warning| match warning {
                AudioWarning::DroppedTag { key } => Some(&**key),
                _ => None,
            })
            .collect();
        let expected: &[&str] = match (format, ascii) {
            (AudioFormatType::MP3, _) => &[],
            (_, true) => &["größe", "priv:someone"],
            _ => &["priv:someone"],
        };
        // `to_ascii_lowercase` leaves other letters alone.
        assert_eq!(dropped.iter().map(|key| key.to_lowercase()).collect::<Vec<_>>(), expected, "{format}");
        let back = path("back.flac");
        convert(&output, &back, &ConversionConfig::new().overwrite(true)).unwrap();
        let text = String::from_utf8(run("metaflac", &["--export-tags-to=-", back.to_str().unwrap()])).unwrap();
        assert!(text.to_lowercase().contains("farbe=blau"), "{format}: {text}");
    }
}
