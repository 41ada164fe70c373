//! A configuration that is read again when its files change.

mod admin;
mod change;
mod files;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json};
use tokio::sync::watch;

pub use self::change::Change;
use self::files::Folders;
use crate::error::{Error, Problem, Problems, Result};
use crate::file::{States, Texts};
use crate::load::{Loaded, Loader};
use crate::origin::Origin;

/// Reads the configuration again when its files change, and when it is told to ([`reload`](Self::reload)).
///
/// All or nothing: only what is whole, in range and content with the dry run takes the place of what was; whatever is wrong is
/// logged and counted, and the old configuration stays. A file that was there and is gone or empty is half of what somebody
/// is doing and no configuration, until it is told to read it all the same. Changes are waited for to end: 250 ms without
/// one, or 2 s in all.
///
/// It watches the folders of the files, so that writing beside and renaming, and links that are pointed elsewhere
/// (Kubernetes' `ConfigMap`s), are seen; every 5 s it looks by itself, for file systems that tell nothing.
///
/// ```
/// use mullama_config::{ConfigWatcher, Loader};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("mullama.toml");
/// std::fs::write(&file, "[sampling]\ntemperature = 0.5\n")?;
/// let watcher = ConfigWatcher::start(Loader::new().file(&file))?;
/// let mut changes = watcher.subscribe();
///
/// std::fs::write(&file, "[sampling]\ntemperature = 0.2\n")?;
/// changes.changed().await?;
/// assert_eq!(watcher.current().config().sampling.temperature, 0.2);
/// # Ok(())
/// # }
/// ```
pub struct ConfigWatcher {
    shared: Arc<Shared>,
    nudge: SyncSender<()>,
}

/// Looks at a configuration before it is taken: the old one, the new one.
type DryRun = dyn Fn(&Loaded, &Loaded) -> std::result::Result<(), Vec<Problem>> + Send + Sync;

struct Shared {
    loader: Loader,
    started: Arc<Loaded>,
    current: watch::Sender<Arc<Loaded>>,
    dry_run: Option<Box<DryRun>>,
    /// Held while a configuration is tried.
    state: Mutex<State>,
    reloads: AtomicU64,
    failures: AtomicU64,
    ended: AtomicBool,
}

/// What the configuration in force is made of.
struct State {
    /// What was in the files when they were last looked at, whatever came of it: the same is not told of twice.
    tried: States,
    /// What was in the files that are in force.
    texts: Texts,
    /// What was changed while the program runs, as a JSON object.
    runtime: Json,
}

/// How often the configuration was read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ReloadStats {
    /// Taken.
    pub reloads: u64,
    /// Refused, or [not put in force](ConfigWatcher::count_failure).
    pub failures: u64,
}

impl ConfigWatcher {
    /// Loads, and watches from then on, on a thread of its own.
    ///
    /// # Errors
    /// As [`Loader::load`]; [`Error::Thread`].
    pub fn start(loader: Loader) -> Result<Self> {
        Self::assemble(loader, None)
    }

    /// As [`ConfigWatcher::start`]; `dry_run` may refuse a configuration that is valid by itself: it sees the old and the new
    /// one.
    ///
    /// # Errors
    /// As [`ConfigWatcher::start`].
    pub fn with_dry_run<F>(loader: Loader, dry_run: F) -> Result<Self>
    where
        F: Fn(&Loaded, &Loaded) -> std::result::Result<(), Vec<Problem>> + Send + Sync + 'static,
    {
        Self::assemble(loader, Some(Box::new(dry_run)))
    }

    fn assemble(loader: Loader, dry_run: Option<Box<DryRun>>) -> Result<Self> {
        let shared = Arc::new(Shared::new(loader, dry_run)?);
        let (nudge, nudges) = sync_channel(1);
        let folders = Folders::new(nudge.clone());
        let watching = Arc::clone(&shared);
        let thread = thread::Builder::new().name("mullama-config".to_owned());
        thread.spawn(move || watching.watch(folders, &nudges)).map_err(|source| Error::Thread { source })?;
        Ok(Self { shared, nudge })
    }

    /// The configuration in force.
    #[must_use]
    pub fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.shared.current.borrow())
    }

    /// Tells of each configuration that comes in force; the last one counts.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Loaded>> {
        self.shared.current.subscribe()
    }

    /// Reads it again at once, changed or not, and takes files that are gone or empty for what they are. Blocks while the files
    /// are read. Whether something changed.
    ///
    /// # Errors
    /// As [`Loader::load`], and what the dry run says; the old configuration stays.
    pub fn reload(&self) -> Result<bool> {
        self.shared.attempt(true)
    }

    /// Counts a failure of the program that has taken a configuration and could not do what it says.
    pub fn count_failure(&self) {
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it was read again.
    #[must_use]
    pub fn stats(&self) -> ReloadStats {
        ReloadStats {
            reloads: self.shared.reloads.load(Ordering::Relaxed),
            failures: self.shared.failures.load(Ordering::Relaxed),
        }
    }

    /// What has changed since the start and takes effect only with a restart.
    #[must_use]
    pub fn pending(&self) -> Vec<Change> {
        let mut changes = self.shared.started.changes(&self.current());
        changes.retain(Change::waits);
        changes
    }
}

impl Drop for ConfigWatcher {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
        // Full: it wakes anyway.
        let _ = self.nudge.try_send(());
    }
}

