//! Whole files: opened, perhaps listened to, converted or copied, put in place.

use std::io::Seek as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use bytes::Bytes;
use mullama_core::AudioBuffer;

use super::{ConvertedAudio, copy};
use crate::audio::decode::{Codec, Decoder, Facts};
use crate::audio::encode::Target;
use crate::audio::options::AudioFormatType;
use crate::audio::pcm::{MAX_CHANNELS, Samples, Spec};
use crate::audio::pipeline::{self, AudioProgress, BlockSource, Outcome, Plan};
use crate::audio::report::{AudioInfo, AudioReport, AudioWarning};
use crate::audio::sink::Sink;
use crate::audio::source::Source;
use crate::audio::stages::Stages;
use crate::audio::tags::{Changed, Tags};
use crate::config::{ConversionConfig, Damaged, MetadataPolicy};
use crate::error::{Error, Result};
use crate::file::{self, Partial, check_target, failed};
use crate::job;
use crate::metadata::AudioTags;

pub(super) type Progress<'a> = &'a mut dyn FnMut(AudioProgress) -> ControlFlow<()>;

/// What is converted.
pub(super) enum Input<'a> {
    File(&'a Path),
    Bytes(Bytes),
    Samples(&'a AudioBuffer),
}

impl Input<'_> {
    fn open(&self, config: &ConversionConfig) -> Result<Box<dyn BlockSource + '_>> {
        let source = match self {
            Self::File(path) => Source::file(path, &config.limits)?,
            Self::Bytes(bytes) => Source::bytes(bytes.clone(), &config.limits)?,
            Self::Samples(buffer) => return Ok(Box::new(Memory::new(buffer)?)),
        };
        Ok(Box::new(Decoder::open(source, config)?))
    }

    pub(super) fn tags(&self, config: &ConversionConfig) -> (Tags, Option<AudioWarning>) {
        match self {
            _ if config.metadata == MetadataPolicy::Strip => (Tags::default(), None),
            Self::File(path) => Tags::file(path, &config.limits),
            Self::Bytes(bytes) => Tags::bytes(bytes, &config.limits),
            Self::Samples(_) => (Tags::default(), None),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::File(path) => format!("`{}`", path.display()),
            Self::Bytes(bytes) => format!("{} bytes", bytes.len()),
            Self::Samples(buffer) => format!("{} frames", buffer.frames()),
        }
    }
}

pub(super) fn probe(input: &Input<'_>, config: &ConversionConfig) -> Result<AudioInfo> {
    guarded(input, || Ok(input.open(config)?.info()))
}

pub(super) fn tags(path: &Path, config: &ConversionConfig) -> Result<AudioTags> {
    drop(file::open(path)?);
    let input = Input::File(path);
    guarded(&input, || {
        let (tags, unreadable) = Tags::file(path, &config.limits);
        let problem = unreadable.map(|warning| match warning {
            AudioWarning::UnreadableTags { problem } => problem,
            other => other.to_string(),
        });
        Ok(AudioTags { items: tags.items(), pictures: tags.pictures(), problem })
    })
}

pub(super) fn to_file(
    input: &Path,
    output: &Path,
    format: AudioFormatType,
    config: &ConversionConfig,
    progress: Progress<'_>,
) -> Result<AudioReport> {
    check_target(input, output, config.existing)?;
    let source = Input::File(input);
    let started = Instant::now();
    // What cannot be read must not even touch the target's folder.
    let first = guarded(&source, || source.open(config))?;
    let partial = Partial::new(output, config.existing)?;
    let mut report = guarded(&source, || {
        let target = Target::plan(format, first.facts(), &config.audio)?;
        let files = copy::Files { path: input, partial: &partial, target: &target };
        let mut open = Some(first);
        if let Some(way) = open.as_ref().and_then(|first| copy::shortcut(first.facts(), &target, config))
            && let Some(first) = open.take()
            && let Some(report) = copy::taken(way, first, &files, config, &mut *progress)?
        {
            return Ok(report);
        }
        let mut file = partial.handle()?;
        // A shortcut that turned out to be none may have written something.
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed("write", output))?;
        converted(&source, open, (format, config), Sink::file(file), progress).map(|(report, _)| report)
    })
    .map_err(|error| match error {
        // What the sink could not write has no path of its own.
        Error::Stream { action: action @ "write", source } => failed(action, output)(source),
        Error::Stream { action: action @ "read", source } => failed(action, input)(source),
        error => error,
    })?;
    partial.put_in_place()?;
    report.elapsed = started.elapsed();
    Ok(report)
}

pub(super) fn to_memory(
    input: &Input<'_>,
    format: AudioFormatType,
    config: &ConversionConfig,
    progress: Progress<'_>,
) -> Result<ConvertedAudio> {
    let started = Instant::now();
    guarded(input, || {
        let sink = Sink::memory(config.limits.max_audio_bytes);
        let (mut report, bytes) = converted(input, None, (format, config), sink, progress)?;
        report.elapsed = started.elapsed();
        Ok(ConvertedAudio { bytes: bytes.into(), report })
    })
}

