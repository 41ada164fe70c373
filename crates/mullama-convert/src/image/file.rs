//! Files in and out: nothing is read that is no picture, nothing half-written stays.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use bytes::Bytes;

use crate::config::{Existing, Limits};
use crate::error::{Error, Result};

use super::decode;

/// Reads a picture's file as a whole. One that is no picture is refused after its first bytes.
pub(super) fn read(path: &Path, limits: &Limits) -> Result<Bytes> {
    let failed = |action| move |source| Error::File { action, path: path.to_owned(), source };
    // Opening a pipe without a writer would wait for ever.
    let metadata = fs::metadata(path).map_err(failed("open"))?;
    if !metadata.is_file() {
        let source = std::io::Error::new(ErrorKind::InvalidInput, "not a regular file");
        return Err(failed("read")(source));
    }
    // No picture within its own limits takes more: an animation may, and its file is read as a whole.
    let limit = limits.max_input_bytes.min(limits.max_image_bytes.saturating_add(limits.max_metadata_bytes));
    if metadata.len() > limit {
        return Err(Error::TooLarge { what: "the file", value: metadata.len(), limit, unit: "bytes" });
    }
    let file = File::open(path).map_err(failed("open"))?;
    let mut bytes = Vec::with_capacity(64);
    (&file).take(64).read_to_end(&mut bytes).map_err(failed("read"))?;
    decode::format_of(&bytes)?;
    bytes.reserve_exact(usize::try_from(metadata.len()).unwrap_or(0).saturating_sub(bytes.len()));
    // A file that grows meanwhile is cut where the limit is.
    file.take(limit).read_to_end(&mut bytes).map_err(failed("read"))?;
    Ok(bytes.into())
}

/// Refuses a target that must not be touched.
pub(super) fn check_target(input: &Path, output: &Path, existing: Existing) -> Result<()> {
    let Ok(target) = fs::canonicalize(output) else { return Ok(()) };
    if fs::canonicalize(input).is_ok_and(|input| input == target) {
        return Err(Error::SameFile { path: output.to_owned() });
    }
    match existing {
        Existing::Overwrite => Ok(()),
        Existing::Keep => Err(Error::OutputExists { path: output.to_owned() }),
    }
}

/// Writes a file beside its place, and moves it there when it is on the disk.
pub(super) fn write(path: &Path, bytes: &[u8], existing: Existing) -> Result<()> {
    let failed = |action| move |source| Error::File { action, path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = partial(folder).map_err(failed("create"))?;
    file.write_all(bytes).map_err(failed("write"))?;
    file.as_file().sync_all().map_err(failed("write"))?;
    let moved = match existing {
        Existing::Overwrite => file.persist(path),
        Existing::Keep => file.persist_noclobber(path),
    };
    moved.map(drop).map_err(|error| match error.error.kind() {
        ErrorKind::AlreadyExists => Error::OutputExists { path: path.to_owned() },
        _ => failed("rename")(error.error),
    })
}

/// A file that vanishes unless it is moved to its place. Others may read it as far as the system's mask lets them.
fn partial(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".partial-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}
