//! What all requests have in common.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mullama_async::{AsyncModel, InferenceBackend, LocalBackend, ModelState};
use zeroize::Zeroize as _;

use crate::admin::Configuration;
use crate::auth::{Keys, Taken};
use crate::config::WebConfig;
use crate::error::{ApiError, ApiResult};
use crate::failure::{Error, Result};
use crate::metrics::Metrics;
use crate::routes::responses::ResponseStore;
use crate::running::Running;

/// What the routes need: who computes, how requests are answered, what was counted. Cheap to clone; all clones are the
/// same.
///
/// ```no_run
/// use mullama_core::Model;
/// use mullama_web::{AppState, create_router};
///
/// # fn example() -> mullama_core::Result<()> {
/// let app = create_router(AppState::new(Model::load("model.gguf")?));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AppState {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    backend: Arc<dyn InferenceBackend>,
    config: RwLock<Arc<WebConfig>>,
    keys: Keys,
    admins: Keys,
    configuration: OnceLock<Arc<dyn Configuration>>,
    /// Held while the configuration is replaced.
    changing: Mutex<()>,
    /// Where others can reach it, who are not to use it without a key.
    exposed: OnceLock<SocketAddr>,
    metrics: Metrics,
    running: Running,
    responses: ResponseStore,
    limits: crate::limits::Limits,
    fingerprints: RwLock<Fingerprints>,
    lifecycle: Lifecycle,
    started: Instant,
}

/// Where the server stands between start and end.
#[derive(Debug, Default)]
struct Lifecycle {
    draining: std::sync::atomic::AtomicBool,
    broken: std::sync::atomic::AtomicBool,
}

/// The fingerprints of models by their names.
#[derive(Debug, Default)]
struct Fingerprints {
    of: HashMap<String, Arc<str>>,
    /// How often they were forgotten.
    forgotten: u64,
}

impl AppState {
    /// One loaded model, under the name of its file without `.gguf`. Cannot fail: its engine starts with the first request,
    /// and a start that fails is 503.
    pub fn new(model: impl Into<AsyncModel>) -> Self {
        let model = model.into();
        let name = model.model().path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = if name.is_empty() || name == "<memory>" { "model".to_owned() } else { name };
        let backend = Arc::new(LocalBackend::of_model(name, model));
        Self::assemble(backend, WebConfig::default(), [Keys::none(), Keys::none()])
    }

    /// Any backend, and a configuration.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`](crate::Error::InvalidConfig); [`Error::File`](crate::Error::File) for the file of keys.
    pub fn with_backend(backend: Arc<dyn InferenceBackend>, mut config: WebConfig) -> Result<Self> {
        config.validate()?;
        let keys = Keys::new(&config.api_keys, config.api_key_file.clone())?;
        let admins = Keys::new(&config.admin_keys, config.admin_key_file.clone())?;
        // Only their digests are kept.
        config.api_keys.zeroize();
        config.admin_keys.zeroize();
        Ok(Self::assemble(backend, config, [keys, admins]))
    }

    fn assemble(backend: Arc<dyn InferenceBackend>, config: WebConfig, [keys, admins]: [Keys; 2]) -> Self {
        let limits = crate::limits::Limits::new(config.max_concurrent, config.requests_per_minute);
        Self {
            inner: Arc::new(Inner {
                backend,
                config: RwLock::new(Arc::new(config)),
                keys,
                admins,
                configuration: OnceLock::new(),
                changing: Mutex::default(),
                exposed: OnceLock::new(),
                metrics: Metrics::new(),
                running: Running::default(),
                responses: ResponseStore::default(),
                limits,
                fingerprints: RwLock::default(),
                lifecycle: Lifecycle::default(),
                started: Instant::now(),
            }),
        }
    }

