//! What a pool knows of its models; every change of it is made under one lock.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::loader::Loader;
use crate::error::Error;

pub(super) struct State<L: Loader> {
    pub(super) entries: BTreeMap<String, Entry<L>>,
    /// Bytes of models that were unloaded while somebody had them.
    pub(super) held: u64,
    /// Nothing is leased or loaded any more.
    pub(super) closed: bool,
    /// Held by the task that unloads what nobody has used for a while.
    pub(super) sweeper: Weak<()>,
    /// Begun when the lock is given back: a runtime that ends drops what it is given at once, and what is dropped locks.
    pub(super) tasks: Vec<Task>,
}

pub(super) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One model.
pub(super) struct Entry<L: Loader> {
    pub(super) spec: Arc<L::Spec>,
    pub(super) phase: Phase<L::Engine>,
    /// What it takes; 0 until that is known, and when it is unloaded.
    pub(super) bytes: u64,
    /// The bytes are in use: from the beginning of a load until the end of the unloading.
    pub(super) resident: bool,
    /// Loads that were begun.
    pub(super) attempt: u64,
    /// The last failure, with the number of the load.
    pub(super) failure: Option<(u64, Refusal)>,
    /// Calls that wait for it: it is not unloaded before they have it.
    pub(super) waiting: usize,
    /// An engine is being replaced.
    pub(super) mending: bool,
    /// It is being removed: nobody gets it any more.
    pub(super) leaving: bool,
    /// The model whose place it is to take: that one does not make room for it.
    pub(super) heir_of: Option<String>,
    pub(super) last_used: Option<(Instant, SystemTime)>,
}

pub(super) enum Phase<E> {
    Unloaded,
    Loading,
    Ready(Vec<Replica<E>>),
    Closing,
}

/// One of a model's engines.
#[derive(Clone)]
pub(super) struct Replica<E> {
    pub(super) engine: E,
    pub(super) leases: Arc<Leases>,
}

/// How many have an engine. Changed under the pool's lock.
#[derive(Debug)]
pub(super) struct Leases {
    own: AtomicUsize,
    /// Of the whole load, engines that were replaced included: as long as there are any, its weights are in memory.
    all: Arc<AtomicUsize>,
}

/// Why there is no engine; the same for all that wait for it.
#[derive(Debug, Clone)]
pub(super) enum Refusal {
    Load(Arc<Error>),
    NoMemory { needed: u64, available: u64, limit: u64 },
    ShutDown,
}

impl<E> Replica<E> {
    /// The replicas of one load.
    pub(super) fn all(engines: Vec<E>) -> Vec<Self> {
        let all = Arc::default();
        let leases = || Arc::new(Leases { own: AtomicUsize::new(0), all: Arc::clone(&all) });
        engines.into_iter().map(|engine| Self { engine, leases: leases() }).collect()
    }

    /// One in the place of another of the same load.
    pub(super) fn instead_of(engine: E, other: &Leases) -> Self {
        Self { engine, leases: Arc::new(Leases { own: AtomicUsize::new(0), all: Arc::clone(&other.all) }) }
    }
}

impl Leases {
    pub(super) fn take(&self) {
        self.own.fetch_add(1, Ordering::Relaxed);
        self.all.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self) {
        self.own.fetch_sub(1, Ordering::Relaxed);
        self.all.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn own(&self) -> usize {
        self.own.load(Ordering::Relaxed)
    }

    /// Has nobody any engine of the load?
    pub(super) fn none(&self) -> bool {
        self.all.load(Ordering::Relaxed) == 0
    }
}

impl<L: Loader> Entry<L> {
    /// Those that run.
    pub(super) fn engines(&self) -> Vec<L::Engine> {
        match &self.phase {
            Phase::Ready(replicas) => replicas.iter().map(|replica| replica.engine.clone()).collect(),
            Phase::Unloaded | Phase::Loading | Phase::Closing => Vec::new(),
        }
    }

    pub(super) fn new(spec: L::Spec) -> Self {
        Self {
            spec: Arc::new(spec),
            phase: Phase::Unloaded,
            bytes: 0,
            resident: false,
            attempt: 0,
            failure: None,
            waiting: 0,
            mending: false,
            leaving: false,
            heir_of: None,
            last_used: None,
        }
    }

    pub(super) fn touch(&mut self) {
        self.last_used = Some((Instant::now(), SystemTime::now()));
    }

    pub(super) fn unloaded(&mut self) {
        self.phase = Phase::Unloaded;
        self.bytes = 0;
        self.resident = false;
        self.mending = false;
    }

