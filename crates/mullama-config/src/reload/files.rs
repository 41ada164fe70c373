//! What is in the files, and the folders that tell of changes.

use std::collections::BTreeSet;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::error::Problem;
use crate::load::Loader;
use crate::origin::Origin;

/// What is in the files: enough to tell whether it is something else.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Texts(Vec<(PathBuf, State)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Absent,
    Blank,
    /// With the digest of the text.
    Full(u64),
}

impl Texts {
    pub(super) fn read(loader: &Loader) -> Self {
        Self(loader.files().map(|path| (path.to_owned(), State::of(path))).collect())
    }

    /// Files that are gone, or empty, and were not: half of what somebody is doing.
    pub(super) fn lost(&self, now: &Self) -> Vec<Problem> {
        let mut lost = Vec::new();
        for ((path, before), (_, after)) in self.0.iter().zip(&now.0) {
            let reason = match (before, after) {
                (State::Full(_), State::Absent) => "it is gone",
                (State::Full(_), State::Blank) => "it is empty",
                _ => continue,
            };
            lost.push(Problem::file("", Origin::Code, path.clone(), reason));
        }
        lost
    }

    /// Takes the place of what was. A file that is lost is told of once; told to read again all the same, it is none.
    pub(super) fn remember(&mut self, now: Self) {
        *self = now;
    }
}

impl State {
    fn of(path: &Path) -> Self {
        match fs::read(path) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_whitespace) => Self::Blank,
            Ok(bytes) => {
                let mut hasher = DefaultHasher::new();
                bytes.hash(&mut hasher);
                Self::Full(hasher.finish())
            }
            Err(_) => Self::Absent,
        }
    }
}

/// The folders that are watched.
pub(super) struct Folders {
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl Folders {
    /// Each change in them is a nudge.
    pub(super) fn new(nudge: SyncSender<()>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| is_change(event.kind)) {
                // Full: it will look anyway.
                let _ = nudge.try_send(());
            }
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(%error, "changes of files are not told by the system; they are looked at every few seconds");
        });
        Self { watcher: watcher.ok(), watched: BTreeSet::new() }
    }

    /// Watches the folders of these files, and of what they are links to.
    pub(super) fn follow<'a>(&mut self, files: impl Iterator<Item = &'a Path>) {
        let Some(watcher) = &mut self.watcher else { return };
        let folder = |path: &Path| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            folder.is_dir().then(|| folder.to_owned())
        };
        let wanted: BTreeSet<PathBuf> = files
            .flat_map(|path| [folder(path), fs::canonicalize(path).ok().as_deref().and_then(folder)])
            .flatten()
            .collect();
        for gone in self.watched.difference(&wanted) {
            // It may be gone itself.
            let _ = watcher.unwatch(gone);
        }
        for new in wanted.difference(&self.watched) {
            if let Err(error) = watcher.watch(new, RecursiveMode::NonRecursive) {
                tracing::warn!(folder = %new.display(), %error, "changes are looked for every few seconds only");
            }
        }
        self.watched = wanted;
    }
}

/// That somebody reads is none.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}
