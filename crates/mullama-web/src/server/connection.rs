//! One connection from its first byte to its last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{Request, Response};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::accept::Seat;
use super::config::ServerConfig;
use super::handler::Handler;
use super::io::Io;
use super::pulse::{Late, Limits, Pulse};
use super::tls;
use crate::state::AppState;

/// What all connections have in common.
#[derive(Debug)]
pub(super) struct Settings {
    http: http1::Builder,
    limits: Limits,
    body_timeout: Duration,
    tls: Option<tls::Acceptor>,
    /// Every further answer is the last one of its connection.
    closing: CancellationToken,
    /// No further byte.
    cut: CancellationToken,
    state: Option<AppState>,
}

impl Settings {
    pub(super) fn new(
        config: &ServerConfig,
        tls: Option<tls::Acceptor>,
        closing: CancellationToken,
        cut: CancellationToken,
        state: Option<AppState>,
    ) -> Self {
        let mut http = http1::Builder::new();
        // What the pulse watches, hyper need not: its one timer for heads also counts the time between requests.
        http.header_read_timeout(None).max_header_size(config.max_head_bytes).max_buf_size(config.max_head_bytes);
        if config.max_headers != HYPER_HEADERS {
            http.max_headers(config.max_headers);
        }
        let limits = Limits {
            head: Duration::from_millis(config.head_timeout_ms),
            idle: Duration::from_millis(config.idle_timeout_ms),
            write: Duration::from_millis(config.write_timeout_ms),
        };
        Self { http, limits, body_timeout: Duration::from_millis(config.body_timeout_ms), tls, closing, cut, state }
    }
}

/// Serves one connection until it ends.
pub(super) async fn serve<S>(settings: Arc<Settings>, stream: TcpStream, peer: SocketAddr, seat: Seat, app: S)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "tokens may be held back by the system");
    }
    let Some(tls) = &settings.tls else { return speak(&settings, stream, peer, seat, app).await };
    let shaken = tokio::select! {
        shaken = timeout(settings.limits.head, tls.accept(stream)) => shaken,
        () = settings.cut.cancelled() => return,
    };
    match shaken {
        Ok(Ok(stream)) => speak(&settings, stream, peer, seat, app).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS with this client"),
        Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
    }
}

async fn speak<I, S>(settings: &Settings, stream: I, peer: SocketAddr, seat: Seat, app: S)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let pulse = Arc::new(Pulse::new());
    let io = TokioIo::new(Io::new(stream, Arc::clone(&pulse), seat));
    let handler = Handler::new(app, peer, Arc::clone(&pulse), settings.body_timeout, settings.state.clone());
    let mut connection = settings.http.serve_connection(io, handler).with_upgrades();
    // Both are shared by all connections, with a lock: they are looked at when they are over, not at every token.
    let mut ends: FuturesUnordered<_> = [(&settings.closing, End::Closing), (&settings.cut, End::Cut)]
        .map(|(token, end)| token.cancelled().map(move |()| end))
        .into_iter()
        .collect();
    let mut timer = pin!(sleep(settings.limits.head));
    let late = std::future::poll_fn(|context| {
        loop {
            if let Poll::Ready(end) = Pin::new(&mut connection).poll(context) {
                if let Err(error) = end {
                    tracing::debug!(%peer, %error, "a connection broke off");
                }
                return Poll::Ready(None);
            }
            // After what has come was read: a request that is there is still answered.
            match ends.poll_next_unpin(context) {
                Poll::Ready(Some(End::Closing)) => Pin::new(&mut connection).graceful_shutdown(),
                Poll::Ready(Some(End::Cut)) => return Poll::Ready(None),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        pulse.poll_late(timer.as_mut(), settings.limits, context).map(Some)
    });
    let late = late.await;
    let (Some(late), Some(parts)) = (late, connection.into_parts()) else { return };
    tracing::debug!(%peer, ?late, "a connection is closed");
    let mut io = parts.io.into_inner();
    let farewell = async {
        if late == Late::Head {
            io.write_all(HEAD_TIMEOUT).await?;
        }
        io.shutdown().await
    };
    if late != Late::Blocked {
        // It is closed in either case.
        let _ = timeout(FAREWELL, farewell).await;
    }
}

#[derive(Debug, Clone, Copy)]
enum End {
    Closing,
    Cut,
}

/// hyper's own limit, which it keeps without an allocation for each request.
const HYPER_HEADERS: usize = 100;
const FAREWELL: Duration = Duration::from_secs(3);
/// No part of a request is known, so that there is no dialect to tell it in.
const HEAD_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
