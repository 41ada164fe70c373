//! The configuration of the server: what the layers say together, and what only a server knows of it.

use std::net::{SocketAddr, ToSocketAddrs as _};

use mullama::config::{Loaded, Loader, Origin};
use mullama::{MullamaConfig, ServeConfig, WebConfig};
use mullama_core::{EngineParams, KvLayout};

use super::flags::{self, CTX_SIZE};
use crate::cli::serve::Serve;
use crate::error::{Error, Result};
use crate::terminal::Ui;

/// All layers. Conversions are no server's.
pub(super) fn loader(args: &Serve, ui: &Ui) -> Result<Loader> {
    Ok(flags::loader(args, ui)?.only(SECTIONS))
}

/// What the flags about the context mean together, in tokens: how long one request's is, and how many there are in all where
/// all share them. As with llama.cpp, `--ctx-size` is divided where `--parallel` is given, and is for all where they share.
pub(super) fn divide(loaded: &Loaded, engine: &mut EngineParams) -> Result<()> {
    let (context, sequences) = (&loaded.config().context, engine.sequences);
    let is_flag = |path: &str| loaded.origin(path).is_flag();
    let asked = context.n_ctx;
    if asked == 0 || !is_flag("context.n_ctx") {
        return Ok(());
    }
    if engine.kv_layout == KvLayout::Unified {
        if engine.kv_capacity == 0 {
            engine.kv_capacity = asked;
        }
    } else if is_flag("engine.sequences") {
        if asked < sequences {
            let problem = format!("{CTX_SIZE} is {asked}, but must be at least --parallel, {sequences}");
            return Err(Error::usage(problem, "with --parallel it is what all requests have together"));
        }
        engine.context.length = asked / sequences;
    }
    Ok(())
}

/// How requests are answered. With the embedded model alone the temperature is 0 unless somebody says otherwise.
pub(super) fn web(loaded: &Loaded) -> WebConfig {
    let mut web = loaded.config().web_config();
    let tiny = loaded.config().catalogue().next().is_none();
    if tiny && loaded.origin("sampling.temperature") == Origin::Default {
        web.defaults.sampling.temperature = 0.0;
    }
    web
}

/// Is it HTTPS?
pub(super) fn is_secure(config: &MullamaConfig) -> bool {
    config.server.tls.certificate.is_some()
}

/// Do requests have to bring a key?
pub(super) fn asks_for_keys(config: &MullamaConfig) -> bool {
    let auth = &config.server.auth;
    !auth.api_keys.is_empty() || auth.api_key_file.is_some()
}

/// Where to listen.
pub(super) fn address(server: &ServeConfig) -> Result<SocketAddr> {
    resolved(server).map_err(|reason| {
        let problem = format!("--host is {}, but must be one address or name of this machine: {reason}", server.host);
        Error::usage(problem, "127.0.0.1 is this machine alone, 0.0.0.0 all")
    })
}

/// The address, or why there is none.
pub(super) fn resolved(server: &ServeConfig) -> std::result::Result<SocketAddr, String> {
    let host = server.host.trim().trim_start_matches('[').trim_end_matches(']');
    let mut found = (host, server.port).to_socket_addrs().map_err(|error| error.to_string())?;
    found.next().ok_or_else(|| "it has no address".to_owned())
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
    if args.with.sampling.top_logprobs.is_some() {
        let hint = "each request says for itself: logprobs, top_logprobs";
        return Err(Error::usage("--top-logprobs is no flag of a server", hint));
    }
    Ok(())
}

/// What a server takes of the configuration.
const SECTIONS: &[&str] =
    &["model", "models", "context", "generation", "sampling", "engine", "server", "performance", "logging"];
