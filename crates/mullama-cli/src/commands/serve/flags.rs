//! The flags that are given, as the last layer of the configuration.

use std::path::Path;

use mullama::config::Loader;
use mullama_core::FlashAttention;
use serde::Serialize;
use serde_json::{Value, json};

use super::milliseconds;
use crate::cli::model::{ContextArgs, LoadArgs};
use crate::cli::sampling::SamplingArgs;
use crate::cli::serve::{AccessArgs, NetworkArgs, Serve, ServedArgs};
use crate::error::{Error, Result};
use crate::terminal::Ui;

/// All layers: files, environment, flags.
pub(super) fn loader(args: &Serve, ui: &Ui) -> Result<Loader> {
    let mut loader = Loader::standard();
    if let Some(file) = &args.with.config.config {
        loader = loader.file(file);
    }
    let mut flags = Flags(loader);
    flags.models(args)?;
    flags.network(&args.network);
    flags.access(&args.access);
    flags.engine(&args.engine);
    flags.load(&args.with.load, args.engine.lora_init_without_apply);
    flags.context(&args.with.context);
    flags.sampling(&args.with.sampling);
    flags.set("model.chat_template_file", args.with.chat_template_file.as_deref(), "--chat-template-file");
    flags.log(ui);
    Ok(flags.0)
}

/// Collects what is given.
struct Flags(Loader);

impl Flags {
    fn set(&mut self, path: &str, value: Option<impl Serialize>, flag: &str) {
        if let Some(value) = value {
            self.0 = std::mem::take(&mut self.0).flag(path, value, flag);
        }
    }

    /// A list that is not empty.
    fn list<T: Serialize>(&mut self, path: &str, values: &[T], flag: &str) {
        self.set(path, Some(values).filter(|values| !values.is_empty()), flag);
    }

    /// What a switch says when it is given.
    fn switch(&mut self, path: &str, given: bool, says: bool, flag: &str) {
        self.set(path, given.then_some(says), flag);
    }

    fn each_model(&mut self, field: &str, value: Option<impl Serialize>, flag: &str) {
        if let Some(value) = value {
            self.0 = std::mem::take(&mut self.0).model_flag(field, value, flag);
        }
    }

    /// With a MODEL, those of the command line are all there are.
    fn models(&mut self, args: &Serve) -> Result<()> {
        let mut paths = args.paths().map(|path| utf8(path));
        if let Some(first) = paths.next().transpose()? {
            self.set("model.path", Some(first), "MODEL");
            let others = paths.map(|path| Ok(json!({ "path": path? }))).collect::<Result<Vec<Value>>>()?;
            self.set("models", Some(others), "MODEL");
            self.0 = std::mem::take(&mut self.0).models_of_flags();
        }
        if args.alias.is_empty() {
            return Ok(());
        }
        let mut names: Vec<&str> = Vec::new();
        for alias in args.alias.iter().map(|alias| alias.trim()).filter(|alias| !alias.is_empty()) {
            if !names.contains(&alias) {
                names.push(alias);
            }
        }
        let Some((name, aliases)) = names.split_first() else {
            return Err(Error::usage("--alias is empty, but must have a name", "leave it out for the file's name"));
        };
        self.set("model.name", Some(name), "--alias");
        self.set("model.aliases", Some(aliases), "--alias");
        Ok(())
    }

    fn network(&mut self, network: &NetworkArgs) {
        self.set("server.host", network.host.as_deref(), "--host");
        self.set("server.port", network.port, "--port");
        self.set("server.threads", network.threads_http, "--threads-http");
        self.set("server.http.body_timeout_ms", network.silence.map(milliseconds), "--timeout");
        self.set("server.http.write_timeout_ms", network.silence.map(milliseconds), "--timeout");
        self.set("server.http.shutdown_grace_ms", network.shutdown_grace.map(milliseconds), "--shutdown-grace");
        self.set("server.http.shutdown_timeout_ms", network.shutdown_timeout.map(milliseconds), "--shutdown-timeout");
        self.switch("performance.enable_monitoring", network.no_metrics, false, "--no-metrics");
        self.switch("performance.slots", network.no_slots, false, "--no-slots");
        self.set("logging.format", network.log_format, "--log-format");
        #[cfg(feature = "tls")]
        {
            self.set("server.tls.certificate", network.ssl_cert_file.as_deref(), "--ssl-cert-file");
            self.set("server.tls.key", network.ssl_key_file.as_deref(), "--ssl-key-file");
        }
    }

    fn access(&mut self, access: &AccessArgs) {
        self.list("server.auth.api_keys", &access.api_key, "--api-key");
        self.set("server.auth.api_key_file", access.api_key_file.as_deref(), "--api-key-file");
        self.switch("server.auth.allow_unauthenticated", access.allow_unauthenticated, true, "--allow-unauthenticated");
        self.list("server.auth.allowed_hosts", &access.allowed_hosts, "--allowed-hosts");
        self.list("server.cors.origins", &access.cors_origins, "--cors-origins");
    }

    fn engine(&mut self, engine: &ServedArgs) {
        self.set("engine.sequences", engine.parallel, "--parallel");
        self.set("engine.kv_layout", engine.kv_layout, "--kv-layout");
        self.set("engine.queue", engine.queue, "--queue");
        self.set("engine.inter_token_target_ms", engine.inter_token_target, "--inter-token-target");
        self.set("engine.host_cache_bytes", engine.cache_ram.map(|mib| mib << 20), "--cache-ram");
        self.switch("engine.warmup", engine.no_warmup, false, "--no-warmup");
        self.set("engine.keep_alive_ms", engine.keep_alive.map(milliseconds), "--keep-alive");
        self.set("engine.max_memory_bytes", engine.max_memory, "--max-memory");
    }

