//! Flags of `mullama serve`, with the names of llama.cpp's server where it has them.

pub(crate) mod spelling;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, Args, ValueHint};
use mullama::config::LogFormat;
use mullama_core::KvLayout;

use super::number::{count, whole};
use super::{GenerateArgs, one_of};
use values::{bytes, time, time_or_none};

#[derive(Debug, Args)]
#[command(override_usage = "mullama serve [OPTIONS] [MODEL]...", after_long_help = SERVE_HELP, mut_args(adapt))]
pub(crate) struct Serve {
    /// .gguf files, each served under its name without `.gguf`; without one the embedded model, as mullama-tiny
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    pub(crate) models: Vec<PathBuf>,
    /// Another way to give a MODEL; may be repeated
    #[arg(short, long = "model", value_name = "MODEL", value_hint = ValueHint::FilePath)]
    pub(crate) model_flags: Vec<PathBuf>,
    /// Names of the first model, with commas between; the first one is what the server calls it
    #[arg(short, long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) alias: Vec<String>,
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) access: AccessArgs,
    #[command(flatten)]
    pub(crate) engine: ServedArgs,
    #[command(flatten)]
    pub(crate) with: GenerateArgs,
}

/// Where the server listens, and how it ends.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct NetworkArgs {
    /// The address to listen on, or a name of this machine [default: 127.0.0.1]
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// The port to listen on; 0 takes a free one [default: 8080]
    #[arg(long, value_name = "PORT", value_parser = whole::<u16>(0..=65_535), allow_hyphen_values = true)]
    pub(crate) port: Option<u16>,
    /// The certificate for HTTPS, with those that it needs, as PEM; read again when it changes
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "ssl_key_file")]
    pub(crate) ssl_cert_file: Option<PathBuf>,
    /// The private key of the certificate, as PEM
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "ssl_cert_file")]
    pub(crate) ssl_key_file: Option<PathBuf>,
    /// Threads for HTTP; the models have their own [default: 2]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=256), allow_hyphen_values = true)]
    pub(crate) threads_http: Option<u32>,
    /// A connection ends when its client sends nothing of a request, or takes nothing of an answer, for this long [default: 30]
    #[arg(long = "timeout", value_name = "SECONDS", value_parser = time, allow_hyphen_values = true)]
    pub(crate) silence: Option<Duration>,
    /// When told to end: time in which it is not ready, but still takes requests, so that load balancers notice
    /// [default: 5]
    #[arg(long, value_name = "SECONDS", value_parser = time_or_none, allow_hyphen_values = true)]
    pub(crate) shutdown_grace: Option<Duration>,
    /// After that: time for the requests that run; then they are cut [default: 45]
    #[arg(long, value_name = "SECONDS", value_parser = time_or_none, allow_hyphen_values = true)]
    pub(crate) shutdown_timeout: Option<Duration>,
    /// Serve no GET /metrics
    #[arg(long)]
    pub(crate) no_metrics: bool,
    /// Serve no GET /slots
    #[arg(long)]
    pub(crate) no_slots: bool,
    /// How the log on stderr is written: pretty, json, or auto: pretty on a terminal, else JSON [default: auto]
    #[arg(long, value_name = "HOW", value_parser = one_of::<LogFormat>(&["auto", "pretty", "json"]))]
    pub(crate) log_format: Option<LogFormat>,
}

/// Who may use the server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub(crate) struct AccessArgs {
    /// A key that requests must bring, or several with commas between; may be repeated. Other users of this machine can
    /// see it: the environment variable MULLAMA_API_KEY and --api-key-file are better
    #[arg(long, value_name = "KEY", value_delimiter = ',')]
    pub(crate) api_key: Vec<String>,
    /// A file of keys, one a line; read again when it changes, and on SIGHUP
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) api_key_file: Option<PathBuf>,
    /// Listen on addresses that others can reach, although no key is asked for
    #[arg(long)]
    pub(crate) allow_unauthenticated: bool,
    /// Names by which this server is called, beside localhost, where no key is asked for; `*`: any
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) allowed_hosts: Vec<String>,
    /// Origins whose pages may read answers, like https://example.org; `*`: any [default: none]
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',')]
    pub(crate) cors_origins: Vec<String>,
}

