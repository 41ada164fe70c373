//! Opus packets, mono to 7.1: opus-pure's decoders over the demuxer's packets.

use opus_pure::{ChannelLayout, MAX_PACKET_SAMPLES, OpusDecoder, OpusMSDecoder};
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::packet::Packet;

use super::codec::{Damage, PacketDecoder};
use crate::audio::pcm::{Samples, Spec, vorbis_order};
use crate::error::{Error, Result};

pub(crate) struct OpusPackets {
    decoder: Inner,
    channels: u16,
    gain: f32,
    buffer: Vec<f32>,
}

enum Inner {
    One(Box<OpusDecoder>),
    Many(Box<OpusMSDecoder>),
}

/// What the identification header says (RFC 7845, 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) channels: u8,
    /// Frames at 48 kHz to drop at the start.
    pub(crate) pre_skip: u16,
    /// In 1/256 dB.
    gain: i16,
    family: u8,
    mapping: Vec<u8>,
}

impl Head {
    pub(crate) fn parse(params: &AudioCodecParameters) -> Option<Self> {
        let bytes = params.extra_data.as_deref()?;
        let bytes = bytes.strip_prefix(b"OpusHead").unwrap_or(bytes);
        let [_version, channels, low, high, _, _, _, _, gain_low, gain_high, family, rest @ ..] = bytes else {
            return None;
        };
        let mapping = if *family == 0 { Vec::new() } else { rest.get(2..2 + usize::from(*channels))?.to_vec() };
        Some(Self {
            channels: *channels,
            pre_skip: u16::from_le_bytes([*low, *high]),
            gain: i16::from_le_bytes([*gain_low, *gain_high]),
            family: *family,
            mapping,
        })
    }
}

impl OpusPackets {
    pub(crate) fn new(params: &AudioCodecParameters) -> Result<Self> {
        let corrupt = |problem: &str| Error::Corrupt { format: "Opus", problem: problem.to_owned() };
        let head = Head::parse(params).ok_or_else(|| corrupt("the identification header is too short"))?;
        let failed = |error: opus_pure::Error| corrupt(&error.to_string());
        let channels = usize::from(head.channels);
        let decoder = match head.family {
            0 => Inner::One(Box::new(OpusDecoder::new(48_000, channels).map_err(failed)?)),
            1 => {
                let layout = ChannelLayout::surround(channels, 1).map_err(failed)?;
                if layout.mapping != head.mapping {
                    return Err(Error::UnsupportedCodec { codec: "Opus with a channel mapping of its own".to_owned() });
                }
                Inner::Many(Box::new(OpusMSDecoder::new(48_000, channels, 1).map_err(failed)?))
            }
            family => return Err(Error::UnsupportedCodec { codec: format!("Opus, channel mapping family {family}") }),
        };
        let gain = 10f32.powf(f32::from(head.gain) / 256.0 / 20.0);
        Ok(Self { decoder, channels: head.channels.into(), gain, buffer: vec![0.0; MAX_PACKET_SAMPLES * channels] })
    }
}

impl PacketDecoder for OpusPackets {
    fn decode(&mut self, packet: &Packet, out: &mut Samples) -> Result<Option<Spec>, Damage> {
        let Samples::Float(out) = out else { return Err(Damage("Opus has no integers".to_owned())) };
        out.clear();
        let decoded = match &mut self.decoder {
            Inner::One(decoder) => decoder.decode(&packet.data, MAX_PACKET_SAMPLES, &mut self.buffer),
            Inner::Many(decoder) => decoder.decode(&packet.data, MAX_PACKET_SAMPLES, &mut self.buffer),
        };
        let frames = decoded.map_err(|error| Damage(error.to_string()))?;
        let padding = usize::try_from(packet.trim_end.get()).unwrap_or(usize::MAX);
        let frames = frames.saturating_sub(padding);
        if frames == 0 {
            return Ok(None);
        }
        let channels = usize::from(self.channels);
        if channels <= 2 {
            out.extend(self.buffer[..frames * channels].iter().map(|sample| sample * self.gain));
            return Ok(Some(Spec { rate: 48_000, channels: self.channels }));
        }
        let order = vorbis_order(self.channels);
        out.resize(frames * channels, 0.0);
        let (from, to) = (self.buffer.chunks_exact(channels), out.chunks_exact_mut(channels));
        for (from, to) in from.zip(to) {
            for (place, channel) in order.iter().enumerate() {
                to[*channel] = from[place] * self.gain;
            }
        }
        Ok(Some(Spec { rate: 48_000, channels: self.channels }))
    }
}
