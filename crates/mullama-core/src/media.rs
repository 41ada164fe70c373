//! Audio and pictures as they travel between the crates: plain samples and plain pixels.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// PCM audio: interleaved `f32` samples.
///
/// ```
/// use mullama_core::AudioBuffer;
///
/// let second = AudioBuffer::new(vec![0.0; 32_000], 16_000, 2)?;
/// assert_eq!(second.frames(), 16_000);
/// assert_eq!(second.duration().as_secs_f64(), 1.0);
/// # Ok::<(), mullama_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AudioBuffer {
    /// `frames * channels` samples, interleaved, nominally in -1.0..=1.0.
    pub samples: Vec<f32>,
    /// Frames per second, in Hz.
    pub sample_rate: u32,
    /// Samples in a frame.
    pub channels: u16,
}

impl AudioBuffer {
    /// Makes a buffer whose numbers fit together.
    ///
    /// # Errors
    /// [`Error::Media`] if the sample rate or the number of channels is 0, the last frame is not whole, or a sample is
    /// not a finite number.
    pub fn new(samples: Vec<f32>, sample_rate: u32, channels: u16) -> Result<Self> {
        let buffer = Self { samples, sample_rate, channels };
        buffer.validate()?;
        Ok(buffer)
    }

    /// Checks what [`AudioBuffer::new`] checks, for buffers that came in whole. Reads every sample.
    ///
    /// # Errors
    /// As [`AudioBuffer::new`].
    pub fn validate(&self) -> Result<()> {
        let problem = if self.sample_rate == 0 {
            "the sample rate is 0 Hz".to_owned()
        } else if self.channels == 0 {
            "it has 0 channels".to_owned()
        } else if !self.samples.len().is_multiple_of(usize::from(self.channels)) {
            format!("{} samples are no whole number of frames of {} channels", self.samples.len(), self.channels)
        } else if let Some(at) = self.samples.iter().position(|sample| !sample.is_finite()) {
            format!("sample {at} is {}", self.samples[at])
        } else {
            return Ok(());
        };
        Err(Error::Media { what: "audio", problem })
    }

    /// Frames: samples per channel.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.samples.len() / usize::from(self.channels.max(1))
    }

    /// Playing time.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "2^53 frames are 6,500 years at 44.1 kHz")]
    pub fn duration(&self) -> std::time::Duration {
        std::time::Duration::from_secs_f64(self.frames() as f64 / f64::from(self.sample_rate.max(1)))
    }
}

/// A picture: 8-bit RGB, rows from the top, no padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageBuffer {
    /// `width * height * 3` bytes.
    pub rgb8: Vec<u8>,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl ImageBuffer {
    /// Makes a picture whose numbers fit together.
    ///
    /// # Errors
    /// [`Error::Media`] if a side is 0 or `rgb8` does not hold `width * height * 3` bytes.
    pub fn new(rgb8: Vec<u8>, width: u32, height: u32) -> Result<Self> {
        let image = Self { rgb8, width, height };
        image.validate()?;
        Ok(image)
    }

    /// Checks what [`ImageBuffer::new`] checks, for pictures that came in whole.
    ///
    /// # Errors
    /// As [`ImageBuffer::new`].
    pub fn validate(&self) -> Result<()> {
        let need = u64::from(self.width) * u64::from(self.height) * 3;
        let problem = if self.width == 0 || self.height == 0 {
            format!("it has {} x {} pixels", self.width, self.height)
        } else if self.rgb8.len() as u64 != need {
            format!("{} x {} pixels take {need} bytes of RGB8, not {}", self.width, self.height, self.rgb8.len())
        } else {
            return Ok(());
        };
        Err(Error::Media { what: "image", problem })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_that_does_not_fit_together_is_refused() {
        for (samples, rate, channels, word) in [
            (vec![0.0; 4], 0, 1, "0 Hz"),
            (vec![0.0; 4], 8_000, 0, "0 channels"),
            (vec![0.0; 5], 8_000, 2, "whole number"),
            (vec![0.0, f32::NAN], 8_000, 1, "sample 1"),
            (vec![f32::INFINITY], 8_000, 1, "sample 0"),
        ] {
            let error = AudioBuffer::new(samples, rate, channels).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn a_picture_has_three_bytes_a_pixel() {
        assert!(ImageBuffer::new(vec![0; 12], 2, 2).is_ok());
        assert!(ImageBuffer::new(vec![0; 11], 2, 2).is_err());
        assert!(ImageBuffer::new(vec![], 0, 2).is_err());
        assert!(ImageBuffer::new(vec![], u32::MAX, u32::MAX).is_err());
    }
}
