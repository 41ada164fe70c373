//! Serves a router over TCP, with limits on connections, headers and time, and an orderly end.

mod accept;
mod body;
mod config;
mod connection;
mod handler;
mod io;
mod pulse;
mod signal;
#[cfg_attr(not(feature = "tls"), path = "server/no_tls.rs")]
mod tls;

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{Request, Response};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::failure::{Error, Result};
use crate::state::AppState;
use accept::Acceptor;
use connection::Settings;

pub(crate) use body::Stalled;
pub use config::ServerConfig;
pub use signal::signal as shutdown_signal;

/// A server of HTTP/1.1. HTTP/2 is off; a proxy in front of it may speak it.
///
/// ```no_run
/// use mullama_core::Model;
/// use mullama_web::{AppState, Server, ServerConfig, create_router};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let state = AppState::new(Model::load("model.gguf")?);
/// let server = Server::bind(&"127.0.0.1:0".parse()?)
///     .config(ServerConfig { idle_timeout_ms: 20_000, ..ServerConfig::default() })
///     .state(&state)
///     .with_graceful_shutdown(async { tokio::time::sleep(std::time::Duration::from_secs(3_600)).await })
///     .listen()?;
/// println!("http://{}", server.address());
/// server.serve(create_router(state).into_make_service()).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a server does nothing until `serve`"]
pub struct Server {
    address: SocketAddr,
    listener: Option<TcpListener>,
    config: ServerConfig,
    state: Option<AppState>,
    shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Server {
    /// Will listen on this address; port 0: one that is free.
    pub fn bind(address: &SocketAddr) -> Self {
        Self {
            address: *address,
            listener: None,
            config: ServerConfig::default(),
            state: None,
            shutdown: Box::pin(std::future::pending()),
        }
    }

    /// Limits and times. Default: [`ServerConfig::default`].
    pub fn config(mut self, config: ServerConfig) -> Self {
        self.config = config;
        self
    }

    /// The state of the router that is served. With it the server knows whether keys are asked for, is not ready as soon as
    /// the shutdown begins, and shuts the backend down at the end. Without it nothing is known of keys.
    pub fn state(mut self, state: &AppState) -> Self {
        self.state = Some(state.clone());
        self
    }

    /// When this future ends, the shutdown begins: the state is not ready any more; connections are taken for
    /// [`shutdown_grace_ms`](ServerConfig::shutdown_grace_ms) longer; then the listener is closed and every further answer
    /// closes its connection; after [`shutdown_timeout_ms`](ServerConfig::shutdown_timeout_ms) what still runs is ended,
    /// streams with an error in them.
    pub fn with_graceful_shutdown(mut self, shutdown: impl Future<Output = ()> + Send + 'static) -> Self {
        self.shutdown = Box::pin(shutdown);
        self
    }

    /// Serves a listener that is there already.
    ///
    /// # Errors
    /// [`Error::Bind`]: it has no address.
    pub fn listener(mut self, listener: TcpListener) -> Result<Self> {
        let address = self.address;
        self.address = listener.local_addr().map_err(|source| Error::Bind { address, source })?;
        self.listener = Some(listener);
        Ok(self)
    }

    /// Listens, so that [`Server::address`] tells the port; connections wait until [`Server::serve`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`]; [`Error::Exposed`]; [`Error::Bind`].
    pub fn listen(self) -> Result<Self> {
        self.config.validate()?;
        self.refuse_exposure()?;
        let listening = if self.listener.is_some() {
            self
        } else {
            let address = self.address;
            let listener = open(address).map_err(|source| Error::Bind { address, source })?;
            self.listener(listener)?
        };
        if let Some(state) = listening.state.as_ref().filter(|_| listening.needs_keys()) {
            state.expose(listening.address);
        }
        Ok(listening)
    }

    /// The address that is listened on; before [`Server::listen`] the one that was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the shutdown is over; without [`Server::with_graceful_shutdown`] for ever. True: all that ran was done
    /// in time; false: something was cut.
    ///
    /// # Errors
    /// As [`Server::listen`]; with TLS [`Error::File`] and [`Error::Certificate`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the listener and all connections at once.
    pub async fn serve<M, S>(self, make: M) -> Result<bool>
    where
        M: Service<SocketAddr, Response = S, Error = Infallible>,
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
    {
        let Self { address, listener, config, state, shutdown } = self.listen()?;
        let Some(listener) = listener else {
            let source = std::io::Error::other("nothing listens");
            return Err(Error::Bind { address, source });
        };
        let tls = tls::acceptor(&config).await?;
        let (closing, cut) = (CancellationToken::new(), CancellationToken::new());
        let _cut_on_drop = cut.clone().drop_guard();
        let open = TaskTracker::new();
        let settings = Arc::new(Settings::new(&config, tls, closing.clone(), cut.clone(), state.clone()));
        tracing::info!(%address, "listening");

        let mut accepting = Box::pin(Acceptor::new(listener, &config, settings, open.clone()).run(make));
        tokio::select! {
            () = &mut accepting => {}
            () = shutdown => {}
        }
        if let Some(state) = &state {
            state.drain();
        }
        tracing::info!(connections = open.len(), "shutting down");
        let _ = timeout(config.shutdown_grace(), &mut accepting).await;
        drop(accepting);
        closing.cancel();
        open.close();
        let in_time = timeout(config.shutdown_timeout(), open.wait()).await.is_ok();
        if !in_time {
            tracing::warn!(connections = open.len(), "the time for shutting down is over; what still runs is ended");
        }
        if let Some(state) = &state {
            // Where all is answered it has nothing left to do, and the time to say so.
            let left = if in_time { BACKEND_PATIENCE / 2 } else { Duration::ZERO };
            let ended = timeout(BACKEND_PATIENCE, state.backend().shutdown(left)).await;
            if ended.is_err() {
                tracing::warn!("the backend has not shut down in time");
            }
        }
        if !in_time {
            // What was cancelled is told to its clients.
            let _ = timeout(LAST_WORDS, open.wait()).await;
            cut.cancel();
        }
        Ok(in_time)
    }

    /// Whoever can reach the server can use it, where no key is asked for.
    fn refuse_exposure(&self) -> Result<()> {
        let keys = self.state.as_ref().is_some_and(|state| state.keys().required());
        if keys || !self.needs_keys() { Ok(()) } else { Err(Error::Exposed { address: self.address }) }
    }

    /// Can others reach it, who are not to use it without a key?
    fn needs_keys(&self) -> bool {
        !self.config.allow_unauthenticated && !self.address.ip().to_canonical().is_loopback()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).field("config", &self.config).finish_non_exhaustive()
    }
}

fn open(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart need not wait for the connections of the last run; on Windows the option would let others take the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Connections that wait to be accepted; the system may allow less.
const BACKLOG: u32 = 4_096;
/// For the backend to end what it does.
const BACKEND_PATIENCE: Duration = Duration::from_secs(5);
/// For the errors in streams that were ended to reach their clients.
const LAST_WORDS: Duration = Duration::from_secs(2);
