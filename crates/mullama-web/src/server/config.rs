//! What the operator decides about connections.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::{Error, Result};

/// Limits on connections, headers and time. Plain data; every field has a default that holds in production.
///
/// How large a body may be is in [`WebConfig`](crate::WebConfig): it is the router that reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Connections at the same time. While there are so many, new ones wait in the system's queue. 1 to 1,048,576, default
    /// 10,000.
    pub max_connections: usize,
    /// Connections at the same time from one address (IPv6: one /64); one more is closed at once. Behind a proxy all have
    /// the proxy's address. `None` (default): only `max_connections` counts.
    pub max_connections_per_address: Option<usize>,
    /// Bytes of a request's head; a longer one is 431. Also what is read ahead of a body, and kept of an answer for a slow
    /// client. 8,192 to 1,048,576, default 65,536.
    pub max_head_bytes: usize,
    /// Headers of a request; one more is 431. 1 to 1,000, default 100.
    pub max_headers: usize,
    /// Time for a head to arrive, and for the handshake of TLS, in ms: then 408. 10 to 600,000, default 10,000.
    pub head_timeout_ms: u64,
    /// Silence in a body that is waited for, in ms: then 408. 10 to 3,600,000, default 30,000.
    pub body_timeout_ms: u64,
    /// How long a client may take nothing of its answer, in ms: then its connection is closed, and its work cancelled. 10 to
    /// 3,600,000, default 30,000.
    pub write_timeout_ms: u64,
    /// How long a connection is kept without a request, in ms. 10 to 3,600,000, default 75,000: longer than load balancers
    /// keep theirs, so that it is they who close.
    pub idle_timeout_ms: u64,
    /// How long connections are still taken after the shutdown began, in ms: until nobody sends any more, because it is not
    /// ready. 0 to 600,000, default 5,000.
    pub shutdown_grace_ms: u64,
    /// How long what runs may go on after that, in ms. 0 to 3,600,000, default 45,000.
    pub shutdown_timeout_ms: u64,
    /// Listen on addresses that others can reach although no API key is asked for. Default false: that is an error.
    pub allow_unauthenticated: bool,
    /// A file with the certificate and those that vouch for it (PEM). With it the server speaks TLS; needs the feature
    /// `tls`, and `tls_key`. Both files are read again when they change; what cannot be used then changes nothing.
    pub tls_certificate: Option<PathBuf>,
    /// A file with the certificate's private key (PEM).
    pub tls_key: Option<PathBuf>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_address: None,
            max_head_bytes: 64 << 10,
            max_headers: 100,
            head_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            write_timeout_ms: 30_000,
            idle_timeout_ms: 75_000,
            shutdown_grace_ms: 5_000,
            shutdown_timeout_ms: 45_000,
            allow_unauthenticated: false,
            tls_certificate: None,
            tls_key: None,
        }
    }
}

impl ServerConfig {
    /// Checks every field against its range.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] names the field.
    pub fn validate(&self) -> Result<()> {
        let within = |name, value: u64, low: u64, high: u64, expected| {
            if (low..=high).contains(&value) { Ok(()) } else { Err(Error::config(name, value, expected)) }
        };
        within("max_connections", self.max_connections as u64, 1, 1 << 20, "1 to 1,048,576")?;
        within("max_head_bytes", self.max_head_bytes as u64, 8 << 10, 1 << 20, "8,192 to 1,048,576 bytes")?;
        within("max_headers", self.max_headers as u64, 1, 1_000, "1 to 1,000")?;
        within("head_timeout_ms", self.head_timeout_ms, 10, 600_000, "10 to 600,000 ms")?;
        within("body_timeout_ms", self.body_timeout_ms, 10, 3_600_000, "10 to 3,600,000 ms")?;
        within("write_timeout_ms", self.write_timeout_ms, 10, 3_600_000, "10 to 3,600,000 ms")?;
        within("idle_timeout_ms", self.idle_timeout_ms, 10, 3_600_000, "10 to 3,600,000 ms")?;
        within("shutdown_grace_ms", self.shutdown_grace_ms, 0, 600_000, "0 to 600,000 ms")?;
        within("shutdown_timeout_ms", self.shutdown_timeout_ms, 0, 3_600_000, "0 to 3,600,000 ms")?;
        if self.max_connections_per_address == Some(0) {
            return Err(Error::config("max_connections_per_address", 0, "at least 1, or none"));
        }
        match (&self.tls_certificate, &self.tls_key) {
            (Some(_), None) => Err(Error::config("tls_key", "unset", "set, as `tls_certificate` is")),
            (None, Some(_)) => Err(Error::config("tls_certificate", "unset", "set, as `tls_key` is")),
            _ => Ok(()),
        }
    }

    /// Reads the certificate and its key, as a server does when it starts. Blocks while the files are read.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Certificate`] name the file; [`Error::InvalidConfig`] where TLS is asked for without the
    /// feature `tls`.
    pub fn check_tls(&self) -> Result<()> {
        super::tls::check(self)
    }

    pub(super) fn shutdown_grace(&self) -> Duration {
        Duration::from_millis(self.shutdown_grace_ms)
    }

    pub(super) fn shutdown_timeout(&self) -> Duration {
        Duration::from_millis(self.shutdown_timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(config: &ServerConfig) -> &'static str {
        match config.validate() {
            Err(Error::InvalidConfig { name, .. }) => name,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        ServerConfig::default().validate().unwrap();
        assert_eq!(refused(&ServerConfig { max_head_bytes: 100, ..ServerConfig::default() }), "max_head_bytes");
        assert_eq!(refused(&ServerConfig { idle_timeout_ms: 0, ..ServerConfig::default() }), "idle_timeout_ms");
        let config = ServerConfig { max_connections_per_address: Some(0), ..ServerConfig::default() };
        assert_eq!(refused(&config), "max_connections_per_address");
        let config = ServerConfig { tls_certificate: Some("a.pem".into()), ..ServerConfig::default() };
        assert_eq!(refused(&config), "tls_key");
    }

    #[test]
    fn fields_that_are_not_known_are_refused() {
        let config: ServerConfig = serde_json::from_str(r#"{"max_connections":5}"#).unwrap();
        assert_eq!(config, ServerConfig { max_connections: 5, ..ServerConfig::default() });
        assert!(serde_json::from_str::<ServerConfig>(r#"{"max_conections":5}"#).is_err());
    }
}
