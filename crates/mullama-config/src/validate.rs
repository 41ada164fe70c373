//! What fields say together, and whether the files that they name can be read.

mod files;
mod owners;

use std::net::IpAddr;

use figment::value::Value;
use mullama_core::{KvLayout, KvType};
use mullama_web::WebConfig;

use crate::config::MullamaConfig;
use crate::error::Problem;
use crate::origin::Origin;
use crate::section::{ContextConfig, ModelConfig};
use crate::tree::Check;
pub(crate) use files::permissions;

/// Where the value at a path comes from.
pub(crate) type Origins<'a> = &'a dyn Fn(&str) -> Origin;

/// Everything, of a configuration that no loader has looked at.
pub(crate) fn all(config: &MullamaConfig, origin: Origins<'_>) -> Vec<Problem> {
    let mut check = Check { origin, secrets: None, problems: Vec::new() };
    match Value::serialize(config) {
        Ok(Value::Dict(_, mut tree)) => check.root(&mut tree),
        other => {
            let reason = other.err().map_or_else(|| "it is no table".to_owned(), |error| error.kind.to_string());
            check.problems.push(Problem::value("", Origin::Code, reason, "a table"));
        }
    }
    let found = Found { origin, problems: check.problems };
    rules(config, found, None)
}

/// What each field on its own cannot tell. Files that the configuration in force names in the same fields are not looked at.
pub(crate) fn together(config: &MullamaConfig, origin: Origins<'_>, in_force: Option<&MullamaConfig>) -> Vec<Problem> {
    rules(config, Found { origin, problems: Vec::new() }, in_force)
}

fn rules(config: &MullamaConfig, mut found: Found<'_>, in_force: Option<&MullamaConfig>) -> Vec<Problem> {
    context(config, &mut found);
    models(config, &mut found);
    engine(config, &mut found);
    server(config, &mut found);
    files::check(config, &mut found, in_force);
    owners::check(config, &mut found);
    found.problems
}

/// What was found.
pub(crate) struct Found<'a> {
    pub(crate) origin: Origins<'a>,
    pub(crate) problems: Vec<Problem>,
}

impl Found<'_> {
    #[expect(clippy::needless_pass_by_value, reason = "callers give numbers and texts alike")]
    fn wrong(&mut self, path: &str, value: impl ToString, expected: impl Into<String>, hint: &str) {
        let problem = Problem::value(path, (self.origin)(path), value.to_string(), expected);
        self.problems.push(if hint.is_empty() { problem } else { problem.hint(hint) });
    }

    /// A field is unset where a file sets another: that one has a line.
    fn unset(&mut self, path: &str, other: &str, expected: &str) {
        let origin = match (self.origin)(other) {
            file @ Origin::File { .. } => file,
            _ => (self.origin)(path),
        };
        self.problems.push(Problem::value(path, origin, "unset", expected));
    }

    /// Is something wrong with this field already?
    fn knows(&self, path: &str) -> bool {
        self.problems.iter().any(|problem| problem.path == path)
    }
}

fn context(config: &MullamaConfig, found: &mut Found<'_>) {
    let (context, default) = (&config.context, ContextConfig::default());
    // Defaults shrink to what there is.
    if context.n_ubatch > context.n_batch && context.n_ubatch != default.n_ubatch {
        let expected = format!("at most n_batch, {}", context.n_batch);
        found.wrong("context.n_ubatch", context.n_ubatch, expected, "");
    }
    let tokens = u64::from(context.n_ctx) * u64::from(config.engine.sequences);
    if tokens > 0 && u64::from(context.n_batch) > tokens && context.n_batch != default.n_batch {
        let expected = format!("at most n_ctx times engine.sequences, {tokens}");
        found.wrong("context.n_batch", context.n_batch, expected, "");
    }
    if context.flash_attn_required && !context.flash_attn {
        found.wrong("context.flash_attn_required", true, "false where flash_attn is false", "");
    }
    let plain = matches!(context.type_v, KvType::F32 | KvType::F16 | KvType::Bf16);
    if !plain && !context.flash_attn {
        let value = serde_json::to_string(&context.type_v).unwrap_or_default();
        found.wrong("context.type_v", value, "f32, f16 or bf16 where flash_attn is false", "");
    }
    let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX));
    let most = cores.saturating_mul(4);
    for (path, threads) in
        [("context.n_threads", context.n_threads), ("context.n_threads_batch", context.n_threads_batch)]
    {
        if threads > most && threads <= 512 {
            found.wrong(path, threads, format!("at most 4 times the cores of this machine, {most}"), "0 is automatic");
        }
    }
}