pub(super) fn samples(input: &Input<'_>, config: &ConversionConfig, progress: Progress<'_>) -> Result<AudioBuffer> {
    guarded(input, || {
        let mut source = input.open(config)?;
        let facts = source.facts().clone();
        let target = Target::plan(AudioFormatType::WAV, &facts, &config.audio)?;
        let gain = if pipeline::listens(config) {
            pipeline::measure(input.open(config)?.as_mut(), &target, config, progress)?.0
        } else {
            1.0
        };
        let mut stages = Stages::new(facts.spec, &target, gain, config.damaged)?;
        let mut block = Samples::Float(Vec::new());
        let mut samples: Vec<f32> = Vec::new();
        let mut frames = 0;
        let limit = config.limits.max_audio_bytes;
        let fits = |samples: u64| {
            let value = samples.saturating_mul(size_of::<f32>() as u64);
            let too_large = Error::TooLarge { what: "the samples in memory", value, limit, unit: "bytes" };
            if value > limit { Err(too_large) } else { Ok(()) }
        };
        if let (Some(announced), Damaged::Refuse) = (facts.announced, config.damaged) {
            let seconds = announced / u64::from(facts.spec.rate.max(1));
            fits(seconds.saturating_mul(u64::from(target.spec.rate) * u64::from(target.spec.channels)))?;
        }
        let mut take = |part: &[f32]| -> Result<()> {
            fits((samples.len() + part.len()) as u64)?;
            samples.extend_from_slice(part);
            Ok(())
        };
        while source.next_block(&mut block)? {
            frames += (block.len() / usize::from(facts.spec.channels)) as u64;
            take(stages.run(&mut block)?)?;
            if progress(AudioProgress { frames, of: facts.guessed }).is_break() {
                return Err(Error::Cancelled);
            }
        }
        take(stages.finish()?)?;
        Ok(AudioBuffer { samples, sample_rate: target.spec.rate, channels: target.spec.channels })
    })
}

/// Converts what is open, or opens it.
fn converted<'a>(
    input: &'a Input<'_>,
    open: Option<Box<dyn BlockSource + 'a>>,
    (format, config): (AudioFormatType, &ConversionConfig),
    sink: Sink,
    progress: Progress<'_>,
) -> Result<(AudioReport, Vec<u8>)> {
    let mut source = match open {
        Some(source) => source,
        None => input.open(config)?,
    };
    let target = Target::plan(format, source.facts(), &config.audio)?;
    let (mut tags, unreadable) = input.tags(config);
    let (gain, limited) = if pipeline::listens(config) {
        pipeline::measure(input.open(config)?.as_mut(), &target, config, progress)?
    } else {
        (1.0, None)
    };
    let channels = source.facts().spec.channels != target.spec.channels;
    let untrue = tags.drop_untrue(Changed { level: (gain - 1.0).abs() > f32::EPSILON, channels });
    let plan = Plan { target, config, tags: &tags, progress };
    let outcome = pipeline::run(source.as_mut(), gain, plan, sink)?;
    let Outcome { bytes, input, output, method, gain_db, mut warnings } = outcome;
    warnings.extend(untrue);
    warnings.extend(unreadable);
    warnings.extend(limited);
    let elapsed = std::time::Duration::ZERO;
    Ok((AudioReport { input, output, method, gain_db, warnings, elapsed }, bytes))
}

/// Sound in memory as a source.
struct Memory<'a> {
    buffer: &'a AudioBuffer,
    facts: Facts,
    at: usize,
}

impl<'a> Memory<'a> {
    fn new(buffer: &'a AudioBuffer) -> Result<Self> {
        if buffer.channels > MAX_CHANNELS {
            return Err(Error::InvalidChannels { channels: buffer.channels.into(), max: MAX_CHANNELS });
        }
        if !(1_000..=768_000).contains(&buffer.sample_rate) {
            return Err(Error::InvalidSampleRate { rate: buffer.sample_rate });
        }
        if buffer.samples.is_empty() {
            return Err(Error::NoAudioFrames);
        }
        let frames = Some(buffer.frames() as u64);
        let facts = Facts {
            format: None,
            container: "memory",
            codec: Codec { name: "PCM", lossless: true, float: true, bits: Some(32) },
            spec: Spec { rate: buffer.sample_rate, channels: buffer.channels },
            announced: frames,
            guessed: frames,
            bytes: size_of_val(buffer.samples.as_slice()) as u64,
            alone: true,
        };
        Ok(Self { buffer, facts, at: 0 })
    }
}

impl BlockSource for Memory<'_> {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn next_block(&mut self, block: &mut Samples) -> Result<bool> {
        let rest = &self.buffer.samples[self.at..];
        let part = &rest[..rest.len().min(4096 * usize::from(self.buffer.channels))];
        *block = Samples::Float(part.to_vec());
        self.at += part.len();
        Ok(!part.is_empty())
    }

    fn info(&self) -> AudioInfo {
        AudioInfo {
            format: None,
            container: self.facts.container,
            codec: self.facts.codec.name,
            sample_rate: self.facts.spec.rate,
            channels: self.facts.spec.channels,
            bits: self.facts.codec.bits,
            frames: self.buffer.frames() as u64,
            counted: true,
            bytes: self.facts.bytes,
        }
    }

    fn take_warnings(&mut self) -> Vec<AudioWarning> {
        Vec::new()
    }
}

/// Runs a job so that a codec that panics ends the job and nothing else.
fn guarded<T>(input: &Input<'_>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    job::guarded(|| input.name(), work)
}
