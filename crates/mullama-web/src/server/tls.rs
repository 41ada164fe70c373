//! TLS, with certificates that are read anew when they change.

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::config::ServerConfig;
use crate::failure::{Error, Result};

/// Greets clients with the certificate that is in the files.
#[derive(Debug)]
pub(super) struct Acceptor {
    current: Arc<RwLock<TlsConfig>>,
    _watch: DropGuard,
}

type TlsConfig = Arc<rustls::ServerConfig>;

impl Acceptor {
    /// The handshake.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        TlsAcceptor::from(config).accept(stream).await
    }
}

/// Reads the files and watches them until it is dropped. `None`: no TLS is asked for.
pub(super) async fn acceptor(config: &ServerConfig) -> Result<Option<Acceptor>> {
    let (Some(certificate), Some(key)) = (&config.tls_certificate, &config.tls_key) else { return Ok(None) };
    let files = Files { certificate: certificate.clone(), key: key.clone() };
    let (mut watched, first) = blocking(move || Watched::open(files)).await?;
    let current = Arc::new(RwLock::new(first));
    let stop = CancellationToken::new();
    let (stopped, target) = (stop.clone(), Arc::clone(&current));
    drop(tokio::spawn(async move {
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopped.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let looked = blocking(move || {
                let found = watched.look();
                Ok((watched, found))
            });
            let Ok((back, found)) = looked.await else { return };
            watched = back;
            match found {
                Ok(None) => {}
                Ok(Some(config)) => {
                    *target.write().unwrap_or_else(PoisonError::into_inner) = config;
                    tracing::info!(certificate = %watched.files.certificate.display(), "the certificate was read anew");
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, cause, "the new certificate cannot be used; the old one stays");
                }
            }
        }
    }));
    Ok(Some(Acceptor { current, _watch: stop.drop_guard() }))
}

/// Could a server start with these files?
pub(super) fn check(config: &ServerConfig) -> Result<()> {
    let (Some(certificate), Some(key)) = (&config.tls_certificate, &config.tls_key) else { return Ok(()) };
    Watched::open(Files { certificate: certificate.clone(), key: key.clone() }).map(drop)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::Certificate { path: PathBuf::new(), reason: error.to_string() }),
    }
}

#[derive(Debug, Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// What both files held when they were last read, good or not.
#[derive(Debug)]
struct Watched {
    files: Files,
    stamps: [Option<SystemTime>; 2],
    read: [Vec<u8>; 2],
    at: Instant,
}

impl Watched {
    fn open(files: Files) -> Result<(Self, TlsConfig)> {
        let stamps = files.stamps();
        let read = files.read()?;
        let config = files.config(&read)?;
        Ok((Self { files, stamps, read, at: Instant::now() }, config))
    }

    /// What the files hold now, if it is something else. Read when they were written to, and now and then in any case, as
    /// not every file system tells.
    fn look(&mut self) -> Result<Option<TlsConfig>> {
        let stamps = self.files.stamps();
        if stamps == self.stamps && self.at.elapsed() < READ_ANYWAY {
            return Ok(None);
        }
        (self.stamps, self.at) = (stamps, Instant::now());
        let read = self.files.read()?;
        if read == self.read {
            return Ok(None);
        }
        let config = self.files.config(&read);
        self.read = read;
        config.map(Some)
    }
}

impl Files {
    fn stamps(&self) -> [Option<SystemTime>; 2] {
        let stamp = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        [stamp(&self.certificate), stamp(&self.key)]
    }

    fn read(&self) -> Result<[Vec<u8>; 2]> {
        let read = |path: &PathBuf| {
            mullama_core::files::read(path, MAX_BYTES).map_err(|source| Error::File { path: path.clone(), source })
        };
        Ok([read(&self.certificate)?, read(&self.key)?])
    }

    fn config(&self, [certificate, key]: &[Vec<u8>; 2]) -> Result<TlsConfig> {
        let bad = |path: &PathBuf, reason: String| Error::Certificate { path: path.clone(), reason };
        let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| bad(&self.certificate, error.to_string()))?;
        if chain.is_empty() {
            return Err(bad(&self.certificate, "there is no certificate in it".to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| bad(&self.key, error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| bad(&self.certificate, error.to_string()))?;
        let config = builder.with_no_client_auth().with_single_cert(chain, key);
        let mut config = config.map_err(|error| bad(&self.certificate, error.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Of a certificate with those that vouch for it.
const MAX_BYTES: u64 = 1 << 20;
const LOOK: Duration = Duration::from_secs(2);
const READ_ANYWAY: Duration = Duration::from_secs(60);
