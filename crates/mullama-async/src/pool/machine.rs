//! The pool's work: leases, loads, evictions, unloading, each in small steps under one lock that no `.await` sees.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::select;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::ends::{CloseEnd, Held, LoadEnd, Locked, MendEnd};
use super::lease::{Lease, Waiting};
use super::loader::Loader;
use super::state::{Entry, Leases, Phase, Refusal, Replica, State};
use crate::error::{Error, Result};

pub(super) struct Machine<L: Loader> {
    pub(super) loader: L,
    state: Mutex<State<L>>,
    /// Bytes that all models may take; `u64::MAX` where there is no limit.
    limit: u64,
    pub(super) keep_alive: Option<Duration>,
    /// Something has changed that somebody may wait for.
    pub(super) changed: Notify,
    /// A model may have become idle: for the sweeper.
    pub(super) idle: Arc<Notify>,
    pub(super) closing: CancellationToken,
}

impl<L: Loader> Machine<L> {
    pub(super) fn new(loader: L, limit: u64, keep_alive: Option<Duration>) -> Arc<Self> {
        Arc::new(Self {
            loader,
            state: Mutex::new(State::new()),
            limit,
            keep_alive,
            changed: Notify::new(),
            idle: Arc::default(),
            closing: CancellationToken::new(),
        })
    }

    pub(super) fn register(&self, name: String, spec: L::Spec) -> Result<()> {
        let mut state = self.lock();
        if state.entries.contains_key(&name) {
            return Err(Error::DuplicateModel { name });
        }
        state.entries.insert(name, Entry::new(spec));
        Ok(())
    }

    /// What is registered takes the place of another one.
    pub(super) fn inherit(&self, name: &str, from: Option<String>) {
        if let Some(entry) = self.lock().entries.get_mut(name) {
            entry.heir_of = from;
        }
    }

    /// From now on nobody gets the model; those that wait for it get none.
    pub(super) fn leave(&self, name: &str) -> Result<()> {
        let left = self.lock().entries.get_mut(name).map(|entry| entry.leaving = true);
        self.changed.notify_waiters();
        left.ok_or_else(|| Error::NoSuchModel { name: name.to_owned() })
    }

    /// Unloads a model that is leaving, and forgets it. True: in time.
    pub(super) async fn remove(self: Arc<Self>, name: String, deadline: Duration) -> Result<bool> {
        let in_time = self.unload(&name, deadline).await?;
        let forget = |state: &mut State<L>| {
            let gone = state
                .entries
                .get(&name)
                .is_none_or(|entry| matches!(entry.phase, Phase::Unloaded) && entry.waiting == 0 && !entry.resident);
            gone.then(|| drop(state.entries.remove(&name)))
        };
        self.until(forget).await;
        Ok(in_time)
    }

    /// The least loaded engine of a model, which is loaded if it has to be.
    pub(super) async fn get(self: &Arc<Self>, name: &str) -> Result<Lease<L>> {
        let mut waiting = None;
        let mut attempt = None;
        // Where there is no runtime, this panics before anything is changed.
        Handle::current();
        self.until(|state| self.step(state, name, &mut attempt, &mut waiting).transpose()).await
    }

    /// One look at a model: a lease, an error, or something is under way that is worth waiting for.
    fn step(
        self: &Arc<Self>,
        state: &mut State<L>,
        name: &str,
        attempt: &mut Option<u64>,
        waiting: &mut Option<Waiting<L>>,
    ) -> Result<Option<Lease<L>>> {
        if state.closed {
            return Err(Error::ShutDown);
        }
        // It goes with the runtime that it was started on.
        if self.keep_alive.is_some() && state.sweeper.strong_count() == 0 {
            let alive = Arc::new(());
            state.sweeper = Arc::downgrade(&alive);
            state.tasks.push(Box::pin(super::sweep::run(Arc::downgrade(self), alive)));
        }
        let entry = state.entries.get_mut(name).filter(|entry| !entry.leaving);
        let entry = entry.ok_or_else(|| Error::NoSuchModel { name: name.to_owned() })?;
        if let Phase::Ready(replicas) = &entry.phase {
            let ended = replicas.iter().find(|replica| !entry.mending && !L::is_open(&replica.engine));
            if let Some(ended) = ended.map(|replica| Lease::new(self, name, replica)) {
                entry.mending = true;
                let end = MendEnd { machine: Arc::clone(self), name: name.to_owned() };
                state.tasks.push(Box::pin(Self::mend(end, ended)));
            }
            if let Some(lease) = entry.least_loaded().map(|replica| Lease::new(self, name, replica)) {
                entry.touch();
                return Ok(Some(lease));
            }
            *attempt = Some(entry.attempt);
        } else if let Some(refusal) = entry.failure_since(*attempt) {
            return Err(refusal.error(name));
        } else if let Phase::Unloaded = entry.phase {
            entry.attempt += 1;
            entry.phase = Phase::Loading;
            *attempt = Some(entry.attempt);
            let end = LoadEnd {
                machine: Arc::clone(self),
                name: name.to_owned(),
                attempt: entry.attempt,
                result: Some(Err(Error::Cancelled.into())),
            };
            state.tasks.push(Box::pin(Self::load(end, Arc::clone(&entry.spec))));
        } else if let Phase::Loading = entry.phase {
            *attempt = Some(entry.attempt);
        }
        if waiting.is_none() {
            entry.waiting += 1;
            *waiting = Some(Waiting::new(self, name));
        }
        Ok(None)
    }

