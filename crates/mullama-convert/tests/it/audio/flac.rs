//! All that the reference encoder can write is decoded to the last bit: its checksum of the samples says so.

use mullama_convert::{AudioConverter, AudioFormatType, ConversionConfig};

use super::tools::run;

/// Frames of tones, noise, silence, one channel alone, samples that end in zeros, full scale, in little-endian samples of
/// `depth` bits.
fn raw(depth: u32, channels: usize) -> Vec<u8> {
    let top = (1i64 << (depth - 1)) as f64 - 1.0;
    let mut noise = 0x1234_5678_u64;
    let mut bytes = Vec::new();
    for at in 0..7 * SEGMENT {
        for channel in 0..channels {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let white = (noise >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
            let tone = (at as f64 * (0.02 + 0.007 * channel as f64)).sin() * 0.6 + (at as f64 * 0.31).sin() * 0.2;
            let value = match at / SEGMENT {
                0 => tone,
                1 => (at as f64 * 0.02).sin() * 0.7 + white * 0.01,
                2 => 0.0,
                3 => tone * if channel == 0 { 1.0 } else { 0.0 },
                4 => (tone * 3.0).round() / 4.0,
                5 => white,
                _ => white.signum(),
            };
            let sample = (value * top).round() as i64 - i64::from(value == -1.0);
            bytes.extend_from_slice(&sample.to_le_bytes()[..depth as usize / 8]);
        }
    }
    bytes
}

const SEGMENT: usize = 1_500;

#[test]
fn whatever_the_reference_encoder_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: String| folder.path().join(name).to_str().unwrap().to_owned();
    let ways: &[&[&str]] = &[
        &["-0"],
        &["-5", "--no-mid-side"],
        &["-8", "-e", "-p"],
        &["-l", "0", "-m", "-b", "192"],
        &["--lax", "-l", "32", "-b", "4608", "-r", "15"],
        &["--lax", "-l", "10", "-b", "65535"],
        &["--lax", "-l", "6", "-b", "37"],
        &["-4", "-b", "1000"],
    ];
    for depth in [8, 16, 24, 32] {
        for channels in [1, 2, 3, 8] {
            let input = path(format!("{depth}-{channels}.raw"));
            std::fs::write(&input, raw(depth, channels)).unwrap();
            for (at, way) in ways.iter().enumerate() {
                let what = format!("{depth} bits, {channels} channels, {way:?}");
                let output = path(format!("{depth}-{channels}-{at}.flac"));
                let format = [
                    "--silent",
                    "--force-raw-format",
                    "--sign=signed",
                    "--endian=little",
                    "--sample-rate=44100",
                    &format!("--bps={depth}"),
                    &format!("--channels={channels}"),
                    "-o",
                    &output,
                    &input,
                ];
                run("flac", &[way, &format[..]].concat());
                let wav = path(format!("{depth}-{channels}-{at}.wav"));
                let report = AudioConverter::new().convert_file_blocking(&output, &wav, &ConversionConfig::new());
                let report = report.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(report.warnings, [], "{what}");
                assert_eq!((report.output.frames, report.input.bits), (7 * SEGMENT as u64, Some(depth)), "{what}");
                assert_eq!(report.output.format, Some(AudioFormatType::WAV), "{what}");
            }
        }
    }
}
