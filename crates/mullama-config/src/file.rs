//! The files of a configuration, read once: what is compared is what is loaded.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mullama_core::files;
use zeroize::Zeroizing;

/// What stands in the files of a loader.
#[derive(Clone)]
pub(crate) struct Texts(pub(crate) Vec<(PathBuf, Content)>);

/// What stands in a file.
#[derive(Clone)]
pub(crate) enum Content {
    Absent,
    /// Why it cannot be read; whether it is another's.
    Refused {
        reason: String,
        denied: bool,
    },
    Text(Arc<Zeroizing<String>>),
}

/// What is in the files: enough to tell whether it is something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct States(Vec<(PathBuf, State)>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Absent,
    Blank,
    Refused(String),
    /// With the digest of the text.
    Full(u64),
}

impl Texts {
    pub(crate) fn read<'a>(paths: impl Iterator<Item = &'a Path>) -> Self {
        Self(paths.map(|path| (path.to_owned(), Content::of(path))).collect())
    }

    pub(crate) fn of(&self, path: &Path) -> Content {
        let found = self.0.iter().find(|(known, _)| known == path);
        found.map_or_else(|| Content::of(path), |(_, content)| content.clone())
    }

    pub(crate) fn states(&self) -> States {
        States(self.0.iter().map(|(path, content)| (path.clone(), content.state())).collect())
    }
}

impl Content {
    fn of(path: &Path) -> Self {
        match read(path) {
            Ok(text) => Self::Text(Arc::new(text)),
            Err(error) if is_absent(&error) => Self::Absent,
            Err(error) => {
                Self::Refused { reason: error.to_string(), denied: error.kind() == ErrorKind::PermissionDenied }
            }
        }
    }

    fn state(&self) -> State {
        match self {
            Self::Absent => State::Absent,
            Self::Refused { reason, .. } => State::Refused(reason.clone()),
            Self::Text(text) if text.trim().is_empty() => State::Blank,
            Self::Text(text) => {
                let mut hasher = DefaultHasher::new();
                text.hash(&mut hasher);
                State::Full(hasher.finish())
            }
        }
    }
}

impl States {
    /// Files that are gone, or empty, and were not.
    pub(crate) fn lost(&self, now: &Self) -> impl Iterator<Item = (&Path, &'static str)> {
        let both = self.0.iter().zip(now.0.clone());
        both.filter_map(|((path, before), (_, after))| match (before, after) {
            (State::Full(_), State::Absent) => Some((path.as_path(), "it is gone")),
            (State::Full(_), State::Blank) => Some((path.as_path(), "it is empty")),
            _ => None,
        })
    }
}

/// Reads a text of a megabyte at most, from a plain file.
pub(crate) fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(files::read(path, MOST)?);
    let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|error| {
        let reason = format!("it is no UTF-8 from byte {} on", error.utf8_error().valid_up_to());
        drop(Zeroizing::new(error.into_bytes()));
        io::Error::new(ErrorKind::InvalidData, reason)
    })?;
    Ok(Zeroizing::new(text))
}

/// Where a part of the path is no folder, there is no file either.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

const MOST: u64 = 1 << 20;
