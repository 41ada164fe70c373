//! GGUF files: reads their header, and checks it before llama.cpp loads the model.
//!
//! llama.cpp answers many malformed models with an error, and some with an assertion, which ends the process, or with
//! an endless loop. [`Gguf::open`] reads the header alone, so that a model can be looked at without loading it, and
//! [`Gguf::check`] finds what the version of llama.cpp that this crate is built with would not survive. Both are plain
//! Rust, and what they allocate is bounded by the size of the header, which is at most 512 MiB: every count is compared
//! with the bytes that are left in the file before anything is allocated for it.
//!
//! A check says nothing about the weights, and holds for the file as it was when it was read: replace a model by
//! writing a new file and renaming it, never in place.
//!
//! Source of the format: `docs/gguf.md` in ggml's repository, and `gguf.cpp` in llama.cpp.

mod check;
mod error;
mod hyperparameters;
mod read;
mod tensor;
#[cfg(test)]
mod tests;
mod value;
mod vocabulary;

use std::io::BufReader;
use std::path::{Path, PathBuf};

pub use error::{GgufError, HyperparameterProblem, MetadataProblem, SplitProblem, TensorProblem, VocabularyProblem};
pub use tensor::{GgufTensor, TensorType};
pub use value::{GgufArray, GgufStrings, GgufValue};

/// Header of a GGUF file: metadata and the list of tensors.
///
/// ```no_run
/// use mullama_core::gguf::Gguf;
///
/// let header = Gguf::open("qwen.gguf")?;
/// println!("{:?}, {} parameters", header.architecture(), header.parameter_count());
/// if let Some(length) = header.get("qwen3.context_length") {
///     println!("context of {length} tokens");
/// }
/// header.check()?;
/// # Ok::<(), mullama_core::gguf::GgufError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Gguf {
    version: u32,
    alignment: u32,
    metadata: Vec<(String, GgufValue)>,
    /// Numbers of the entries in the order of their keys.
    index: Vec<u32>,
    tensors: Vec<GgufTensor>,
    data_offset: u64,
    file_size: u64,
    fingerprint: [u8; 32],
}

