//! The folders that tell of changes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

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
