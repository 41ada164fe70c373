//! The configuration of the server: what the layers say together, and what only a server knows of it.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, OnceLock};

use mullama::config::{Fault, Loaded, Loader, Origin, Problem};
use mullama::{MullamaConfig, ServeConfig, WebConfig};
use mullama_core::{EngineParams, KvLayout};

use super::flags::{self, CTX_SIZE};
use super::models;
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

fn resolved(server: &ServeConfig) -> std::result::Result<SocketAddr, String> {
    let host = server.host.trim().trim_start_matches('[').trim_end_matches(']');
    let mut found = (host, server.port).to_socket_addrs().map_err(|error| error.to_string())?;
    found.next().ok_or_else(|| "it has no address".to_owned())
}

/// Where the server listens, once it does.
pub(super) type Bound = Arc<OnceLock<SocketAddr>>;

/// Looks at a configuration that is to take the place of the old one: models must be such, an address that another program has
/// is none to start with the next time, and whom the address lets in must still bring a key.
pub(super) fn dry_run(bound: Bound) -> impl Fn(&Loaded, &Loaded) -> Result<(), Vec<Problem>> + Send + Sync {
    // What this server was started with.
    let started: OnceLock<ServeConfig> = OnceLock::new();
    move |old, new| {
        let started = started.get_or_init(|| old.config().server.clone());
        let of_field = |path: &str, fault| Problem::new(path, new.origin(path), fault);
        let mut problems = Vec::new();
        let (before, after) = (old.config(), new.config());
        if (&before.model, &before.models) != (&after.model, &after.models) {
            let tables = (0..after.models.len()).map(|at| format!("models[{at}]"));
            let named = std::iter::once("model".to_owned()).chain(tables);
            let all = named.zip(std::iter::once(&after.model).chain(&after.models));
            for (table, model) in all.filter(|(_, model)| !model.path.is_empty()) {
                if let Err(error) = models::look_at(model) {
                    problems.push(of_field(&format!("{table}.path"), Fault::Form { reason: error.chain() }));
                }
            }
            if problems.is_empty()
                && let Err(error) = models::chosen(after)
            {
                problems.push(of_field("models", Fault::Form { reason: error.chain() }));
            }
        }
        let reachable = !started.auth.allow_unauthenticated && bound.get().is_some_and(|bound| !is_local(*bound));
        let expected = if reachable { "others can reach the address that this server listens on" } else { OPENS };
        // Half of a file may well be whole by itself.
        let opens = reachable || (asks_for_keys(before) && !after.server.auth.allow_unauthenticated);
        if opens && !asks_for_keys(after) {
            let expected = format!("set: {expected}");
            problems.push(of_field("server.auth.api_keys", Fault::Value { value: "empty".to_owned(), expected }));
        }
        let place = |server: &ServeConfig| (server.host.clone(), server.port);
        if place(&before.server) != place(&after.server)
            && place(started) != place(&after.server)
            && let Err(problem) = can_listen(&after.server, bound.get().copied())
        {
            let (path, value, expected) = problem;
            problems.push(of_field(path, Fault::Value { value, expected }));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

fn is_local(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Could a server listen there? A port that this one has is free once it has ended. Otherwise the field, its value, and what
/// it should be.
fn can_listen(
    server: &ServeConfig,
    ours: Option<SocketAddr>,
) -> std::result::Result<(), (&'static str, String, String)> {
    let address = resolved(server).map_err(|reason| {
        ("server.host", server.host.clone(), format!("one address or name of this machine: {reason}"))
    })?;
    if ours.is_some_and(|ours| ours.port() == address.port()) {
        return Ok(());
    }
    TcpListener::bind(address).map(drop).map_err(|error| {
        ("server.port", address.port().to_string(), format!("a port that can be listened on: {error}"))
    })
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
/// What it takes to let everybody in.
const OPENS: &str = "keys are not taken away while it runs, unless allow_unauthenticated says that everybody may come";
