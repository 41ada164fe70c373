//! Converts files and sound in memory.

mod copy;
mod pairs;
mod whole;

use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;
use mullama_core::AudioBuffer;

use self::whole::Input;
use super::options::AudioFormatType;
use super::pipeline::AudioProgress;
use super::report::{AudioInfo, AudioReport};
use crate::config::ConversionConfig;
use crate::error::{Error, Result};
use crate::job::on_pool;
use crate::metadata::AudioTags;

/// Converts sound between WAV, FLAC, MP3, AAC, M4A, OGG Vorbis and Opus; reads AIFF, CAF, Matroska, ALAC and more.
///
/// It has no state. Each call comes in two forms: the plain one is async and works on tokio's pool of blocking threads, so it
/// needs a runtime; the one that ends in `_blocking` works on the caller's thread. A future that is dropped stops the work at
/// its next block; a file that is not whole never gets the target's name.
///
/// ```no_run
/// use mullama_convert::{AudioConverter, ConversionConfig};
///
/// # async fn run() -> mullama_convert::Result<()> {
/// let converter = AudioConverter::new();
/// let config = ConversionConfig::new().sample_rate(16_000).channels(1);
/// let wav = converter.mp3_to_wav("talk.mp3", config).await?;
/// let report = converter.convert_file("talk.mp3", "talk.flac", config).await?;
/// println!("{} frames, {} bytes", report.output.frames, wav.bytes().len());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AudioConverter {
    _private: (),
}

impl AudioConverter {
    /// A converter. It costs nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Converts a file into another, whose format its extension tells.
    ///
    /// # Errors
    /// [`Error::UnknownTarget`] if the extension of `output` stands for no format, and all that
    /// [`AudioConverter::convert_file_blocking`] gives.
    ///
    /// # Cancel safety
    /// Dropping the future stops the work; nothing is left behind.
    pub async fn convert_file(
        &self,
        input: impl AsRef<Path>,
        output: impl AsRef<Path>,
        config: ConversionConfig,
    ) -> Result<AudioReport> {
        let (this, input, output) = (*self, input.as_ref().to_owned(), output.as_ref().to_owned());
        on_pool(move |stop| this.convert_file_watched(&input, &output, &config, &mut |_| stop.flow())).await
    }

    /// As [`AudioConverter::convert_file`], on this thread.
    ///
    /// # Errors
    /// [`Error::File`] if the input cannot be read or the output cannot be written; [`Error::OutputExists`],
    /// [`Error::SameFile`]; for bad input one of [`Error::EmptyInput`], [`Error::UnknownFormat`], [`Error::NoAudioTrack`],
    /// [`Error::NoAudioFrames`], [`Error::UnsupportedCodec`], [`Error::InvalidSampleRate`], [`Error::InvalidChannels`],
    /// [`Error::NonFiniteSamples`], [`Error::Truncated`], [`Error::Corrupt`], [`Error::TooLarge`]; for wishes that the target
    /// cannot fulfil [`Error::InvalidParameter`], [`Error::BitrateOutOfRange`] or [`Error::Clipped`].
    pub fn convert_file_blocking(
        &self,
        input: impl AsRef<Path>,
        output: impl AsRef<Path>,
        config: &ConversionConfig,
    ) -> Result<AudioReport> {
        let mut on = |_| ControlFlow::Continue(());
        self.convert_file_watched(input.as_ref(), output.as_ref(), config, &mut on)
    }

    /// As [`AudioConverter::convert_file_blocking`]; `progress` is called after each block (some milliseconds of work) and
    /// may stop the work.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if `progress` broke off, else as [`AudioConverter::convert_file_blocking`].
    pub fn convert_file_watched(
        &self,
        input: &Path,
        output: &Path,
        config: &ConversionConfig,
        progress: &mut dyn FnMut(AudioProgress) -> ControlFlow<()>,
    ) -> Result<AudioReport> {
        let format = AudioFormatType::from_path(output).ok_or_else(|| Error::UnknownTarget {
            name: output.extension().unwrap_or_default().to_string_lossy().chars().take(32).collect(),
            known: "wav, flac, mp3, aac, m4a, ogg and opus",
        })?;
        whole::to_file(input, output, format, config, progress)
    }

    /// Converts a file into a format in memory.
    ///
    /// # Errors
    /// As [`AudioConverter::convert_file_blocking`], and [`Error::TooLarge`] if the result would take more than
    /// [`Limits::max_audio_bytes`](crate::Limits::max_audio_bytes).
    ///
    /// # Cancel safety
    /// Dropping the future stops the work.
    pub async fn load_and_convert_with(
        &self,
        input: impl AsRef<Path>,
        format: AudioFormatType,
        config: ConversionConfig,
    ) -> Result<ConvertedAudio> {
        let input = input.as_ref().to_owned();
        on_pool(move |stop| whole::to_memory(&Input::File(&input), format, &config, &mut |_| stop.flow())).await
    }

    /// As [`AudioConverter::load_and_convert_with`] with the default configuration.
    ///
    /// # Errors
    /// As [`AudioConverter::load_and_convert_with`].
    ///
    /// # Cancel safety
    /// Dropping the future stops the work.
    pub async fn load_and_convert(&self, input: impl AsRef<Path>, format: AudioFormatType) -> Result<ConvertedAudio> {
        self.load_and_convert_with(input, format, ConversionConfig::default()).await
    }

    /// As [`AudioConverter::load_and_convert_with`], on this thread.
    ///
    /// # Errors
    /// As [`AudioConverter::load_and_convert_with`].
    pub fn load_and_convert_blocking(
        &self,
        input: impl AsRef<Path>,
        format: AudioFormatType,
        config: &ConversionConfig,
    ) -> Result<ConvertedAudio> {
        whole::to_memory(&Input::File(input.as_ref()), format, config, &mut |_| ControlFlow::Continue(()))
    }

