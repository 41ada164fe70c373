//! A loader without models, which counts what is in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::sleep;

use super::super::loader::Loader;
use crate::error::{Error, Result};

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) limit: AtomicU64,
    pub(super) resident: AtomicU64,
    pub(super) engines: AtomicUsize,
    pub(super) loads: AtomicUsize,
    pub(super) replacements_fail: AtomicBool,
}

pub(super) struct Spec {
    pub(super) bytes: u64,
    pub(super) replicas: usize,
    pub(super) load: Duration,
    pub(super) close: Duration,
    /// Loads that fail, from now on.
    pub(super) failures: AtomicUsize,
}

impl Spec {
    pub(super) fn of(bytes: u64) -> Self {
        let (load, close) = (Duration::ZERO, Duration::ZERO);
        Self { bytes, replicas: 1, load, close, failures: AtomicUsize::new(0) }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Engine {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) open: AtomicBool,
    pub(super) load: AtomicUsize,
    /// Counted by who has it, apart from the pool's own count.
    pub(super) held: AtomicUsize,
    weights: Arc<Weights>,
}

#[derive(Debug)]
struct Weights {
    world: Arc<World>,
    bytes: u64,
    close: Duration,
}

impl Weights {
    fn take(world: &Arc<World>, spec: &Spec) -> Arc<Self> {
        let taken = world.resident.fetch_add(spec.bytes, Ordering::SeqCst) + spec.bytes;
        assert!(taken <= world.limit.load(Ordering::SeqCst), "{taken} bytes are taken");
        Arc::new(Self { world: Arc::clone(world), bytes: spec.bytes, close: spec.close })
    }
}

impl Drop for Weights {
    fn drop(&mut self) {
        self.world.resident.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

impl Engine {
    fn new(weights: &Arc<Weights>) -> Self {
        weights.world.engines.fetch_add(1, Ordering::SeqCst);
        let (open, load, held) = (AtomicBool::new(true), AtomicUsize::new(0), AtomicUsize::new(0));
        Self { inner: Arc::new(Inner { open, load, held, weights: Arc::clone(weights) }) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.inner.open.load(Ordering::SeqCst)
    }

    pub(super) fn die(&self) {
        self.inner.open.store(false, Ordering::SeqCst);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.weights.world.engines.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) struct Fake(pub(super) Arc<World>);

impl Loader for Fake {
    type Spec = Spec;
    type Engine = Engine;

    async fn estimate(&self, spec: Arc<Spec>) -> Result<u64> {
        Ok(spec.bytes)
    }

    async fn load(&self, spec: Arc<Spec>) -> Result<Vec<Engine>> {
        self.0.loads.fetch_add(1, Ordering::SeqCst);
        let weights = Weights::take(&self.0, &spec);
        sleep(spec.load).await;
        let less = |left: usize| left.checked_sub(1);
        if spec.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return Err(Error::parameter("file", "broken", "a model"));
        }
        Ok((0..spec.replicas).map(|_| Engine::new(&weights)).collect())
    }

    async fn replace(&self, ended: Engine) -> Result<Engine> {
        assert!(!ended.is_open());
        sleep(Duration::from_millis(3)).await;
        if self.0.replacements_fail.load(Ordering::SeqCst) {
            return Err(Error::parameter("device", "lost", "a device"));
        }
        Ok(Engine::new(&ended.inner.weights))
    }

    async fn close(&self, engines: Vec<Engine>, deadline: Duration) -> bool {
        for engine in &engines {
            let held = engine.inner.held.load(Ordering::SeqCst);
            assert!(held == 0 || deadline.is_zero() || !engine.is_open(), "an engine is ended that somebody has");
        }
        let time = engines.first().map_or(Duration::ZERO, |engine| engine.inner.weights.close);
        sleep(time.min(deadline)).await;
        engines.iter().for_each(Engine::die);
        time <= deadline
    }

    fn is_open(engine: &Engine) -> bool {
        engine.is_open()
    }

    fn load_of(engine: &Engine) -> usize {
        engine.inner.load.load(Ordering::SeqCst)
    }
}
