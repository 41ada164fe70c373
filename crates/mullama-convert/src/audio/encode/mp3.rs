//! MP3 through rusty_mp3, with the header that tells players delay and padding.

use rusty_mp3::{Mp3Encoder, Mp3EncoderConfig};

use super::{Encoded, FloatEncoder, Target, failed};
use crate::audio::options::AudioFormatType;
use crate::audio::sink::Sink;
use crate::audio::tags::Tags;
use crate::error::Result;

pub(super) struct Mp3 {
    sink: Sink,
    encoder: Mp3Encoder,
    rate: u32,
    channels: u16,
    /// Where the first frame stands.
    start: u64,
}

impl Mp3 {
    pub(super) fn new(target: &Target, tags: &Tags, mut sink: Sink) -> Result<Self> {
        sink.put(&tags.id3()?)?;
        let long = target.frames.is_none_or(|frames| frames > SHORT_S * u64::from(target.spec.rate));
        // The encoder's bit reservoir holds every frame back until the end. Long sound goes without: the bitrate is then
        // its target for each frame.
        let steady = f32::from(u16::try_from(target.bitrate).unwrap_or(u16::MAX));
        let config = Mp3EncoderConfig { bitrate_kbps: target.bitrate, vbr_quality: long.then_some(steady) };
        let start = sink.written();
        Ok(Self {
            sink,
            encoder: Mp3Encoder::new(config),
            rate: target.spec.rate,
            channels: target.spec.channels,
            start,
        })
    }

    fn drain(&mut self) -> Result<()> {
        while let Ok(packet) = self.encoder.next_packet() {
            self.sink.put(&packet)?;
        }
        Ok(())
    }
}

impl FloatEncoder for Mp3 {
    fn write(&mut self, samples: &[f32]) -> Result<()> {
        self.encoder
            .push_pcm_f32(samples, self.channels, self.rate)
            .map_err(|error| failed(AudioFormatType::MP3, error))?;
        self.drain()
    }

    fn finish(mut self: Box<Self>) -> Result<Encoded> {
        self.encoder.finish();
        self.drain()?;
        if let Some(header) = self.encoder.lame_tag_frame() {
            self.sink.patch(self.start, header)?;
        }
        Ok(Encoded::exact(self.sink))
    }
}

/// Seconds that the bit reservoir may hold back: 19 MB.
const SHORT_S: u64 = 240;
