//! One packet of a codec into samples: the trait that every decoder hides behind, and those of symphonia.

use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::well_known as id;
use symphonia::core::codecs::audio::{AudioCodecId, AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error as MediaError;
use symphonia::core::packet::Packet;

use super::aac::AacDecoder;
use super::flac::FlacPackets;
use super::opus::OpusPackets;
use crate::audio::pcm::{MAX_CHANNELS, Samples, Spec};
use crate::error::{Error, Result};
use crate::job;

/// Why a packet gave nothing.
#[derive(Debug)]
pub(crate) struct Damage(pub(crate) String);

/// Decodes packet after packet.
pub(crate) trait PacketDecoder: Send {
    /// Makes `out` the packet's samples. `None` if there are none; `out` then holds anything.
    fn decode(&mut self, packet: &Packet, out: &mut Samples) -> Result<Option<Spec>, Damage>;

    /// Whether the content matches the checksum that the file carries, if it carries one.
    fn verified(&mut self) -> Option<bool> {
        None
    }
}

/// What is known of a codec before anything is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Codec {
    pub(crate) name: &'static str,
    pub(crate) lossless: bool,
    /// Samples are floats in the file.
    pub(crate) float: bool,
    pub(crate) bits: Option<u32>,
}

/// How a decoder is made.
pub(crate) struct Wish {
    /// Whether delay and padding are known, so that the decoder may cut them off.
    pub(crate) gapless: bool,
    /// For AAC without a configuration of its own.
    pub(crate) adts: bool,
}

pub(crate) fn make(params: &AudioCodecParameters, wish: &Wish) -> Result<(Codec, Box<dyn PacketDecoder>)> {
    let codec = describe(params)?;
    let decoder: Box<dyn PacketDecoder> = match params.codec {
        id::CODEC_ID_AAC => Box::new(AacDecoder::new(params, wish.adts)?),
        id::CODEC_ID_OPUS => Box::new(OpusPackets::new(params)?),
        id::CODEC_ID_FLAC => Box::new(FlacPackets::new(params)?),
        _ => {
            affordable(params, codec.name)?;
            let options = AudioDecoderOptions::default().verify(true).gapless(wish.gapless);
            let decoder = job::parsed(codec.name, || {
                symphonia::default::get_codecs().make_audio_decoder(params, &options).map_err(|error| match error {
                    MediaError::Unsupported(_) => Error::UnsupportedCodec { codec: codec.name.to_owned() },
                    error => Error::Corrupt { format: codec.name, problem: error.to_string() },
                })
            })?;
            Box::new(Symphonia(decoder))
        }
    };
    Ok((codec, decoder))
}

/// A decoder takes the memory of the largest packet that the header announces, before it has seen one.
fn affordable(params: &AudioCodecParameters, format: &'static str) -> Result<()> {
    let channels = params.channels.as_ref().map_or(0, symphonia::core::audio::Channels::count);
    if channels > usize::from(MAX_CHANNELS) {
        return Err(Error::InvalidChannels { channels: channels as u64, max: MAX_CHANNELS });
    }
    match params.max_frames_per_packet {
        Some(frames) if frames > MAX_PACKET => {
            Err(Error::Corrupt { format, problem: format!("its header announces packets of {frames} frames") })
        }
        _ => Ok(()),
    }
}

/// Frames of a packet, at most: FLAC's largest block is half of it.
const MAX_PACKET: u64 = 1 << 17;

/// Whether samples can be handed on as integers.
pub(crate) fn is_exact(codec: &Codec) -> bool {
    codec.lossless && !codec.float
}

fn describe(params: &AudioCodecParameters) -> Result<Codec> {
    let known = params.bits_per_sample.or(params.bits_per_coded_sample);
    let lossless = |name| Codec { name, lossless: true, float: false, bits: known };
    let pcm = |bits| Codec { name: "PCM", lossless: true, float: false, bits: Some(known.unwrap_or(bits)) };
    let float = |bits| Codec { name: "PCM", lossless: true, float: true, bits: Some(bits) };
    let lossy = |name| Codec { name, lossless: false, float: false, bits: None };
    Ok(match params.codec {
        id::CODEC_ID_PCM_F32LE | id::CODEC_ID_PCM_F32BE => float(32),
        id::CODEC_ID_PCM_F64LE | id::CODEC_ID_PCM_F64BE => float(64),
        id::CODEC_ID_PCM_U8 | id::CODEC_ID_PCM_S8 => pcm(8),
        id::CODEC_ID_PCM_S16LE | id::CODEC_ID_PCM_S16BE => pcm(16),
        id::CODEC_ID_PCM_S24LE | id::CODEC_ID_PCM_S24BE => pcm(24),
        id::CODEC_ID_PCM_S32LE | id::CODEC_ID_PCM_S32BE => pcm(32),
        id::CODEC_ID_PCM_ALAW => Codec { bits: Some(16), ..lossless("A-law") },
        id::CODEC_ID_PCM_MULAW => Codec { bits: Some(16), ..lossless("mu-law") },
        id::CODEC_ID_ADPCM_MS | id::CODEC_ID_ADPCM_IMA_WAV | id::CODEC_ID_ADPCM_IMA_QT => {
            Codec { bits: Some(16), ..lossless("ADPCM") }
        }
        id::CODEC_ID_FLAC => lossless("FLAC"),
        id::CODEC_ID_ALAC => lossless("ALAC"),
        id::CODEC_ID_MP1 => lossy("MPEG layer I"),
        id::CODEC_ID_MP2 => lossy("MPEG layer II"),
        id::CODEC_ID_MP3 => lossy("MP3"),
        id::CODEC_ID_AAC => lossy("AAC"),
        id::CODEC_ID_VORBIS => lossy("Vorbis"),
        id::CODEC_ID_OPUS => lossy("Opus"),
        other => return Err(Error::UnsupportedCodec { codec: unsupported(other) }),
    })
}

fn unsupported(codec: AudioCodecId) -> String {
    match codec {
        id::CODEC_ID_AC3 => "AC-3".to_owned(),
        id::CODEC_ID_EAC3 => "E-AC-3".to_owned(),
        id::CODEC_ID_DCA => "DTS".to_owned(),
        id::CODEC_ID_SPEEX => "Speex".to_owned(),
        id::CODEC_ID_WMA => "WMA".to_owned(),
        id::CODEC_ID_WAVPACK => "WavPack".to_owned(),
        other => other.to_string(),
    }
}

struct Symphonia(Box<dyn AudioDecoder>);

impl PacketDecoder for Symphonia {
    fn decode(&mut self, packet: &Packet, out: &mut Samples) -> Result<Option<Spec>, Damage> {
        let buffer = self.0.decode(packet).map_err(|error| Damage(error.to_string()))?;
        let spec = spec(&buffer)?;
        if buffer.frames() == 0 {
            return Ok(None);
        }
        match out {
            Samples::Float(samples) => buffer.copy_to_vec_interleaved(samples),
            Samples::Int(samples) => buffer.copy_to_vec_interleaved(samples),
        }
        Ok(Some(spec))
    }

    fn verified(&mut self) -> Option<bool> {
        self.0.finalize().verify_ok
    }
}

fn spec(buffer: &GenericAudioBufferRef<'_>) -> Result<Spec, Damage> {
    let channels = u16::try_from(buffer.spec().channels().count());
    let channels = channels.map_err(|_| Damage("it has more than 65 535 channels".to_owned()))?;
    Ok(Spec { rate: buffer.spec().rate(), channels })
}
