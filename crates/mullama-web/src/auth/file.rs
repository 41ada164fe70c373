//! A file of keys, read anew when it changes.

use std::fs::{self, Metadata};
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use mullama_core::files;
use zeroize::Zeroizing;

use super::{Digest, digest};
use crate::failure::{Error, Result};

/// A file with one key a line.
pub(super) struct KeyFile {
    path: PathBuf,
    opened: Instant,
    /// When it is looked at again, in ms since `opened`.
    next_look: AtomicU64,
    known: RwLock<Known>,
}

/// What was read last.
struct Known {
    digests: Arc<[Digest]>,
    stamp: Stamp,
    /// The last attempt to read it failed, which was told.
    failing: bool,
}

/// What tells one state of the file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// It was not changed shortly before it was read: a further change would have another time.
    settled: bool,
}

impl KeyFile {
    pub(super) fn open(path: PathBuf) -> Result<Self> {
        let (digests, stamp) = read(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        if digests.is_empty() {
            warn_of_none(&path);
        }
        let known = RwLock::new(Known { digests: digests.into(), stamp, failing: false });
        Ok(Self { path, opened: Instant::now(), next_look: AtomicU64::new(LOOK_MS), known })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it, changed or not.
    pub(super) fn reload(&self) -> Result<()> {
        let (digests, stamp) = read(&self.path).map_err(|source| Error::File { path: self.path.clone(), source })?;
        let none = digests.is_empty();
        self.replace(digests, stamp);
        if none {
            warn_of_none(&self.path);
        }
        Ok(())
    }

    /// Those of the file as it was within the last second.
    pub(super) fn digests(&self) -> Arc<[Digest]> {
        let now = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        let due = self.next_look.load(Ordering::Relaxed);
        let next = now.saturating_add(LOOK_MS);
        // One of the requests that come together looks, the others go on.
        if now >= due && self.next_look.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.look();
        }
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner).digests)
    }

    /// Reads it if it changed. One that cannot be read leaves the keys as they are.
    pub(super) fn look(&self) {
        let last = self.known.read().unwrap_or_else(PoisonError::into_inner).stamp;
        match fs::metadata(&self.path) {
            Ok(metadata) if last.settled && Stamp::of(&metadata) == last => {}
            Ok(_) => match read(&self.path) {
                Ok((digests, stamp)) => {
                    let none = digests.is_empty();
                    // It is looked at often: only a change is worth a word.
                    if self.replace(digests, stamp) && none {
                        warn_of_none(&self.path);
                    }
                }
                Err(error) => self.failed(&error),
            },
            Err(error) => self.failed(&error),
        }
    }

    /// Is it another state than the last one?
    fn replace(&self, digests: Vec<Digest>, stamp: Stamp) -> bool {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let changed = *known.digests != *digests || known.failing;
        if changed {
            tracing::info!(path = %self.path.display(), keys = digests.len(), "the file of keys was read anew");
        }
        *known = Known { digests: digests.into(), stamp, failing: false };
        changed
    }

    fn failed(&self, error: &IoError) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut known.failing, true) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "the file of keys cannot be read; the keys that it had stay");
        }
        // What comes in its place may have the old time and length.
        known.stamp.settled = false;
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let modified = metadata.modified().ok();
        let age = modified.and_then(|time| time.elapsed().ok());
        Self { modified, length: metadata.len(), settled: age.is_some_and(|age| age > SETTLED) }
    }
}

/// A file that was emptied by mistake looks like a broken server from outside.
fn warn_of_none(path: &Path) {
    tracing::warn!(path = %path.display(), "there is no key in the file of keys: it lets nobody in");
}

/// Can it be read?
pub(super) fn check(path: &Path) -> Result<()> {
    read(path).map(drop).map_err(|source| Error::File { path: path.to_owned(), source })
}

fn read(path: &Path) -> std::io::Result<(Vec<Digest>, Stamp)> {
    // Before it is read: what comes later is then seen as a change.
    let stamp = Stamp::of(&fs::metadata(path)?);
    let bytes = Zeroizing::new(files::read(path, MAX_BYTES)?);
    let text = std::str::from_utf8(&bytes).map_err(|error| IoError::new(ErrorKind::InvalidData, error))?;
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok((keys.map(digest).collect(), stamp))
}

const MAX_BYTES: u64 = 1 << 20;
const LOOK_MS: u64 = 1_000;
/// File systems tell times in steps of up to 2 seconds.
const SETTLED: Duration = Duration::from_secs(2);
