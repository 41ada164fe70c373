//! Files that appear whole or not at all.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::config::Existing;
use crate::error::{Error, Result};

/// A file under a name of its own beside the target; it vanishes unless it is put in place.
#[derive(Debug)]
pub(crate) struct Partial {
    file: NamedTempFile,
    target: PathBuf,
    existing: Existing,
}

impl Partial {
    /// Begins a file that is to become `target`. The folder must be there.
    pub(crate) fn new(target: &Path, existing: Existing) -> Result<Self> {
        if existing == Existing::Keep && target.symlink_metadata().is_ok() {
            return Err(Error::OutputExists { path: target.to_owned() });
        }
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".mullama-").suffix(".partial");
        // As for any new file: the user's mask decides, not the caution that files of secrets need.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder).map_err(failed("create", target))?;
        Ok(Self { file, target: target.to_owned(), existing })
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// A handle to write with.
    pub(crate) fn handle(&self) -> Result<File> {
        self.file.as_file().try_clone().map_err(failed("write", &self.target))
    }

    /// Syncs the file and gives it its name.
    pub(crate) fn put_in_place(self) -> Result<()> {
        let target = self.target;
        self.file.as_file().sync_all().map_err(failed("write", &target))?;
        match self.existing {
            Existing::Overwrite => self.file.persist(&target).map(drop),
            Existing::Keep => self.file.persist_noclobber(&target).map(drop),
        }
        .map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => Error::OutputExists { path: target.clone() },
            _ => failed("write", &target)(error.error),
        })
    }
}

/// Refuses a target that is its own source.
pub(crate) fn refuse_same(input: &Path, output: &Path) -> Result<()> {
    match (input.canonicalize(), output.canonicalize()) {
        (Ok(input), Ok(other)) if input == other => Err(Error::SameFile { path: output.to_owned() }),
        _ => Ok(()),
    }
}

pub(crate) fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + 'a {
    move |source| Error::File { action, path: path.to_owned(), source }
}
