//! The configuration of the server: what the layers say together, and what only a server knows of it.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::{Arc, OnceLock};

use mullama::config::{Fault, Loaded, Loader, Origin, Problem};
use mullama::{MullamaConfig, ServeConfig, WebConfig};
use mullama_core::KvLayout;

use super::flags::{self, CTX_SIZE};
use super::models;
use crate::cli::serve::Serve;
use crate::error::{Error, Result};
use crate::terminal::Ui;

/// All layers, with what the flags about the context mean together: as with llama.cpp, with `--parallel` it is divided.
pub(super) fn loader(args: &Serve, ui: &Ui) -> Result<Loader> {
    let loader = flags::loader(args, ui)?;
    let (Some(asked), Some(sequences)) = (args.with.context.size.ctx_size, args.engine.parallel) else {
        return Ok(loader);
    };
    let layout = loader.load()?.config().engine.kv_layout;
    if layout == KvLayout::Unified || asked == 0 {
        return Ok(loader);
    }
    if asked < sequences {
        let problem = format!("--ctx-size is {asked}, but must be at least --parallel, {sequences}");
        return Err(Error::usage(problem, "with --parallel it is what all requests have together"));
    }
    Ok(loader.flag("context.n_ctx", asked / sequences, CTX_SIZE))
}

/// Where all share one memory, `--ctx-size` is how large it is.
pub(super) fn shared_capacity(loaded: &Loaded) -> Option<u32> {
    let (context, engine) = (&loaded.config().context, &loaded.config().engine);
    let asked = loaded.origin("context.n_ctx").is_flag();
    let shared = engine.kv_layout == KvLayout::Unified && engine.kv_capacity == 0;
    (asked && shared).then_some(context.n_ctx)
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
    let host = server.host.trim().trim_start_matches('[').trim_end_matches(']');
    let unknown = |why: &str| {
        let problem = format!("--host is {}, but must be one address or name of this machine: {why}", server.host);
        Error::usage(problem, "127.0.0.1 is this machine alone, 0.0.0.0 all")
    };
    let mut found = (host, server.port).to_socket_addrs().map_err(|error| unknown(&error.to_string()))?;
    found.next().ok_or_else(|| unknown("it has no address"))
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
        if (&before.model, &before.models) != (&after.model, &after.models)
            && let Err(error) = models::chosen(after)
        {
            problems.push(of_field("models", Fault::Form { reason: error.chain() }));
        }
        let open = started.auth.allow_unauthenticated || bound.get().is_none_or(|bound| is_local(*bound));
        if !open && !asks_for_keys(after) {
            let expected = "set: others can reach the address that this server listens on".to_owned();
            problems.push(of_field("server.auth.api_keys", Fault::Value { value: "empty".to_owned(), expected }));
        }
        let place = |server: &ServeConfig| (server.host.clone(), server.port);
        if place(&before.server) != place(&after.server)
            && place(started) != place(&after.server)
            && let Err(reason) = can_listen(&after.server, bound.get().copied())
        {
            let expected = format!("a port that can be listened on: {reason}");
            let fault = Fault::Value { value: after.server.port.to_string(), expected };
            problems.push(of_field("server.port", fault));
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

fn is_local(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Could a server listen there? A port that this one has is free once it has ended.
fn can_listen(server: &ServeConfig, ours: Option<SocketAddr>) -> std::result::Result<(), String> {
    let address = address(server).map_err(|error| error.chain())?;
    if ours.is_some_and(|ours| ours.port() == address.port()) {
        return Ok(());
    }
    TcpListener::bind(address).map(drop).map_err(|error| error.to_string())
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
