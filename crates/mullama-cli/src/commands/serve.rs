//! `mullama serve`: models over HTTP, until a signal ends it.

mod catalogue;
mod flags;
mod log;
pub(crate) mod look;
mod models;
mod settings;
mod signals;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mullama::config::{Apply, Loaded};
use mullama::{AppState, AsyncError, ConfigWatcher, InferenceBackend, MullamaConfig, Server, create_router};
use mullama_core::Error as Core;
use serde_json::json;
use tokio::sync::{oneshot, watch};

use crate::cli::serve::Serve;
use crate::error::{Error, Result};
use crate::interrupt::Work;
use crate::load::ModelSource;
use crate::terminal::Ui;
use catalogue::Catalogue;
use log::Levels;
use look::Bound;
use models::{Does, Served};
use signals::{Signals, Told};

pub(crate) fn run(args: &Serve, ui: &Ui) -> Result<()> {
    settings::check(args)?;
    let loader = settings::loader(args, ui)?;
    let bound = Bound::default();
    let watcher = ConfigWatcher::with_dry_run(loader, look::dry_run(Arc::clone(&bound)))?;
    // From here on changes are seen.
    let mut changes = watcher.subscribe();
    let loaded = changes.borrow_and_update().clone();
    look::at_start(&loaded)?;
    let levels = log::install(&loaded.config().logging, ui);
    for warning in loaded.warnings() {
        tracing::warn!("{warning}");
    }
    let address = settings::address(&loaded.config().server)?;
    let served = models::chosen(loaded.config())?;
    models::check_purposes(args, &served)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(loaded.config().server.threads as usize)
        .thread_name("mullama-http")
        .enable_all()
        .build()
        .map_err(|source| AsyncError::Runtime { source })?;
    let setup = Setup { watcher, changes, loaded, levels, served, address, bound };
    // A first Ctrl-C is for the signals below, a second one ends the program wherever it is.
    let ended = ui.interrupt.during(Work::Polled, || runtime.block_on(serve(setup, ui)));
    // What is still going on for nobody is not waited for.
    runtime.shutdown_background();
    ended
}

/// What a server starts with.
struct Setup {
    watcher: ConfigWatcher,
    changes: watch::Receiver<Arc<Loaded>>,
    loaded: Arc<Loaded>,
    levels: Levels,
    served: Vec<Served>,
    address: SocketAddr,
    bound: Bound,
}

async fn serve(setup: Setup, ui: &Ui) -> Result<()> {
    let Setup { watcher, mut changes, loaded, levels, served, address, bound } = setup;
    let config = loaded.config();
    let mut signals = Signals::install()?;
    let planned = models::planned(&loaded, &served)?;
    let backend = models::backend(config, &planned)?;
    let keys = settings::asks_for_keys(config);
    let state = AppState::with_backend(backend.clone(), settings::web(&loaded))?;
    let (end, told) = oneshot::channel::<()>();
    let server = Server::bind(&address)
        .config(config.server_config())
        .state(&state)
        .with_graceful_shutdown(async move {
            // Also where the sender is gone: then nobody could end it any more.
            let _ = told.await;
        })
        .listen()?;
    let address = server.address();
    let _ = bound.set(address);
    if config.server.auth.allow_unauthenticated && !keys {
        tracing::warn!(%address, "whoever can reach this address can use the models: no API key is asked for");
    }

    let watcher = Arc::new(watcher);
    state.set_configuration(watcher.clone());
    let catalogue = Catalogue::new(backend, Arc::clone(&watcher), state.clone(), &loaded, planned);
    let following =
        Arc::new(Following { watcher, state: state.clone(), levels, catalogue, applying: Mutex::default() });
    let mut end = Some(end);
    let mut serving = std::pin::pin!(server.serve(create_router(state.clone()).into_make_service()));
    let mut loading = std::pin::pin!(load(config, &served, state.backend()));
    let mut all_loaded = false;
    let mut in_force = Arc::clone(&loaded);
    loop {
        tokio::select! {
            in_time = &mut serving => return if in_time? { Ok(()) } else { Err(Error::Cut) },
            result = &mut loading, if !all_loaded && end.is_some() => {
                result?;
                all_loaded = true;
                let line = greeting(config, &served, address, keys);
                // That nobody reads it is no reason to end.
                if let Err(error) = ui.print(&line) {
                    tracing::warn!(error = %error.chain(), "the address cannot be told on standard output");
                }
            }
            Ok(()) = changes.changed() => {
                let (old, new) = (in_force, changes.borrow_and_update().clone());
                in_force = Arc::clone(&new);
                drop(tokio::spawn(Arc::clone(&following).apply(old, new)));
            }
            told = signals.next() => match told {
                Told::End => match end.take() {
                    Some(end) => {
                        tracing::info!("ending in order; a second signal ends it at once");
                        // It listens to it as long as it serves.
                        let _ = end.send(());
                    }
                    None => return Err(Core::Cancelled.into()),
                },
                Told::Reload => drop(tokio::spawn(Arc::clone(&following).reload())),
                Told::Dump => dump(state.backend().as_ref()),
            },
        }
    }
}

