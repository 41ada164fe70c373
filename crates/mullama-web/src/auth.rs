//! Who may ask: API keys, of which only SHA-256 digests are kept.

mod file;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, HeaderName, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::error::ApiError;
use crate::notes::Notes;
use crate::state::AppState;
use file::KeyFile;

/// The keys that are taken.
pub(crate) struct Keys(RwLock<Arc<Taken>>);

/// The keys at one moment.
#[derive(Default)]
pub(crate) struct Taken {
    given: Vec<Digest>,
    file: Option<Arc<KeyFile>>,
}

impl Taken {
    /// Is a key asked for? Yes where there is a file, even one without keys: an empty file keeps everybody out.
    pub(crate) fn required(&self) -> bool {
        !self.given.is_empty() || self.file.is_some()
    }
}

/// SHA-256 of a key.
type Digest = [u8; 32];

impl Keys {
    /// No key is asked for.
    pub(crate) fn none() -> Self {
        Self(RwLock::default())
    }

    /// These keys, and those of a file: one a line; empty lines and lines that begin with `#` do not count. Blanks around
    /// a key are not part of it.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File): the file cannot be read, is not UTF-8, or has more than 1 MiB.
    pub(crate) fn new(keys: &[String], file: Option<PathBuf>) -> crate::Result<Self> {
        let none = Self::none();
        none.set(none.others(keys, file)?);
        Ok(none)
    }

    /// Others, for [`Keys::set`]. A file that was read already goes on as it is.
    ///
    /// # Errors
    /// As [`Keys::new`].
    pub(crate) fn others(&self, keys: &[String], file: Option<PathBuf>) -> crate::Result<Taken> {
        let given = keys.iter().map(|key| key.trim()).filter(|key| !key.is_empty()).map(digest).collect();
        let known = self.taken().file.clone();
        let file = match file {
            Some(path) => Some(match known.filter(|known| known.path() == path) {
                Some(known) => known,
                None => Arc::new(KeyFile::open(path)?),
            }),
            None => None,
        };
        Ok(Taken { given, file })
    }

    /// These from now on.
    pub(crate) fn set(&self, taken: Taken) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(taken);
    }

    fn taken(&self) -> Arc<Taken> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again. One that cannot be read changes nothing.
    ///
    /// # Errors
    /// As [`Keys::new`].
    pub(crate) fn reload(&self) -> crate::Result<()> {
        self.taken().file.as_ref().map_or(Ok(()), |file| file.reload())
    }

    /// Is a key asked for?
    pub(crate) fn required(&self) -> bool {
        self.taken().required()
    }

    /// Who this is, if it is one of the keys: the first eight hexadecimal digits of its SHA-256.
    ///
    /// Compares with all keys, whichever is the right one, each in constant time. Looks at the file when the last look is
    /// a second old.
    pub(crate) fn check(&self, presented: &str) -> Option<String> {
        let presented = presented.trim();
        if presented.is_empty() {
            return None;
        }
        let wanted = digest(presented);
        let same = |known: &Digest| wanted.as_slice().ct_eq(known);
        let mut found = Choice::from(0);
        let taken = self.taken();
        for known in &taken.given {
            found |= same(known);
        }
        if let Some(file) = &taken.file {
            for known in file.digests().iter() {
                found |= same(known);
            }
        }
        bool::from(found).then(|| wanted.iter().take(4).map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken = self.taken();
        let file = taken.file.as_ref().map(|file| file.path());
        f.debug_struct("Keys").field("given", &taken.given.len()).field("file", &file).finish()
    }
}

/// Lets requests pass that bring a key (`authorization: Bearer KEY`, or `x-api-key: KEY`), and those that need none.
pub(crate) async fn authenticate(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let keys = state.keys();
    if !keys.required() || needs_none(request.method(), request.uri().path()) {
        return next.run(request).await;
    }
    let headers = request.headers();
    let presented = presented(headers);
    if let Some(fingerprint) = presented.iter().flatten().find_map(|key| keys.check(key)) {
        Notes::of(request.extensions()).key(&fingerprint);
        return next.run(request).await;
    }
    let message = if presented.iter().flatten().next().is_some() {
        "The API key is not one of this server's."
    } else {
        "This server asks for an API key: `authorization: Bearer KEY`, or `x-api-key: KEY`."
    };
    unauthorized(message)
}

/// 401, with how a key is brought.
pub(crate) fn unauthorized(message: &str) -> Response {
    let mut response = ApiError::unauthorized(message).into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

/// Reads a file of keys as the server does, and forgets them.
///
/// # Errors
/// [`Error::File`](crate::Error::File): it cannot be read, is not UTF-8, or has more than 1 MiB.
pub fn check_key_file(path: &Path) -> crate::Result<()> {
    file::check(path)
}

/// The keys that a request brings.
pub(crate) fn presented(headers: &HeaderMap) -> [Option<&str>; 2] {
    [bearer(headers), text(headers, &X_API_KEY)]
}

/// Health is told to all, and browsers ask by OPTIONS before they send a key.
fn needs_none(method: &Method, path: &str) -> bool {
    // The same in every server of this version: the documentation can be read before one has a key.
    // The last one asks for keys of its own.
    let told_to_all = ["/", "/health", "/v1/health", "/docs", "/openapi.json", "/admin/config"].contains(&path);
    method == Method::OPTIONS || told_to_all || path.starts_with("/health/")
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = text(headers, &AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim()).filter(|key| !key.is_empty())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?;
    std::str::from_utf8(value.as_bytes()).ok().map(str::trim).filter(|value| !value.is_empty())
}

fn digest(key: &str) -> Digest {
    Sha256::digest(key.as_bytes()).into()
}

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