    /// Converts a file that lies in memory.
    ///
    /// # Errors
    /// As [`AudioConverter::load_and_convert_with`].
    ///
    /// # Cancel safety
    /// Dropping the future stops the work.
    pub async fn convert_bytes(
        &self,
        input: impl Into<Bytes>,
        format: AudioFormatType,
        config: ConversionConfig,
    ) -> Result<ConvertedAudio> {
        let input = input.into();
        on_pool(move |stop| whole::to_memory(&Input::Bytes(input), format, &config, &mut |_| stop.flow())).await
    }

    /// As [`AudioConverter::convert_bytes`], on this thread.
    ///
    /// # Errors
    /// As [`AudioConverter::load_and_convert_with`].
    pub fn convert_bytes_blocking(
        &self,
        input: impl Into<Bytes>,
        format: AudioFormatType,
        config: &ConversionConfig,
    ) -> Result<ConvertedAudio> {
        whole::to_memory(&Input::Bytes(input.into()), format, config, &mut |_| ControlFlow::Continue(()))
    }

    /// Encodes samples into a format, on this thread.
    ///
    /// # Errors
    /// [`Error::Core`] if the buffer does not fit together, else as [`AudioConverter::load_and_convert_with`].
    pub fn encode_blocking(
        &self,
        samples: &AudioBuffer,
        format: AudioFormatType,
        config: &ConversionConfig,
    ) -> Result<ConvertedAudio> {
        samples.validate()?;
        whole::to_memory(&Input::Samples(samples), format, config, &mut |_| ControlFlow::Continue(()))
    }

    /// Decodes a file into samples, with the rate and channels that the configuration asks for.
    ///
    /// # Errors
    /// As [`AudioConverter::load_and_convert_with`].
    ///
    /// # Cancel safety
    /// Dropping the future stops the work.
    pub async fn load(&self, input: impl AsRef<Path>, config: ConversionConfig) -> Result<AudioBuffer> {
        let input = input.as_ref().to_owned();
        on_pool(move |stop| whole::samples(&Input::File(&input), &config, &mut |_| stop.flow())).await
    }

    /// As [`AudioConverter::load`], on this thread.
    ///
    /// # Errors
    /// As [`AudioConverter::load`].
    pub fn load_blocking(&self, input: impl AsRef<Path>, config: &ConversionConfig) -> Result<AudioBuffer> {
        whole::samples(&Input::File(input.as_ref()), config, &mut |_| ControlFlow::Continue(()))
    }

    /// Decodes a file that lies in memory into samples, on this thread.
    ///
    /// # Errors
    /// As [`AudioConverter::load`].
    pub fn decode_blocking(&self, input: impl Into<Bytes>, config: &ConversionConfig) -> Result<AudioBuffer> {
        whole::samples(&Input::Bytes(input.into()), config, &mut |_| ControlFlow::Continue(()))
    }

    /// What a file is, from its head: nothing but the first packet is decoded, and
    /// [`AudioInfo::frames`] is what the file says.
    ///
    /// # Errors
    /// Those of [`AudioConverter::convert_file_blocking`] for bad input.
    pub fn probe_blocking(&self, input: impl AsRef<Path>, config: &ConversionConfig) -> Result<AudioInfo> {
        whole::probe(&Input::File(input.as_ref()), config)
    }

    /// The tags of a file, and the pictures among them. What cannot be read is told in
    /// [`AudioTags::problem`], as it is no reason to leave the sound alone.
    ///
    /// # Errors
    /// [`Error::File`] if the file cannot be read.
    pub fn tags_blocking(&self, input: impl AsRef<Path>, config: &ConversionConfig) -> Result<AudioTags> {
        whole::tags(input.as_ref(), config)
    }

    /// As [`AudioConverter::tags_blocking`], on tokio's pool of blocking threads.
    ///
    /// # Errors
    /// As [`AudioConverter::tags_blocking`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the work to end by itself; it takes milliseconds.
    pub async fn tags(&self, input: impl AsRef<Path>, config: ConversionConfig) -> Result<AudioTags> {
        let input = input.as_ref().to_owned();
        on_pool(move |_| whole::tags(&input, &config)).await
    }

    /// As [`AudioConverter::probe_blocking`], on tokio's pool of blocking threads.
    ///
    /// # Errors
    /// As [`AudioConverter::probe_blocking`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves the work to end by itself; it takes milliseconds.
    pub async fn probe(&self, input: impl AsRef<Path>, config: ConversionConfig) -> Result<AudioInfo> {
        let input = input.as_ref().to_owned();
        on_pool(move |_| whole::probe(&Input::File(&input), &config)).await
    }
}

/// A sound file in memory.
#[derive(Debug, Clone)]
pub struct ConvertedAudio {
    bytes: Bytes,
    report: AudioReport,
}

impl ConvertedAudio {
    /// The file's bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The file's bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// What was read and written.
    #[must_use]
    pub fn report(&self) -> &AudioReport {
        &self.report
    }

    /// Decodes the file into the samples that models take. The rate and the channels are the file's.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if the samples would take more than the default of
    /// [`Limits::max_audio_bytes`](crate::Limits::max_audio_bytes).
    pub fn to_audio_input(&self) -> Result<AudioBuffer> {
        AudioConverter::new().decode_blocking(self.bytes.clone(), &ConversionConfig::default())
    }
}

impl AsRef<[u8]> for ConvertedAudio {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
