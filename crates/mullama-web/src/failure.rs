//! What can go wrong before and beside requests; requests have [`ApiError`](crate::ApiError).

use std::net::SocketAddr;
use std::path::PathBuf;

use mullama_core::ErrorKind;

/// The result of a fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field of a configuration is outside its range.
    #[error("{name} is {value}, but must be {expected}")]
    InvalidConfig {
        /// The field.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is accepted.
        expected: &'static str,
    },
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A server that others can reach, and nothing that keeps them out.
    #[error("{address} can be reached from elsewhere, and no API key is asked for: set one, or listen on 127.0.0.1")]
    Exposed {
        /// The address.
        address: SocketAddr,
    },
    /// The certificate or its key cannot be used.
    #[error("cannot use the certificate `{}`: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Of the async layer.
    #[error(transparent)]
    Async(#[from] mullama_async::Error),
    /// Of the inference crate.
    #[error(transparent)]
    Core(#[from] mullama_core::Error),
}

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InvalidConfig { .. } | Self::Exposed { .. } | Self::Certificate { .. } => ErrorKind::InvalidInput,
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::File { .. } | Self::Bind { .. } => ErrorKind::Io,
            Self::Async(error) => error.kind(),
            Self::Core(error) => error.kind(),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers give numbers and texts alike")]
    pub(crate) fn config(name: &'static str, value: impl ToString, expected: &'static str) -> Self {
        Self::InvalidConfig { name, value: value.to_string(), expected }
    }
}
