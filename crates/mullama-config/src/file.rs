//! The files of a configuration, read once: what is compared is what is loaded.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

/// Reads a text of a megabyte at most.
///
/// # Errors
/// Those of the system. What is no plain file is refused before it is opened: a pipe waits for its writer and can be read
/// only once, a device may never end. `/dev/null` is an empty file.
pub(crate) fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    if path == Path::new("/dev/null") {
        return Ok(Zeroizing::default());
    }
    let length = plain(&fs::metadata(path)?)?;
    let file = File::open(path)?;
    // Another one may have come in its place.
    plain(&file.metadata()?)?;
    // Room for all of it: what a text leaves behind when it grows nobody overwrites.
    let room = usize::try_from(length.min(MOST)).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it has more than {MOST} bytes")));
    }
    let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|error| {
        let reason = format!("it is no UTF-8 from byte {} on", error.utf8_error().valid_up_to());
        drop(Zeroizing::new(error.into_bytes()));
        io::Error::new(ErrorKind::InvalidData, reason)
    })?;
    Ok(Zeroizing::new(text))
}

/// Its length, if it is a plain file.
fn plain(metadata: &fs::Metadata) -> io::Result<u64> {
    let what = match metadata.file_type() {
        kind if kind.is_file() => return Ok(metadata.len()),
        kind if kind.is_dir() => "it is a folder",
        kind => special(kind),
    };
    Err(io::Error::new(ErrorKind::InvalidInput, format!("{what}, but must be a file")))
}

/// What it is where it is neither file nor folder.
fn special(kind: fs::FileType) -> &'static str {
    if is_pipe(kind) { PIPE } else { "it is a device" }
}

/// Is it a pipe or a socket? To open it may wait for ever.
#[cfg(unix)]
pub(crate) fn is_pipe(kind: fs::FileType) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    kind.is_fifo() || kind.is_socket()
}

/// Is it a pipe or a socket? To open it may wait for ever.
#[cfg(not(unix))]
pub(crate) fn is_pipe(_kind: fs::FileType) -> bool {
    false
}

/// Where a part of the path is no folder, there is no file either.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

pub(crate) const PIPE: &str = "it is a pipe";
const MOST: u64 = 1 << 20;