fn models(config: &MullamaConfig, found: &mut Found<'_>) {
    let n_ctx = config.context.n_ctx;
    let mut names: Vec<(String, String)> = Vec::new();
    for (path, model) in named(config) {
        if model.path.is_empty() && path != "model" {
            found.wrong(&format!("{path}.path"), "empty", "the path of a .gguf file", "");
        }
        if n_ctx > 0 && model.context_size > 0 && model.context_size != n_ctx {
            let hint = "n_ctx is for all models, context_size for one: leave one of them out";
            let expected = format!("context.n_ctx, {n_ctx}, or unset");
            found.wrong(&format!("{path}.context_size"), model.context_size, expected, hint);
        }
        for (at, alias) in model.aliases.iter().enumerate().filter(|(_, alias)| alias.trim().is_empty()) {
            found.wrong(&format!("{path}.aliases[{at}]"), format!("{alias:?}"), "a name", "");
        }
        let label = Some((format!("{path}.name"), model.label())).filter(|(_, name)| !name.is_empty());
        let aliases = model.aliases.iter().enumerate();
        let aliases = aliases.map(|(at, alias)| (format!("{path}.aliases[{at}]"), alias.clone()));
        for (place, name) in label.into_iter().chain(aliases) {
            // Of models of the command line it is told by the command.
            let ours = (found.origin)(&format!("{path}.path")).is_flag();
            if let Some((other, _)) = names.iter().find(|(_, known)| *known == name && !ours) {
                let expected = format!("another name than {other}");
                found.wrong(&place, format!("{name:?}"), expected, "each model has names of its own");
            }
            names.push((place, name));
        }
    }
}

fn engine(config: &MullamaConfig, found: &mut Found<'_>) {
    let engine = &config.engine;
    if engine.kv_capacity > 0 && engine.kv_layout == KvLayout::PerSequence {
        let hint = "kv_layout = \"unified\" shares them";
        found.wrong("engine.kv_capacity", engine.kv_capacity, "0 where each request has its own cells", hint);
    }
}

fn server(config: &MullamaConfig, found: &mut Found<'_>) {
    let server = &config.server;
    let keys = !server.auth.api_keys.is_empty() || server.auth.api_key_file.is_some();
    if !keys && !server.auth.allow_unauthenticated && is_reachable(&server.host) {
        let hint = "set server.auth.api_key_file, or listen on 127.0.0.1";
        let expected = "a loopback address, because no API key is asked for";
        found.wrong("server.host", &server.host, expected, hint);
    }
    for (name, keys) in [("api_keys", &server.auth.api_keys), ("admin_keys", &server.auth.admin_keys)] {
        for (at, _) in keys.iter().enumerate().filter(|(_, key)| key.is_blank()) {
            found.wrong(&format!("server.auth.{name}[{at}]"), "blank", "a key with some characters", "");
        }
    }
    for (at, origin) in server.cors.origins.iter().enumerate() {
        let alone = WebConfig { cors_origins: vec![origin.clone()], ..WebConfig::default() };
        if alone.validate().is_err() {
            let expected = "an origin like `https://example.org`, or `*`";
            found.wrong(&format!("server.cors.origins[{at}]"), origin, expected, "");
        }
    }
    match (&server.tls.certificate, &server.tls.key) {
        (Some(_), None) => found.unset("server.tls.key", "server.tls.certificate", "set, as `certificate` is"),
        (None, Some(_)) => found.unset("server.tls.certificate", "server.tls.key", "set, as `key` is"),
        _ => {}
    }
    if server.host.trim().is_empty() || server.host.contains(['/', ',']) {
        let hint = "127.0.0.1 is this machine alone, 0.0.0.0 all";
        found.wrong("server.host", &server.host, "one address or name of this machine", hint);
    }
}

/// Can others reach it? Of a name that is asked when the server starts.
fn is_reachable(host: &str) -> bool {
    let host = host.trim().trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_ok_and(|address| !address.to_canonical().is_loopback())
}

/// All models with their paths.
pub(crate) fn named(config: &MullamaConfig) -> impl Iterator<Item = (String, &ModelConfig)> {
    let further = config.models.iter().enumerate().map(|(at, model)| (format!("models[{at}]"), model));
    std::iter::once(("model".to_owned(), &config.model)).chain(further)
}

#[cfg(test)]
mod tests;