    /// Who computes.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn InferenceBackend> {
        &self.inner.backend
    }

    /// How requests are answered at this moment; without the keys.
    #[must_use]
    pub fn config(&self) -> Arc<WebConfig> {
        Arc::clone(&self.inner.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on requests are answered as this configuration says: keys, hosts, origins, limits, defaults. Those that are
    /// being answered go on as they began. All or nothing. `max_body_bytes` stays what it was: it is part of the router.
    /// Reads files of keys that are new; blocks meanwhile.
    ///
    /// # Errors
    /// As [`AppState::with_backend`]; [`Error::Exposed`](crate::Error::Exposed) without keys where its server listens on an
    /// address that needs them. Then nothing has changed.
    pub fn reconfigure(&self, mut config: WebConfig) -> Result<()> {
        // One after the other: what is in force is all of one.
        let _changing = self.inner.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = self.other_keys(&config);
        // Only their digests are kept, whatever comes of it.
        config.api_keys.zeroize();
        config.admin_keys.zeroize();
        let (keys, admins) = keys?;
        if let Some(&address) = self.inner.exposed.get().filter(|_| !keys.required()) {
            return Err(Error::Exposed { address });
        }
        self.inner.keys.set(keys);
        self.inner.admins.set(admins);
        config.max_body_bytes = self.config().max_body_bytes;
        self.inner.limits.set(config.max_concurrent, config.requests_per_minute);
        *self.inner.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(())
    }

    fn other_keys(&self, config: &WebConfig) -> Result<(Taken, Taken)> {
        config.validate()?;
        let keys = self.inner.keys.others(&config.api_keys, config.api_key_file.clone())?;
        let admins = self.inner.admins.others(&config.admin_keys, config.admin_key_file.clone())?;
        Ok((keys, admins))
    }

    /// Reads the files of keys again; blocks meanwhile. One that cannot be read stays as it was.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File), of the first that cannot be read.
    pub fn reload_keys(&self) -> Result<()> {
        let keys = self.inner.keys.reload();
        let admins = self.inner.admins.reload();
        keys.and(admins)
    }

    /// Its server listens where others can reach it: from now on it is not without keys.
    pub(crate) fn expose(&self, address: SocketAddr) {
        let _ = self.inner.exposed.set(address);
    }

    /// Models may be others under their names: what was known of them is asked for again.
    pub fn forget_fingerprints(&self) {
        let mut known = self.inner.fingerprints.write().unwrap_or_else(PoisonError::into_inner);
        known.forgotten += 1;
        known.of.clear();
    }

    /// The configuration of the program, for `/admin/config` and the metrics. The first one that is set stays.
    pub fn set_configuration(&self, configuration: Arc<dyn Configuration>) {
        let _ = self.inner.configuration.set(configuration);
    }

    /// From now on it is not ready: `GET /health/ready` is 503. What comes is still answered.
    pub fn drain(&self) {
        self.inner.lifecycle.draining.store(true, std::sync::atomic::Ordering::Release);
    }

    /// It will not get better by itself: `GET /health/live` is 503, so that whoever watches starts it anew.
    pub fn give_up(&self) {
        self.inner.lifecycle.broken.store(true, std::sync::atomic::Ordering::Release);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.inner.lifecycle.draining.load(std::sync::atomic::Ordering::Acquire)
    }

    pub(crate) fn is_live(&self) -> bool {
        !self.inner.lifecycle.broken.load(std::sync::atomic::Ordering::Acquire)
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.inner.keys
    }

    pub(crate) fn admins(&self) -> &Keys {
        &self.inner.admins
    }

    pub(crate) fn configuration(&self) -> Option<Arc<dyn Configuration>> {
        self.inner.configuration.get().cloned()
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    pub(crate) fn running(&self) -> &Running {
        &self.inner.running
    }

    pub(crate) fn responses(&self) -> &ResponseStore {
        &self.inner.responses
    }

    pub(crate) fn limits(&self) -> &crate::limits::Limits {
        &self.inner.limits
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.inner.started.elapsed()
    }

    /// The name of the model that a request means; without one the first.
    pub(crate) fn resolve(&self, asked: Option<&str>) -> ApiResult<String> {
        let asked = asked.filter(|name| !name.is_empty());
        self.backend().resolve(asked).ok_or_else(|| ApiError::no_model(asked.unwrap_or("default")))
    }

    /// Names the build and the model.
    pub(crate) fn fingerprint(&self, model: &str) -> Arc<str> {
        let (known, forgotten) = {
            let known = self.inner.fingerprints.read().unwrap_or_else(PoisonError::into_inner);
            (known.of.get(model).cloned(), known.forgotten)
        };
        if let Some(fingerprint) = known {
            return fingerprint;
        }
        let models = self.backend().models();
        let info = models.into_iter().find(|one| one.name == model).and_then(|one| one.info);
        let Some(info) = info else { return BUILD.into() };
        let fingerprint: Arc<str> = format!("{BUILD}-{}", info.fingerprint).into();
        let mut known = self.inner.fingerprints.write().unwrap_or_else(PoisonError::into_inner);
        // Models may have changed meanwhile.
        if known.forgotten == forgotten {
            known.of.insert(model.to_owned(), Arc::clone(&fingerprint));
        }
        fingerprint
    }

    /// Does at least one model take requests, or will it with the next one?
    pub(crate) fn is_ready(&self) -> Readiness {
        if self.is_draining() {
            return Readiness::Draining;
        }
        let models = self.backend().models();
        if models.iter().any(|model| matches!(model.state, ModelState::Ready)) {
            return Readiness::Ready;
        }
        if models.iter().any(|model| matches!(model.state, ModelState::Loading | ModelState::Unloading)) {
            return Readiness::Loading;
        }
        if models.iter().any(|model| matches!(model.state, ModelState::Unloaded)) {
            return Readiness::Ready;
        }
        Readiness::Failed
    }
}

/// Can requests be answered?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    Loading,
    Failed,
    Draining,
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

const BUILD: &str = concat!("mullama-", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests;
