//! The command line: commands and their flags.

pub(crate) mod bench;
pub(crate) mod config;
pub(crate) mod convert;
pub(crate) mod model;
mod number;
pub(crate) mod sampling;
pub(crate) mod serve;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, Args, Parser, Subcommand, ValueHint};
use mullama_core::{FileType, Pooling, ReasoningFormat, ToolChoice};
use serde::de::DeserializeOwned;

use model::{ContextArgs, LoadArgs, SizeArgs};
use number::{count, whole};
use sampling::SamplingArgs;

/// Text from local models: generate, chat, serve, tokenize, embed, rank, inspect, quantize, measure; sound and pictures into
/// other formats.
#[derive(Debug, Parser)]
#[command(name = "mullama", bin_name = "mullama", version, after_help = AFTER_HELP, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct GlobalArgs {
    /// Log to stderr, llama.cpp's lines too; -vv for more, -vvv for all
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing on stderr but errors
    #[arg(long, global = true)]
    pub(crate) quiet: bool,
    /// No colours; so does the environment variable NO_COLOR
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer one prompt; the text appears as it is generated
    Run(Box<Run>),
    /// Talk with a model
    Chat(Box<Chat>),
    /// Answer over HTTP, as the servers of OpenAI, Anthropic, Ollama and llama.cpp do
    Serve(Box<serve::Serve>),
    /// Show, check or make the configuration
    Config(config::Config),
    /// Text to tokens, or with --decode back
    Tokenize(Tokenize),
    /// Texts to vectors
    Embed(Embed),
    /// Sort texts by how well they answer a query
    Rerank(Rerank),
    /// What a GGUF file holds; nothing is loaded
    Info(Info),
    /// Write a model in a smaller number format
    Quantize(Quantize),
    /// Sound and pictures into other formats
    Convert(Box<convert::Convert>),
    /// What files of sound and pictures hold
    Probe(convert::Probe),
    /// Measure the engine, alone or against a server
    Bench(Box<bench::Bench>),
    /// The devices that models can run on
    Devices(Devices),
    /// Print the completions for a shell
    Completions(Completions),
    /// Print the manual page
    Man(Man),
}

#[derive(Debug, Args)]
#[command(override_usage = "mullama run [OPTIONS] [MODEL] PROMPT\n       mullama run [OPTIONS] MODEL.gguf < PROMPT", after_long_help = RUN_HELP)]
pub(crate) struct Run {
    /// A .gguf file; with one argument that names no .gguf file: the prompt, for the configured or embedded model
    #[arg(value_hint = ValueHint::FilePath, allow_negative_numbers = true)]
    pub(crate) model: Option<OsString>,
    /// The prompt; `-` reads standard input
    #[arg(allow_negative_numbers = true)]
    pub(crate) prompt: Option<OsString>,
    /// Send the prompt as it is, without the model's chat template
    #[arg(long, conflicts_with_all = ["system", "tools", "no_thinking", "reasoning_format", "reasoning_budget"])]
    pub(crate) raw: bool,
    /// Tools that the model may call: OpenAI's array, as a file or as JSON
    #[arg(long, value_name = "FILE|JSON", conflicts_with_all = ["grammar", "json_schema", "json_object"])]
    pub(crate) tools: Option<String>,
    /// Whether the model calls tools
    #[arg(long, requires = "tools", value_name = "WHEN", value_parser = one_of::<ToolChoice>(&["auto", "required", "none"]))]
    pub(crate) tool_choice: Option<ToolChoice>,
    /// Let the model call several tools at once
    #[arg(long, requires = "tools")]
    pub(crate) parallel_tool_calls: bool,
    /// The answer is JSON by this schema
    #[arg(long, value_name = "FILE|JSON", group = "form")]
    pub(crate) json_schema: Option<String>,
    /// The answer is a JSON object
    #[arg(long, group = "form")]
    pub(crate) json_object: bool,
    /// The answer follows this GBNF grammar
    #[arg(long, value_name = "FILE|GBNF", group = "form")]
    pub(crate) grammar: Option<String>,
    /// Print one JSON object at the end instead of the text
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the time it took on stderr
    #[arg(long, alias = "verbose-timings")]
    pub(crate) timings: bool,
    #[command(flatten)]
    pub(crate) chat: ChatArgs,
    #[command(flatten)]
    pub(crate) with: GenerateArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// A .gguf file; without it the configured or embedded model
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) model: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) chat: ChatArgs,
    #[command(flatten)]
    pub(crate) with: GenerateArgs,
}

/// What every command takes that generates text.
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// A chat template (Jinja) instead of the model's own. It is a program: take it from people whom you trust
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Model")]
    pub(crate) chat_template_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

/// Where the configuration is.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// A configuration over those of system and user, TOML or JSON; flags go over it (`mullama config init` makes one)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

