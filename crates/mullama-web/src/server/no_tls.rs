//! What stands for TLS where it is not compiled in.

use std::io;

use tokio::net::TcpStream;

use super::config::ServerConfig;
use crate::failure::{Error, Result};

/// There is none.
#[derive(Debug)]
pub(super) enum Acceptor {}

impl Acceptor {
    #[expect(clippy::unused_async, reason = "has the form of the one that waits")]
    pub(super) async fn accept(&self, _: TcpStream) -> io::Result<TcpStream> {
        match *self {}
    }
}

#[expect(clippy::unused_async, reason = "has the form of the one that waits")]
pub(super) async fn acceptor(config: &ServerConfig) -> Result<Option<Acceptor>> {
    check(config).map(|()| None)
}

pub(super) fn check(config: &ServerConfig) -> Result<()> {
    match &config.tls_certificate {
        None => Ok(()),
        Some(path) => Err(Error::config("tls_certificate", path.display(), "unset: the feature `tls` is off")),
    }
}
