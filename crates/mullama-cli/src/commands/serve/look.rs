//! Looks at a configuration: whether a server can start with it, or go on.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use mullama::config::{Fault, Loaded, Problem};
use mullama::{ConfigError, ServeConfig, WebError};

use super::models;
use super::settings::{asks_for_keys, resolved};
use crate::error::chain;

/// What a server finds wrong when it starts, where it is not of the command line: models, the address, the certificate.
pub(crate) fn at_start(loaded: &Loaded) -> Result<(), ConfigError> {
    let mut problems = models_of(loaded);
    let server = &loaded.config().server;
    if let Err(reason) = resolved(server) {
        let (value, expected) = (server.host.clone(), no_address(&reason));
        problems.push(problem(loaded, "server.host", Fault::Value { value, expected }));
    }
    problems.extend(tls_of(loaded));
    problems.retain(|problem| !problem.origin.is_flag());
    if problems.is_empty() { Ok(()) } else { Err(ConfigError::Invalid(problems.into())) }
}

fn problem(loaded: &Loaded, path: &str, fault: Fault) -> Problem {
    Problem::new(path, loaded.origin(path), fault)
}

/// Files that are no models.
fn models_of(loaded: &Loaded) -> Vec<Problem> {
    let config = loaded.config();
    let tables = (0..config.models.len()).map(|at| format!("models[{at}]"));
    let named = std::iter::once("model".to_owned()).chain(tables);
    let all = named.zip(std::iter::once(&config.model).chain(&config.models));
    let wrong = all.filter(|(_, model)| !model.path.is_empty()).filter_map(|(table, model)| {
        let reason = models::look_at(model).err()?.chain();
        Some(problem(loaded, &format!("{table}.path"), Fault::Form { reason }))
    });
    wrong.collect()
}

/// A certificate or a key that cannot be used.
fn tls_of(loaded: &Loaded) -> Option<Problem> {
    let error = loaded.config().server_config().check_tls().err()?;
    let is_certificate = |file: &Path| loaded.config().server.tls.certificate.as_deref() == Some(file);
    let path = match &error {
        WebError::Certificate { path, .. } | WebError::File { path, .. } if !is_certificate(path) => "server.tls.key",
        _ => "server.tls.certificate",
    };
    Some(problem(loaded, path, Fault::Form { reason: chain(&error) }))
}

fn no_address(reason: &str) -> String {
    format!("one address or name of this machine: {reason}")
}

/// Where the server listens, once it does.
pub(super) type Bound = Arc<OnceLock<SocketAddr>>;

/// Looks at a configuration that is to take the place of the old one: models and certificates must be such, an address that
/// another program has is none to start with the next time, and whom the address lets in must still bring a key.
pub(super) fn dry_run(bound: Bound) -> impl Fn(&Loaded, &Loaded) -> Result<(), Vec<Problem>> + Send + Sync {
    // What this server was started with.
    let started: OnceLock<ServeConfig> = OnceLock::new();
    move |old, new| {
        let started = started.get_or_init(|| old.config().server.clone());
        let mut problems = Vec::new();
        let (before, after) = (old.config(), new.config());
        if (&before.model, &before.models) != (&after.model, &after.models) {
            problems = models_of(new);
            if problems.is_empty()
                && let Err(error) = models::chosen(after)
            {
                problems.push(problem(new, "models", Fault::Form { reason: error.chain() }));
            }
        }
        let reachable = !started.auth.allow_unauthenticated && bound.get().is_some_and(|bound| !is_local(*bound));
        let expected = if reachable { "others can reach the address that this server listens on" } else { OPENS };
        // Half of a file may well be whole by itself.
        let opens = reachable || (asks_for_keys(before) && !after.server.auth.allow_unauthenticated);
        if opens && !asks_for_keys(after) {
            let expected = format!("set: {expected}");
            problems.push(problem(new, "server.auth.api_keys", Fault::Value { value: "empty".to_owned(), expected }));
        }
        if before.server.tls != after.server.tls {
            problems.extend(tls_of(new));
        }
        let place = |server: &ServeConfig| (server.host.clone(), server.port);
        if place(&before.server) != place(&after.server)
            && place(started) != place(&after.server)
            && let Err((path, value, expected)) = can_listen(&after.server, bound.get().copied())
        {
            problems.push(problem(new, path, Fault::Value { value, expected }));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

fn is_local(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Could a server listen there? A port that this one has is free once it has ended. Otherwise the field, its value, and what
/// it should be.
fn can_listen(server: &ServeConfig, ours: Option<SocketAddr>) -> Result<(), (&'static str, String, String)> {
    let address = resolved(server).map_err(|reason| ("server.host", server.host.clone(), no_address(&reason)))?;
    if ours.is_some_and(|ours| ours.port() == address.port()) {
        return Ok(());
    }
    TcpListener::bind(address).map(drop).map_err(|error| {
        ("server.port", address.port().to_string(), format!("a port that can be listened on: {error}"))
    })
}

/// What it takes to let everybody in.
const OPENS: &str = "keys are not taken away while it runs, unless allow_unauthenticated says that everybody may come";
