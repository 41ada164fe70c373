//! AAC-LC's access units as they lie in a file, for another container.

use symphonia::core::codecs::audio::well_known::CODEC_ID_AAC;
use symphonia::core::errors::Error as MediaError;

use super::demuxer::Demuxer;
use super::{aac, open};
use crate::audio::pcm::Spec;
use crate::audio::source::Source;
use crate::config::ConversionConfig;
use crate::error::{Error, Result};

pub(crate) struct Units {
    demuxer: Demuxer,
    track: u32,
    config: Vec<u8>,
    skip: u64,
}

impl Units {
    /// `None` for all but plain LC that sounds like `spec`: HE-AAC is announced in other ways in other containers.
    pub(crate) fn open(source: Source, spec: Spec, config: &ConversionConfig) -> Result<Option<Self>> {
        let (demuxer, track) = Demuxer::open(source.media, &source.head, config)?;
        let params = open::audio(&track)?;
        if params.codec != CODEC_ID_AAC || params.sample_rate != Some(spec.rate) {
            return Ok(None);
        }
        let config = match &params.extra_data {
            Some(config) => config.to_vec(),
            None => aac::from_header(params)?,
        };
        // Five bits: the audio object type, 2 for LC. Nothing may follow but that there is no extension (HE-AAC). Four bits after
        // the rate: the channels, 0 if another element tells them.
        let plain = matches!(config.as_slice(), [first, second] | [first, second, 0x56, 0xe5, 0]
            if first >> 3 == 2 && second >> 3 & 15 != 0);
        let edit = source.edits.iter().find(|edit| edit.track == track.id);
        let skip = edit.map_or(0, |edit| edit.frames(spec.rate, track.duration.map(|ticks| ticks.get())).0);
        Ok(plain.then_some(Self { demuxer, track: track.id, config, skip }))
    }

    /// The `AudioSpecificConfig`.
    pub(crate) fn config(&self) -> &[u8] {
        &self.config
    }

    /// Frames before the sound, where a list of edits says so.
    pub(crate) fn skip(&self) -> u64 {
        self.skip
    }

    pub(crate) fn next_unit(&mut self) -> Result<Option<Box<[u8]>>> {
        loop {
            match self.demuxer.next_packet("AAC")? {
                Ok(Some(packet)) if packet.track_id == self.track => return Ok(Some(packet.data)),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(MediaError::IoError(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                    return Ok(None);
                }
                Err(MediaError::IoError(error)) => return Err(open::io(error)),
                // The file was decoded without a fault before this.
                Err(error) => return Err(Error::Corrupt { format: "AAC", problem: error.to_string() }),
            }
        }
    }
}