/// What is told to the chat template.
#[derive(Debug, Args)]
#[command(next_help_heading = "Conversation")]
pub(crate) struct ChatArgs {
    /// Instructions for the model
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Ask models that can to answer without thinking first
    #[arg(long)]
    pub(crate) no_thinking: bool,
    /// What becomes of the model's thoughts; `none` leaves them in the text
    #[arg(long, value_name = "FORMAT", value_parser = one_of::<ReasoningFormat>(&["none", "auto", "deepseek"]))]
    pub(crate) reasoning_format: Option<ReasoningFormat>,
    /// Tokens of thought after which the model must answer
    #[arg(long, value_name = "TOKENS", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) reasoning_budget: Option<u32>,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "mullama tokenize [OPTIONS] [MODEL] TEXT\n       mullama tokenize [OPTIONS] MODEL.gguf < TEXT"
)]
pub(crate) struct Tokenize {
    /// A .gguf file; with one argument that names no .gguf file: the text, for the configured or embedded model
    #[arg(value_hint = ValueHint::FilePath, allow_negative_numbers = true)]
    pub(crate) model: Option<OsString>,
    /// The text, or with --decode the ids; `-` reads standard input
    #[arg(allow_negative_numbers = true)]
    pub(crate) text: Option<OsString>,
    /// Print the ids only, in one line
    #[arg(long, conflicts_with_all = ["json", "decode"])]
    pub(crate) ids: bool,
    /// Print one JSON object; pieces of characters are arrays of bytes in it
    #[arg(long)]
    pub(crate) json: bool,
    /// Add no tokens around the text (BOS, EOS)
    #[arg(long, conflicts_with = "decode")]
    pub(crate) no_special: bool,
    /// Read the names of special tokens as those tokens; with --decode: write them
    #[arg(long)]
    pub(crate) parse_special: bool,
    /// The other way: ids to text
    #[arg(long)]
    pub(crate) decode: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

#[derive(Debug, Args)]
#[command(mut_args(adapt_embed))]
pub(crate) struct Embed {
    /// A .gguf file
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) model: PathBuf,
    /// The texts; none or `-`: the lines of standard input
    #[arg(allow_negative_numbers = true)]
    pub(crate) text: Vec<String>,
    /// How the vectors of a text's tokens become one; without it as the model says
    #[arg(long, value_parser = one_of::<Pooling>(&["none", "mean", "cls", "last"]))]
    pub(crate) pooling: Option<Pooling>,
    /// Leave the vectors as long as they are
    #[arg(long)]
    pub(crate) no_normalize: bool,
    /// Print one JSON object instead of an array for each text
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    pub(crate) size: SizeArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

/// All tokens of a text are computed like a prompt.
fn adapt_embed(arg: Arg) -> Arg {
    match arg.get_id().as_str() {
        "ctx_size" => arg.help("Tokens that one text may have [default: as trained, at most 8192]"),
        "threads" => arg.help("CPU threads [default: one for models under 32 MiB, else as many as cores]"),
        _ => arg,
    }
}

#[derive(Debug, Args)]
pub(crate) struct Rerank {
    /// A .gguf file of a model made for ranking
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) model: PathBuf,
    /// The query
    #[arg(allow_negative_numbers = true)]
    pub(crate) query: String,
    /// The texts; none or `-`: the lines of standard input
    #[arg(allow_negative_numbers = true)]
    pub(crate) document: Vec<String>,
    /// Print the best only
    #[arg(long, value_name = "N", value_parser = whole::<usize>(0..=i64::from(u32::MAX)), allow_hyphen_values = true)]
    pub(crate) top_n: Option<usize>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) context: ContextArgs,
}

#[derive(Debug, Args)]
pub(crate) struct Info {
    /// A .gguf file; without it the embedded model
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) model: Option<PathBuf>,
    /// List the tensors too
    #[arg(long)]
    pub(crate) tensors: bool,
    /// Say whether llama.cpp can load it without harm; exit code 2 if not
    #[arg(long)]
    pub(crate) check: bool,
    /// Print all of it as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Quantize {
    /// The .gguf file to read
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) input: PathBuf,
    /// The .gguf file to write; one that is there is replaced
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,
    /// The number format; the list goes from large files to small ones
    #[arg(value_name = "TYPE", ignore_case = true, value_parser = file_type())]
    pub(crate) file_type: FileType,
    /// Take a model that is quantized already, although that loses more
    #[arg(long)]
    pub(crate) allow_requantize: bool,
    /// CPU threads [default: as many as cores]
    #[arg(long, value_name = "N", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) threads: Option<u32>,
    /// Leave the output tensor as it is
    #[arg(long)]
    pub(crate) leave_output_tensor: bool,
    /// Give every tensor the same format
    #[arg(long)]
    pub(crate) pure: bool,
    /// Write as many files as the input has
    #[arg(long)]
    pub(crate) keep_split: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "For this session of bash: source <(mullama completions bash)")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "To read it: mullama man | man -l -")]
pub(crate) struct Man {
    /// Write the pages of all commands into this folder instead
    #[arg(long, value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}

/// A value under one of the names that its type has in JSON.
fn one_of<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    names: &'static [&'static str],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(names)
        .try_map(|name: String| serde_json::from_value::<T>(serde_json::Value::String(name.to_lowercase())))
}

fn file_type() -> impl TypedValueParser<Value = FileType> {
    PossibleValuesParser::new(FileType::ALL.iter().map(|kind| kind.name())).try_map(|name| name.parse::<FileType>())
}

const AFTER_HELP: &str = "\
MODEL is the path of a GGUF file. Without one, `run`, `chat`, `serve` and `tokenize` take that of the configuration \
(`mullama config`), or the embedded demonstration model, as `info` does.

Exit codes: 0 success; 2 wrong usage or input, or not supported; 3 a file or an address is missing or cannot be used; \
4 beyond a limit; 5 out of time; 70 llama.cpp failed, or a bug; 130 cancelled; 143 a server had to cut answers at its \
end; 78 the configuration cannot be used; 1 anything else.";

const RUN_HELP: &str = "\
The model's chat template is used where it has one; otherwise the prompt is sent as it is. Thoughts of the model go to \
stderr if that is a terminal. Calls of tools are printed at the end, each as one line of JSON.

With the embedded demonstration model the temperature is 0 unless given: it is tiny, and its likeliest words are its \
best.

--json prints {\"model\", \"text\", \"message\", \"tokens\", \"finish_reason\", \"stop\", \"seed\", \"usage\", \"timings\", \
\"logprobs\"}: `text` is what was generated, unparsed; `message` is OpenAI's assistant message, with a chat template \
only.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        super::Cli::command().debug_assert();
    }
}
