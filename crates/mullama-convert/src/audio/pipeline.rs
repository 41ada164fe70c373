//! A whole conversion: decoder, stages, encoder.

use std::ops::ControlFlow;

use super::decode::{Decoder, Facts};
use super::encode::{Encoder, Target};
use super::loudness::Meter;
use super::options::{AudioFormatType, BitDepth, ClipPolicy};
use super::pcm::Samples;
use super::quantise::Quantiser;
use super::report::{AudioInfo, AudioWarning, Method};
use super::sink::Sink;
use super::stages::Stages;
use super::tags::Tags;
use crate::config::ConversionConfig;
use crate::error::{Error, Result};

/// Gives blocks of samples: a file being decoded, or sound in memory.
pub(crate) trait BlockSource {
    fn facts(&self) -> &Facts;

    /// Puts the next samples into `block`; `false` at the end.
    fn next_block(&mut self, block: &mut Samples) -> Result<bool>;

    fn info(&self) -> AudioInfo;

    fn take_warnings(&mut self) -> Vec<AudioWarning>;
}

impl BlockSource for Decoder {
    fn facts(&self) -> &Facts {
        self.facts()
    }

    fn next_block(&mut self, block: &mut Samples) -> Result<bool> {
        self.next_block(block)
    }

    fn info(&self) -> AudioInfo {
        self.info()
    }

    fn take_warnings(&mut self) -> Vec<AudioWarning> {
        self.take_warnings()
    }
}

/// How far a conversion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AudioProgress {
    /// Frames of the source that are done.
    pub frames: u64,
    /// Frames of the source in all, if it says so; it may be wrong.
    pub of: Option<u64>,
}

/// What a conversion gives.
pub(crate) struct Outcome {
    /// The file, if it was written to memory.
    pub(crate) bytes: Vec<u8>,
    pub(crate) input: AudioInfo,
    pub(crate) output: AudioInfo,
    pub(crate) method: Method,
    pub(crate) gain_db: f32,
    pub(crate) warnings: Vec<AudioWarning>,
}

/// What a conversion needs besides its source and sink.
pub(crate) struct Plan<'a> {
    pub(crate) target: Target,
    pub(crate) config: &'a ConversionConfig,
    pub(crate) tags: &'a Tags,
    pub(crate) progress: &'a mut dyn FnMut(AudioProgress) -> ControlFlow<()>,
}

/// Whether the gain must be found out by listening to the whole first.
pub(crate) fn listens(config: &ConversionConfig) -> bool {
    config.audio.loudness.is_some() || config.audio.clip == ClipPolicy::Attenuate
}

/// Listens to the whole of a source and finds its gain.
pub(crate) fn measure(
    source: &mut dyn BlockSource,
    target: &Target,
    config: &ConversionConfig,
    progress: &mut dyn FnMut(AudioProgress) -> ControlFlow<()>,
) -> Result<(f32, Option<AudioWarning>)> {
    let mut stages = Stages::new(source.facts().spec, target, 1.0, config.damaged)?;
    let mut meter = Meter::new(target.spec, &config.audio)?;
    let mut block = Samples::Float(Vec::new());
    while source.next_block(&mut block)? {
        meter.push(stages.run(&mut block)?)?;
        // Nothing of the source is done yet, but it may be given up.
        if progress(AudioProgress { frames: 0, of: source.facts().guessed }).is_break() {
            return Err(Error::Cancelled);
        }
    }
    meter.push(stages.finish()?)?;
    meter.gain(&config.audio)
}

/// Whether every sample can be handed on as it is.
pub(crate) fn is_exact(facts: &Facts, target: &Target, config: &ConversionConfig) -> bool {
    let codec = facts.codec;
    let wide = codec.bits.is_some_and(|bits| bits <= target.bits.bits());
    codec.lossless
        && !codec.float
        && target.format.is_lossless()
        && target.bits != BitDepth::Float32
        && wide
        && facts.spec == target.spec
        && !listens(config)
}

