//! Files that are not plain: RF64, lengths near 4 GiB, pictures beside the sound, edit lists that cut, chained streams.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::path::Path;

use mullama_convert::{AudioConverter, AudioFormatType, AudioWarning, ConversionConfig, Damaged, Error, Method};

use super::tools::{channel, convert, ffmpeg, lag, run, snr, sound, wav};

#[test]
fn rf64_is_read_without_what_lies_behind_the_sound() {
    let folder = tempfile::tempdir().unwrap();
    let (input, samples) = wav(folder.path(), "in", 44_100, 2, &sound(44_100, 2, 30_000));
    let long = folder.path().join("long.wav");
    run("ffmpeg", &["-v", "error", "-i", input.to_str().unwrap(), "-rf64", "always", long.to_str().unwrap()]);
    let mut bytes = std::fs::read(&long).unwrap();
    assert!(bytes.starts_with(b"RF64"));
    bytes.extend_from_slice(b"LIST\x10\0\0\0INFOINAM\x04\0\0\0name");
    std::fs::write(&long, &bytes).unwrap();
    let info = AudioConverter::new().probe_blocking(&long, &ConversionConfig::default()).unwrap();
    assert_eq!((info.frames, info.format), (30_000, Some(AudioFormatType::WAV)));
    let ours = AudioConverter::new().load_blocking(&long, &ConversionConfig::default()).unwrap();
    assert_eq!(ours.samples, samples);
    // A length that fits may stand in the chunk itself.
    let data = bytes.windows(4).position(|window| window == b"data").unwrap() + 4;
    assert_eq!(bytes[data..data + 4], [0xff; 4]);
    let mut plain = bytes.clone();
    plain[data..data + 4].copy_from_slice(&120_000u32.to_le_bytes());
    std::fs::write(&long, &plain).unwrap();
    let info = AudioConverter::new().probe_blocking(&long, &ConversionConfig::default()).unwrap();
    assert_eq!(info.frames, 30_000);
    let ours = AudioConverter::new().load_blocking(&long, &ConversionConfig::default()).unwrap();
    assert_eq!(ours.samples, samples);
    // It ends before its sound does.
    std::fs::write(&long, &bytes[..60_000]).unwrap();
    let error = AudioConverter::new().load_blocking(&long, &ConversionConfig::default()).unwrap_err();
    assert!(matches!(error, Error::Truncated { expected: 30_000, .. }), "{error:?}");
}

#[test]
fn of_rf64_only_tags_that_are_there_are_missed() {
    let folder = tempfile::tempdir().unwrap();
    let (input, _) = wav(folder.path(), "in", 44_100, 2, &sound(44_100, 2, 1_000));
    let (long, output) = (folder.path().join("long.wav"), folder.path().join("out.flac"));
    let args = ["-v", "error", "-i", input.to_str().unwrap(), "-bitexact", "-rf64", "always", long.to_str().unwrap()];
    run("ffmpeg", &args);
    let missed = || {
        let report = convert(&long, &output, &ConversionConfig::new().overwrite(true)).unwrap();
        report.warnings.iter().any(|warning| matches!(warning, AudioWarning::UnreadableTags { .. }))
    };
    assert!(!missed());
    let bytes = std::fs::read(&long).unwrap();
    for tags in [b"LIST\x10\0\0\0INFOINAM\x04\0\0\0name", b"id3 \x10\0\0\0ID3\x04\0\0\0\0\0\0\0\0\0\0\0\0"] {
        std::fs::write(&long, [&bytes[..], tags].concat()).unwrap();
        assert!(missed());
    }
}

/// Sound that takes more than 32 bits to tell its length is probed in a hole of that size.
#[test]
fn rf64_beyond_4_gib_knows_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let frames: u64 = 1_500_000_000;
    let bytes = frames * 4;
    let mut head = [b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".as_slice(), &(bytes + 72).to_le_bytes()].concat();
    head.extend([bytes.to_le_bytes(), frames.to_le_bytes()].concat());
    head.extend(b"\0\0\0\0fmt \x10\0\0\0\x01\0\x02\0\x44\xac\0\0\x10\xb1\x02\0\x04\0\x10\0data\xff\xff\xff\xff");
    let long = folder.path().join("long.wav");
    let mut file = std::fs::File::create(&long).unwrap();
    file.write_all(&head).unwrap();
    file.set_len(head.len() as u64 + bytes).unwrap();
    let info = AudioConverter::new().probe_blocking(&long, &ConversionConfig::default()).unwrap();
    assert_eq!((info.frames, info.bytes), (frames, head.len() as u64 + bytes));
    // As another program sees it.
    let args = ["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", long.to_str().unwrap()];
    let duration: f64 = String::from_utf8(run("ffprobe", &args)).unwrap().trim().parse().unwrap();
    assert!((duration - info.duration().as_secs_f64()).abs() < 0.001, "{duration}");
}

