//! A sound to test with, other programs, and measures of likeness.

use std::path::{Path, PathBuf};
use std::process::Command;

use mullama_convert::{AudioConverter, AudioFormatType, AudioReport, ConversionConfig, Result};

/// Runs a program and gives what it wrote to stdout. A program that is missing or fails is a failure of the test.
pub(super) fn run(program: &str, args: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program} is needed for this test (cargo xtask setup installs it): {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {errors}");
    output.stdout
}

/// A sound of its own for each channel: a chord, bursts of noise, a chirp, at about -9 dBFS.
pub(super) fn sound(rate: u32, channels: u16, frames: usize) -> Vec<f32> {
    let mut noise = 0x1234_5678_u32;
    let mut held = vec![0.0f64; usize::from(channels)];
    let mut samples = Vec::with_capacity(frames * usize::from(channels));
    for at in 0..frames {
        let clock = at as f64 / f64::from(rate);
        // The tones glide, so that the sound is like itself in one place only.
        let time = clock + 0.05 * (2.1 * clock).sin() + 0.02 * (5.3 * clock).sin();
        for channel in 0..channels {
            let root = 220.0 * 1.189_207_f64.powi(i32::from(channel));
            let tone = |ratio: f64| (time * root * ratio * std::f64::consts::TAU).sin();
            let chord = tone(1.0) + 0.6 * tone(1.5) + 0.3 * tone(2.25);
            let swell = 0.6 + 0.4 * (time * 3.1 + f64::from(channel)).sin();
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let white = f64::from(noise >> 8) / 8_388_608.0 - 1.0;
            // A little low-passed noise: something to correlate with, whatever the tones.
            let held = &mut held[usize::from(channel)];
            *held += (white - *held) * 0.05;
            samples.push((0.16 * chord * swell + 0.12 * *held) as f32);
        }
    }
    samples
}

/// Writes samples as a WAV of 16 bits with ffmpeg, and gives them as that holds them.
pub(super) fn wav(folder: &Path, name: &str, rate: u32, channels: u16, samples: &[f32]) -> (PathBuf, Vec<f32>) {
    let raw = folder.join(format!("{name}.s16"));
    let rounded: Vec<i16> = samples.iter().map(|sample| (sample * 32_768.0).round() as i16).collect();
    let bytes: Vec<u8> = rounded.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    std::fs::write(&raw, bytes).unwrap();
    let path = folder.join(format!("{name}.wav"));
    let (rate, channels) = (rate.to_string(), channels.to_string());
    let raw = raw.to_str().unwrap();
    let args = ["-v", "error", "-y", "-f", "s16le", "-ar", &rate, "-ac", &channels, "-i", raw];
    run("ffmpeg", &[&args[..], &["-c:a", "pcm_s16le", path.to_str().unwrap()]].concat());
    (path, rounded.iter().map(|sample| f32::from(*sample) / 32_768.0).collect())
}

/// The samples of a file as ffmpeg decodes them, with its rate and channels.
pub(super) fn ffmpeg(path: &Path) -> (Vec<f32>, u32, u16) {
    let path = path.to_str().unwrap();
    let entries = ["-v", "error", "-show_entries", "stream=sample_rate,channels", "-of", "csv=p=0", path];
    let text = String::from_utf8(run("ffprobe", &entries)).unwrap();
    let line = text.lines().find(|line| line.contains(',')).unwrap_or_else(|| panic!("no sound: {text}"));
    let mut numbers = line.trim_matches(',').split(',').map(|number| number.parse::<u32>().unwrap());
    let (rate, channels) = (numbers.next().unwrap(), numbers.next().unwrap());
    let raw = run("ffmpeg", &["-v", "error", "-i", path, "-map", "0:a:0", "-f", "f32le", "-c:a", "pcm_f32le", "-"]);
    let samples = raw.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    (samples, rate, channels.try_into().unwrap())
}

/// One channel of interleaved samples.
pub(super) fn channel(samples: &[f32], channels: u16, index: usize) -> Vec<f32> {
    samples.iter().skip(index).step_by(channels.into()).copied().collect()
}

/// How many frames `late` runs behind `reference`, by correlation, and how alike they are then (-1..=1).
pub(super) fn lag(reference: &[f32], late: &[f32]) -> (isize, f64) {
    const REACH: isize = 3_000;
    let length = reference.len().min(late.len());
    let (from, to) = (length / 4, (length / 4 + 12_000).min(length * 3 / 4));
    let likeness = |shift: isize| {
        let (mut product, mut left, mut right) = (0.0f64, 0.0f64, 0.0f64);
        for at in from..to {
            let Some(other) = at.checked_add_signed(shift).and_then(|at| late.get(at)) else { continue };
            let (a, b) = (f64::from(reference[at]), f64::from(*other));
            product += a * b;
            left += a * a;
            right += b * b;
        }
        product / (left * right).sqrt().max(1e-30)
    };
    (-REACH..=REACH).map(|shift| (shift, likeness(shift))).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

/// Signal to noise in dB: how much of `reference` is in its difference from `other`.
pub(super) fn snr(reference: &[f32], other: &[f32]) -> f64 {
    let energy: f64 = reference.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    let noise: f64 = reference.iter().zip(other).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    10.0 * (energy / noise.max(1e-30)).log10()
}

pub(super) fn convert(input: &Path, output: &Path, config: &ConversionConfig) -> Result<AudioReport> {
    AudioConverter::new().convert_file_blocking(input, output, config)
}

/// Rates that a target takes without resampling.
pub(super) fn takes(format: AudioFormatType, rate: u32) -> bool {
    match format {
        AudioFormatType::MP3 => rate <= 48_000,
        AudioFormatType::OPUS => matches!(rate, 8_000 | 16_000 | 48_000),
        _ => true,
    }
}

pub(super) const RATES: [u32; 6] = [8_000, 16_000, 22_050, 44_100, 48_000, 96_000];
