//! What can go wrong in the program, how it is said, and what may help.

use std::fmt;
use std::io;

use mullama_core::ErrorKind;
use mullama_core::gguf::GgufError;
use rustyline::error::ReadlineError;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the program.
#[derive(Debug)]
pub(crate) enum Error {
    /// Of the inference crate.
    Core(mullama_core::Error),
    /// The arguments or the input cannot be used.
    Usage { problem: String, hint: &'static str },
    /// Text that should be JSON is not.
    Json { what: String, source: serde_json::Error },
    /// Standard input cannot be read.
    Stdin(io::Error),
    /// Standard output cannot be written.
    Stdout(io::Error),
    /// The line editor failed.
    Editor(ReadlineError),
}

impl Error {
    /// Arguments or input that cannot be used; `hint` may be empty.
    pub(crate) fn usage(problem: impl Into<String>, hint: &'static str) -> Self {
        Self::Usage { problem: problem.into(), hint }
    }

    /// The class of the error: the exit code follows from it.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
            Self::Usage { .. } | Self::Json { .. } => ErrorKind::InvalidInput,
            Self::Stdin(_) | Self::Stdout(_) | Self::Editor(_) => ErrorKind::Io,
        }
    }

    /// Has the reader of the output gone (`| head -1`)? That is no failure.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stdout(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The message with its causes, in one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        // What comes from a file or from llama.cpp may hold anything.
        let words = text.split(|c: char| c.is_control()).map(str::trim).filter(|part| !part.is_empty());
        words.collect::<Vec<_>>().join(" ")
    }

    /// What the user can do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Core(error) => core_hint(error),
            Self::Usage { hint, .. } => Some(*hint).filter(|hint| !hint.is_empty()),
            Self::Json { .. } | Self::Stdin(_) | Self::Stdout(_) | Self::Editor(_) => None,
        }
    }
}

fn core_hint(error: &mullama_core::Error) -> Option<&'static str> {
    use mullama_core::Error as Core;
    Some(match error {
        Core::File { source, action: "open", .. } if source.kind() == io::ErrorKind::NotFound => {
            "check the path; a MODEL is a .gguf file"
        }
        Core::File { source, .. } if source.kind() == io::ErrorKind::IsADirectory => "give a file, not a folder",
        Core::InvalidModel { source: GgufError::NotGguf { .. }, .. } => {
            "mullama reads GGUF files; llama.cpp's convert_hf_to_gguf.py makes them"
        }
        Core::LoadModel { reason, .. } if reason.contains("device") => "`mullama devices` lists the devices",
        Core::InvalidParameter { name: "devices", .. } => "`mullama devices` lists the devices",
        Core::LoadModel { .. } => "-v shows llama.cpp's log",
        Core::PromptTooLong { .. } => "--ctx-size makes the context larger",
        Core::NoChatTemplate => "`mullama run --raw` sends a text as it is",
        Core::InvalidParameter { name: "max_tokens", .. } => "leave --max-tokens out for no limit",
        Core::InvalidParameter { name: "allow_requantize", .. } => "--allow-requantize does so all the same",
        Core::Unsupported { what: "ranking with this model", .. } => "`mullama embed` makes vectors with other models",
        Core::Unsupported { what: "generation with this model", .. } => "`mullama embed` makes vectors with it",
        _ => return None,
    })
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Core(error) => error.fmt(f),
            Self::Usage { problem, .. } => f.write_str(problem),
            Self::Json { what, .. } => write!(f, "{what} is not the JSON that is expected"),
            Self::Stdin(_) => f.write_str("cannot read standard input"),
            Self::Stdout(_) => f.write_str("cannot write to standard output"),
            Self::Editor(_) => f.write_str("cannot read a line from the terminal"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Core(error) => error.source(),
            Self::Usage { .. } => None,
            Self::Json { source, .. } => Some(source),
            Self::Stdin(source) | Self::Stdout(source) => Some(source),
            Self::Editor(source) => Some(source),
        }
    }
}

impl From<mullama_core::Error> for Error {
    fn from(error: mullama_core::Error) -> Self {
        Self::Core(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_each_cause_once_in_one_line() {
        let source = serde_json::from_str::<bool>("{").unwrap_err();
        let text = Error::Json { what: "`a\nb\u{1b}[31m`".to_owned(), source }.chain();
        assert!(text.starts_with("`a b [31m` is not the JSON that is expected: "), "{text}");
        assert!(!text.contains('\n'));
        let error = io::Error::from(io::ErrorKind::NotFound);
        let core = mullama_core::Error::File { action: "open", path: "x.gguf".into(), source: error };
        assert_eq!(Error::from(core).chain(), "cannot open `x.gguf`: entity not found");
    }
}
