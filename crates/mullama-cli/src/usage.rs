//! The arguments, and what is wrong with them: one line and a hint.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use crate::cli::Cli;
use crate::cli::serve::spelling::spelled_out;
use crate::error::Error;
use crate::terminal::one_line;

/// Why there is nothing to run.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Help or version were asked for, or nothing was.
    Help(clap::Error),
    /// The arguments cannot be used.
    Wrong(Error),
}

/// Reads the arguments of the process.
pub(crate) fn parse() -> Result<Cli, Fault> {
    read(&spelled_out(std::env::args_os().collect()))
}

fn read(arguments: &[OsString]) -> Result<Cli, Fault> {
    let error = match Cli::try_parse_from(arguments) {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    if let Some(cli) = dashed_text(arguments).and_then(|arguments| Cli::try_parse_from(arguments).ok()) {
        return Ok(cli);
    }
    Err(match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::DisplayVersion => {
            Fault::Help(error)
        }
        _ => Fault::Wrong(explain(&error, arguments)),
    })
}

/// "-5 + 3" at the end is no flag: the arguments with `--` before it.
fn dashed_text(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let (last, before) = arguments.split_last()?;
    let text = last.to_str()?.strip_prefix('-')?;
    let flag = text.starts_with(|c: char| c.is_alphabetic() || c == '-');
    if flag || !text.contains(char::is_whitespace) || before.iter().any(|argument| argument == "--") {
        return None;
    }
    Some(before.iter().cloned().chain(["--".into(), last.clone()]).collect())
}

