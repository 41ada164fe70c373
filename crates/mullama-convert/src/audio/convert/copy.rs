//! Sound that need not be encoded anew: files copied, AAC put from ADTS into M4A and back.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _};
use std::path::Path;
use std::time::Duration;

use lofty::config::{ParseOptions, WriteOptions};
use lofty::prelude::TaggedFileExt as _;

use super::whole::{Input, Progress};
use crate::audio::decode::{Facts, Units};
use crate::audio::encode::{AdtsUnits, Target, UnitWriter};
use crate::audio::options::AudioFormatType;
use crate::audio::pcm::Samples;
use crate::audio::pipeline::{self, AudioProgress, BlockSource};
use crate::audio::report::{AudioInfo, AudioReport, AudioWarning, Method};
use crate::audio::sink::Sink;
use crate::audio::source::Source;
use crate::config::{ConversionConfig, Damaged, MetadataPolicy};
use crate::error::{Error, Result};
use crate::file::{Partial, failed};

/// What is copied, and where to.
#[derive(Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) path: &'a Path,
    pub(super) partial: &'a Partial,
    pub(super) target: &'a Target,
}

/// How a file can do without encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortcut {
    /// It has the target's format.
    Copy,
    /// It has the target's codec in another container.
    Remux,
}

/// Whether nothing is to be changed about the sound.
pub(super) fn shortcut(facts: &Facts, target: &Target, config: &ConversionConfig) -> Option<Shortcut> {
    let audio = &config.audio;
    let depth = match (facts.format, audio.bits) {
        (Some(AudioFormatType::WAV | AudioFormatType::FLAC), Some(bits)) => facts.codec.bits == Some(bits.bits()),
        _ => true,
    };
    let wishes = audio.bitrate.is_some() || audio.quality.is_some() || pipeline::listens(config);
    if facts.spec != target.spec || !depth || wishes {
        return None;
    }
    match (facts.format?, target.format) {
        (from, to) if from == to && facts.alone => Some(Shortcut::Copy),
        // What lies beside the sound of an MP4, such as its pictures, stays behind.
        (AudioFormatType::AAC | AudioFormatType::M4A, AudioFormatType::M4A)
        | (AudioFormatType::M4A, AudioFormatType::AAC) => Some(Shortcut::Remux),
        _ => None,
    }
}

/// Takes the shortcut after decoding the file once to see that it is whole. `None` if it is not as its own format wants it,
/// so that it is better encoded anew.
pub(super) fn taken(
    way: Shortcut,
    mut source: Box<dyn BlockSource + '_>,
    files: &Files<'_>,
    config: &ConversionConfig,
    progress: Progress<'_>,
) -> Result<Option<AudioReport>> {
    let Files { path, partial, target } = *files;
    let facts = source.facts().clone();
    let Some(mut warnings) = verified(source.as_mut(), &facts, config, progress)? else { return Ok(None) };
    let input = source.info();
    drop(source);
    let (method, bytes) = match way {
        Shortcut::Copy => {
            let mut from = File::open(path).map_err(failed("open", path))?.take(config.limits.max_input_bytes);
            let bytes = io::copy(&mut from, &mut partial.handle()?).map_err(failed("write", partial.path()))?;
            if config.metadata == MetadataPolicy::Strip {
                strip(partial.path())?;
            }
            (Method::Copied, bytes)
        }
        Shortcut::Remux => {
            let Some((bytes, more)) = remux(path, partial, target, &input, config)? else { return Ok(None) };
            warnings.extend(more);
            (Method::Remuxed, bytes)
        }
    };
    let container = if target.format == AudioFormatType::M4A { "MP4" } else { input.container };
    let container = if target.format == AudioFormatType::AAC { "ADTS" } else { container };
    let output = AudioInfo { bytes, format: Some(target.format), container, ..input.clone() };
    Ok(Some(AudioReport { input, output, method, gain_db: 0.0, warnings, elapsed: Duration::ZERO }))
}

