//! AAC's access units into a container, without encoding anything.

use super::failed;
use super::mp4::Mp4;
use crate::audio::options::AudioFormatType;
use crate::audio::pcm::Spec;
use crate::audio::sink::Sink;
use crate::audio::tags::Tags;
use crate::error::Result;

/// Puts unit after unit.
pub(crate) enum UnitWriter {
    Adts(AdtsUnits, Sink),
    M4a(Box<Mp4>),
}

/// Writes the header that ADTS has before each unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdtsUnits {
    spec: Spec,
}

impl AdtsUnits {
    /// Checks that ADTS can say this rate and these channels.
    pub(crate) fn new(spec: Spec) -> Result<Self> {
        let this = Self { spec };
        this.wrap(&[0])?;
        Ok(this)
    }

    fn wrap(self, unit: &[u8]) -> Result<Vec<u8>> {
        syom::wrap_adts_au(unit, self.spec.rate, self.spec.channels.into())
            .map_err(|error| failed(AudioFormatType::AAC, error))
    }
}

impl UnitWriter {
    pub(crate) fn adts(units: AdtsUnits, tags: &Tags, mut sink: Sink) -> Result<Self> {
        sink.put(&tags.id3()?)?;
        Ok(Self::Adts(units, sink))
    }

    pub(crate) fn m4a(spec: Spec, config: &[u8], tags: &Tags, sink: Sink) -> Result<Self> {
        Ok(Self::M4a(Box::new(Mp4::new(spec, config, tags.ilst()?, sink)?)))
    }

    pub(crate) fn put(&mut self, unit: &[u8]) -> Result<()> {
        match self {
            Self::Adts(units, sink) => sink.put(&units.wrap(unit)?),
            Self::M4a(mp4) => mp4.put(unit),
        }
    }

    /// Ends the file. `frames` are heard behind `priming` others, where the container can say so.
    pub(crate) fn finish(self, priming: u64, frames: u64) -> Result<Sink> {
        match self {
            Self::Adts(_, sink) => Ok(sink),
            Self::M4a(mp4) => mp4.finish(priming, frames),
        }
    }
}