    fn load(&mut self, load: &LoadArgs, without_apply: bool) {
        self.each_model("gpu_layers", load.gpu_layers, "--gpu-layers");
        self.each_model("split_mode", load.split_mode, "--split-mode");
        self.each_model("main_gpu", load.main_gpu, "--main-gpu");
        self.each_model("mmap", load.no_mmap.then_some(false), "--no-mmap");
        self.each_model("mlock", load.mlock.then_some(true), "--mlock");
        self.each_model("check_tensors", load.check_tensors.then_some(true), "--check-tensors");
        let given = |length: usize| (length > 0).then_some(());
        self.each_model("devices", given(load.devices.len()).map(|()| &load.devices), "--devices");
        self.each_model("tensor_split", given(load.tensor_split.len()).map(|()| &load.tensor_split), "--tensor-split");
        self.each_model("kv_overrides", given(load.kv_override.len()).map(|()| &load.kv_override), "--kv-override");
        let mut lora = load.lora.clone();
        if without_apply {
            lora.iter_mut().for_each(|adapter| adapter.scale = 0.0);
        }
        self.each_model("lora", given(lora.len()).map(|()| &lora), "--lora");
    }

    fn context(&mut self, context: &ContextArgs) {
        self.set("context.n_ctx", context.size.ctx_size, CTX_SIZE);
        // What a file says of one model gives way, too.
        self.each_model("context_size", context.size.ctx_size.map(|_| 0), CTX_SIZE);
        self.set("context.n_threads", context.size.threads, "--threads");
        self.set("context.n_batch", context.batch_size, "--batch-size");
        self.set("context.n_ubatch", context.ubatch_size, "--ubatch-size");
        self.set("context.n_threads_batch", context.threads_batch, "--threads-batch");
        let attention = context.flash_attn;
        self.set("context.flash_attn", attention.map(|when| when != FlashAttention::Off), "--flash-attn");
        self.set("context.flash_attn_required", attention.map(|when| when == FlashAttention::On), "--flash-attn");
        self.set("context.type_k", context.cache_type_k, "--cache-type-k");
        self.set("context.type_v", context.cache_type_v, "--cache-type-v");
        self.switch("context.offload_kqv", context.no_kv_offload, false, "--no-kv-offload");
        self.set("context.rope_freq_base", context.rope_freq_base, "--rope-freq-base");
        self.set("context.rope_freq_scale", context.rope_freq_scale, "--rope-freq-scale");
    }

    fn sampling(&mut self, args: &SamplingArgs) {
        self.set("generation.max_tokens", args.max_tokens, "--max-tokens");
        self.list("generation.stop", &args.stop, "--stop");
        self.switch("generation.context_shift", args.context_shift, true, "--context-shift");
        self.set("generation.keep", args.keep, "--keep");
        self.switch("generation.cache_prompt", args.no_cache_prompt, false, "--no-cache-prompt");
        self.set("server.limits.request_timeout_ms", args.timeout.or(args.timeout_ms), "--request-timeout");
        macro_rules! set {
            ($($field:ident: $flag:literal,)*) => {
                $(self.set(concat!("sampling.", stringify!($field)), args.$field, $flag);)*
            };
        }
        set! {
            temperature: "--temperature", top_p: "--top-p", min_p: "--min-p", min_keep: "--min-keep",
            repeat_penalty: "--repeat-penalty", repeat_last_n: "--repeat-last-n",
            frequency_penalty: "--frequency-penalty", presence_penalty: "--presence-penalty",
            typical_p: "--typical-p", top_n_sigma: "--top-n-sigma", xtc_probability: "--xtc-probability",
            xtc_threshold: "--xtc-threshold", dynatemp_range: "--dynatemp-range",
            dynatemp_exponent: "--dynatemp-exponent", dry_multiplier: "--dry-multiplier", dry_base: "--dry-base",
            dry_allowed_length: "--dry-allowed-length", dry_penalty_last_n: "--dry-penalty-last-n",
            mirostat_tau: "--mirostat-tau", mirostat_eta: "--mirostat-eta", adaptive_target: "--adaptive-target",
            adaptive_decay: "--adaptive-decay",
        }
        self.set("sampling.mirostat", args.mirostat, "--mirostat");
        self.set("sampling.top_k", args.top_k.map(|limit| limit.max(0)), "--top-k");
        // -1 unsets it.
        self.set("sampling.seed", args.seed.map(|seed| u32::try_from(seed).ok()), "--seed");
        self.switch("sampling.ignore_eos", args.ignore_eos, true, "--ignore-eos");
        self.list("sampling.logit_bias", &args.logit_bias, "--logit-bias");
        self.list("sampling.samplers", &args.samplers, "--samplers");
        self.list("sampling.dry_sequence_breakers", &args.dry_sequence_breakers, "--dry-sequence-breakers");
    }

    fn log(&mut self, ui: &Ui) {
        let (level, libraries, llama) = match ui.verbose {
            _ if ui.quiet => ("error", "error", "off"),
            0 => return,
            // What llama.cpp calls information is told at `debug`.
            1 => ("debug", "info", "debug"),
            2 => ("trace", "debug", "debug"),
            _ => ("trace", "trace", "trace"),
        };
        let flag = if ui.quiet { "--quiet" } else { "--verbose" };
        self.set("logging.level", Some(level), flag);
        self.set("logging.libraries", Some(libraries), flag);
        self.set("logging.llama", Some(llama), flag);
    }
}

fn utf8(path: &Path) -> Result<&str> {
    let problem = || format!("the path `{}` is not valid UTF-8", path.display());
    path.to_str().ok_or_else(|| Error::usage(problem(), "mullama takes UTF-8 only"))
}

pub(super) const CTX_SIZE: &str = "--ctx-size";