pub(crate) fn run(source: &mut dyn BlockSource, gain: f32, plan: Plan<'_>, sink: Sink) -> Result<Outcome> {
    let Plan { target, config, tags, progress } = plan;
    let facts = source.facts().clone();
    let exact = is_exact(&facts, &target, config);
    let mut warnings = tags.dropped(target.format);
    let mut encoder = Encoder::new(&target, tags, sink)?;
    let mut stages = Stages::new(facts.spec, &target, gain, config.damaged)?;
    let depth = target.bits.bits();
    let mut quantiser = Quantiser::new(depth, dither(&facts, &target, gain, config));
    let mut block = Samples::Float(Vec::new());
    let mut integers = Vec::new();
    let (mut read, mut written) = (0u64, 0u64);
    let mut count = |samples: usize| written += (samples / usize::from(target.spec.channels)) as u64;
    while source.next_block(&mut block)? {
        read += (block.len() / usize::from(facts.spec.channels)) as u64;
        match (&mut encoder, &mut block) {
            (Encoder::Int(encoder), Samples::Int(samples)) if exact => {
                count(samples.len());
                encoder.write(samples, 32 - depth)?;
            }
            (encoder, block) => {
                let samples = stages.run(block)?;
                count(samples.len());
                write(encoder, samples, &mut quantiser, &mut integers)?;
            }
        }
        if progress(AudioProgress { frames: read, of: facts.guessed }).is_break() {
            return Err(Error::Cancelled);
        }
    }
    let rest = stages.finish()?;
    count(rest.len());
    write(&mut encoder, rest, &mut quantiser, &mut integers)?;
    let encoded = encoder.finish()?;

    let clipped = quantiser.clipped() + encoded.clipped;
    if clipped > 0 && config.audio.clip == ClipPolicy::Refuse {
        return Err(Error::Clipped { samples: clipped });
    }
    warnings.splice(0..0, source.take_warnings());
    warnings.extend(changes(&facts, &target));
    if stages.non_finite > 0 {
        warnings.push(AudioWarning::NonFinite { samples: stages.non_finite });
    }
    if clipped > 0 {
        warnings.push(AudioWarning::Clipped { samples: clipped });
    }
    if encoded.surplus > 0 {
        warnings.push(AudioWarning::InexactLength { frames: encoded.surplus });
    }
    let written_bytes = encoded.sink.written();
    Ok(Outcome {
        bytes: encoded.sink.finish()?,
        input: source.info(),
        output: info(&target, written, written_bytes),
        method: if exact { Method::Lossless } else { Method::Encoded },
        gain_db: 20.0 * gain.log10(),
        warnings,
    })
}

fn write(encoder: &mut Encoder, samples: &[f32], quantiser: &mut Quantiser, integers: &mut Vec<i32>) -> Result<()> {
    match encoder {
        Encoder::Float(encoder) => encoder.write(samples),
        Encoder::Int(encoder) => {
            quantiser.run(samples, integers);
            encoder.write(integers, 0)
        }
    }
}

/// Dither belongs where sound has more to it than the target can hold, and nowhere else.
fn dither(facts: &Facts, target: &Target, gain: f32, config: &ConversionConfig) -> super::options::Dither {
    let codec = facts.codec;
    let fits = codec.lossless && !codec.float && codec.bits.is_some_and(|bits| bits <= target.bits.bits());
    let untouched = facts.spec == target.spec && (gain - 1.0).abs() <= f32::EPSILON;
    if fits && untouched { super::options::Dither::None } else { config.audio.dither }
}

fn changes(facts: &Facts, target: &Target) -> Vec<AudioWarning> {
    let mut changes = Vec::new();
    let (from, to) = (facts.spec, target.spec);
    if from.rate != to.rate {
        changes.push(AudioWarning::Resampled { from: from.rate, to: to.rate });
    }
    if from.channels != to.channels {
        changes.push(AudioWarning::Remixed { from: from.channels, to: to.channels });
    }
    if let (true, true, Some(bits)) = (facts.codec.lossless, target.format.is_lossless(), facts.codec.bits) {
        let narrower = bits > target.bits.bits() || (facts.codec.float && target.bits != BitDepth::Float32);
        if narrower {
            changes.push(AudioWarning::DepthReduced { from: bits, to: target.bits.bits() });
        }
    }
    changes
}

fn info(target: &Target, frames: u64, bytes: u64) -> AudioInfo {
    let (container, codec) = match target.format {
        AudioFormatType::WAV => ("WAV", "PCM"),
        AudioFormatType::FLAC => ("FLAC", "FLAC"),
        AudioFormatType::MP3 => ("MPEG audio", "MP3"),
        AudioFormatType::AAC => ("ADTS", "AAC"),
        AudioFormatType::M4A => ("MP4", "AAC"),
        AudioFormatType::OGG => ("Ogg", "Vorbis"),
        AudioFormatType::OPUS => ("Ogg", "Opus"),
    };
    AudioInfo {
        format: Some(target.format),
        container,
        codec,
        sample_rate: target.spec.rate,
        channels: target.spec.channels,
        bits: target.format.is_lossless().then(|| target.bits.bits()),
        frames,
        counted: true,
        bytes,
    }
}
