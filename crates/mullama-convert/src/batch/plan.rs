//! Which files become which.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::BatchConverter;
use crate::audio::AudioFormatType;
use crate::error::{Error, Result};
use crate::image::ImageFormatType;

/// What all files of a batch become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TargetFormat {
    /// Sound.
    Audio(AudioFormatType),
    /// Pictures; one of [`ImageFormatType::WRITTEN`].
    Image(ImageFormatType),
}

impl TargetFormat {
    /// The extension of its files, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Audio(format) => format.extension(),
            Self::Image(format) => format.extension(),
        }
    }

    /// Whether a file of this format may begin with these bytes.
    pub(super) fn begins(self, head: &[u8]) -> bool {
        match self {
            Self::Audio(format) => format.begins(head),
            Self::Image(format) => ImageFormatType::from_content(head) == Some(format),
        }
    }

    /// Whether a file of this name may be converted into this format. The content decides when it is read.
    #[must_use]
    pub fn takes(self, path: &Path) -> bool {
        let extension = path.extension().and_then(|extension| extension.to_str()).map(str::to_ascii_lowercase);
        match self {
            Self::Audio(_) => {
                AudioFormatType::from_path(path).is_some()
                    || extension.is_some_and(|extension| READ_AUDIO.contains(&&extension[..]))
            }
            Self::Image(_) => ImageFormatType::from_path(path).is_some(),
        }
    }
}

/// Extensions of sound that is read, beside those of what is written.
const READ_AUDIO: [&str; 8] = ["aif", "aiff", "aifc", "caf", "mka", "mkv", "webm", "mov"];

impl fmt::Display for TargetFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Audio(format) => format.fmt(f),
            Self::Image(format) => format.fmt(f),
        }
    }
}

impl FromStr for TargetFormat {
    type Err = Error;

    /// From an extension, such as `flac` or `png`.
    fn from_str(name: &str) -> Result<Self> {
        let audio = name.parse().map(Self::Audio);
        audio.or_else(|_| match name.parse::<ImageFormatType>() {
            Ok(format) if ImageFormatType::WRITTEN.contains(&format) => Ok(Self::Image(format)),
            _ => Err(Error::UnknownTarget {
                name: name.chars().take(32).collect(),
                known: "wav, flac, mp3, aac, m4a, ogg, opus, jpg, png, webp, tiff and bmp",
            }),
        })
    }
}

/// One file and what it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchJob {
    /// The source.
    pub input: PathBuf,
    /// The target; its extension is that of the batch's format.
    pub output: PathBuf,
    /// Bytes of the source, for the progress; 0 if they are not known.
    pub bytes: u64,
}

impl BatchConverter {
    /// A job: `output` gets the extension of the batch's format.
    #[must_use]
    pub fn job(&self, input: impl Into<PathBuf>, output: impl Into<PathBuf>) -> BatchJob {
        let (input, mut output) = (input.into(), output.into());
        output.set_extension(self.target.extension());
        let bytes = std::fs::metadata(&input).map_or(0, |metadata| metadata.len());
        BatchJob { input, output, bytes }
    }

    /// A job for each file: its target has the same name with the other extension, in `folder`.
    #[must_use]
    pub fn plan<P: Into<PathBuf>>(&self, inputs: impl IntoIterator<Item = P>, folder: &Path) -> Vec<BatchJob> {
        let job = |input: PathBuf| {
            let output = folder.join(input.file_name().unwrap_or_default());
            self.job(input, output)
        };
        inputs.into_iter().map(Into::into).map(job).collect()
    }
}

/// The folders that the targets lie in.
pub(super) fn folders(jobs: &[BatchJob]) -> BTreeSet<&Path> {
    let folders = jobs.iter().filter_map(|job| job.output.parent());
    folders.map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder }).collect()
}

/// Jobs whose target an earlier one has, with the source of that one.
pub(super) fn clashes(jobs: &[BatchJob]) -> HashMap<usize, &Path> {
    let mut first: HashMap<&Path, &Path> = HashMap::new();
    let mut clashes = HashMap::new();
    for (index, job) in jobs.iter().enumerate() {
        match first.get(&*job.output) {
            Some(earlier) => {
                clashes.insert(index, *earlier);
            }
            None => {
                first.insert(&job.output, &job.input);
            }
        }
    }
    clashes
}
