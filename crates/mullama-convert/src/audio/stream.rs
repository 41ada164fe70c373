//! Sound from a reader that cannot go back into a writer that cannot.

use std::io::{Read, Write};

use super::decode::Decoder;
use super::encode::Target;
use super::options::AudioFormatType;
use super::pipeline::{self, Plan};
use super::sink::Sink;
use super::source::Source;
use super::tags::Tags;
use crate::config::ConversionConfig;
use crate::error::{Error, Result};

/// Refuses what cannot be streamed.
pub(crate) fn check(from: AudioFormatType, to: AudioFormatType) -> Result<()> {
    if from == AudioFormatType::M4A {
        return Err(Error::NotStreamable { format: from.name(), problem: "its index may lie at its end" });
    }
    if matches!(to, AudioFormatType::MP3 | AudioFormatType::M4A) {
        let instead = "WAV, FLAC, AAC (ADTS), OGG Vorbis or Opus";
        return Err(Error::NeedsSeek { format: to.name(), instead });
    }
    Ok(())
}

pub(crate) fn convert(
    reader: impl Read + Send + Sync + 'static,
    writer: impl Write + Send + 'static,
    from: AudioFormatType,
    to: AudioFormatType,
    config: &ConversionConfig,
) -> Result<()> {
    let mut decoder = Decoder::open(Source::stream(reader, &config.limits)?, config)?;
    let found = decoder.facts().format;
    if found != Some(from) {
        let value = found.map_or(decoder.facts().codec.name, AudioFormatType::name).to_owned();
        return Err(Error::InvalidParameter { name: "the stream's format", value, expected: from.name().to_owned() });
    }
    let target = Target::plan(to, decoder.facts(), &config.audio)?;
    let tags = Tags::default();
    let plan = Plan { target, config, tags: &tags, progress: &mut crate::streaming::go_on };
    let outcome = pipeline::run(&mut decoder, 1.0, plan, Sink::stream(Box::new(writer)))?;
    for warning in outcome.warnings {
        tracing::debug!(%warning, "while streaming");
    }
    Ok(())
}