/// How models are served.
#[derive(Debug, Args)]
#[command(next_help_heading = "Engine")]
pub(crate) struct ServedArgs {
    /// Requests of one model that are computed together; --ctx-size is then divided among them [default: 4]
    #[arg(long, visible_alias = "sequences", value_name = "N", value_parser = whole::<u32>(1..=64), allow_hyphen_values = true)]
    pub(crate) parallel: Option<u32>,
    /// Memory for keys and values: each request has its own, or all share one [default: per_sequence]
    #[arg(long, value_name = "HOW", value_parser = one_of::<KvLayout>(&["per_sequence", "unified"]))]
    pub(crate) kv_layout: Option<KvLayout>,
    /// Requests of one model that wait at most; one more is answered 429 [default: 64]
    #[arg(long, value_name = "N", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) queue: Option<u32>,
    /// How long a running answer should wait for its next token while prompts of others are computed [default: 50]
    #[arg(long, value_name = "MS", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) inter_token_target: Option<u32>,
    /// Main memory for beginnings of prompts that had to leave the context, in MiB; 0 keeps none [default: 512]
    #[arg(long, value_name = "MIB", value_parser = whole::<u64>(0..=1 << 30), allow_hyphen_values = true)]
    pub(crate) cache_ram: Option<u64>,
    /// Load each model with its first request, not at the start
    #[arg(long)]
    pub(crate) no_warmup: bool,
    /// Unload a model that nobody has used for this long: 300, 90s, 5m, 2h [default: never]
    #[arg(long, value_name = "TIME", value_parser = time, allow_hyphen_values = true)]
    pub(crate) keep_alive: Option<Duration>,
    /// What all models together may take: 8G, 512M; the one that was idle longest makes room [default: no limit]
    #[arg(long, value_name = "BYTES", value_parser = bytes, allow_hyphen_values = true)]
    pub(crate) max_memory: Option<u64>,
    /// Load the adapters of --lora switched off; POST /lora-adapters switches them on
    #[arg(long, requires = "lora")]
    pub(crate) lora_init_without_apply: bool,
    /// Refuse to start unless a model makes vectors; they are always served
    #[arg(long, visible_alias = "embedding")]
    pub(crate) embeddings: bool,
    /// Refuse to start unless a model ranks; that is always served
    #[arg(long, visible_alias = "rerank")]
    pub(crate) reranking: bool,
    #[arg(long, hide = true)]
    pub(crate) no_cont_batching: bool,
    #[arg(long, hide = true, value_name = "N", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) cache_reuse: Option<u32>,
}

impl Serve {
    /// All MODELs, in their order: those without a flag first.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.models.iter().chain(&self.model_flags)
    }
}

/// Flags of other commands have more names here, and other words.
fn adapt(arg: Arg) -> Arg {
    match arg.get_id().as_str() {
        "config" => arg.help(
            "A file with the configuration (TOML, or JSON if its name ends so), read again when it changes; flags go over it",
        ),
        "ctx_size" => arg.short('c').help(
            "Tokens that prompt and answer of one request may have together; with --parallel N those of all N together \
             [default: as trained, at most 8192, for each]",
        ),
        "threads" => arg.short('t'),
        "batch_size" => arg.short('b'),
        "chat_template_file" => arg.help(
            "A chat template (Jinja) for the first model, instead of its own. It is a program: take it from people whom you \
             trust",
        ),
        "gpu_layers" => arg.visible_alias("n-gpu-layers"),
        "devices" => arg.visible_alias("device"),
        "kv_override" => arg.visible_alias("override-kv"),
        "seed" => arg.short('s').help("Seed of the random choices; -1 draws one for each request [default: -1]"),
        "max_tokens" => arg.short('n').visible_aliases(["predict", "n-predict"]),
        "temperature" => arg.visible_alias("temp"),
        "typical_p" => arg.visible_alias("typical"),
        "top_n_sigma" => arg.visible_alias("top-nsigma"),
        "dynatemp_exponent" => arg.visible_alias("dynatemp-exp"),
        "dry_sequence_breakers" => arg.visible_alias("dry-sequence-breaker"),
        "mirostat_tau" => arg.visible_alias("mirostat-ent"),
        "mirostat_eta" => arg.visible_alias("mirostat-lr"),
        "timeout" => arg
            .long("request-timeout")
            .help("A request without a time limit of its own ends after this time with what there is [default: never]"),
        "timeout_ms" => arg.long("request-timeout-ms").help("--request-timeout in milliseconds"),
        // A request says for itself how many it wants to see.
        "top_logprobs" => arg.hide(true),
        _ => arg,
    }
}

const SERVE_HELP: &str = "\
Serves the HTTP APIs of OpenAI, Anthropic, Ollama and llama.cpp's server; GET /openapi.json describes them. When the models \
are loaded, one line on stdout tells the address and a request to try. The log goes to stderr.

SIGTERM and Ctrl-C end it in order: it is not ready any more (GET /health is 503), goes on for --shutdown-grace, takes no \
more connections, and waits up to --shutdown-timeout for what runs; what is then not done is cut, and the exit code is \
143. A second one ends it at once, with 130. SIGHUP reads the configuration and the file of keys again; SIGUSR1 writes the \
state of all models to the log.

