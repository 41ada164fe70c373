//! Plain files. What could be waited for is not opened: a pipe waits for its writer and can be read only once, a device may
//! never end.

use std::fs::{self, File, FileType};
use std::io::{self, Error, ErrorKind, Read as _};
use std::path::Path;

/// Opens a plain file for reading; `/dev/null` is an empty one.
///
/// # Errors
/// Those of the system; [`ErrorKind::IsADirectory`] for a folder, [`ErrorKind::InvalidInput`] for a pipe, a socket or a device.
pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
    let path = path.as_ref();
    check(path, fs::metadata(path)?.file_type())?;
    let file = File::open(path)?;
    // Another one may have come in its place.
    check(path, file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a plain file of at most `most` bytes. Room for all of it is taken first, so that of a secret no copies are left where
/// the bytes have grown; overwriting them is the caller's.
///
/// # Errors
/// Those of [`open`]; [`ErrorKind::FileTooLarge`].
pub fn read(path: impl AsRef<Path>, most: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let room = usize::try_from(file.metadata()?.len().min(most)).unwrap_or(0).saturating_add(1);
    let mut bytes = Vec::with_capacity(room);
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it has more than {most} bytes")));
    }
    Ok(bytes)
}

fn check(path: &Path, kind: FileType) -> io::Result<()> {
    if kind.is_file() || path == Path::new("/dev/null") {
        return Ok(());
    }
    let (what, class) = match kind {
        kind if kind.is_dir() => ("folder", ErrorKind::IsADirectory),
        kind if is_pipe(kind) => ("pipe", ErrorKind::InvalidInput),
        _ => ("device", ErrorKind::InvalidInput),
    };
    Err(Error::new(class, format!("it is a {what}, but must be a file")))
}

#[cfg(unix)]
fn is_pipe(kind: FileType) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    kind.is_fifo() || kind.is_socket()
}

#[cfg(not(unix))]
fn is_pipe(_kind: FileType) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn what_could_be_waited_for_is_not_opened() {
        let folder = std::env::temp_dir().join(format!("mullama-files-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let (pipe, file) = (folder.join("pipe"), folder.join("file"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for (path, what) in [(pipe.as_path(), "pipe"), (Path::new("/dev/zero"), "device"), (&folder, "folder")] {
            assert_eq!(read(path, 10).unwrap_err().to_string(), format!("it is a {what}, but must be a file"));
        }
        assert!(read("/dev/null", 0).unwrap().is_empty());
        fs::write(&file, [7; 10]).unwrap();
        assert_eq!(read(&file, 10).unwrap(), [7; 10]);
        assert_eq!(read(&file, 9).unwrap_err().kind(), ErrorKind::FileTooLarge);
        assert_eq!(read(folder.join("none"), 9).unwrap_err().kind(), ErrorKind::NotFound);
        fs::remove_dir_all(folder).unwrap();
    }
}
