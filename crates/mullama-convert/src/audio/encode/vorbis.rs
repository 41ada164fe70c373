//! Vorbis in Ogg through libvorbis (aoTuV with Lancer's changes).

use std::num::{NonZeroU8, NonZeroU32};

use vorbis_rs::{VorbisBitrateManagementStrategy, VorbisEncoder, VorbisEncoderBuilder};

use super::{Encoded, FloatEncoder, Target, failed};
use crate::audio::options::AudioFormatType;
use crate::audio::pcm::{deinterleave, vorbis_order};
use crate::audio::sink::Sink;
use crate::audio::tags::Tags;
use crate::error::{Error, Result};

pub(super) struct Vorbis {
    encoder: VorbisEncoder<Sink>,
    order: &'static [usize],
    planes: Vec<Vec<f32>>,
    /// Samples of a block that is not full: blocks of one size, so that no caller's pieces can change the bytes.
    waiting: Vec<f32>,
}

impl Vorbis {
    pub(super) fn new(target: &Target, tags: &Tags, sink: Sink) -> Result<Self> {
        let channels = target.spec.channels;
        let count = u8::try_from(channels).ok().and_then(NonZeroU8::new);
        let rate = NonZeroU32::new(target.spec.rate);
        let (Some(count), Some(rate)) = (count, rate) else {
            return Err(Error::InvalidChannels { channels: channels.into(), max: 8 });
        };
        let encode = |error| failed(AudioFormatType::OGG, error);
        let mut builder = VorbisEncoderBuilder::new_with_serial(rate, count, sink, SERIAL);
        builder.bitrate_management_strategy(VorbisBitrateManagementStrategy::QualityVbr {
            target_quality: target.quality / 10.0,
        });
        for (key, value) in tags.vorbis() {
            builder.comment_tag(key, value).map_err(encode)?;
        }
        Ok(Self {
            encoder: builder.build().map_err(encode)?,
            order: vorbis_order(channels),
            planes: vec![Vec::new(); usize::from(channels)],
            waiting: Vec::new(),
        })
    }

    fn block(&mut self) -> Result<()> {
        deinterleave(&self.waiting, self.order, &mut self.planes);
        self.waiting.clear();
        self.encoder.encode_audio_block(&self.planes).map_err(|error| failed(AudioFormatType::OGG, error))
    }
}

impl FloatEncoder for Vorbis {
    fn write(&mut self, mut samples: &[f32]) -> Result<()> {
        let full = BLOCK * self.order.len();
        while !samples.is_empty() {
            let (now, later) = samples.split_at(samples.len().min(full - self.waiting.len()));
            self.waiting.extend_from_slice(now);
            samples = later;
            if self.waiting.len() == full {
                self.block()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Encoded> {
        if !self.waiting.is_empty() {
            self.block()?;
        }
        let sink = self.encoder.finish().map_err(|error| failed(AudioFormatType::OGG, error))?;
        Ok(Encoded::exact(sink))
    }
}

/// Frames that are given to the encoder at once.
const BLOCK: usize = 1024;

/// The number of the one stream in the file. The same input gives the same bytes.
const SERIAL: i32 = 1;
