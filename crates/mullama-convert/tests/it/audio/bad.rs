//! Files that lie, break off or make no sense: a typed error or the stated warning, soon and without much memory.

use std::path::{Path, PathBuf};
use std::time::Instant;

use mullama_convert::{
    AudioConverter, AudioReport, AudioWarning, ClipPolicy, ConversionConfig, Damaged, Error, Limits, Result,
};
use proptest::prelude::*;

use super::tools::{convert, ffmpeg, run, sound, wav};
use crate::peak;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Four seconds of stereo in a format: several pages of Ogg.
    fn good(&self, name: &str) -> Vec<u8> {
        let (input, _) = wav(self.folder.path(), "good", 44_100, 2, &sound(44_100, 2, 176_400));
        let path = self.path(&format!("good-{name}"));
        run("ffmpeg", &["-v", "error", "-y", "-i", input.to_str().unwrap(), path.to_str().unwrap()]);
        std::fs::read(path).unwrap()
    }

    /// Converts into a WAV, soon and in little memory; an error leaves nothing behind.
    fn convert(&self, input: &Path, config: ConversionConfig) -> Result<AudioReport> {
        let output = self.path("result.wav");
        let started = Instant::now();
        let (result, grown) = peak::growth(|| convert(input, &output, &config.overwrite(true)));
        assert!(grown < peak::LIMIT, "{}: {grown} MiB", input.display());
        assert!(started.elapsed() < peak::SOON, "{}", input.display());
        if result.is_err() {
            let left: Vec<_> =
                std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(!left.iter().any(|path| path.to_string_lossy().contains("partial")), "{left:?}");
        }
        result
    }

    fn refuse(&self, input: &Path) -> Error {
        self.convert(input, ConversionConfig::new()).expect_err(&input.display().to_string())
    }
}

/// A WAV header with these numbers and 1000 frames of 4 bytes.
fn header(rate: u32, channels: u16, bits: u16, tag: u16, length: u32) -> Vec<u8> {
    let mut bytes = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0".to_vec();
    bytes.extend_from_slice(&tag.to_le_bytes());
    bytes.extend_from_slice(&channels.to_le_bytes());
    bytes.extend_from_slice(&rate.to_le_bytes());
    let align = u32::from(channels) * u32::from(bits) / 8;
    bytes.extend_from_slice(&rate.wrapping_mul(align).to_le_bytes());
    bytes.extend_from_slice(&(align as u16).to_le_bytes());
    bytes.extend_from_slice(&bits.to_le_bytes());
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend((0..4_000u32).map(|at| (at % 251) as u8));
    bytes
}

#[test]
fn what_is_no_sound_is_called_so() {
    let bench = Bench::new();
    assert!(matches!(bench.refuse(&bench.write("empty.mp3", b"")), Error::EmptyInput));
    let noise: Vec<u8> = (0..5_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8 & 0x7f).collect();
    assert!(matches!(bench.refuse(&bench.write("noise.wav", &noise)), Error::UnknownFormat { .. }));
    assert!(matches!(bench.refuse(&bench.write("zeros.aac", &[0; 4_096])), Error::UnknownFormat { .. }));
    let picture = [&b"\xff\xd8\xff\xe0\0\x10JFIF\0"[..], &[0x11; 3_000]].concat();
    assert!(matches!(bench.refuse(&bench.write("picture.mp3", &picture)), Error::UnknownFormat { .. }));
    assert!(matches!(bench.refuse(&bench.path("nowhere.wav")), Error::File { action: "open", .. }));
    assert!(matches!(bench.refuse(bench.folder.path()), Error::File { .. }));
    let error = bench.refuse(&bench.write("one.wav", b"R"));
    assert!(matches!(error, Error::UnknownFormat { .. }), "{error:?}");
}

