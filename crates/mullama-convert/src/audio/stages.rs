//! What happens to samples between decoder and encoder: checked, remixed, resampled, scaled.

use super::encode::Target;
use super::pcm::{Samples, Spec};
use super::remix::Remix;
use super::resample::Resampler;
use crate::config::Damaged;
use crate::error::{Error, Result};

/// The stages of one conversion, in their order.
#[derive(Debug)]
pub(crate) struct Stages {
    channels: usize,
    damaged: Damaged,
    remix: Option<Remix>,
    resampler: Option<Resampler>,
    gain: f32,
    input: Vec<f32>,
    mixed: Vec<f32>,
    output: Vec<f32>,
    frames: u64,
    /// Samples that were no finite numbers.
    pub(crate) non_finite: u64,
}

impl Stages {
    pub(crate) fn new(source: Spec, target: &Target, gain: f32, damaged: Damaged) -> Result<Self> {
        let spec = target.spec;
        let resampler =
            (source.rate != spec.rate).then(|| Resampler::new(source.rate, spec.rate, spec.channels)).transpose()?;
        Ok(Self {
            channels: source.channels.into(),
            damaged,
            remix: Remix::between(source.channels, spec.channels),
            resampler,
            gain,
            input: Vec::new(),
            mixed: Vec::new(),
            output: Vec::new(),
            frames: 0,
            non_finite: 0,
        })
    }

    /// Runs a block through, and leaves anything in it. The result may be empty.
    pub(crate) fn run(&mut self, block: &mut Samples) -> Result<&[f32]> {
        match block {
            Samples::Float(samples) => {
                std::mem::swap(&mut self.input, samples);
                self.sanitise()?;
            }
            Samples::Int(samples) => {
                self.input.clear();
                // Depths of up to 24 bits fit into a float without loss.
                self.input.extend(samples.iter().map(|sample| *sample as f32 / TWO_TO_31));
            }
        }
        self.frames += (self.input.len() / self.channels) as u64;
        let mixed = match &self.remix {
            Some(remix) => {
                remix.apply(&self.input, &mut self.mixed);
                &mut self.mixed
            }
            None => &mut self.input,
        };
        let output = match &mut self.resampler {
            Some(resampler) => {
                self.output.clear();
                resampler.push(mixed, &mut self.output)?;
                &mut self.output
            }
            None => mixed,
        };
        scale(output, self.gain);
        Ok(output)
    }

    /// What the stages still hold.
    pub(crate) fn finish(&mut self) -> Result<&[f32]> {
        self.output.clear();
        if let Some(resampler) = &mut self.resampler {
            resampler.finish(&mut self.output)?;
        }
        scale(&mut self.output, self.gain);
        Ok(&self.output)
    }

    fn sanitise(&mut self) -> Result<()> {
        // The common case in one pass that the compiler can make wide: infinities and what is no number have the largest
        // exponent.
        if self.input.iter().fold(0, |most, sample| most.max(sample.to_bits() & 0x7fff_ffff)) < 0x7f80_0000 {
            return Ok(());
        }
        for (at, sample) in self.input.iter_mut().enumerate() {
            if !sample.is_finite() {
                if self.damaged == Damaged::Refuse {
                    let first_frame = self.frames + (at / self.channels) as u64;
                    return Err(Error::NonFiniteSamples { first_frame });
                }
                self.non_finite += 1;
                *sample = 0.0;
            }
        }
        Ok(())
    }
}

fn scale(samples: &mut [f32], gain: f32) {
    if (gain - 1.0).abs() > f32::EPSILON {
        samples.iter_mut().for_each(|sample| *sample *= gain);
    }
}

const TWO_TO_31: f32 = 2_147_483_648.0;