impl fmt::Debug for ConfigWatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigWatcher").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Shared {
    fn new(loader: Loader, dry_run: Option<Box<DryRun>>) -> Result<Self> {
        let texts = loader.texts();
        let started = Arc::new(loader.load_from(&texts)?);
        let state = State { tried: texts.states(), texts, runtime: Json::Object(Map::new()) };
        Ok(Self {
            loader,
            current: watch::Sender::new(Arc::clone(&started)),
            started,
            dry_run,
            state: Mutex::new(state),
            reloads: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        })
    }

    fn watch(&self, mut folders: Folders, nudges: &std::sync::mpsc::Receiver<()>) {
        folders.follow(self.loader.files());
        // The first change that was not looked at yet, and when that is to be done.
        let mut waiting: Option<(Instant, Instant)> = None;
        loop {
            let due = waiting.map(|(_, due)| due.saturating_duration_since(Instant::now()));
            let nudged = nudges.recv_timeout(due.unwrap_or(LOOK));
            if self.ended.load(Ordering::Acquire) {
                return;
            }
            let now = Instant::now();
            match nudged {
                Ok(()) => {
                    let first = waiting.map_or(now, |(first, _)| first);
                    let due = (now + QUIET).min(first + PATIENCE);
                    waiting = Some((first, due));
                    if due > now {
                        continue;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            waiting = None;
            // What was wrong was told.
            let _ = self.attempt(false);
            folders.follow(self.loader.files());
        }
    }

    fn attempt(&self, forced: bool) -> Result<bool> {
        let mut state = self.state();
        let texts = self.loader.texts();
        let states = texts.states();
        if states == state.tried && !forced {
            return Ok(false);
        }
        let lost: Vec<Problem> = state.texts.states().lost(&states).map(lost).collect();
        state.tried = states;
        let result =
            if lost.is_empty() || forced { self.take(&mut state, texts) } else { Err(Error::Invalid(Problems(lost))) };
        match &result {
            Ok(_) => self.reloads.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                for problem in error.problems() {
                    tracing::error!(%problem, hint = problem.hint, "the configuration cannot be used; the old one stays");
                }
                self.failures.fetch_add(1, Ordering::Relaxed)
            }
        };
        result
    }

    fn take(&self, state: &mut State, texts: Texts) -> Result<bool> {
        let new = self.loader.clone().runtime(state.runtime.clone()).load_from(&texts)?;
        let changes = self.replace(new)?;
        state.texts = texts;
        tracing::info!(changes = changes.len(), "the configuration was read again");
        Ok(!changes.is_empty())
    }

    /// Puts a configuration in force that is valid by itself. Only changed values are told of.
    fn replace(&self, new: Loaded) -> Result<Vec<Change>> {
        let old = Arc::clone(&self.current.borrow());
        if let Some(dry_run) = &self.dry_run {
            dry_run(&old, &new).map_err(|problems| Error::Invalid(Problems(problems)))?;
        }
        let changes = old.changes(&new);
        for warning in new.warnings().iter().filter(|warning| !old.warnings().contains(warning)) {
            tracing::warn!("{warning}");
        }
        let models = [&old, &new].map(|loaded| loaded.config().models.len());
        // Of a table that is new or gone, one line.
        let both = models[0].min(models[1]);
        for at in both..models[0].max(models[1]) {
            let what = if models[0] > at { "a model is gone" } else { "a model is new" };
            tracing::info!(path = format!("models[{at}]"), "{what}");
        }
        let in_both = |change: &&Change| number_of_table(&change.path).is_none_or(|at| at < both);
        for change in changes.iter().filter(in_both) {
            let Change { path, from, to, .. } = change;
            let (from, to) = (from.as_deref().unwrap_or("unset"), to.as_deref().unwrap_or("unset"));
            if change.waits() {
                tracing::warn!(%path, from, to, "a value was changed, which takes effect with a restart");
            } else {
                tracing::info!(%path, from, to, "a value was changed");
            }
        }
        // The same values may come from elsewhere now.
        self.current.send_if_modified(|current| {
            *current = Arc::new(new);
            !changes.is_empty()
        });
        Ok(changes)
    }

    /// Changes values until the program ends: a JSON merge patch over what was changed so far. Files that have changed
    /// meanwhile are not looked at: that is the watch's.
    fn change(&self, patch: Json) -> Result<Vec<Change>> {
        let mut state = self.state();
        let fixed = admin::fixed(&patch);
        let mut runtime = state.runtime.clone();
        admin::merge(&mut runtime, patch);
        let old = Arc::clone(&self.current.borrow());
        let new = self.loader.clone().runtime(runtime.clone()).instead_of(old).load_from(&state.texts)?;
        if !fixed.is_empty() {
            let current = self.current.borrow().entries();
            return Err(Error::Invalid(Problems(fixed.iter().map(|path| admin::refused(path, &current)).collect())));
        }
        let changes = self.replace(new)?;
        state.runtime = runtime;
        tracing::info!(changes = changes.len(), "the configuration was changed over HTTP");
        Ok(changes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The 1 of `models[1].path`.
fn number_of_table(path: &str) -> Option<usize> {
    path.strip_prefix("models[")?.split(']').next()?.parse().ok()
}

fn lost((path, reason): (&Path, &str)) -> Problem {
    let hint = "half of what somebody is doing; told to read it all the same, it is an empty one";
    Problem::file("", Origin::Code, path.to_owned(), reason).hint(hint)
}

/// Silence after the last change.
const QUIET: Duration = Duration::from_millis(250);
/// How long changes may go on before it is tried all the same.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks by itself.
const LOOK: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
