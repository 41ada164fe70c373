//! Files that are read while requests are answered: none that could be waited for.

use std::fs::{self, File, Metadata};
use std::io::{Error, ErrorKind, Read as _, Result};
use std::path::Path;

use zeroize::Zeroizing;

/// Reads a file of a megabyte at most, with what the system says of it. Secrets may be in it.
///
/// # Errors
/// Those of the system. What is no plain file is refused before it is opened: a pipe waits for its writer, a device may never
/// end. `/dev/null` is an empty file.
pub(crate) fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, Metadata)> {
    let metadata = fs::metadata(path)?;
    if path == Path::new("/dev/null") {
        return Ok((Zeroizing::default(), metadata));
    }
    check(&metadata)?;
    let file = File::open(path)?;
    // Another one may have come in its place.
    let metadata = file.metadata()?;
    check(&metadata)?;
    // Room for all of it: what is left behind when it grows nobody overwrites.
    let room = usize::try_from(metadata.len().min(MOST)).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it has more than {MOST} bytes")));
    }
    Ok((bytes, metadata))
}

/// Of a folder the system tells when it is read.
fn check(metadata: &Metadata) -> Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_dir() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidInput, "it is a pipe or a device, but must be a file"))
}

const MOST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn what_could_be_waited_for_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), Path::new("/dev/zero")] {
            assert!(read(path).unwrap_err().to_string().contains("it is a pipe or a device"), "{}", path.display());
        }
        assert!(read(folder.path()).is_err() && read(Path::new("/dev/null")).unwrap().0.is_empty());
        let file = folder.path().join("file");
        fs::write(&file, vec![b'x'; 1 << 20]).unwrap();
        assert_eq!(read(&file).unwrap().0.len(), 1 << 20);
        fs::write(&file, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("more than 1048576 bytes"));
    }
}
