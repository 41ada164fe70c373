//! How loud the whole is (EBU R 128, ITU-R BS.1770), and the gain that follows.

use ebur128::{EbuR128, Mode};

use super::options::{AudioOptions, ClipPolicy};
use super::pcm::Spec;
use super::report::AudioWarning;
use crate::error::{Error, Result};

/// Listens to all of a sound.
#[derive(Debug)]
pub(crate) struct Meter {
    inner: EbuR128,
    channels: u16,
    true_peak: bool,
}

impl Meter {
    pub(crate) fn new(spec: Spec, options: &AudioOptions) -> Result<Self> {
        let true_peak = options.loudness.is_some();
        let mode = if true_peak { Mode::I | Mode::TRUE_PEAK } else { Mode::SAMPLE_PEAK };
        let inner = EbuR128::new(spec.channels.into(), spec.rate, mode).map_err(failed)?;
        Ok(Self { inner, channels: spec.channels, true_peak })
    }

    pub(crate) fn push(&mut self, samples: &[f32]) -> Result<()> {
        self.inner.add_frames_f32(samples).map_err(failed)
    }

    /// The factor for all samples, and a warning if it is less than what was asked for.
    pub(crate) fn gain(&self, options: &AudioOptions) -> Result<(f32, Option<AudioWarning>)> {
        let mut peak = 0.0f64;
        for channel in 0..self.channels.into() {
            let found = if self.true_peak { self.inner.true_peak(channel) } else { self.inner.sample_peak(channel) };
            peak = peak.max(found.map_err(failed)?);
        }
        let room = if peak > 0.0 { -20.0 * peak.log10() } else { f64::INFINITY };
        let Some(target) = options.loudness else {
            let attenuate = if options.clip == ClipPolicy::Attenuate { room.min(0.0) } else { 0.0 };
            return Ok((factor(attenuate), None));
        };
        let measured = self.inner.loudness_global().map_err(failed)?;
        if !measured.is_finite() {
            // Silence has no loudness.
            return Ok((1.0, None));
        }
        let wanted = f64::from(target) - measured;
        let given = wanted.min(room - MARGIN_DB);
        let limited = wanted - given > 0.05;
        let warning = limited.then(|| AudioWarning::GainLimited { wanted: narrow(wanted), given: narrow(given) });
        Ok((factor(given), warning))
    }
}

fn factor(db: f64) -> f32 {
    narrow(10f64.powf(db / 20.0))
}

#[expect(clippy::cast_possible_truncation, reason = "a level needs no more than seven digits")]
fn narrow(value: f64) -> f32 {
    value as f32
}

fn failed(error: ebur128::Error) -> Error {
    Error::Encode { format: "loudness-normalised", source: Box::new(error) }
}

/// Below full scale, for what lossy codecs add between the samples (EBU R 128, annex).
const MARGIN_DB: f64 = 1.0;
