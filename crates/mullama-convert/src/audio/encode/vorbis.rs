//! Vorbis in Ogg through libvorbis (aoTuV with Lancer's changes).

use std::num::{NonZeroU8, NonZeroU32};

use vorbis_rs::{VorbisBitrateManagementStrategy, VorbisEncoder, VorbisEncoderBuilder};

use super::blocks::Blocks;
use super::{Encoded, FloatEncoder, Target, failed};
use crate::audio::options::AudioFormatType;
use crate::audio::pcm::{deinterleave, vorbis_order};
use crate::audio::sink::Sink;
use crate::audio::tags::Tags;
use crate::error::{Error, Result};

pub(super) struct Vorbis {
    blocks: Blocks<f32>,
    stream: Stream,
}

struct Stream {
    encoder: VorbisEncoder<Sink>,
    order: &'static [usize],
    planes: Vec<Vec<f32>>,
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
        let order = vorbis_order(channels);
        let planes = vec![Vec::new(); order.len()];
        let stream = Stream { encoder: builder.build().map_err(encode)?, order, planes };
        Ok(Self { blocks: Blocks::new(BLOCK * order.len()), stream })
    }
}

impl Stream {
    fn block(&mut self, samples: &[f32]) -> Result<()> {
        deinterleave(samples, self.order, &mut self.planes);
        self.encoder.encode_audio_block(&self.planes).map_err(|error| failed(AudioFormatType::OGG, error))
    }
}

impl FloatEncoder for Vorbis {
    fn write(&mut self, samples: &[f32]) -> Result<()> {
        self.blocks.push(samples, |block| self.stream.block(block))
    }

    fn finish(mut self: Box<Self>) -> Result<Encoded> {
        if !self.blocks.rest().is_empty() {
            self.stream.block(self.blocks.rest())?;
        }
        let sink = self.stream.encoder.finish().map_err(|error| failed(AudioFormatType::OGG, error))?;
        Ok(Encoded::exact(sink))
    }
}

/// Frames that are given to the encoder at once.
const BLOCK: usize = 1024;

/// The number of the one stream in the file. The same input gives the same bytes.
const SERIAL: i32 = 1;