/// What changes while the server runs.
struct Following {
    watcher: Arc<ConfigWatcher>,
    state: AppState,
    levels: Levels,
    catalogue: Catalogue,
    /// Held while a configuration is put in force: an older one does not come after a newer one.
    applying: Mutex<()>,
}

impl Following {
    /// Puts keys, hosts, origins, limits, defaults, the log and the models of the configuration in force, which was another.
    async fn apply(self: Arc<Self>, old: Arc<Loaded>, new: Arc<Loaded>) {
        let models = old.changes(&new).iter().any(|change| change.apply == Apply::ReloadModel);
        let this = Arc::clone(&self);
        // Files of keys are read. The runtime may end.
        let _ = tokio::task::spawn_blocking(move || this.configure()).await;
        if models {
            self.catalogue.follow().await;
        }
    }

    fn configure(&self) {
        let _applying = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let loaded = self.watcher.current();
        self.levels.set(&loaded.config().logging);
        if let Err(error) = self.state.reconfigure(settings::web(&loaded)) {
            let error = Error::from(error).chain();
            tracing::error!(%error, "the new configuration cannot be used; requests are answered as before");
        }
    }

    /// Reads the configuration and the files of keys again, and tries what has failed of the models; what is wrong with the
    /// configuration its watcher tells.
    async fn reload(self: Arc<Self>) {
        let this = Arc::clone(&self);
        let read = tokio::task::spawn_blocking(move || {
            match this.state.reload_keys() {
                Ok(()) => tracing::info!("the keys were read again"),
                Err(error) => {
                    tracing::error!(error = %Error::from(error).chain(), "the keys cannot be read; the old ones stay");
                }
            }
            this.watcher.reload().is_ok()
        });
        if let Ok(true) = read.await {
            self.catalogue.follow().await;
        }
    }
}

/// Loads all models, one after the other, unless each is to be loaded with its first request.
async fn load(config: &MullamaConfig, served: &[Served], backend: &Arc<dyn InferenceBackend>) -> Result<()> {
    if served.iter().any(|model| model.source == ModelSource::Embedded) {
        tracing::info!(
            "no MODEL was given: mullama-tiny is a demonstration (greetings, sums up to 20, colours, JSON, tools)"
        );
    }
    for model in served.iter().filter(|_| config.engine.warmup) {
        match backend.load(model.name()).await {
            // The configuration has changed meanwhile.
            Err(AsyncError::NoSuchModel { name }) => {
                tracing::info!(model = name, "a model is gone before it was loaded");
            }
            loaded => loaded?,
        }
    }
    Ok(())
}

/// The one line on stdout: where, what, and a request to try.
fn greeting(config: &MullamaConfig, served: &[Served], address: SocketAddr, keys: bool) -> String {
    let scheme = if settings::is_secure(config) { "https" } else { "http" };
    let names: Vec<&str> = served.iter().map(Served::name).collect();
    let (path, body) = match served.first().map_or(Does::Text, |model| model.does) {
        Does::Text => ("/v1/chat/completions", json!({ "messages": [{ "role": "user", "content": "Who are you?" }] })),
        Does::Vectors => ("/v1/embeddings", json!({ "input": "Who are you?" })),
        Does::Ranking => ("/v1/rerank", json!({ "query": "Who?", "documents": ["Me.", "Yesterday."] })),
    };
    let key = if keys { " -H \"authorization: Bearer $MULLAMA_API_KEY\"" } else { "" };
    let to = reachable(address);
    format!(
        "{scheme}://{address} serves {}; try: curl {scheme}://{to}{path} -H 'content-type: application/json'{key} -d '{body}'\n",
        names.join(", ")
    )
}

/// An address that a client on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Writes how everything is to the log.
fn dump(backend: &dyn InferenceBackend) {
    for model in backend.models() {
        tracing::info!(
            model = model.name,
            state = ?model.state,
            load = model.load,
            memory_bytes = model.memory_bytes,
            unloads_in_ms = model.unloads_in_ms,
            "state of a model"
        );
    }
    for engine in backend.stats() {
        let stats = serde_json::to_string(&engine.stats).unwrap_or_default();
        tracing::info!(model = engine.model, engine = engine.engine, stats, "numbers of an engine");
    }
}

/// A time as the configurations take it.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_to_listen_on_becomes_one_to_connect_to() {
        let to = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(to("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(to("[::]:80"), "[::1]:80");
        assert_eq!(to("192.0.2.1:80"), "192.0.2.1:80");
    }
}
