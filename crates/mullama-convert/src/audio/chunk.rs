//! Pieces of sound as they come: from a microphone, a socket, a decoder.

use mullama_core::AudioBuffer;

use super::convert::AudioConverter;
use super::pcm::{MAX_CHANNELS, Spec};
use super::remix::Remix;
use super::resample::Resampler;
use crate::error::{Error, Result};

/// A piece of sound, converted.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvertedChunk {
    buffer: AudioBuffer,
}

impl ConvertedChunk {
    /// The samples that models take.
    #[must_use]
    pub fn to_audio_input(&self) -> AudioBuffer {
        self.buffer.clone()
    }

    /// The samples that models take.
    #[must_use]
    pub fn into_audio_input(self) -> AudioBuffer {
        self.buffer
    }
}

/// Turns pieces of one sound into another rate and other channels, without a seam between them.
///
/// ```
/// use mullama_convert::ChunkConverter;
/// use mullama_core::AudioBuffer;
///
/// let mut converter = ChunkConverter::new(48_000, 2, 16_000, 1)?;
/// let piece = AudioBuffer::new(vec![0.0; 96_000], 48_000, 2).unwrap();
/// let mut frames = converter.push(&piece)?.frames();
/// frames += converter.finish()?.frames();
/// assert_eq!(frames, 16_000);
/// # Ok::<(), mullama_convert::Error>(())
/// ```
#[derive(Debug)]
pub struct ChunkConverter {
    from: Spec,
    to: Spec,
    remix: Option<Remix>,
    resampler: Option<Resampler>,
    mixed: Vec<f32>,
}

impl ChunkConverter {
    /// From a rate in Hz and a number of channels to others.
    ///
    /// # Errors
    /// [`Error::InvalidSampleRate`] outside of 1000..=768 000 Hz, [`Error::InvalidChannels`] outside of 1..=8.
    pub fn new(from_rate: u32, from_channels: u16, to_rate: u32, to_channels: u16) -> Result<Self> {
        for rate in [from_rate, to_rate] {
            if !(1_000..=768_000).contains(&rate) {
                return Err(Error::InvalidSampleRate { rate });
            }
        }
        for channels in [from_channels, to_channels] {
            if !(1..=MAX_CHANNELS).contains(&channels) {
                return Err(Error::InvalidChannels { channels: channels.into(), max: MAX_CHANNELS });
            }
        }
        let resampler = (from_rate != to_rate).then(|| Resampler::new(from_rate, to_rate, to_channels)).transpose()?;
        Ok(Self {
            from: Spec { rate: from_rate, channels: from_channels },
            to: Spec { rate: to_rate, channels: to_channels },
            remix: Remix::between(from_channels, to_channels),
            resampler,
            mixed: Vec::new(),
        })
    }

    /// Takes a piece and gives what can be computed: with another rate some 20 ms stay behind until the next.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] if the piece has another rate or other channels than were announced, [`Error::Core`] if it
    /// does not fit together.
    pub fn push(&mut self, chunk: &AudioBuffer) -> Result<AudioBuffer> {
        chunk.validate()?;
        if (chunk.sample_rate, chunk.channels) != (self.from.rate, self.from.channels) {
            return Err(Error::InvalidParameter {
                name: "chunk",
                value: format!("{} Hz with {} channels", chunk.sample_rate, chunk.channels),
                expected: format!("{} Hz with {} channels as announced", self.from.rate, self.from.channels),
            });
        }
        let mixed = match &self.remix {
            Some(remix) => {
                remix.apply(&chunk.samples, &mut self.mixed);
                &self.mixed
            }
            None => &chunk.samples,
        };
        let samples = match &mut self.resampler {
            Some(resampler) => {
                let mut output = Vec::new();
                resampler.push(mixed, &mut output)?;
                output
            }
            None => mixed.clone(),
        };
        Ok(self.buffer(samples))
    }

    /// Gives what stayed behind.
    ///
    /// # Errors
    /// [`Error::Encode`] if the resampler fails.
    pub fn finish(&mut self) -> Result<AudioBuffer> {
        let mut samples = Vec::new();
        if let Some(resampler) = &mut self.resampler {
            resampler.finish(&mut samples)?;
        }
        Ok(self.buffer(samples))
    }

    fn buffer(&self, samples: Vec<f32>) -> AudioBuffer {
        AudioBuffer { samples, sample_rate: self.to.rate, channels: self.to.channels }
    }
}

impl AudioConverter {
    /// Converts a piece of sound into 16 kHz mono, which is what speech models take. Each piece stands for itself; for pieces
    /// of one sound [`ChunkConverter`] leaves no seams.
    ///
    /// # Errors
    /// [`Error::Core`] if the piece does not fit together, [`Error::InvalidSampleRate`], [`Error::InvalidChannels`].
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future: the work is done at once, within a millisecond for each second of sound.
    #[expect(
        clippy::unused_async,
        reason = "a caller of a stream's pieces awaits every step; a pool would cost more than this"
    )]
    pub async fn convert_chunk(&self, chunk: &AudioBuffer) -> Result<ConvertedChunk> {
        self.convert_chunk_blocking(chunk, 16_000, 1)
    }

    /// Converts a piece of sound into another rate and other channels.
    ///
    /// # Errors
    /// As [`AudioConverter::convert_chunk`].
    pub fn convert_chunk_blocking(&self, chunk: &AudioBuffer, rate: u32, channels: u16) -> Result<ConvertedChunk> {
        let mut converter = ChunkConverter::new(chunk.sample_rate, chunk.channels, rate, channels)?;
        let mut buffer = converter.push(chunk)?;
        buffer.samples.extend(converter.finish()?.samples);
        Ok(ConvertedChunk { buffer })
    }
}