/// Decodes all of a source. `None` if there is anything to say about it.
fn verified(
    source: &mut dyn BlockSource,
    facts: &Facts,
    config: &ConversionConfig,
    progress: Progress<'_>,
) -> Result<Option<Vec<AudioWarning>>> {
    let mut block = Samples::Float(Vec::new());
    let mut frames = 0;
    while source.next_block(&mut block)? {
        if let Samples::Float(samples) = &block
            && let Some(at) = samples.iter().position(|sample| !sample.is_finite())
        {
            let first_frame = frames + (at / usize::from(facts.spec.channels)) as u64;
            return match config.damaged {
                Damaged::Refuse => Err(Error::NonFiniteSamples { first_frame }),
                Damaged::Accept => Ok(None),
            };
        }
        frames += (block.len() / usize::from(facts.spec.channels)) as u64;
        if progress(AudioProgress { frames, of: facts.guessed }).is_break() {
            return Err(Error::Cancelled);
        }
    }
    let warnings = source.take_warnings();
    let whole = warnings.iter().all(|warning| matches!(warning, AudioWarning::ExtensionMismatch { .. }));
    Ok(whole.then_some(warnings))
}

/// Puts AAC's access units into the other container. `None` for what the target cannot say.
fn remux(
    path: &Path,
    partial: &Partial,
    target: &Target,
    input: &AudioInfo,
    config: &ConversionConfig,
) -> Result<Option<(u64, Vec<AudioWarning>)>> {
    let source = Source::file(path, &config.limits)?;
    let Some(mut units) = Units::open(source, target.spec, config)? else { return Ok(None) };
    let (tags, unreadable) = Input::File(path).tags(config);
    let mut warnings = tags.dropped(target.format);
    warnings.extend(unreadable);
    let mut writer = match target.format {
        AudioFormatType::M4A => UnitWriter::m4a(target.spec, units.config(), &tags, Sink::file(partial.handle()?))?,
        _ => {
            let Some(header) = AdtsUnits::new(target.spec) else { return Ok(None) };
            UnitWriter::adts(header, &tags, Sink::file(partial.handle()?))?
        }
    };
    let mut coded: u64 = 0;
    while let Some(unit) = units.next_unit()? {
        writer.put(&unit)?;
        coded += 1024;
    }
    // ADTS plays all that is coded; so does the M4A that comes from it.
    let edited = input.format == Some(AudioFormatType::M4A);
    let sink = if edited { writer.finish(units.skip(), input.frames) } else { writer.finish(0, coded) }?;
    let surplus = coded.saturating_sub(input.frames);
    if target.format == AudioFormatType::AAC && surplus > 0 {
        // More than priming and padding: the edit list cuts off sound that must not be heard.
        if surplus > MAX_SURPLUS {
            return Ok(None);
        }
        warnings.push(AudioWarning::InexactLength { frames: surplus });
    }
    let bytes = sink.written();
    sink.finish()?;
    Ok(Some((bytes, warnings)))
}

/// Takes all tags out of a file.
fn strip(path: &Path) -> Result<()> {
    let unwritable = |error: lofty::error::FileEncodingError| Error::Tags { action: "remove", source: Box::new(error) };
    let options = ParseOptions::new().read_properties(false);
    // By its content: the file has no name of its own yet.
    let mut handle = File::options().read(true).write(true).open(path).map_err(failed("open", path))?;
    let probe = lofty::probe::Probe::new(BufReader::new(&handle)).options(options).guess_file_type();
    let Ok(Ok(tagged)) = probe.map(lofty::probe::Probe::read) else {
        // What lofty cannot read has no tags that a player could show.
        return Ok(());
    };
    for tag in tagged.tags() {
        handle.rewind().map_err(failed("read", path))?;
        tag.tag_type().remove_from(&mut handle, WriteOptions::default()).map_err(unwritable)?;
    }
    Ok(())
}

/// Frames of priming and padding that encoders leave: 2112 and less than a packet.
const MAX_SURPLUS: u64 = 4096;
