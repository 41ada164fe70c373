//! Flags of `convert` and `probe`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use mullama::convert::{BitDepth, Color, Effort, FitMode, MetadataPolicy, TargetFormat};

use super::number::{count, whole};
use super::{ConfigArgs, one_of};

#[derive(Debug, Args)]
#[command(after_long_help = CONVERT_HELP)]
pub(crate) struct Convert {
    /// Files, folders and patterns such as 'talks/*.mp3'
    #[arg(required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) inputs: Vec<PathBuf>,
    /// What they become: wav, flac, mp3, aac, m4a, ogg, opus; jpg, png, webp, tiff, bmp
    #[arg(long, short, value_name = "FORMAT")]
    pub(crate) to: TargetFormat,
    /// The folder for the results; it is made where it is missing [default: beside each file]
    #[arg(long, short, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) out: Option<PathBuf>,
    /// Folders within folders too
    #[arg(long, short)]
    pub(crate) recursive: bool,
    /// Replace files that are there
    #[arg(long)]
    pub(crate) force: bool,
    /// Skip files whose result is there and not older
    #[arg(long)]
    pub(crate) resume: bool,
    /// Files at a time [default: as many as cores]
    #[arg(long, value_name = "N", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) threads: Option<u32>,
    /// Print one JSON object about all files
    #[arg(long)]
    pub(crate) json: bool,
    /// Convert what is left of damaged files instead of refusing them
    #[arg(long)]
    pub(crate) accept_damaged: bool,
    /// Tags, EXIF and XMP: keep them, keep them without the place, or drop them
    #[arg(long, value_name = "WHAT", value_parser = one_of::<MetadataPolicy>(&["keep", "strip_location", "strip"]))]
    pub(crate) metadata: Option<MetadataPolicy>,
    /// OGG: -1 to 10 [default: 6]. JPEG and WebP: 1 to 100 [default: 90, 80]
    #[arg(long, value_name = "Q", allow_hyphen_values = true)]
    pub(crate) quality: Option<f32>,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    pub(crate) sound: SoundArgs,
    #[command(flatten)]
    pub(crate) picture: PictureArgs,
}

/// What is told about sound.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sound")]
pub(crate) struct SoundArgs {
    /// Frames per second [default: as the source]
    #[arg(long, value_name = "HZ", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) rate: Option<u32>,
    /// Channels [default: as the source]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=8), allow_hyphen_values = true)]
    pub(crate) channels: Option<u16>,
    /// Bits of a sample in WAV and FLAC [default: as the source]
    #[arg(long, value_name = "BITS")]
    pub(crate) bits: Option<Bits>,
    /// Bitrate of MP3, AAC and Opus, in kbit/s
    #[arg(long, value_name = "KBPS", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) bitrate: Option<u32>,
    /// Bring each file to this loudness, -70 to -5
    #[arg(long, value_name = "LUFS", allow_hyphen_values = true)]
    pub(crate) loudness: Option<f32>,
}

/// What is told about pictures.
#[derive(Debug, Args)]
#[command(next_help_heading = "Pictures")]
pub(crate) struct PictureArgs {
    /// Pixels in a row [default: as the source, or by --height]
    #[arg(long, value_name = "PIXELS", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) width: Option<u32>,
    /// Rows [default: as the source, or by --width]
    #[arg(long, value_name = "PIXELS", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) height: Option<u32>,
    /// What happens if the picture has another shape
    #[arg(long, value_name = "HOW", value_parser = one_of::<FitMode>(&["contain", "cover", "fill", "scale_down"]))]
    pub(crate) fit: Option<FitMode>,
    /// WebP without loss
    #[arg(long, conflicts_with = "lossy")]
    pub(crate) lossless: bool,
    /// WebP with loss
    #[arg(long)]
    pub(crate) lossy: bool,
    /// How much time a smaller file is worth; not for BMP
    #[arg(long, value_name = "MUCH", value_parser = one_of::<Effort>(&["fast", "normal", "small"]))]
    pub(crate) effort: Option<Effort>,
    /// What transparent pixels of JPEG are laid on, as six hexadecimal digits [default: ffffff]
    #[arg(long, value_name = "RRGGBB")]
    pub(crate) background: Option<Color>,
}

/// Bits of a sample.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Bits {
    /// Integers of 8 bits
    #[value(name = "8")]
    Eight,
    /// Integers of 16 bits
    #[value(name = "16")]
    Sixteen,
    /// Integers of 24 bits
    #[value(name = "24")]
    TwentyFour,
    /// Integers of 32 bits
    #[value(name = "32")]
    ThirtyTwo,
    /// Floats of 32 bits; WAV only
    Float,
}

impl From<Bits> for BitDepth {
    fn from(bits: Bits) -> Self {
        match bits {
            Bits::Eight => Self::Int8,
            Bits::Sixteen => Self::Int16,
            Bits::TwentyFour => Self::Int24,
            Bits::ThirtyTwo => Self::Int32,
            Bits::Float => Self::Float32,
        }
    }
}

impl Convert {
    /// Files at a time, if it was said.
    pub(crate) fn threads(&self) -> Option<NonZeroUsize> {
        self.threads.and_then(|threads| NonZeroUsize::new(threads as usize))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// Files of sound and pictures
    #[arg(required = true, value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    /// Print one JSON object for each file
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

const CONVERT_HELP: &str = "\
Of folders and patterns those files are taken whose names are those of sound or of pictures, whichever --to asks for; \
what is inside decides how they are read. With --out, folders within a folder are kept. A result appears when it is \
whole; Ctrl-C leaves nothing half-written, and --resume goes on.

The exit code is 0 only if no file failed. --json prints {\"files\", \"converted\", \"skipped\", \"failed\", \"stopped\", \
\"elapsed\"}; each of the files has \"input\", \"output\", \"outcome\" and its \"report\" or \"error\".";