fn explain(error: &clap::Error, arguments: &[OsString]) -> Error {
    let context = |kind| error.get(kind).map(texts).unwrap_or_default();
    let command = command(arguments);
    let help = format!("`{command} --help` tells more");
    let names: Vec<_> = context(ContextKind::InvalidArg).iter().map(|text| name(text)).collect();
    let names = listed(&names, "and");
    let value = context(ContextKind::InvalidValue).pop().unwrap_or_default();
    let did_you_mean = |kind| match listed(&context(kind), "or") {
        like if like.is_empty() => help.clone(),
        like => format!("did you mean {like}?"),
    };
    match error.kind() {
        ErrorKind::UnknownArgument if is_flag(&names) => {
            let text = arguments.iter().filter_map(|argument| argument.to_str()).find(|text| is_dashed_text(text));
            match text {
                Some(text) => {
                    let hint = format!("put `--` before a text that begins with a dash: {command} -- \"TEXT\"");
                    Error::usage(format!("`{}` begins like a flag", one_line(text, 60)), hint)
                }
                None => Error::usage(format!("there is no flag {names}"), did_you_mean(ContextKind::SuggestedArg)),
            }
        }
        ErrorKind::UnknownArgument => {
            let hint = format!("a text with spaces needs quotes; {help}");
            Error::usage(format!("`{names}` is one argument too many"), hint)
        }
        ErrorKind::InvalidSubcommand => {
            let problem = format!("there is no command {}", listed(&context(ContextKind::InvalidSubcommand), "and"));
            let like = listed(&context(ContextKind::SuggestedSubcommand), "or");
            let like = if like.is_empty() { like } else { format!("did you mean {like}? ") };
            Error::usage(problem, format!("{like}{COMMANDS}"))
        }
        ErrorKind::MissingSubcommand => Error::usage("a command is missing", COMMANDS),
        ErrorKind::InvalidValue if value.is_empty() => {
            let hint = match names.strip_prefix("--") {
                Some(_) => format!("one that begins with a dash is given as {names}=VALUE"),
                None => help,
            };
            Error::usage(format!("{names} needs a value"), hint)
        }
        ErrorKind::InvalidValue => {
            let valid = listed(&context(ContextKind::ValidValue), "or");
            let problem = format!("{names} is {}, but must be {valid}", one_line(&value, 60));
            Error::usage(problem, did_you_mean(ContextKind::SuggestedValue))
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            let value = if value.is_empty() { "empty".to_owned() } else { one_line(&value, 60) };
            let joint = if why.starts_with("must be") { ", but" } else { ":" };
            Error::usage(format!("{names} is {value}{joint} {why}"), help)
        }
        ErrorKind::ArgumentConflict => {
            let others: Vec<_> = context(ContextKind::PriorArg).iter().map(|text| name(text)).collect();
            match listed(&others, "and") {
                others if others == names || others.is_empty() => Error::usage(format!("{names} is given twice"), help),
                others => Error::usage(format!("{names} cannot be used with {others}"), help),
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let usage = context(ContextKind::Usage).pop().unwrap_or_default();
            let usage = usage.lines().next().and_then(|line| line.strip_prefix("Usage: ")).map(str::to_owned);
            let verb = if names.contains(" and ") { "are" } else { "is" };
            Error::usage(format!("{names} {verb} missing"), usage.unwrap_or(help))
        }
        ErrorKind::TooManyValues => Error::usage(format!("{names} takes no value"), help),
        ErrorKind::InvalidUtf8 => Error::usage("an argument is not valid UTF-8", "mullama takes UTF-8 only"),
        // The definitions have no others.
        _ => Error::usage(error.to_string().lines().next().unwrap_or_default().replacen("error: ", "", 1), help),
    }
}

const COMMANDS: &str = "`mullama --help` lists the commands";

/// The command that the arguments name, with the program before it.
fn command(arguments: &[OsString]) -> String {
    let cli = Cli::command();
    let names = |argument: &OsString| cli.get_subcommands().any(|command| *argument == *OsStr::new(command.get_name()));
    match arguments.iter().skip(1).find(|argument| names(argument)) {
        Some(name) => format!("mullama {}", name.to_string_lossy()),
        None => "mullama".to_owned(),
    }
}

/// Did its writer mean it as a text?
fn is_dashed_text(argument: &str) -> bool {
    let first = argument.split(char::is_whitespace).next().unwrap_or_default();
    is_flag(argument) && first != argument && !first.contains('=')
}

fn is_flag(name: &str) -> bool {
    name.starts_with('-')
}

fn texts(value: &ContextValue) -> Vec<String> {
    match value {
        ContextValue::String(text) => vec![text.clone()],
        ContextValue::Strings(texts) => texts.clone(),
        ContextValue::StyledStr(text) => vec![text.to_string()],
        _ => Vec::new(),
    }
}

/// "--top-k <N>" is --top-k, "<MODEL>" is MODEL.
fn name(argument: &str) -> String {
    let whole = if argument.starts_with("--") { argument.split(' ').next().unwrap_or(argument) } else { argument };
    let bare = whole.trim_end_matches("...").trim_matches(['<', '>', '[', ']']);
    one_line(bare, 60)
}

/// "a, b and c".
fn listed(names: &[String], last: &str) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [more @ .., one] => format!("{} {last} {one}", more.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(arguments: &[&str]) -> (String, String) {
        let arguments: Vec<_> = ["mullama"].iter().chain(arguments).map(OsString::from).collect();
        match read(&arguments) {
            Err(Fault::Wrong(error)) => (error.to_string(), error.hint().unwrap().to_owned()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_fault_has_one_line_and_a_hint() {
        let run = "`mullama run --help` tells more";
        let cases: &[(&[&str], &str, &str)] = &[
            (&["run", "--top-q", "1", "hi"], "there is no flag --top-q", "did you mean --top-p?"),
            (&["run", "--zzzzzzzz"], "there is no flag --zzzzzzzz", run),
            (&["run", "--top-k", "x", "hi"], "--top-k is x, but must be a whole number, -1..=2147483647", run),
            (&["run", "--json=1", "hi"], "--json takes no value", run),
            (&["run", "--raw", "--system", "x", "hi"], "--raw cannot be used with --system", run),
            (&["run", "--lora", "=2", "hi"], "--lora is =2: there is no path", run),
            (
                &["quantise"],
                "there is no command quantise",
                "did you mean quantize? `mullama --help` lists the commands",
            ),
            (&["--quiet"], "a command is missing", "`mullama --help` lists the commands"),
            (
                &["run", "--flash-attn", "of", "hi"],
                "--flash-attn is of, but must be auto, on or off",
                "did you mean off?",
            ),
        ];
        for (arguments, problem, hint) in cases {
            assert_eq!(wrong(arguments), ((*problem).to_owned(), (*hint).to_owned()), "{arguments:?}");
        }
        let (problem, hint) = wrong(&["quantize", "a.gguf"]);
        assert_eq!(problem, "OUTPUT and TYPE are missing");
        assert!(hint.starts_with("mullama quantize ") && hint.contains("<OUTPUT>"), "{hint}");
        assert!(wrong(&["run", "a", "b", "c"]).1.contains("quotes"));
        assert!(wrong(&["run", "--system"]).0.contains("--system needs a value"));
        assert!(wrong(&["run", "-x and so on"]).1.contains("put `--` before"));
        assert!(wrong(&["run", "--seed", "1", "--seed", "2", "hi"]).0.contains("--seed is given twice"));
    }

    #[test]
    fn a_last_text_with_a_dash_is_no_flag() {
        let read = |last: &str| dashed_text(&["mullama".into(), "run".into(), last.into()]).is_some();
        assert!(read("-5 + 3") && read("- a list"));
        assert!(!read("-v hello") && !read("--top-k 5") && !read("-5"));
    }
}