#[test]
fn lying_headers_are_refused_or_named() {
    let bench = Bench::new();
    let refuse = |name: &str, bytes: &[u8]| bench.refuse(&bench.write(name, bytes));
    assert!(matches!(refuse("0hz.wav", &header(0, 2, 16, 1, 4_000)), Error::InvalidSampleRate { rate: 0 }));
    assert!(matches!(
        refuse("4ghz.wav", &header(u32::MAX, 2, 16, 1, 4_000)),
        Error::InvalidSampleRate { rate: u32::MAX }
    ));
    for (name, bytes) in [
        ("0ch.wav", header(44_100, 0, 16, 1, 4_000)),
        ("64ch.wav", header(44_100, 64, 16, 1, 4_000)),
        ("65535ch.wav", header(44_100, 65_535, 16, 1, 4_000)),
        ("0bit.wav", header(44_100, 2, 0, 1, 4_000)),
        ("7bit.wav", header(44_100, 2, 7, 1, 4_000)),
        ("tag.wav", header(44_100, 2, 16, 0x4242, 4_000)),
    ] {
        let error = refuse(name, &bytes);
        assert!(
            matches!(error, Error::Corrupt { .. } | Error::UnsupportedCodec { .. } | Error::InvalidChannels { .. }),
            "{name}: {error:?}"
        );
    }
    let nothing = &header(44_100, 2, 16, 1, 0)[..44];
    assert!(matches!(refuse("nothing.wav", nothing), Error::NoAudioFrames), "{:?}", refuse("nothing.wav", nothing));

    let top =
        bench.convert(&bench.write("768.wav", &header(768_000, 2, 16, 1, 4_000)), ConversionConfig::new()).unwrap();
    assert_eq!((top.output.sample_rate, top.output.frames), (768_000, 1_000));
    let piped = bench.write("piped.wav", &header(44_100, 2, 16, 1, u32::MAX));
    let report = bench.convert(&piped, ConversionConfig::new()).unwrap();
    assert_eq!(report.output.frames, 1_000);
    assert!(report.warnings.contains(&AudioWarning::UnknownLength), "{report:?}");
    let long = bench.write("long.wav", &header(44_100, 2, 16, 1, 400_000));
    let error = bench.refuse(&long);
    assert!(matches!(error, Error::Truncated { expected: 100_000, got: 1_000, .. }), "{error:?}");
    let report = bench.convert(&long, ConversionConfig::new().damaged(Damaged::Accept)).unwrap();
    assert!(report.warnings.contains(&AudioWarning::Truncated { expected: 100_000, got: 1_000 }), "{report:?}");
    let short =
        bench.convert(&bench.write("short.wav", &header(44_100, 2, 16, 1, 400)), ConversionConfig::new()).unwrap();
    assert_eq!(short.output.frames, 100);
    assert!(short.warnings.iter().any(|w| matches!(w, AudioWarning::TrailingData { .. })), "{short:?}");
    let one =
        bench.convert(&bench.write("one.wav", &header(8_000, 1, 8, 1, 1)[..45]), ConversionConfig::new()).unwrap();
    assert_eq!(one.output.frames, 1);
}

#[test]
fn samples_that_are_no_numbers_are_refused_or_silenced() {
    let bench = Bench::new();
    let mut bytes = header(44_100, 1, 32, 3, 4_000);
    for (at, sample) in (0..1_000).zip([0.5f32].into_iter().cycle()) {
        bytes[44 + at * 4..48 + at * 4].copy_from_slice(&sample.to_le_bytes());
    }
    bytes[44 + 300 * 4..48 + 300 * 4].copy_from_slice(&f32::NAN.to_le_bytes());
    bytes[44 + 700 * 4..48 + 700 * 4].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    let path = bench.write("nan.wav", &bytes);
    for config in [ConversionConfig::new(), ConversionConfig::new().sample_rate(16_000)] {
        let error = bench.convert(&path, config).unwrap_err();
        assert!(matches!(error, Error::NonFiniteSamples { first_frame: 300 }), "{error:?}");
        let report = bench.convert(&path, config.damaged(Damaged::Accept)).unwrap();
        assert!(report.warnings.contains(&AudioWarning::NonFinite { samples: 2 }), "{report:?}");
        assert!(ffmpeg(&bench.path("result.wav")).0.iter().all(|sample| sample.is_finite()));
    }

    let mut loud = header(44_100, 1, 32, 3, 4_000);
    for at in 0..1_000 {
        loud[44 + at * 4..48 + at * 4].copy_from_slice(&2.0f32.to_le_bytes());
    }
    let path = bench.write("loud.wav", &loud);
    let mut config = ConversionConfig::new().bits(mullama_convert::BitDepth::Int16);
    let report = bench.convert(&path, config).unwrap();
    assert!(report.warnings.contains(&AudioWarning::Clipped { samples: 1_000 }), "{report:?}");
    config.audio.clip = ClipPolicy::Refuse;
    assert!(matches!(bench.convert(&path, config).unwrap_err(), Error::Clipped { samples: 1_000 }));
    config.audio.clip = ClipPolicy::Attenuate;
    let report = bench.convert(&path, config).unwrap();
    assert!((report.gain_db + 6.02).abs() < 0.01, "{report:?}");
}

#[test]
fn what_breaks_off_is_truncated() {
    let bench = Bench::new();
    for name in ["a.flac", "a.ogg", "a.opus", "a.mp3", "a.m4a", "a.wav"] {
        let good = bench.good(name);
        for share in [3, 30, 60, 90] {
            let path = bench.write(&format!("{share}-{name}"), &good[..good.len() * share / 100]);
            match bench.convert(&path, ConversionConfig::new()) {
                Err(Error::Truncated { .. } | Error::Corrupt { .. } | Error::UnknownFormat { .. }) => {}
                // What breaks off between two packets of Ogg cannot be told from the end; the sound is shorter.
                Ok(report) if name == "a.ogg" || name == "a.opus" => {
                    assert!(report.output.frames < 4 * 48_000 * 95 / 100);
                }
                other => panic!("{share} % of {name}: {other:?}"),
            }
        }
        if name != "a.m4a" {
            let path = bench.path(&format!("60-{name}"));
            let report = bench.convert(&path, ConversionConfig::new().damaged(Damaged::Accept)).unwrap();
            let share = report.output.duration().as_secs_f64() / 4.0;
            assert!((0.2..0.9).contains(&share), "{name}: {share}");
        }
    }
}

