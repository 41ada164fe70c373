//! What the target will be: the caller's wishes checked against what the format can hold.

use crate::audio::decode::{AAC_RATES, Facts};
use crate::audio::options::{AudioFormatType, AudioOptions, BitDepth};
use crate::audio::pcm::{MAX_CHANNELS, Spec};
use crate::error::{Error, Result};

/// A target in all its numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Target {
    pub(crate) format: AudioFormatType,
    pub(crate) spec: Spec,
    /// Of WAV and FLAC.
    pub(crate) bits: BitDepth,
    /// Of MP3, AAC and Opus, in kbit/s.
    pub(crate) bitrate: u32,
    /// Of Vorbis, -1.0..=10.0.
    pub(crate) quality: f32,
    /// Frames that are likely to come, if that is known.
    pub(crate) frames: Option<u64>,
}

impl Target {
    pub(crate) fn plan(format: AudioFormatType, source: &Facts, options: &AudioOptions) -> Result<Self> {
        let rate = rate(format, source.spec.rate, options.sample_rate)?;
        let channels = channels(format, source.spec.channels, options.channels)?;
        let spec = Spec { rate, channels };
        let quality = options.quality.unwrap_or(6.0);
        if !(-1.0..=10.0).contains(&quality) {
            return Err(invalid("quality", &quality, "-1.0..=10.0"));
        }
        if let Some(loudness) = options.loudness.filter(|value| !(-70.0..=-5.0).contains(value)) {
            return Err(invalid("loudness", &loudness, "-70.0..=-5.0 LUFS"));
        }
        let frames = source.guessed.map(|frames| {
            let frames = u128::from(frames) * u128::from(rate) / u128::from(source.spec.rate.max(1));
            u64::try_from(frames).unwrap_or(u64::MAX)
        });
        Ok(Self {
            format,
            spec,
            bits: bits(format, source, options.bits)?,
            bitrate: bitrate(format, spec, options.bitrate)?,
            quality,
            frames,
        })
    }
}

/// Rates that a format can hold, from the lowest; empty if it is a range.
fn rates(format: AudioFormatType) -> &'static [u32] {
    match format {
        AudioFormatType::MP3 => &[8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000],
        AudioFormatType::AAC | AudioFormatType::M4A => {
            &[7_350, 8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 64_000, 88_200, 96_000]
        }
        AudioFormatType::OPUS => &[8_000, 12_000, 16_000, 24_000, 48_000],
        AudioFormatType::WAV | AudioFormatType::FLAC | AudioFormatType::OGG => &[],
    }
}

fn rate(format: AudioFormatType, source: u32, wish: Option<u32>) -> Result<u32> {
    debug_assert!(rates(AudioFormatType::AAC).iter().all(|rate| AAC_RATES.contains(rate)));
    let rates = rates(format);
    let (lowest, highest) = match format {
        AudioFormatType::WAV => (1_000, 768_000),
        AudioFormatType::FLAC => (1_000, 655_350),
        AudioFormatType::OGG => (8_000, 192_000),
        _ => (rates.first().copied().unwrap_or(0), rates.last().copied().unwrap_or(0)),
    };
    let holds = |rate: u32| {
        if rates.is_empty() { (lowest..=highest).contains(&rate) } else { rates.contains(&rate) }
    };
    match wish {
        Some(rate) if holds(rate) => Ok(rate),
        Some(rate) if rates.is_empty() => {
            Err(invalid("sample_rate", &rate, format!("{lowest}..={highest} Hz for {format}")))
        }
        Some(rate) => {
            let known: Vec<String> = rates.iter().map(u32::to_string).collect();
            Err(invalid("sample_rate", &rate, format!("one of {} Hz for {format}", known.join(", "))))
        }
        None if holds(source) => Ok(source),
        None if rates.is_empty() => Ok(source.clamp(lowest, highest)),
        None => Ok(rates.iter().copied().find(|rate| *rate >= source).unwrap_or(highest)),
    }
}

fn channels(format: AudioFormatType, source: u16, wish: Option<u16>) -> Result<u16> {
    let holds = |channels: u16| match format {
        AudioFormatType::MP3 => (1..=2).contains(&channels),
        // MPEG's default configurations; its four and seven channels stand elsewhere.
        AudioFormatType::AAC | AudioFormatType::M4A => matches!(channels, 1 | 2 | 3 | 5 | 6 | 8),
        _ => (1..=MAX_CHANNELS).contains(&channels),
    };
    match wish {
        Some(channels) if holds(channels) => Ok(channels),
        Some(channels) => {
            let expected = match format {
                AudioFormatType::MP3 => "1 or 2",
                AudioFormatType::AAC | AudioFormatType::M4A => "1, 2, 3, 5, 6 or 8",
                _ => "1..=8",
            };
            Err(invalid("channels", &channels, format!("{expected} for {format}")))
        }
        None if holds(source) => Ok(source),
        None => Ok(2),
    }
}

fn bits(format: AudioFormatType, source: &Facts, wish: Option<BitDepth>) -> Result<BitDepth> {
    let codec = source.codec;
    let same = match codec.bits {
        Some(bits) if codec.lossless && !codec.float => match bits {
            0..=8 => BitDepth::Int8,
            9..=16 => BitDepth::Int16,
            17..=24 => BitDepth::Int24,
            _ => BitDepth::Int32,
        },
        _ if codec.float => BitDepth::Float32,
        _ => BitDepth::Int16,
    };
    match (format, wish) {
        (AudioFormatType::FLAC, Some(wish @ (BitDepth::Int32 | BitDepth::Float32))) => {
            Err(invalid("bits", &wish.bits(), "8, 16 or 24 for FLAC"))
        }
        (AudioFormatType::FLAC, None) if matches!(same, BitDepth::Int32 | BitDepth::Float32) => Ok(BitDepth::Int24),
        (AudioFormatType::WAV | AudioFormatType::FLAC, wish) => Ok(wish.unwrap_or(same)),
        // The others compute with floats.
        _ => Ok(BitDepth::Float32),
    }
}

fn bitrate(format: AudioFormatType, spec: Spec, wish: Option<u32>) -> Result<u32> {
    let channels = u32::from(spec.channels);
    let (min, max, default) = match format {
        AudioFormatType::MP3 if spec.rate >= 32_000 => (32, 320, if channels == 1 { 128 } else { 192 }),
        AudioFormatType::MP3 => (8, 160, if channels == 1 { 64 } else { 112 }),
        AudioFormatType::AAC | AudioFormatType::M4A => {
            // A frame of 1024 samples may take 6144 bits a channel (ISO/IEC 14496-3, 4.5.3.2).
            let max = u32::try_from(u64::from(spec.rate) * 6 * u64::from(channels) / 1000).unwrap_or(u32::MAX);
            (8 * channels, max, (80 * channels).min(max))
        }
        AudioFormatType::OPUS => (6 * channels, 256 * channels, 64 * channels),
        _ => return Ok(0),
    };
    match wish {
        Some(given) if !(min..=max).contains(&given) => Err(Error::BitrateOutOfRange {
            format: format.name(),
            given,
            min,
            max,
            rate: spec.rate,
            channels: spec.channels,
        }),
        wish => Ok(wish.unwrap_or(default)),
    }
}

fn invalid(name: &'static str, value: &dyn std::fmt::Display, expected: impl Into<String>) -> Error {
    Error::InvalidParameter { name, value: value.to_string(), expected: expected.into() }
}
