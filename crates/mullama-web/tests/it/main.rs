//! The server as its clients and the network see it: over the router, over sockets, with scripted engines and a real one.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]
#![expect(clippy::print_stderr, reason = "tests say what did not run")]

mod async_openai;
mod client;
mod contract;
mod faults;
mod oracle;
mod raw;
mod seam;

use std::net::SocketAddr;
use std::time::Duration;

use mullama_web::{AppState, Error, Server, ServerConfig, create_router};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A server on a port of its own, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<bool, Error>>,
}

impl Served {
    /// Begins the shutdown.
    pub(crate) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits for the end of the shutdown. Was nothing cut?
    pub(crate) async fn ended(&mut self) -> bool {
        let ended = tokio::time::timeout(Duration::from_secs(20), &mut self.task).await;
        ended.expect("the server does not end").unwrap().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn serve(state: AppState) -> Served {
    serve_with(state, ServerConfig::default()).await
}

pub(crate) async fn serve_with(state: AppState, config: ServerConfig) -> Served {
    let (stop, stopped) = oneshot::channel::<()>();
    let server = Server::bind(&([127, 0, 0, 1], 0).into())
        .config(config)
        .state(&state)
        .with_graceful_shutdown(async {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        })
        .listen()
        .unwrap();
    let address = server.address();
    let task = tokio::spawn(server.serve(create_router(state).into_make_service()));
    Served { url: format!("http://{address}"), address, stop: Some(stop), task }
}