impl Gguf {
    /// Reads the header of a file. Blocks on the disk; reads nothing of the tensors' data.
    ///
    /// # Errors
    ///
    /// [`GgufError::Io`] if the file cannot be read, or is a pipe or a device; `NotGguf`, `Version`, `BigEndian`, `Truncated`, `TooLarge`,
    /// `Metadata`, `Alignment` or `Tensor` if the header is not well formed.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, GgufError> {
        let file = crate::files::open(path)?;
        let length = file.metadata()?.len();
        read::read(BufReader::with_capacity(256 << 10, file), length)
    }

    /// Reads the header of a file, [checks](Self::check) it, and does so for the other parts of a split model.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), [`check`](Self::check) and [`split_paths`](Self::split_paths), and
    /// [`GgufError::Split`] for a part that is not the one its name says.
    pub fn open_checked(path: impl AsRef<Path>) -> Result<Self, GgufError> {
        let first = Self::open(&path)?;
        first.check()?;
        for (number, path) in (0..).zip(first.split_paths(path)?).skip(1) {
            let part = Self::open(&path)?;
            part.check_layout()?;
            // llama.cpp asserts on the type here.
            if part.get(SPLIT_NUMBER) != Some(&GgufValue::U16(number)) {
                return Err(GgufError::Split { path, problem: SplitProblem::Number { expected: number } });
            }
        }
        Ok(first)
    }

    /// Reads the header of a model in memory.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) but `Io`.
    pub fn parse(bytes: &[u8]) -> Result<Self, GgufError> {
        read::read(bytes, bytes.len() as u64)
    }

    /// Looks for what would end the process, or never end, if llama.cpp loaded the file as a model, made a context and
    /// tokenized text: tensors outside the file or of types without a kernel, hyperparameters on which it asserts or by
    /// which it divides, and token tables that its tokenizers cannot survive. What llama.cpp answers with an error by
    /// itself is mostly left to it. Costs milliseconds: the vocabulary is sorted once.
    ///
    /// For vision and audio projectors (architecture `clip`) this is [`check_layout`](Self::check_layout). The first
    /// file of a split model stands for the model; [`open_checked`](Self::open_checked) looks at all of them.
    ///
    /// # Errors
    ///
    /// [`GgufError::TruncatedData`], `Tensor`, `Metadata`, `Vocabulary` or `Hyperparameter`, with the first finding.
    pub fn check(&self) -> Result<(), GgufError> {
        self.check_layout()?;
        let Some(architecture) = self.architecture() else {
            let problem = MetadataProblem::Missing;
            return Err(GgufError::Metadata { key: "general.architecture".to_owned(), problem });
        };
        if architecture == "clip" {
            return Ok(());
        }
        hyperparameters::check(self, architecture)?;
        vocabulary::check(self, architecture)?;
        check::weights(self)
    }

    /// Checks the places of the tensors alone: for files that are no models, such as adapters.
    ///
    /// # Errors
    ///
    /// [`GgufError::TruncatedData`] or `Tensor`.
    pub fn check_layout(&self) -> Result<(), GgufError> {
        check::layout(self)
    }

    /// Faults that llama.cpp mends by itself, worth a line in the log: special tokens whose ids are not in the
    /// vocabulary, for which it takes a default.
    #[must_use]
    pub fn warnings(&self) -> Vec<GgufError> {
        vocabulary::warnings(self)
    }

    /// Paths of all parts of a split model, in order and with `first`, the path of this file, at their head; just
    /// `first` if the model is one file. Looks whether each part is there.
    ///
    /// Parts are named as `llama_split_path` does: `NAME-00001-of-00003.gguf`.
    ///
    /// # Errors
    ///
    /// [`GgufError::Split`] if this is not the first part or is not named so, [`GgufError::MissingSplit`] if a part is
    /// not there.
    pub fn split_paths(&self, first: impl AsRef<Path>) -> Result<Vec<PathBuf>, GgufError> {
        let first = first.as_ref();
        let count = match self.get("split.count") {
            Some(&GgufValue::U16(count)) if count > 1 => count,
            _ => return Ok(vec![first.to_owned()]),
        };
        let wrong = |problem| Err(GgufError::Split { path: first.to_owned(), problem });
        if self.get(SPLIT_NUMBER) != Some(&GgufValue::U16(0)) {
            return wrong(SplitProblem::Number { expected: 0 });
        }
        let name = first.file_name().and_then(|name| name.to_str());
        let prefix = name.and_then(|name| name.strip_suffix(&format!("-00001-of-{count:05}.gguf")));
        let Some(prefix) = prefix.filter(|prefix| !prefix.is_empty()) else {
            return wrong(SplitProblem::Name { number: 1, count: count.into() });
        };
        let part = |number| first.with_file_name(format!("{prefix}-{number:05}-of-{count:05}.gguf"));
        let paths: Vec<_> = (1..=u32::from(count)).map(part).collect();
        match paths.iter().find(|path| !path.is_file()) {
            Some(path) => Err(GgufError::MissingSplit { path: path.clone() }),
            None => Ok(paths),
        }
    }

    /// Version of the container, 2 or 3.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Alignment of the tensors' data in bytes, a power of two; 32 unless `general.alignment` says otherwise.
    #[must_use]
    pub fn alignment(&self) -> u32 {
        self.alignment
    }

    /// Metadata entries in the order of the file; no key is there twice.
    #[must_use]
    pub fn metadata(&self) -> impl ExactSizeIterator<Item = (&str, &GgufValue)> {
        self.metadata.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Value of a metadata entry. Logarithmic in the number of entries.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&GgufValue> {
        let found = self.index.binary_search_by(|&i| self.metadata[i as usize].0.as_str().cmp(key)).ok()?;
        Some(&self.metadata[self.index[found] as usize].1)
    }

    /// Gives a key this value, in the number type that it had: what llama.cpp's overrides do.
    pub(crate) fn set(&mut self, key: &str, value: GgufValue) {
        match self.index.binary_search_by(|&i| self.metadata[i as usize].0.as_str().cmp(key)) {
            Ok(found) => {
                let slot = &mut self.metadata[self.index[found] as usize].1;
                *slot = value.in_type_of(slot);
            }
            Err(at) => {
                let Ok(last) = self.metadata.len().try_into() else { return };
                // GGUF's usual types; a number of 64 bits would be passed over as one of the wrong type.
                let value = match value {
                    GgufValue::F64(_) => value.in_type_of(&GgufValue::F32(0.0)),
                    value => value.in_type_of(&GgufValue::U32(0)),
                };
                self.metadata.push((key.to_owned(), value));
                self.index.insert(at, last);
            }
        }
    }

    /// Tensors in the order of the file; no name is there twice.
    #[must_use]
    pub fn tensors(&self) -> &[GgufTensor] {
        &self.tensors
    }

    /// Value of `general.architecture`, such as `llama` or `bert`: the first part of the hyperparameters' keys.
    #[must_use]
    pub fn architecture(&self) -> Option<&str> {
        self.text("general.architecture")
    }

    /// Number of elements of all tensors in this file.
    #[must_use]
    pub fn parameter_count(&self) -> u64 {
        self.tensors.iter().fold(0, |sum, tensor| sum.saturating_add(tensor.elements()))
    }

    /// Place in the file where the tensors' data begins, in bytes.
    #[must_use]
    pub fn data_offset(&self) -> u64 {
        self.data_offset
    }

    /// Size of the file in bytes.
    #[must_use]
    pub fn file_size(&self) -> u64 {
        self.file_size
    }

    /// BLAKE3 of everything before the tensors' data and of the file's size: tells models apart without reading their
    /// weights. Two fine-tunes with equal metadata have the same fingerprint.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// A text as llama.cpp sees it, which is up to the first NUL.
    fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_str()?.split('\0').next()
    }

    /// A number, if it has the type that llama.cpp insists on for nearly all of them.
    fn u32(&self, key: &str) -> Option<u32> {
        match self.get(key) {
            Some(&GgufValue::U32(number)) => Some(number),
            _ => None,
        }
    }
}

const SPLIT_NUMBER: &str = "split.no";
