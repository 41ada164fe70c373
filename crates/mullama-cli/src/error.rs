//! What can go wrong in the program, how it is said, and what may help.

mod wording;

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::PathBuf;

use mullama::{AsyncError, ConfigError, ConvertError, WebError};
use mullama_core::ErrorKind;
use rustyline::error::ReadlineError;

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the program.
#[derive(Debug)]
pub(crate) enum Error {
    /// Of the inference crate.
    Core(mullama_core::Error),
    /// Of the async layer.
    Async(AsyncError),
    /// Of the server.
    Web(WebError),
    /// Of the configuration.
    Config(ConfigError),
    /// Of a conversion.
    Convert(ConvertError),
    /// Some files failed; what went wrong was told beside each. The class is that of the first.
    Files { failed: usize, of: usize, kind: ErrorKind },
    /// Ctrl-C ended the work before all files were done.
    Stopped { files: usize },
    /// The server's time to end was over before all answers were given.
    Cut,
    /// The arguments or the input cannot be used.
    Usage { problem: String, hint: Cow<'static, str> },
    /// What is given is no file, and was taken for the name of one.
    NoFile { path: PathBuf, hint: &'static str },
    /// Text that should be JSON is not.
    Json { what: String, source: serde_json::Error },
    /// Standard input cannot be read.
    Stdin(io::Error),
    /// Standard output cannot be written.
    Stdout(io::Error),
    /// The line editor failed.
    Editor(ReadlineError),
    /// A server cannot be reached, or its answer is no HTTP.
    Network { url: String, source: io::Error },
    /// A server refused a request.
    Refused { url: String, status: u16, body: String },
}

impl Error {
    /// Arguments or input that cannot be used; `hint` may be empty.
    pub(crate) fn usage(problem: impl Into<String>, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::Usage { problem: problem.into(), hint: hint.into() }
    }

    /// The class of the error: the exit code follows from it.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
            Self::Async(error) => error.kind(),
            Self::Web(error) => error.kind(),
            Self::Config(error) => error.kind(),
            Self::Convert(error) => error.kind(),
            Self::Files { kind, .. } => *kind,
            Self::Stopped { .. } => ErrorKind::Cancelled,
            Self::Cut => ErrorKind::Cancelled,
            Self::NoFile { .. } => ErrorKind::NotFound,
            Self::Usage { .. } | Self::Json { .. } => ErrorKind::InvalidInput,
            Self::Stdin(_) | Self::Stdout(_) | Self::Editor(_) | Self::Network { .. } => ErrorKind::Io,
            Self::Refused { .. } => ErrorKind::Unavailable,
        }
    }

    /// Has the reader of the output gone (`| head -1`)? That is no failure.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Stdout(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The message with its causes, in one line.
    pub(crate) fn chain(&self) -> String {
        chain(self)
    }

    /// What the user can do about it.
    pub(crate) fn hint(&self) -> Option<&str> {
        match self {
            Self::Core(error) => wording::hint(error),
            Self::Web(error) => wording::web_hint(error),
            Self::Usage { hint, .. } => Some(hint.as_ref()).filter(|hint| !hint.is_empty()),
            Self::NoFile { hint, .. } => Some(hint),
            Self::Network { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
                Some("is the server running?")
            }
            Self::Config(error) => error.problems().first().and_then(|problem| problem.hint.as_deref()),
            Self::Async(_) | Self::Convert(_) | Self::Files { .. } => None,
            Self::Stopped { .. } => Some("--resume goes on where it was"),
            Self::Cut => Some("--shutdown-timeout gives them more time"),
            Self::Json { .. } | Self::Stdin(_) | Self::Stdout(_) | Self::Editor(_) => None,
            Self::Network { .. } | Self::Refused { .. } => None,
        }
    }
}

/// The message of any error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Core(error) => f.write_str(&wording::text(error)),
            Self::Async(error) => error.fmt(f),
            Self::Web(error) => f.write_str(&wording::web_text(error)),
            Self::Config(error) => error.fmt(f),
            Self::Convert(error) => error.fmt(f),
            Self::Files { failed, of, .. } => write!(f, "{failed} of {of} files failed"),
            Self::Stopped { files } => write!(f, "stopped before {files} files were done"),
            Self::Cut => f.write_str("the time to end was over, and answers were cut"),
            Self::Usage { problem, .. } => f.write_str(problem),
            Self::NoFile { path, .. } => write!(f, "cannot read `{}`: there is no such file", path.display()),
            Self::Json { what, .. } => write!(f, "{what} is not the JSON that is expected"),
            Self::Stdin(_) => f.write_str("cannot read standard input"),
            Self::Stdout(_) => f.write_str("cannot write to standard output"),
            Self::Editor(_) => f.write_str("cannot read a line from the terminal"),
            Self::Network { url, .. } => write!(f, "no answer from {url}"),
            Self::Refused { url, status, body } => write!(f, "{url} answered with {status}: {body}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Core(error) => error.source(),
            Self::Async(error) => error.source(),
            Self::Web(error) => error.source(),
            Self::Config(error) => error.source(),
            Self::Convert(error) => error.source(),
            Self::Usage { .. } | Self::NoFile { .. } => None,
            Self::Json { source, .. } => Some(source),
            Self::Refused { .. } | Self::Cut | Self::Files { .. } | Self::Stopped { .. } => None,
            Self::Stdin(source) | Self::Stdout(source) | Self::Network { source, .. } => Some(source),
            Self::Editor(source) => Some(source),
        }
    }
}

impl From<mullama_core::Error> for Error {
    fn from(error: mullama_core::Error) -> Self {
        Self::Core(error)
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<AsyncError> for Error {
    fn from(error: AsyncError) -> Self {
        match error {
            AsyncError::Core(error) => Self::Core(error),
            error => Self::Async(error),
        }
    }
}

impl From<WebError> for Error {
    fn from(error: WebError) -> Self {
        match error {
            WebError::Core(error) => Self::Core(error),
            WebError::Async(error) => error.into(),
            error => Self::Web(error),
        }
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
