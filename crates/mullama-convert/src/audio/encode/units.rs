//! AAC's access units into a container, without encoding anything.

use super::mp4::Mp4;
use crate::audio::pcm::Spec;
use crate::audio::sink::Sink;
use crate::audio::tags::Tags;
use crate::error::{Error, Result};

/// Puts unit after unit.
pub(crate) enum UnitWriter {
    Adts(AdtsUnits, Sink),
    M4a(Box<Mp4>),
}

/// Writes the header that ADTS has before each unit (ISO/IEC 14496-3, 1.A.2.2): LC, without a checksum.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdtsUnits {
    /// The rate's place in [`RATES`].
    rate: u8,
    /// The code of the channels and their places.
    channels: u8,
}

impl AdtsUnits {
    /// `None` if ADTS cannot say this rate and these channels.
    pub(crate) fn new(spec: Spec) -> Option<Self> {
        let rate = RATES.iter().position(|rate| *rate == spec.rate)?;
        let channels = match spec.channels {
            channels @ 1..=6 => channels,
            8 => 7,
            _ => return None,
        };
        Some(Self { rate: u8::try_from(rate).ok()?, channels: u8::try_from(channels).ok()? })
    }

    fn header(self, unit: &[u8]) -> Result<[u8; 7]> {
        let Some(length) = u16::try_from(unit.len() + 7).ok().filter(|length| *length < 1 << 13) else {
            let (value, limit) = (unit.len() as u64, (1 << 13) - 8);
            return Err(Error::TooLarge { what: "an access unit", value, limit, unit: "bytes" });
        };
        // Thirteen bits of length lie over three bytes: two, eight and three.
        let [high, middle] = (length >> 3).to_be_bytes();
        let [_, low] = (length << 5).to_be_bytes();
        let Self { rate, channels } = self;
        // LC is 1 here. How full the buffer is, is not told: all ones.
        Ok([0xff, 0xf1, 1 << 6 | rate << 2 | channels >> 2, channels << 6 | high, middle, low | 0x1f, 0xfc])
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
            Self::Adts(units, sink) => {
                sink.put(&units.header(unit)?)?;
                sink.put(unit)
            }
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

/// Frames per second by their code.
const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];