    /// Takes the replicas out of a model that is ready: it takes no leases from now on.
    pub(super) fn begin_to_close(&mut self) -> Option<Vec<Replica<L::Engine>>> {
        match std::mem::replace(&mut self.phase, Phase::Closing) {
            Phase::Ready(replicas) => Some(replicas),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// Loaded, and nobody has it or waits for it.
    pub(super) fn is_idle(&self) -> bool {
        match &self.phase {
            Phase::Ready(replicas) => {
                self.waiting == 0 && !self.mending && replicas.iter().all(|replica| replica.leases.none())
            }
            Phase::Unloaded | Phase::Loading | Phase::Closing => false,
        }
    }

    /// The failure of a load that a call has waited for.
    pub(super) fn failure_since(&self, attempt: Option<u64>) -> Option<&Refusal> {
        let (failed, refusal) = self.failure.as_ref()?;
        (*failed >= attempt?).then_some(refusal)
    }

    /// The open replica with the least to do.
    pub(super) fn least_loaded(&self) -> Option<&Replica<L::Engine>> {
        let Phase::Ready(replicas) = &self.phase else { return None };
        let open = replicas.iter().filter(|replica| L::is_open(&replica.engine));
        // Leases break ties: who has just got an engine is about to use it.
        open.min_by_key(|replica| (L::load_of(&replica.engine), replica.leases.own()))
    }
}

impl<L: Loader> State<L> {
    pub(super) fn new() -> Self {
        Self { entries: BTreeMap::new(), held: 0, closed: false, sweeper: Weak::new(), tasks: Vec::new() }
    }

    /// Bytes that models take now, `name` left out.
    pub(super) fn resident_beside(&self, name: &str) -> u64 {
        let others = self.entries.iter().filter(|(other, entry)| *other != name && entry.resident);
        others.fold(self.held, |sum, (_, entry)| sum.saturating_add(entry.bytes))
    }

    /// The models that nobody has used for `keep_alive`, and when the next one will be one of them.
    pub(super) fn overdue(&self, keep_alive: Duration, now: Instant) -> (Vec<String>, Option<Instant>) {
        let mut next: Option<Instant> = None;
        let mut over = Vec::new();
        for (name, entry) in self.entries.iter().filter(|(_, entry)| entry.is_idle()) {
            // A time beyond what the clock can hold does not come.
            match entry.last_used.and_then(|(used, _)| used.checked_add(keep_alive)) {
                Some(due) if due <= now => over.push(name.clone()),
                Some(due) => next = Some(next.map_or(due, |other| other.min(due))),
                None => {}
            }
        }
        (over, next)
    }

    /// Promises `bytes` to a model that is being loaded, and names those that must go for it, least recently used first.
    /// They are idle, and there are no more of them than needed.
    pub(super) fn reserve(&mut self, name: &str, bytes: u64, limit: u64) -> Result<Vec<String>, Refusal> {
        let promised = |(other, entry): &(&String, &Entry<L>)| {
            *other != name && matches!(entry.phase, Phase::Loading | Phase::Ready(_))
        };
        let others = self.entries.iter().filter(promised);
        let mut taken = others.fold(self.held, |sum, (_, entry)| sum.saturating_add(entry.bytes));
        let spared = self.entries.get(name).and_then(|entry| entry.heir_of.as_ref());
        let may_go = |(other, entry): &(&String, &Entry<L>)| entry.is_idle() && Some(*other) != spared;
        let mut idle: Vec<_> = self.entries.iter().filter(may_go).collect();
        idle.sort_by_key(|(_, entry)| entry.last_used.map(|(instant, _)| instant));
        let mut gone = Vec::new();
        for (other, entry) in idle {
            if taken.saturating_add(bytes) <= limit {
                break;
            }
            taken = taken.saturating_sub(entry.bytes);
            gone.push(other.clone());
        }
        if taken.saturating_add(bytes) > limit {
            return Err(Refusal::NoMemory { needed: bytes, available: limit.saturating_sub(taken), limit });
        }
        if let Some(entry) = self.entries.get_mut(name) {
            entry.bytes = bytes;
        }
        Ok(gone)
    }
}

impl Refusal {
    pub(super) fn error(&self, name: &str) -> Error {
        let name = name.to_owned();
        match self {
            Self::Load(source) => Error::LoadModel { name, source: Arc::clone(source) },
            Self::NoMemory { needed, available, limit } => {
                Error::NoMemory { name, needed: *needed, available: *available, limit: *limit }
            }
            Self::ShutDown => Error::ShutDown,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Load(Arc::new(error))
    }
}
