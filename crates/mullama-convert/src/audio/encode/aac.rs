//! AAC-LC through syom, in ADTS or in our own MP4 file.

use syom::{EncodeOptions, Encoder};

use super::mp4::Mp4;
use super::{Encoded, FloatEncoder, Target, failed};
use crate::audio::options::AudioFormatType;
use crate::audio::pcm::deinterleave;
use crate::audio::sink::Sink;
use crate::audio::tags::Tags;
use crate::error::{Error, Result};

pub(super) struct Aac {
    output: Output,
    encoder: Encoder,
    format: AudioFormatType,
    order: Vec<usize>,
    planes: Vec<Vec<f32>>,
    scratch: Vec<f32>,
    clipped: u64,
    frames: u64,
}

enum Output {
    Adts(Sink),
    M4a(Box<Mp4>),
}

impl Aac {
    pub(super) fn adts(target: &Target, tags: &Tags, mut sink: Sink) -> Result<Self> {
        sink.put(&tags.id3()?)?;
        Self::new(target, EncodeOptions::adts(), |_| Ok(Output::Adts(sink)))
    }

    pub(super) fn m4a(target: &Target, tags: &Tags, sink: Sink) -> Result<Self> {
        let tags = tags.ilst()?;
        Self::new(target, EncodeOptions::raw(), |config| {
            Ok(Output::M4a(Box::new(Mp4::new(target.spec, config, tags, sink)?)))
        })
    }

    fn new(target: &Target, options: EncodeOptions, output: impl FnOnce(&[u8]) -> Result<Output>) -> Result<Self> {
        let channels = usize::from(target.spec.channels);
        let options = options.with_bitrate_bps(target.bitrate * 1000);
        let encoder =
            Encoder::new(target.spec.rate, channels, &options).map_err(|error| failed(target.format, error))?;
        Ok(Self {
            output: output(encoder.asc())?,
            encoder,
            format: target.format,
            order: (0..channels).collect(),
            planes: vec![Vec::new(); channels],
            scratch: Vec::new(),
            clipped: 0,
            frames: 0,
        })
    }
}

impl FloatEncoder for Aac {
    fn write(&mut self, samples: &[f32]) -> Result<()> {
        // The encoder refuses what is beyond full scale.
        self.scratch.clear();
        for sample in samples {
            self.clipped += u64::from(sample.abs() > 1.0);
            self.scratch.push(sample.clamp(-1.0, 1.0));
        }
        self.frames += (samples.len() / self.order.len()) as u64;
        deinterleave(&self.scratch, &self.order, &mut self.planes);
        let planes: Vec<&[f32]> = self.planes.iter().map(Vec::as_slice).collect();
        let mut written = Ok(());
        let output = &mut self.output;
        let fed = self.encoder.feed(&planes, |frame| {
            if written.is_ok() {
                written = output.put(frame.au);
            }
            Ok(())
        });
        written?;
        fed.map(drop).map_err(|error| failed(self.format, error))
    }

    fn finish(mut self: Box<Self>) -> Result<Encoded> {
        let mut written = Ok(());
        let output = &mut self.output;
        let info = self.encoder.finish(|frame| {
            if written.is_ok() {
                written = output.put(frame.au);
            }
            Ok(())
        });
        written?;
        let info = info.map_err(|error| match error {
            syom::AacError::InvalidPcm(syom::PcmReject::Empty) => Error::NoAudioFrames,
            error => failed(self.format, error),
        })?;
        let coded = info.aac_frames * 1024;
        match self.output {
            Output::Adts(sink) => {
                Ok(Encoded { sink, surplus: coded.saturating_sub(self.frames), clipped: self.clipped })
            }
            Output::M4a(mp4) => {
                let sink = mp4.finish(info.priming, self.frames)?;
                Ok(Encoded { sink, surplus: 0, clipped: self.clipped })
            }
        }
    }
}

impl Output {
    fn put(&mut self, unit: &[u8]) -> Result<()> {
        match self {
            Self::Adts(sink) => sink.put(unit),
            Self::M4a(mp4) => mp4.put(unit),
        }
    }
}
