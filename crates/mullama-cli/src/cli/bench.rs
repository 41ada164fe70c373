//! Flags of `mullama bench`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, Args, ValueEnum, ValueHint};
use mullama_core::{FlashAttention, KvLayout, Priority, ThreadPolicy};

use super::model::{LoadArgs, SizeArgs};
use super::number::{count, whole};
use super::one_of;

#[derive(Debug, Args)]
#[command(after_long_help = BENCH_HELP)]
pub(crate) struct Bench {
    /// A .gguf file; without it one with random weights, which is made once: real speed, meaningless text
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) model: Option<PathBuf>,
    /// What to measure; may be repeated [default: all that apply]
    #[arg(long, value_name = "NAME", value_enum)]
    pub(crate) sweep: Vec<SweepName>,
    /// Measure a server at this address in turn with the engine: any with OpenAI's POST /v1/completions
    #[arg(long, value_name = "URL")]
    pub(crate) against: Option<String>,
    /// What the report calls the server [default: what it says of itself]
    #[arg(long, value_name = "NAME", requires = "against")]
    pub(crate) against_name: Option<String>,
    /// Restarts the server before each of its runs of the prefix sweeps; without it their prompts differ in every run
    #[arg(long, value_name = "COMMAND", requires = "against")]
    pub(crate) restart_cmd: Option<String>,
    /// Pairs of runs that are counted; one more before them is not [default: 5]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=1_000), allow_hyphen_values = true)]
    pub(crate) pairs: Option<u32>,
    /// Numbers of streams of the sweep `concurrency` [default: 1,2,4,8,16]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = whole::<u32>(1..=64), allow_hyphen_values = true)]
    pub(crate) streams: Vec<u32>,
    /// Words of a prompt [default: 64]
    #[arg(long, value_name = "WORDS", value_parser = whole::<u32>(1..=1 << 20), allow_hyphen_values = true)]
    pub(crate) prompt: Option<u32>,
    /// Tokens of an answer [default: 64]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(2..=1 << 20), allow_hyphen_values = true)]
    pub(crate) tokens: Option<u32>,
    /// How long the slow reader stops [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_hyphen_values = true)]
    pub(crate) stall: Option<Duration>,
    /// What the prompts are drawn from [default: drawn; the report names it]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0..=i64::MAX), allow_hyphen_values = true)]
    pub(crate) seed: Option<u64>,
    /// Tiny sizes, which show that it works and measure nothing; without a MODEL the embedded one
    #[arg(long)]
    pub(crate) quick: bool,
    /// Where the model with random weights is kept [default: the user's cache folder]
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, conflicts_with = "model")]
    pub(crate) model_out: Option<PathBuf>,
    /// Write the model with random weights to this file, and end; with --quick a tiny one
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath, conflicts_with_all = ["model", "model_out", "sweep", "against"])]
    pub(crate) make_model: Option<PathBuf>,
    /// Write the report as JSON too, every run in it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) json: Option<PathBuf>,
    /// Draw each sweep into an SVG file in this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) svg: Option<PathBuf>,
    /// A line for the report: the commit, the machine
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    #[command(flatten)]
    pub(crate) engine: EngineArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// Keep one core busy for so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = seconds, hide = true)]
    pub(crate) burn: Option<Duration>,
}

/// How the engine is made.
#[derive(Debug, Args)]
#[command(next_help_heading = "Engine", mut_args(adapt))]
pub(crate) struct EngineArgs {
    #[command(flatten)]
    pub(crate) size: SizeArgs,
    /// Requests that are computed together [default: as many as the sweeps ask for, 16]
    #[arg(long, value_name = "N", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) sequences: Option<u32>,
    /// Memory for keys and values: each request has its own, or all share one [default: per_sequence]
    #[arg(long, value_name = "HOW", value_parser = one_of::<KvLayout>(&["per_sequence", "unified"]))]
    pub(crate) kv_layout: Option<KvLayout>,
    /// Compute attention in one piece, which takes less memory [default: as the engine finds best]
    #[arg(long, value_name = "WHEN", value_parser = one_of::<FlashAttention>(&["auto", "on", "off"]))]
    pub(crate) flash_attn: Option<FlashAttention>,
    /// How many threads compute: fewer while other programs need the cores, or always all [default: adaptive]
    #[arg(long, value_name = "HOW", value_parser = one_of::<ThreadPolicy>(&["adaptive", "fixed"]))]
    pub(crate) thread_policy: Option<ThreadPolicy>,
    /// Requests that somebody waits for, or that are only to be done: those of `batch` bear long steps, which cost less
    /// [default: interactive]
    #[arg(long, value_name = "WHICH", value_parser = one_of::<Priority>(&["interactive", "batch"]))]
    pub(crate) priority: Option<Priority>,
}

fn adapt(arg: Arg) -> Arg {
    match arg.get_id().as_str() {
        "ctx_size" => arg
            .help("Tokens that prompt and answer of one request may have together [default: as trained, at most 2560]"),
        _ => arg,
    }
}

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SweepName {
    /// More and more streams at once
    Concurrency,
    /// Prompts that begin with the same words
    SharedPrefix,
    /// Prompts as long, with nothing in common
    Unshared,
    /// Short requests and running streams while long prompts are computed
    Mixed,
    /// Streams beside one whose reader stops
    SlowReader,
    /// One stream beside a busy program
    Contended,
    /// Both layouts of the memory for keys and values
    Layout,
    /// Guessing tokens ahead
    Speculation,
}

/// "0.5" seconds and the like.
fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.parse::<f64>().ok().filter(|number| (0.05..=600.0).contains(number));
    number.map(Duration::from_secs_f64).ok_or_else(|| "must be 0.05 to 600 seconds".to_owned())
}

const BENCH_HELP: &str = "\
Each sweep runs in pairs: the engine, then the other side (the server, or the other setting), and again. The first pair \
warms up and is not counted. What is told are medians over the pairs, and the median of the ratios within the pairs.

With --against the sweeps are concurrency, shared-prefix, unshared and mixed; the others are about the engine alone and \
run where they are named. The server must have loaded the same model, and have as many sequences of the same length.

Times are those of a client: from sending the request to the first text, and from text to text. The server is reached by \
plain HTTP on a connection of its own for each request; the engine is called in this process, one thread for each stream.

Figures of a machine with other load are not figures.";
