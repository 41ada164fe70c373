//! AAC, from LC to HE v2, whatever container it comes in: syom's decoder over the demuxer's access units.

use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::packet::Packet;

use super::codec::{Damage, PacketDecoder};
use crate::audio::pcm::{Samples, Spec, interleave};
use crate::error::{Error, Result};

pub(crate) struct AacDecoder {
    /// The `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6).
    config: Vec<u8>,
    decoder: syom::Decoder,
}

impl AacDecoder {
    pub(crate) fn new(params: &AudioCodecParameters, adts: bool) -> Result<Self> {
        let config = match &params.extra_data {
            Some(config) if !config.is_empty() => config.to_vec(),
            _ if adts => from_header(params)?,
            _ => return Err(corrupt(&"it has no configuration")),
        };
        let decoder = fresh(&config).map_err(|error| match error {
            syom::AacError::Unsupported(feature) => Error::UnsupportedCodec { codec: format!("AAC ({feature:?})") },
            error => corrupt(&error),
        })?;
        Ok(Self { config, decoder })
    }
}

impl PacketDecoder for AacDecoder {
    fn decode(&mut self, packet: &Packet, out: &mut Samples) -> Result<Option<Spec>, Damage> {
        let Samples::Float(out) = out else { return Err(Damage("AAC has no integers".to_owned())) };
        out.clear();
        let mut spec = None;
        let decoded = self.decoder.decode_au(&packet.data, |frame| {
            let channels = frame.planar.len();
            spec = u16::try_from(channels).ok().map(|channels| Spec { rate: frame.sample_rate, channels });
            interleave(frame.planar, 0..frame.samples, out);
            Ok(())
        });
        if let Err(error) = decoded {
            // One damaged unit ends a decoder for good: the next unit gets a new one.
            self.decoder = fresh(&self.config).map_err(|error| Damage(error.to_string()))?;
            return Err(Damage(error.to_string()));
        }
        Ok(spec)
    }
}

fn fresh(config: &[u8]) -> syom::Result<syom::Decoder> {
    // Rates and lengths are bounded by the stage above, which sees all codecs.
    syom::Decoder::from_asc(config, syom::DecodeOptions::unbounded())
}

/// The configuration that an ADTS header stands for: AAC-LC, its rate, its channels.
pub(super) fn from_header(params: &AudioCodecParameters) -> Result<Vec<u8>> {
    let rate = params.sample_rate.unwrap_or(0);
    let index = RATES.iter().position(|known| *known == rate).and_then(|index| u8::try_from(index).ok());
    let index = index.ok_or(Error::InvalidSampleRate { rate })?;
    let channels = params.channels.as_ref().map_or(0, |channels| channels.count());
    let layout: u8 = match channels {
        count @ 1..=6 => u8::try_from(count).unwrap_or(0),
        8 => 7,
        _ => return Err(Error::UnsupportedCodec { codec: "AAC with a layout of its own in ADTS".to_owned() }),
    };
    Ok(vec![2 << 3 | index >> 1, index << 7 | layout << 3])
}

/// ISO/IEC 14496-3, table 1.18.
pub(crate) const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350];

fn corrupt(problem: &dyn std::fmt::Display) -> Error {
    Error::Corrupt { format: "AAC", problem: problem.to_string() }
}
