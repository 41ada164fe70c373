//! Files in and out: nothing is read that is no file, nothing appears that is not whole.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mullama_core::files;
use tempfile::NamedTempFile;

use crate::config::Existing;
use crate::error::{Error, Result};

/// Opens a file for reading and tells how long it is.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    let file = files::open(path).map_err(failed("open", path))?;
    let length = file.metadata().map_err(failed("open", path))?.len();
    Ok((file, length))
}

/// The first bytes of a file, [`HEAD`] at most.
pub(crate) fn head(path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    let (file, _) = open(path)?;
    file.take(HEAD as u64).read_to_end(&mut head).map_err(failed("read", path))?;
    Ok(head)
}

/// Refuses a target that must not be touched.
pub(crate) fn check_target(input: &Path, output: &Path, existing: Existing) -> Result<()> {
    if let (Ok(input), Ok(target)) = (input.canonicalize(), output.canonicalize())
        && input == target
    {
        return Err(Error::SameFile { path: output.to_owned() });
    }
    if existing == Existing::Keep && output.symlink_metadata().is_ok() {
        return Err(Error::OutputExists { path: output.to_owned() });
    }
    Ok(())
}

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
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX).rand_bytes(RANDOM);
        // As for any new file: the user's mask decides, not the caution that files of secrets need.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder).map_err(failed("create", target))?;
        // It tells `remove_stale` that somebody is at work. Where there are no locks that removes nothing; where other machines
        // do not see them, its day must do.
        let _unsupported = file.as_file().try_lock();
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

/// Writes a file beside its place, and moves it there when it is on the disk.
pub(crate) fn write(target: &Path, bytes: &[u8], existing: Existing) -> Result<()> {
    let mut partial = Partial::new(target, existing)?;
    partial.file.write_all(bytes).map_err(failed("write", target))?;
    partial.put_in_place()
}

/// Removes what processes that were killed have left half-written in a folder. Only files of our own name that nobody has
/// written to for a day, and that no process holds locked.
pub(crate) fn remove_stale(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_partial)) {
        let old = |modified| SystemTime::now().duration_since(modified).is_ok_and(|age| age > STALE);
        let metadata = entry.metadata().ok();
        if !metadata.is_some_and(|metadata| metadata.is_file() && metadata.modified().is_ok_and(old)) {
            continue;
        }
        let path = entry.path();
        let unused = File::options().write(true).open(&path).is_ok_and(|file| file.try_lock().is_ok());
        if unused && fs::remove_file(&path).is_ok() {
            tracing::info!(path = %path.display(), "removed what a killed conversion left");
        }
    }
}

pub(crate) fn failed<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + 'a {
    move |source| Error::File { action, path: path.to_owned(), source }
}

fn is_partial(name: &str) -> bool {
    let random = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX));
    random.is_some_and(|random| random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Bytes that tell what a file is.
pub(crate) const HEAD: usize = 64;
const PREFIX: &str = ".mullama-";
const SUFFIX: &str = ".partial";
/// Random letters between both.
const RANDOM: usize = 6;
/// A younger file may be at work on another machine, which shares the folder but not its locks.
const STALE: Duration = Duration::from_hours(24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_works_at_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let long_ago = SystemTime::now() - STALE - Duration::from_mins(1);
        let made = |name: &str, modified: SystemTime| {
            let path = folder.path().join(name);
            File::create(&path).unwrap().set_modified(modified).unwrap();
            path
        };
        let stale = made(".mullama-aB3dE6.partial", long_ago);
        let kept = [
            made(".mullama-aB3dE7.partial", SystemTime::now()),
            made(".mullama-aB3dE8.partial", SystemTime::now() - Duration::from_hours(23)),
            made(".mullama-aB3.partial", long_ago),
            made(".mullama-aB-dE6.partial", long_ago),
            made("song.partial", long_ago),
        ];
        let working = Partial::new(&folder.path().join("song.wav"), Existing::Keep).unwrap();
        working.file.as_file().set_modified(long_ago).unwrap();
        remove_stale(folder.path());
        assert!(!stale.exists() && working.path().exists() && kept.iter().all(|path| path.exists()));
        // Its process was killed: nobody holds it any more.
        let (_, left) = working.file.keep().unwrap();
        remove_stale(folder.path());
        assert!(!left.exists());
    }
}