    async fn load(mut end: LoadEnd<L>, spec: Arc<L::Spec>) {
        let result = select! {
            biased;
            () = end.machine.closing.cancelled() => Err(Refusal::ShutDown),
            result = end.machine.make(&end.name, spec) => result,
        };
        end.result = Some(result);
    }

    async fn make(self: &Arc<Self>, name: &str, spec: Arc<L::Spec>) -> Result<Vec<L::Engine>, Refusal> {
        let bytes = self.loader.estimate(Arc::clone(&spec)).await?;
        {
            let mut state = self.lock();
            for victim in state.reserve(name, bytes, self.limit)? {
                tracing::info!(model = %victim, for_model = %name, "unloading an idle model for room");
                self.begin_to_close(&mut state, &victim, IDLE_DEADLINE);
            }
        }
        self.room(name, bytes).await;
        Ok(self.loader.load(spec).await?)
    }

    /// Waits until what is promised is free, and takes it.
    async fn room(&self, name: &str, bytes: u64) {
        let take = |state: &mut State<L>| {
            let free = state.resident_beside(name).saturating_add(bytes) <= self.limit;
            let entry = state.entries.get_mut(name).filter(|_| free)?;
            entry.resident = true;
            Some(())
        };
        self.until(take).await;
    }

    /// Starts an engine in the place of one that has ended. It holds a lease meanwhile: the weights are in use.
    async fn mend(end: MendEnd<L>, ended: Lease<L>) {
        let (machine, name) = (&end.machine, &end.name);
        tracing::warn!(model = %name, "an engine has ended; it is replaced");
        let result = select! {
            biased;
            () = machine.closing.cancelled() => return,
            result = machine.loader.replace(ended.engine().clone()) => result,
        };
        let mut state = machine.lock();
        let Some(entry) = state.entries.get_mut(name) else { return };
        let Phase::Ready(replicas) = &mut entry.phase else { return };
        match result {
            Ok(engine) => {
                if let Some(slot) = replicas.iter_mut().find(|replica| ended.is_of(replica)) {
                    *slot = Replica::instead_of(engine, &slot.leases);
                }
            }
            Err(error) => {
                tracing::warn!(model = %name, %error, "an engine could not be replaced");
                // With another one open, the next call tries again. Without, the model starts from the beginning.
                if entry.least_loaded().is_none() {
                    entry.failure = Some((entry.attempt, error.into()));
                    machine.begin_to_close(&mut state, name, Duration::ZERO);
                }
            }
        }
    }

    /// Takes a model that is ready out of use. The task waits until nobody has it, no longer than `deadline`, and ends its
    /// engines; it gives whether that was in time. `None`: it is not ready.
    fn begin_to_close(
        self: &Arc<Self>,
        state: &mut State<L>,
        name: &str,
        deadline: Duration,
    ) -> Option<oneshot::Receiver<bool>> {
        let replicas = state.entries.get_mut(name)?.begin_to_close()?;
        self.changed.notify_waiters();
        let end = CloseEnd { machine: Arc::clone(self), name: name.to_owned(), replicas };
        let (answer, receiver) = oneshot::channel();
        state.tasks.push(Box::pin(Self::close(end, deadline, answer)));
        Some(receiver)
    }

