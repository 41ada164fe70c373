//! The calls of the public API: names, files that are not overwritten, stopping, chunks.

use std::ops::ControlFlow;

use mullama_convert::{AudioConverter, AudioFormatType, ChunkConverter, ConversionConfig, Error, Method};
use mullama_core::AudioBuffer;

use super::tools::{ffmpeg, lag, sound, wav};

#[tokio::test]
async fn the_calls_of_the_readme_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let (input, samples) = wav(folder.path(), "in", 44_100, 1, &sound(44_100, 1, 44_100));
    let converter = AudioConverter::new();
    let config = ConversionConfig::default();
    let mp3 = folder.path().join("in.mp3");
    let report = converter.convert_file(&input, &mp3, config).await.unwrap();
    assert_eq!((report.method, report.output.bytes), (Method::Encoded, std::fs::metadata(&mp3).unwrap().len()));
    let wav = converter.mp3_to_wav(&mp3, config).await.unwrap();
    let out = folder.path().join("out.wav");
    std::fs::write(&out, wav.bytes()).unwrap();
    assert_eq!(ffmpeg(&out).0.len(), 44_100);
    let error = converter.flac_to_wav(&mp3, config).await.unwrap_err();
    assert!(matches!(error, Error::InvalidParameter { name: "the input's format", .. }), "{error}");

    let loaded = converter.load_and_convert(&mp3, AudioFormatType::WAV).await.unwrap().to_audio_input().unwrap();
    assert_eq!((loaded.sample_rate, loaded.frames()), (44_100, 44_100));
    assert_eq!(lag(&samples, &loaded.samples).0, 0);
    let buffer = converter.load(&mp3, config.sample_rate(16_000)).await.unwrap();
    assert_eq!((buffer.sample_rate, buffer.frames()), (16_000, 16_000));

    // A closure over a converter and a configuration, as batches use them: both are `Copy`.
    let job = |file: std::path::PathBuf| async move {
        converter.load_and_convert_with(file, AudioFormatType::FLAC, config).await
    };
    assert_eq!(job(mp3.clone()).await.unwrap().report().output.frames, 44_100);
    assert_eq!(job(mp3).await.unwrap().report().output.codec, "FLAC");
}

#[test]
fn nothing_is_overwritten_or_left_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let (input, _) = wav(folder.path(), "in", 44_100, 1, &sound(44_100, 1, 441_000));
    let output = folder.path().join("out.flac");
    let converter = AudioConverter::new();
    let config = ConversionConfig::default();
    std::fs::write(&output, b"mine").unwrap();
    let error = converter.convert_file_blocking(&input, &output, &config).unwrap_err();
    assert!(matches!(error, Error::OutputExists { .. }), "{error}");
    assert_eq!(std::fs::read(&output).unwrap(), b"mine");
    let error = converter.convert_file_blocking(&input, &input, &config.overwrite(true)).unwrap_err();
    assert!(matches!(error, Error::SameFile { .. }), "{error}");

    let mut calls = 0;
    let mut stop = |progress: mullama_convert::AudioProgress| {
        calls += 1;
        assert_eq!(progress.of, Some(441_000));
        if calls == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let error = converter.convert_file_watched(&input, &output, &config.overwrite(true), &mut stop).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
    assert_eq!(std::fs::read(&output).unwrap(), b"mine");
    converter.convert_file_blocking(&input, &output, &config.overwrite(true)).unwrap();
    assert_eq!(ffmpeg(&output).0.len(), 441_000);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");

    let error = converter.convert_file_blocking(&input, folder.path().join("out.xyz"), &config).unwrap_err();
    assert!(matches!(error, Error::UnknownTarget { .. }), "{error}");
    let none = folder.path().join("none").join("out.flac");
    let error = converter.convert_file_blocking(&input, none, &config).unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
}

#[test]
fn wishes_that_cannot_be_fulfilled_name_what_can() {
    let folder = tempfile::tempdir().unwrap();
    let (input, _) = wav(folder.path(), "in", 44_100, 1, &sound(44_100, 1, 4_410));
    let refuse = |name: &str, config: ConversionConfig| {
        let error = AudioConverter::new().convert_file_blocking(&input, folder.path().join(name), &config).unwrap_err();
        assert_eq!(error.kind(), mullama_core::ErrorKind::InvalidInput);
        error.to_string()
    };
    let config = ConversionConfig::new();
    assert!(refuse("a.mp3", config.sample_rate(96_000)).contains("48000"));
    assert!(refuse("a.mp3", config.channels(6)).contains("1 or 2"));
    assert!(refuse("a.mp3", config.bitrate(321)).contains("32..=320"));
    assert!(refuse("a.m4a", config.sample_rate(8_000).bitrate(64)).contains("48 kbit/s"));
    assert!(refuse("a.opus", config.sample_rate(44_100)).contains("48000"));
    assert!(refuse("a.ogg", config.vorbis_quality(10.5)).contains("-1.0..=10.0"));
    assert!(refuse("a.wav", config.sample_rate(999)).contains("1000..=768000"));
    assert!(refuse("a.flac", config.channels(9)).contains("1..=8"));
    assert!(refuse("a.wav", config.loudness(3.0)).contains("LUFS"));
}

#[tokio::test]
async fn chunks_have_no_seams() {
    let samples = sound(48_000, 2, 48_000);
    let whole = AudioBuffer::new(samples.clone(), 48_000, 2).unwrap();
    let at_once = AudioConverter::new().convert_chunk(&whole).await.unwrap().to_audio_input();
    assert_eq!((at_once.sample_rate, at_once.channels, at_once.frames()), (16_000, 1, 16_000));
    let mut converter = ChunkConverter::new(48_000, 2, 16_000, 1).unwrap();
    let mut pieces = Vec::new();
    for piece in samples.chunks(2 * 481) {
        pieces.extend(converter.push(&AudioBuffer::new(piece.to_vec(), 48_000, 2).unwrap()).unwrap().samples);
    }
    pieces.extend(converter.finish().unwrap().samples);
    assert_eq!(pieces, at_once.samples);
    let other = AudioBuffer::new(vec![0.0; 10], 44_100, 1).unwrap();
    assert!(matches!(converter.push(&other), Err(Error::InvalidParameter { name: "chunk", .. })));
}
