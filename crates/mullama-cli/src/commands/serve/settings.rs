//! The flags as the configurations of the web crate.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use mullama::{ServerConfig, WebConfig};

use super::milliseconds;
use super::models::Served;
use crate::cli::serve::Serve;
use crate::error::{Error, Result};
use crate::load::ModelSource;

/// How requests are answered.
pub(super) fn web(args: &Serve, served: &[Served]) -> Result<WebConfig> {
    if args.with.sampling.top_logprobs.is_some() {
        let hint = "each request says for itself: logprobs, top_logprobs";
        return Err(Error::usage("--top-logprobs is no flag of a server", hint));
    }
    let tiny = served.iter().all(|model| model.source == ModelSource::Embedded);
    let mut defaults = args.with.sampling.params(tiny)?;
    let request_timeout_ms = defaults.timeout_ms.take();
    Ok(WebConfig {
        api_keys: keys(args)?,
        api_key_file: args.access.api_key_file.clone(),
        allowed_hosts: args.access.allowed_hosts.clone(),
        cors_origins: args.access.cors_origins.clone(),
        request_timeout_ms,
        metrics: !args.network.no_metrics,
        slots: !args.network.no_slots,
        defaults,
        ..WebConfig::default()
    })
}

/// How connections are served.
pub(super) fn server(args: &Serve) -> ServerConfig {
    let network = &args.network;
    let or = |given: Option<Duration>, default: u64| given.map_or(default, milliseconds);
    let default = ServerConfig::default();
    let config = ServerConfig {
        body_timeout_ms: or(network.silence, default.body_timeout_ms),
        write_timeout_ms: or(network.silence, default.write_timeout_ms),
        shutdown_grace_ms: or(network.shutdown_grace, default.shutdown_grace_ms),
        shutdown_timeout_ms: or(network.shutdown_timeout, default.shutdown_timeout_ms),
        allow_unauthenticated: args.access.allow_unauthenticated,
        ..default
    };
    #[cfg(feature = "tls")]
    let config = ServerConfig {
        tls_certificate: network.ssl_cert_file.clone(),
        tls_key: network.ssl_key_file.clone(),
        ..config
    };
    config
}

/// Is it HTTPS?
pub(super) fn is_secure(args: &Serve) -> bool {
    server(args).tls_certificate.is_some()
}

/// Do requests have to bring a key?
pub(super) fn asks_for_keys(config: &WebConfig) -> bool {
    !config.api_keys.is_empty() || config.api_key_file.is_some()
}

/// Those of the flags, and those of the environment.
fn keys(args: &Serve) -> Result<Vec<String>> {
    let mut keys = args.access.api_key.clone();
    if let Some(given) = std::env::var_os(KEY_VARIABLE) {
        let Some(text) = given.to_str().filter(|text| !text.trim().is_empty()) else {
            let problem = format!("the environment variable {KEY_VARIABLE} is set, but holds no key");
            return Err(Error::usage(problem, "unset it to serve without a key"));
        };
        keys.extend(text.split(',').map(str::to_owned));
    }
    Ok(keys)
}

/// Where to listen.
pub(super) fn address(args: &Serve) -> Result<SocketAddr> {
    let host = args.network.host.trim().trim_start_matches('[').trim_end_matches(']');
    let unknown = |why: String| {
        let problem = format!("--host is {}, but must be one address or name of this machine", args.network.host);
        Error::usage(
            if why.is_empty() { problem } else { format!("{problem}: {why}") },
            "127.0.0.1 is this machine alone, 0.0.0.0 all",
        )
    };
    if host.is_empty() || host.contains(['/', ',']) {
        return Err(unknown(String::new()));
    }
    let mut found = (host, args.network.port).to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    found.next().ok_or_else(|| unknown(String::new()))
}

/// What the flags of llama.cpp ask for that cannot be done is no silent wish.
pub(super) fn check(args: &Serve) -> Result<()> {
    if args.engine.no_cont_batching {
        return Err(Error::usage("requests are always computed together", "--parallel 1 computes one at a time"));
    }
    if args.engine.cache_reuse.is_some_and(|chunk| chunk > 0) {
        let problem = "--cache-reuse is not supported: only beginnings of prompts are used again";
        return Err(Error::usage(problem, "leave it out, or give 0"));
    }
    Ok(())
}

const KEY_VARIABLE: &str = "MULLAMA_API_KEY";