    /// Begins to unload the models whose time is over, and tells when the next one's will be.
    pub(super) fn sweep(self: &Arc<Self>) -> Option<Instant> {
        let mut state = self.lock();
        let (over, next) = state.overdue(self.keep_alive?, Instant::now());
        for name in over {
            tracing::info!(model = %name, "unloading a model that nobody uses");
            self.begin_to_close(&mut state, &name, IDLE_DEADLINE);
        }
        next
    }

    async fn close(mut end: CloseEnd<L>, deadline: Duration, answer: oneshot::Sender<bool>) {
        let until = Instant::now() + deadline.min(LONGEST);
        let free = timeout_at(until, end.machine.given_back(&end.replicas)).await.is_ok();
        let replicas = std::mem::take(&mut end.replicas);
        let engines = replicas.iter().map(|replica| replica.engine.clone()).collect();
        if free {
            drop(replicas);
        } else {
            tokio::spawn(Held::new(&end.machine, &end.name, replicas).until_given_back());
        }
        let done = end.machine.loader.close(engines, until.saturating_duration_since(Instant::now())).await;
        tracing::info!(model = %end.name, in_time = free && done, "unloaded");
        drop(end);
        // Nobody may wait for it.
        let _ = answer.send(free && done);
    }

    pub(super) async fn given_back(&self, replicas: &[Replica<L::Engine>]) {
        self.wait(|_| replicas.iter().all(|replica| replica.leases.none())).await;
    }

    /// Waits until something holds; it is looked at after each change.
    async fn wait(&self, holds: impl Fn(&State<L>) -> bool) {
        self.until(|state| holds(state).then_some(())).await;
    }

    async fn until<T>(&self, mut look: impl FnMut(&mut State<L>) -> Option<T>) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.lock()) {
                return found;
            }
            changed.await;
        }
    }

    pub(super) async fn unload(self: &Arc<Self>, name: &str, deadline: Duration) -> Result<bool> {
        Handle::current();
        let begin = |state: &mut State<L>| match state.entries.get(name).map(|entry| &entry.phase) {
            None => Some(Err(Error::NoSuchModel { name: name.to_owned() })),
            Some(Phase::Unloaded) => Some(Ok(None)),
            Some(_) => self.begin_to_close(state, name, deadline).map(|closing| Ok(Some(closing))),
        };
        match self.until(begin).await? {
            Some(closing) => closing.await.map_err(|_| Error::ShutDown),
            None => Ok(true),
        }
    }

    /// No leases and loads from now on; everything is unloaded.
    pub(super) async fn shutdown(self: &Arc<Self>, deadline: Duration) -> bool {
        Handle::current();
        let until = Instant::now() + deadline.min(LONGEST);
        // All at once, then wait for each.
        let begun: Vec<_> = {
            let mut state = self.lock();
            state.closed = true;
            let names: Vec<String> = state.entries.keys().cloned().collect();
            let close = |name: String| (self.begin_to_close(&mut state, &name, deadline), name);
            names.into_iter().map(close).collect()
        };
        self.closing.cancel();
        self.changed.notify_waiters();
        let mut in_time = true;
        for (closing, name) in begun {
            in_time &= match closing {
                Some(closing) => closing.await.unwrap_or(false),
                // Loads end by themselves now.
                None => self.unload(&name, deadline).await.unwrap_or(false),
            };
        }
        in_time && timeout_at(until, self.wait(|state| state.held == 0)).await.is_ok()
    }

    /// The pool's last handle has gone: engines go when nobody has them.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        let replicas: Vec<_> = state.entries.values_mut().filter_map(Entry::begin_to_close).collect();
        state.entries.values_mut().filter(|entry| matches!(entry.phase, Phase::Closing)).for_each(Entry::unloaded);
        drop(state);
        self.closing.cancel();
        self.changed.notify_waiters();
        drop(replicas);
    }

    pub(super) fn give_back(&self, name: &str, leases: &Leases) {
        {
            let mut state = self.lock();
            leases.give_back();
            if let Some(entry) = state.entries.get_mut(name) {
                entry.touch();
            }
        }
        self.changed.notify_waiters();
        self.idle.notify_one();
    }

    pub(super) fn lock(&self) -> Locked<'_, L> {
        Locked::new(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// For models that nobody has: what their engines still compute is asked for by a handle that somebody took out of a lease.
const IDLE_DEADLINE: Duration = Duration::from_secs(5);
/// Keeps sums of times within what the clock can hold.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3_600);