#[test]
fn a_long_wav_knows_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let (input, _) = wav(folder.path(), "in", 44_100, 2, &sound(44_100, 2, 1_000));
    let mut bytes = std::fs::read(&input).unwrap();
    let data = bytes.windows(4).position(|window| window == b"data").unwrap() + 4;
    let length = 3_000_000_000u32;
    bytes[data..data + 4].copy_from_slice(&length.to_le_bytes());
    bytes[4..8].copy_from_slice(&(length + data as u32 - 4).to_le_bytes());
    let long = folder.path().join("long.wav");
    let mut file = std::fs::File::create(&long).unwrap();
    file.write_all(&bytes).unwrap();
    let probe = || AudioConverter::new().probe_blocking(&long, &ConversionConfig::default()).unwrap();
    // As a pipe leaves it: the length is none.
    assert_eq!(probe().frames, 0);
    // The rest is a hole.
    file.set_len(data as u64 + 4 + u64::from(length)).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    assert_eq!(probe().frames, 750_000_000);
}

/// The codecs of a file's streams, as ffprobe names them.
fn streams(path: &Path) -> Vec<String> {
    let args = ["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", path.to_str().unwrap()];
    let text = String::from_utf8(run("ffprobe", &args)).unwrap();
    text.lines().map(|line| line.trim_matches(',').to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn of_a_film_only_the_sound_is_taken_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (input, _) = wav(folder.path(), "in", 44_100, 2, &sound(44_100, 2, 100_000));
    let film = folder.path().join("film.mp4");
    let picture = ["-v", "error", "-f", "lavfi", "-i", "testsrc=s=64x48:r=10:d=2", "-i", input.to_str().unwrap()];
    let codecs = ["-c:v", "mpeg4", "-c:a", "aac", "-metadata", "title=The film", film.to_str().unwrap()];
    run("ffmpeg", &[&picture[..], &codecs].concat());
    assert_eq!(streams(&film).len(), 2);
    let target = folder.path().join("film.m4a");
    let report = convert(&film, &target, &ConversionConfig::new()).unwrap();
    assert_eq!(report.method, Method::Remuxed);
    assert_eq!(streams(&target), ["aac"]);
    let load = |path: &Path| AudioConverter::new().load_blocking(path, &ConversionConfig::default()).unwrap();
    assert_eq!(load(&target), load(&film));
    assert_eq!(load(&target).frames(), 100_000);
    let tags = AudioConverter::new().tags_blocking(&target, &ConversionConfig::default()).unwrap();
    assert!(tags.items.iter().any(|item| item.name == "title" && item.value == "The film"), "{tags:?}");
}

#[test]
fn what_an_edit_list_cuts_off_is_not_heard_in_adts() {
    let folder = tempfile::tempdir().unwrap();
    let (input, _) = wav(folder.path(), "in", 44_100, 2, &sound(44_100, 2, 132_300));
    let m4a = folder.path().join("whole.m4a");
    convert(&input, &m4a, &ConversionConfig::new()).unwrap();
    let plain = folder.path().join("plain.aac");
    assert_eq!(convert(&m4a, &plain, &ConversionConfig::new()).unwrap().method, Method::Remuxed);
    // Our list: one entry of version 1, the length and where it begins.
    let mut bytes = std::fs::read(&m4a).unwrap();
    let list = bytes.windows(4).position(|window| window == b"elst").unwrap() + 12;
    bytes[list..list + 8].copy_from_slice(&44_100u64.to_be_bytes());
    bytes[list + 8..list + 16].copy_from_slice(&44_100u64.to_be_bytes());
    let cut = folder.path().join("cut.m4a");
    std::fs::write(&cut, bytes).unwrap();
    let adts = folder.path().join("cut.aac");
    let report = convert(&cut, &adts, &ConversionConfig::new()).unwrap();
    assert_eq!((report.method, report.input.frames), (Method::Encoded, 44_100));
    assert!(ffmpeg(&adts).0.len() / 2 < 44_100 + 4_096);
}

#[test]
fn links_of_a_chain_follow_each_other_without_their_priming() {
    let folder = tempfile::tempdir().unwrap();
    let samples = sound(48_000, 2, 100_000);
    for extension in ["opus", "ogg"] {
        let mut chain = Vec::new();
        for (index, part) in samples.chunks(100_000).enumerate() {
            let (input, _) = wav(folder.path(), &format!("{index}"), 48_000, 2, part);
            let link = folder.path().join(format!("{index}.{extension}"));
            convert(&input, &link, &ConversionConfig::new()).unwrap();
            chain.extend(std::fs::read(link).unwrap());
        }
        let path = folder.path().join(format!("chain.{extension}"));
        std::fs::write(&path, chain).unwrap();
        let ours = AudioConverter::new().load_blocking(&path, &ConversionConfig::default()).unwrap();
        assert_eq!(ours.frames(), 100_000, "{extension}");
        let (whole, second) = (channel(&samples, 2, 0), channel(&ours.samples, 2, 0));
        assert_eq!(lag(&whole[50_000..], &second[50_000..]).0, 0, "{extension}");
        assert!(snr(&whole[55_000..], &second[55_000..]) > 15.0, "{extension}");
    }
}

#[test]
fn sound_of_another_kind_within_becomes_silence() {
    let folder = tempfile::tempdir().unwrap();
    for extension in ["aac", "ogg"] {
        let mut both = Vec::new();
        for (rate, channels) in [(44_100, 2), (48_000, 1)] {
            let (input, _) = wav(folder.path(), &format!("{rate}"), rate, channels, &sound(rate, channels, 60_000));
            let part = folder.path().join(format!("{rate}.{extension}"));
            convert(&input, &part, &ConversionConfig::new()).unwrap();
            both.extend(std::fs::read(part).unwrap());
        }
        let path = folder.path().join(format!("both.{extension}"));
        std::fs::write(&path, both).unwrap();
        let error = AudioConverter::new().load_blocking(&path, &ConversionConfig::default()).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{extension}: {error:?}");
        let accept = ConversionConfig::new().damaged(Damaged::Accept);
        let ours = AudioConverter::new().load_blocking(&path, &accept).unwrap();
        assert!(ours.frames() > 100_000, "{extension}: {}", ours.frames());
        assert!(ours.samples[2 * 70_000..].iter().all(|sample| sample.abs() < f32::EPSILON), "{extension}");
        let report = convert(&path, &folder.path().join("both.wav"), &accept.overwrite(true)).unwrap();
        let told = |warning: &AudioWarning| matches!(warning, AudioWarning::Damaged { packets: 50.., .. });
        assert!(report.warnings.iter().any(told), "{report:?}");
    }
}

#[test]
fn listening_can_be_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (input, _) = wav(folder.path(), "in", 44_100, 2, &sound(44_100, 2, 441_000));
    let mut calls = 0;
    let mut stop = |progress: mullama_convert::AudioProgress| {
        calls += 1;
        assert_eq!((progress.frames, progress.of), (0, Some(441_000)));
        if calls == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let config = ConversionConfig::new().loudness(-23.0);
    let output = folder.path().join("out.flac");
    let error = AudioConverter::new().convert_file_watched(&input, &output, &config, &mut stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error:?}");
    assert!(!output.exists());
}

/// A tone cut into two files, each converted, and joined again: how large the step between them is beside the tone's own.
#[test]
fn joined_files_have_no_gap() {
    let folder = tempfile::tempdir().unwrap();
    let tone: Vec<f32> =
        (0..96_000).map(|at| (f64::from(at) * 440.0 / 48_000.0 * std::f64::consts::TAU).sin() as f32 * 0.5).collect();
    let mut table = Vec::new();
    for format in AudioFormatType::ALL {
        if format == AudioFormatType::AAC {
            continue;
        }
        let mut joined = Vec::new();
        for (index, part) in [&tone[..50_007], &tone[50_007..]].into_iter().enumerate() {
            let (input, _) = wav(folder.path(), &format!("{index}"), 48_000, 1, part);
            let path = folder.path().join(format!("{index}-out.{}", format.extension()));
            convert(&input, &path, &ConversionConfig::new().overwrite(true)).unwrap();
            joined.extend(AudioConverter::new().load_blocking(&path, &ConversionConfig::default()).unwrap().samples);
        }
        assert_eq!(joined.len(), tone.len(), "{format}");
        let place = 50_007 - 400..50_007 + 400;
        let noise = snr(&tone[place.clone()], &joined[place]);
        let step = (joined[50_007] - joined[50_006]) - (tone[50_007] - tone[50_006]);
        table.push((format, noise, 20.0 * step.abs().max(1e-9).log10()));
    }
    println!("around the join: dB of signal to noise, dB of the step: {table:?}");
    for (format, noise, step) in table {
        assert!(noise > if format.is_lossless() { 80.0 } else { 20.0 }, "{format}: {noise}");
        // What a lossy codec adds anywhere it adds here, too, and more where a tone breaks off: the same cut leaves steps of -52 dB
        // with LAME, -42 dB with libvorbis, -22 dB with ffmpeg's AAC, -31 dB with opusenc. A gap or a frame too many would be a
        // step of -20 dB or more.
        assert!(step < if format.is_lossless() { -80.0 } else { -26.0 }, "{format}: {step}");
    }
}
