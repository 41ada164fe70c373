//! What the process is told from outside while it serves.

use mullama::AsyncError;

use crate::error::Result;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// To end: SIGTERM, SIGINT.
    End,
    /// To read the configuration and the files of keys again: SIGHUP.
    Reload,
    /// To write the state of the models to the log: SIGUSR1.
    Dump,
}

/// The signals of the process. On systems without them, Ctrl-C alone.
#[cfg(unix)]
#[derive(Debug)]
pub(super) struct Signals {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
    hup: tokio::signal::unix::Signal,
    usr1: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Takes them over; to be called on a runtime.
    pub(super) fn install() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let take = |kind| signal(kind).map_err(|source| AsyncError::Runtime { source });
        Ok(Self {
            term: take(SignalKind::terminate())?,
            int: take(SignalKind::interrupt())?,
            hup: take(SignalKind::hangup())?,
            usr1: take(SignalKind::user_defined1())?,
        })
    }

    /// The next one. Cancel safe.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.term.recv() => Told::End,
            _ = self.int.recv() => Told::End,
            _ = self.hup.recv() => Told::Reload,
            _ = self.usr1.recv() => Told::Dump,
        }
    }
}

/// The signals of the process. On systems without them, Ctrl-C alone.
#[cfg(not(unix))]
#[derive(Debug)]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    /// Takes them over; to be called on a runtime.
    pub(super) fn install() -> Result<Self> {
        Ok(Self)
    }

    /// The next one. Cancel safe.
    pub(super) async fn next(&mut self) -> Told {
        if tokio::signal::ctrl_c().await.is_err() {
            // Nobody can tell anything; the system ends the program.
            std::future::pending::<()>().await;
        }
        Told::End
    }
}