What no flag says comes from the environment (MULLAMA_SERVER__PORT=8081), the file of --config, the user's file \
(~/.config/mullama/config.toml) and the system's (/etc/mullama/config.toml), in this order; `mullama config` shows, checks \
and makes them. When a file changes, keys, origins, limits, the log's levels and the defaults of requests change with it; \
what needs a restart is told in the log. A configuration that cannot be used is told of line by line, and the exit code is \
78.

Flags about generation are what requests get that do not say otherwise. With the embedded model alone the temperature is 0 \
unless given.

llama.cpp's spellings are taken: -np, -tb, -ub, -ngl (also `all` and `auto`), -mg, -sm, -ts, -dev, -fa, -ctk, -ctv, -nkvo, \
-cram, -kvu, -no-kvu, -to, --lora-scaled FILE:SCALE, --sleep-idle-seconds, samplers with semicolons. What llama.cpp's server \
must be told and this one always does is accepted: --metrics, --slots, --cont-batching (-cb), --jinja, --mmap, --warmup, \
--cache-prompt, --kv-offload, --no-context-shift, --no-ui, --no-webui, --offline. --timeout is about \
silent clients, as there.

Not as there: without --parallel, --ctx-size is what each request may have. --ctx-size 0 is at most 8192. --embeddings does \
not switch off text.";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::spelling::spelled_out;
    use super::*;
    use crate::cli::{Cli, Command};

    fn read(arguments: &[&str]) -> Result<Serve, clap::Error> {
        let arguments = ["mullama", "serve"].iter().chain(arguments).map(Into::into).collect();
        match Cli::try_parse_from(spelled_out(arguments))?.command {
            Command::Serve(serve) => Ok(*serve),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_command_line_of_llama_cpps_server_is_understood() {
        let line = "-m a.gguf -c 8192 -np 2 -ngl all -t 4 -tb 8 -ub 128 -fa on -ctk q8_0 -kvu --temp 0.5 -n -1 -to 600 \
                    --samplers top_k;temperature --lora x.gguf,y.gguf --lora-scaled z.gguf:0.5 --metrics --slots -cb \
                    --jinja --api-key k1,k2 -a one,two --host 0.0.0.0 --port 0 --no-webui --sleep-idle-seconds 60";
        let serve = read(&line.split_whitespace().collect::<Vec<_>>()).unwrap();
        assert_eq!(serve.paths().collect::<Vec<_>>(), [&PathBuf::from("a.gguf")]);
        let context = serve.with.context.params(&mullama_core::ContextParams::default());
        assert_eq!((context.length, context.threads, context.threads_batch, context.micro_batch), (8_192, 4, 8, 128));
        assert_eq!((serve.engine.parallel, serve.engine.kv_layout), (Some(2), Some(KvLayout::Unified)));
        let load = serve.with.load.params(mullama_core::ModelParams::default());
        let lora: Vec<_> = load.lora.iter().map(|one| (one.path.to_str().unwrap(), one.scale)).collect();
        assert_eq!((load.gpu_layers, lora), (-1, vec![("x.gguf", 1.0), ("y.gguf", 1.0), ("z.gguf", 0.5)]));
        let generation = serve.with.sampling.params(mullama_core::GenerationParams::default()).unwrap();
        assert_eq!((generation.max_tokens, generation.sampling.temperature), (None, 0.5));
        assert_eq!((generation.timeout_ms, generation.sampling.samplers.len()), (None, 2));
        assert_eq!(serve.network.silence, Some(Duration::from_secs(600)));
        assert_eq!((serve.network.host.as_deref(), serve.network.port), (Some("0.0.0.0"), Some(0)));
        assert_eq!(
            (serve.access.api_key, serve.alias),
            (vec!["k1".into(), "k2".into()], vec!["one".into(), "two".into()])
        );
        assert_eq!(serve.engine.keep_alive, Some(Duration::from_secs(60)));
    }

    #[test]
    fn a_limit_for_requests_is_not_one_for_clients() {
        let serve = read(&["--request-timeout", "1.5", "--timeout", "3"]).unwrap();
        assert_eq!(
            serve.with.sampling.params(mullama_core::GenerationParams::default()).unwrap().timeout_ms,
            Some(1_500)
        );
        assert_eq!(serve.network.silence, Some(Duration::from_secs(3)));
    }

    #[test]
    fn numbers_outside_their_ranges_are_refused() {
        for wrong in [
            ["--port", "65536"],
            ["--port", "-1"],
            ["--parallel", "0"],
            ["--parallel", "65"],
            ["--threads-http", "0"],
            ["--threads-http", "257"],
            ["--keep-alive", "0"],
            ["--keep-alive", "x"],
            ["--max-memory", "0"],
            ["--max-memory", "99999999999G"],
            ["--log-format", "xml"],
            ["--timeout", "-1"],
        ] {
            assert!(read(&wrong).is_err(), "{wrong:?}");
        }
    }
}