#[test]
fn damage_in_the_middle_is_found() {
    let bench = Bench::new();
    for name in ["b.flac", "b.ogg", "b.mp3", "b.aac", "b.m4a", "b.opus"] {
        let mut bytes = bench.good(name);
        let middle = bytes.len() / 2;
        bytes[middle..middle + 3].iter_mut().for_each(|byte| *byte ^= 0x5a);
        let path = bench.write(&format!("bad-{name}"), &bytes);
        let strict = bench.convert(&path, ConversionConfig::new());
        if name == "b.flac" || name == "b.ogg" {
            // These have checksums.
            assert!(matches!(strict, Err(Error::Corrupt { .. } | Error::Truncated { .. })), "{name}: {strict:?}");
        }
        let report = bench.convert(&path, ConversionConfig::new().damaged(Damaged::Accept)).unwrap();
        let seconds = report.output.duration().as_secs_f64();
        assert!((2.5..4.3).contains(&seconds), "{name}: {seconds}");
    }
    // A wrong MD5 over right frames.
    let mut bytes = bench.good("c.flac");
    bytes[8 + 20] ^= 1;
    let report = bench.convert(&bench.write("md5.flac", &bytes), ConversionConfig::new()).unwrap();
    assert!(report.warnings.iter().any(|w| matches!(w, AudioWarning::ChecksumMismatch { .. })), "{report:?}");
    // A tail of garbage.
    let bytes = [bench.good("d.mp3"), (0..3_000u32).map(|at| (at * 7 % 253) as u8).collect()].concat();
    let report = bench.convert(&bench.write("tail.mp3", &bytes), ConversionConfig::new()).unwrap();
    assert_eq!(report.output.frames, 176_400);
}

#[test]
fn names_that_lie_are_told_and_content_is_believed() {
    let bench = Bench::new();
    let path = bench.write("mp3.wav", &bench.good("e.mp3"));
    let report = bench.convert(&path, ConversionConfig::new()).unwrap();
    assert_eq!(report.input.codec, "MP3");
    let mismatch = |warning: &AudioWarning| matches!(warning, AudioWarning::ExtensionMismatch { found: "MP3", .. });
    assert!(report.warnings.iter().any(mismatch), "{report:?}");
}

#[test]
fn limits_hold() {
    let bench = Bench::new();
    let path = bench.write("f.flac", &bench.good("f.flac"));
    let limited = |limits| bench.convert(&path, ConversionConfig::new().limits(limits)).unwrap_err();
    let error = limited(Limits { max_input_bytes: 1_000, ..Limits::default() });
    assert!(matches!(error, Error::TooLarge { limit: 1_000, unit: "bytes", .. }), "{error:?}");
    let error = limited(Limits { max_duration_s: 0, ..Limits::default() });
    assert!(matches!(error, Error::TooLarge { unit: "s", .. }), "{error:?}");
    let config = ConversionConfig::new().limits(Limits { max_audio_bytes: 10_000, ..Limits::default() });
    let error = AudioConverter::new().load_blocking(&path, &config).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 10_000, .. }), "{error:?}");
    let error = AudioConverter::new()
        .load_and_convert_blocking(&path, mullama_convert::AudioFormatType::WAV, &config)
        .unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 10_000, .. }), "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Mutated files end in a report or a typed error, never in a panic, and soon.
    #[test]
    fn mutated_files_do_no_harm(
        which in 0..7usize,
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        keep in 10..=100usize,
    ) {
        let mut bytes = seeds()[which].clone();
        let length = bytes.len();
        for (place, value) in places {
            bytes[place.index(length)] = value;
        }
        bytes.truncate(length * keep / 100);
        for damaged in [Damaged::Refuse, Damaged::Accept] {
            let started = Instant::now();
            let config = ConversionConfig::new().damaged(damaged);
            let result = AudioConverter::new().decode_blocking(bytes.clone(), &config);
            prop_assert!(!matches!(result, Err(Error::Panicked { .. })), "{result:?}");
            prop_assert!(started.elapsed() < peak::SOON);
        }
    }
}

/// A quarter of a second in each format.
fn seeds() -> &'static [Vec<u8>] {
    static SEEDS: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
    SEEDS.get_or_init(|| {
        let samples = mullama_core::AudioBuffer::new(sound(16_000, 2, 4_000), 16_000, 2).unwrap();
        mullama_convert::AudioFormatType::ALL
            .into_iter()
            .map(|format| {
                let encoded = AudioConverter::new().encode_blocking(&samples, format, &ConversionConfig::default());
                encoded.unwrap().into_bytes().to_vec()
            })
            .collect()
    })
}
