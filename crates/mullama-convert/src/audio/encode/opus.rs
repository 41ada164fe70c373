//! Opus in Ogg through opus-pure, mono to 7.1, with the end that makes the length exact (RFC 7845, 4).

use opus_pure::{Application, MAX_PACKET_BYTES, OggOpusWriter, OpusEncoder, OpusHead, OpusMSEncoder, OpusTags};

use super::{Encoded, FloatEncoder, Target, failed};
use crate::audio::options::AudioFormatType;
use crate::audio::pcm::vorbis_order;
use crate::audio::sink::Sink;
use crate::audio::tags::Tags;
use crate::error::Result;

pub(super) struct Opus {
    writer: OggOpusWriter<Sink>,
    encoder: Inner,
    order: &'static [usize],
    /// Frames of a packet.
    frame: usize,
    /// Ticks of 48 kHz in a frame.
    ticks: u64,
    pre_skip: u64,
    /// One packet's samples, in Opus's order; not yet full.
    waiting: Vec<f32>,
    packet: Vec<u8>,
    frames: u64,
}

enum Inner {
    One(Box<OpusEncoder>),
    Many(Box<OpusMSEncoder>),
}

impl Opus {
    pub(super) fn new(target: &Target, tags: &Tags, sink: Sink) -> Result<Self> {
        let channels = usize::from(target.spec.channels);
        let rate = i32::try_from(target.spec.rate).unwrap_or(i32::MAX);
        let bits = i32::try_from(target.bitrate.saturating_mul(1000)).unwrap_or(i32::MAX);
        let encode = |error| failed(AudioFormatType::OPUS, error);
        let (encoder, head) = if channels <= 2 {
            let mut encoder = OpusEncoder::new(rate, channels, Application::Audio).map_err(encode)?;
            encoder.bitrate_bps = bits;
            let head = OpusHead::for_encoder(&encoder, target.spec.rate);
            (Inner::One(Box::new(encoder)), head)
        } else {
            let mut encoder = OpusMSEncoder::new(rate, channels, 1, Application::Audio).map_err(encode)?;
            encoder.set_bitrate(bits);
            let head = OpusHead::for_ms_encoder(&encoder, target.spec.rate);
            (Inner::Many(Box::new(encoder)), head)
        };
        let mut comments = OpusTags::new();
        for (key, value) in tags.vorbis() {
            comments.push(&key, &value).map_err(encode)?;
        }
        let pre_skip = head.pre_skip.into();
        let frame = usize::try_from(target.spec.rate / 50).unwrap_or(usize::MAX);
        Ok(Self {
            writer: OggOpusWriter::with_serial(sink, head, comments, SERIAL).map_err(encode)?,
            encoder,
            order: vorbis_order(target.spec.channels),
            frame,
            ticks: u64::from(48_000 / target.spec.rate),
            pre_skip,
            waiting: Vec::with_capacity(frame * channels),
            packet: vec![0; MAX_PACKET_BYTES * channels],
            frames: 0,
        })
    }

    /// Encodes a full packet. `until` is the granule that the stream may not pass.
    fn packet(&mut self, until: u64) -> Result<()> {
        let encode = |error| failed(AudioFormatType::OPUS, error);
        let bytes = match &mut self.encoder {
            Inner::One(encoder) => encoder.encode(&self.waiting, self.frame, &mut self.packet[..MAX_PACKET_BYTES]),
            Inner::Many(encoder) => encoder.encode(&self.waiting, self.frame, &mut self.packet),
        };
        let bytes = bytes.map_err(encode)?;
        self.waiting.clear();
        let before = u64::try_from(self.writer.granule()).unwrap_or(0);
        let left = until.saturating_sub(before).min(self.frame as u64 * self.ticks);
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        self.writer.write_packet_with_duration(&self.packet[..bytes], left).map_err(encode)
    }
}

impl FloatEncoder for Opus {
    fn write(&mut self, samples: &[f32]) -> Result<()> {
        let channels = self.order.len();
        for frame in samples.chunks_exact(channels) {
            self.waiting.extend(self.order.iter().map(|channel| frame[*channel]));
            if self.waiting.len() == self.frame * channels {
                self.packet(u64::MAX)?;
            }
        }
        self.frames += (samples.len() / channels) as u64;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Encoded> {
        // The encoder runs behind its input: silence pushes the rest out, and the last granule says where the sound ends.
        let end = self.pre_skip + self.frames * self.ticks;
        while u64::try_from(self.writer.granule()).unwrap_or(u64::MAX) < end {
            self.waiting.resize(self.frame * self.order.len(), 0.0);
            self.packet(end)?;
        }
        let sink = self.writer.finish().map_err(|error| failed(AudioFormatType::OPUS, error))?;
        Ok(Encoded::exact(sink))
    }
}

/// The number of the one stream in the file. The same input gives the same bytes.
const SERIAL: u32 = 1;
