//! What can go wrong, and how a caller can classify it.

use std::io;
use std::path::PathBuf;

use mullama_core::ErrorKind;

/// The result of a fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of this crate: each variant is a cause that a caller can act on.
///
/// [`Error::kind`] sorts them into the few classes that a server maps to status codes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read, written or renamed.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried: "open", "read", "write", ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why the system refused.
        source: io::Error,
    },
    /// A stream of bytes, or bytes in memory, could not be read or written.
    #[error("cannot {action} the stream")]
    Stream {
        /// What was tried: "read" or "write".
        action: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The target is there already.
    #[error("`{}` exists already: choose another name, or allow overwriting", path.display())]
    OutputExists {
        /// The target.
        path: PathBuf,
    },
    /// The target is the source.
    #[error("`{}` would be overwritten by its own conversion: choose another name", path.display())]
    SameFile {
        /// The file.
        path: PathBuf,
    },
    /// Two files of a batch would become the same one.
    #[error("`{}` is what `{}` becomes already: give one of both another name or folder", path.display(), first.display())]
    SameTarget {
        /// The source that comes first.
        first: PathBuf,
        /// The target of both.
        path: PathBuf,
    },
    /// There are 0 bytes.
    #[error("the input is empty")]
    EmptyInput,
    /// The bytes begin like no format that is read here.
    #[error("unknown format: the input begins with {first_bytes}; {} are read", match what { Media::Audio => "WAV, AIFF, CAF, FLAC, MP3, AAC, M4A, MKV, OGG Vorbis and Opus", Media::Image => "JPEG, PNG, WebP, TIFF, BMP, GIF and QOI" })]
    UnknownFormat {
        /// What was looked for.
        what: Media,
        /// The first bytes, in hexadecimal, 16 at most.
        first_bytes: String,
    },
    /// No target format of this name, or none that follows from the file's name.
    #[error("no format is called `{name}`: choose one of {known}")]
    UnknownTarget {
        /// What was given.
        name: String,
        /// The names that are known.
        known: &'static str,
    },
    /// The container holds no sound.
    #[error("the file is a container without an audio track")]
    NoAudioTrack,
    /// The file holds no frame of sound.
    #[error("the file holds 0 frames of sound")]
    NoAudioFrames,
    /// The format is known, but not this codec in it.
    #[error("the codec `{codec}` is not read here")]
    UnsupportedCodec {
        /// Its name.
        codec: String,
    },
    /// The file claims a sample rate that no file has.
    #[error("a sample rate of {rate} Hz is outside of 1000..=768000 Hz")]
    InvalidSampleRate {
        /// What the file claims, in Hz.
        rate: u32,
    },
    /// Too few or too many channels.
    #[error("{channels} channels are outside of 1..={max}")]
    InvalidChannels {
        /// What the file claims or what was asked for.
        channels: u64,
        /// The most that are possible.
        max: u16,
    },
    /// The sound holds samples that are not numbers, or infinite.
    #[error(
        "frame {first_frame} holds a sample that is not a finite number; with `damaged: accept` such samples become 0"
    )]
    NonFiniteSamples {
        /// The first such frame, from 0.
        first_frame: u64,
    },
    /// The samples would clip, and clipping was refused.
    #[error("{samples} samples are louder than full scale: lower the gain, normalise, or allow clipping")]
    Clipped {
        /// How many.
        samples: u64,
    },
    /// The input ends before what it announces.
    #[error(
        "the input is truncated: {what} needs {expected}, but there is {got}; with `damaged: accept` what is there is kept"
    )]
    Truncated {
        /// What is incomplete.
        what: &'static str,
        /// How much it announces.
        expected: u64,
        /// How much there is.
        got: u64,
    },
    /// The input breaks the rules of its format.
    #[error("damaged {format}: {problem}")]
    Corrupt {
        /// The format or codec.
        format: &'static str,
        /// What is wrong and where.
        problem: String,
    },
    /// The content is not what the checksum in the file says.
    #[error("the {what} does not match the content")]
    ChecksumMismatch {
        /// Which checksum.
        what: &'static str,
    },
    /// A limit of [`Limits`](crate::Limits), or of the target format, is passed.
    #[error("{what}: {value} {unit} are more than the limit of {limit} {unit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is, or claims to be.
        value: u64,
        /// How large it may be.
        limit: u64,
        /// In which unit: "bytes", "s", "pixels", ...
        unit: &'static str,
    },
    /// A parameter is outside its range.
    #[error("{name} is {value}, but must be {expected}")]
    InvalidParameter {
        /// The parameter, by its public name.
        name: &'static str,
        /// What was given.
        value: String,
        /// The range or the form that is accepted.
        expected: String,
    },
    /// The target has no such bitrate at this sample rate and number of channels.
    #[error("{format} at {rate} Hz with {channels} channels takes {min}..={max} kbit/s, not {given}")]
    BitrateOutOfRange {
        /// The target.
        format: &'static str,
        /// What was asked for, in kbit/s.
        given: u32,
        /// The least, in kbit/s.
        min: u32,
        /// The most, in kbit/s.
        max: u32,
        /// In Hz.
        rate: u32,
        /// Samples in a frame.
        channels: u16,
    },
    /// A file of this format is finished by going back to its start, which a stream cannot.
    #[error("{format} needs a file that can be finished at its start: stream to {instead}, or convert to a file")]
    NeedsSeek {
        /// The target.
        format: &'static str,
        /// Which formats do without.
        instead: &'static str,
    },
    /// A file of this format is read from its end, which a stream has not yet.
    #[error("{format} cannot be read from a stream: {problem}; convert it from a file")]
    NotStreamable {
        /// The source.
        format: &'static str,
        /// Why not.
        problem: &'static str,
    },
    /// A picture's file ends before the picture does.
    #[error("the {format} file ends too early, after {bytes} bytes; with `damaged: accept` what is there may be kept")]
    TruncatedImage {
        /// The source.
        format: &'static str,
        /// Bytes of the file.
        bytes: u64,
    },
    /// The format is known, but not this kind of it.
    #[error("this kind of {format} is not read here: {feature}")]
    UnsupportedImage {
        /// The source.
        format: &'static str,
        /// What is not read, as the decoder says it.
        feature: String,
    },
    /// A decoder of pictures asked for more memory than it may have.
    #[error("the {format} file asks its decoder for more memory than it may have: pictures may take {limit} bytes")]
    DecoderLimit {
        /// The source.
        format: &'static str,
        /// `max_image_bytes`.
        limit: u64,
    },
    /// The target holds 8 bits a channel, and rounding was refused.
    #[error("the picture has more than 8 bits a channel, {format} holds 8: choose PNG or TIFF, or allow rounding")]
    SixteenBit {
        /// The target.
        format: &'static str,
    },
    /// An encoder refused what it was given.
    #[error("the {format} encoder failed")]
    Encode {
        /// The target.
        format: &'static str,
        /// What the encoder says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A decoder of pictures failed for a reason that has no variant of its own.
    #[error("the {format} decoder failed")]
    Decode {
        /// The source.
        format: &'static str,
        /// What the decoder says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Tags or pictures could not be read or written.
    #[error("cannot {action} tags")]
    Tags {
        /// "read" or "write".
        action: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A codec that was thought to be safe panicked. The job ended, nothing else.
    #[error(
        "the conversion of {what} ended in a panic: {message}; the file is likely to be hostile or the codec wrong"
    )]
    Panicked {
        /// The job.
        what: String,
        /// The panic's message.
        message: String,
    },
    /// The caller stopped the conversion.
    #[error("the conversion was cancelled")]
    Cancelled,
    /// The runtime that the conversion ran on is shutting down.
    #[error("the async runtime shut down before the conversion ended")]
    RuntimeGone,
    /// A buffer of samples or pixels does not fit together.
    #[error(transparent)]
    Core(#[from] mullama_core::Error),
}

/// What an input was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Media {
    /// Sound.
    Audio,
    /// A picture.
    Image,
}

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::File { .. } | Self::Stream { .. } => ErrorKind::Io,
            Self::UnsupportedImage { .. }
            | Self::UnsupportedCodec { .. }
            | Self::NeedsSeek { .. }
            | Self::NotStreamable { .. } => ErrorKind::Unsupported,
            Self::TooLarge { .. } | Self::DecoderLimit { .. } => ErrorKind::LimitExceeded,
            Self::Encode { .. } | Self::Panicked { .. } => ErrorKind::Internal,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::RuntimeGone => ErrorKind::Unavailable,
            Self::Core(error) => error.kind(),
            Self::OutputExists { .. }
            | Self::SameFile { .. }
            | Self::SameTarget { .. }
            | Self::EmptyInput
            | Self::UnknownFormat { .. }
            | Self::UnknownTarget { .. }
            | Self::NoAudioTrack
            | Self::NoAudioFrames
            | Self::InvalidSampleRate { .. }
            | Self::InvalidChannels { .. }
            | Self::NonFiniteSamples { .. }
            | Self::Clipped { .. }
            | Self::Truncated { .. }
            | Self::TruncatedImage { .. }
            | Self::SixteenBit { .. }
            | Self::Corrupt { .. }
            | Self::ChecksumMismatch { .. }
            | Self::InvalidParameter { .. }
            | Self::BitrateOutOfRange { .. }
            | Self::Decode { .. }
            | Self::Tags { .. } => ErrorKind::InvalidInput,
        }
    }

    /// The first bytes of an input that is nothing known.
    pub(crate) fn unknown(what: Media, input: &[u8]) -> Self {
        let first: Vec<String> = input.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self::UnknownFormat { what, first_bytes: first.join(" ") }
    }
}
