//! What can be wrong with a configuration: all of it, each with its place.

use std::fmt;
use std::path::PathBuf;

use mullama_core::ErrorKind;

use crate::origin::Origin;

/// The result of a fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot be used; all that is wrong with it is in the list.
    #[error("{0}")]
    Invalid(Problems),
    /// The system gave no thread to watch the files.
    #[error("cannot start a thread")]
    Thread {
        /// Why.
        source: std::io::Error,
    },
    /// A file that the configuration names can no longer be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why the system refused.
        source: std::io::Error,
    },
}

impl Error {
    /// The class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid(_) => ErrorKind::InvalidInput,
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::File { .. } => ErrorKind::Io,
            Self::Thread { .. } => ErrorKind::Unavailable,
        }
    }

    /// What is wrong, one by one; empty where it is not the configuration.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid(problems) => &problems.0,
            Self::Thread { .. } | Self::File { .. } => &[],
        }
    }
}

/// All that is wrong with a configuration, in the order of its fields. `Display` gives a line for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    /// One by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl From<Vec<Problem>> for Problems {
    fn from(problems: Vec<Problem>) -> Self {
        Self(problems)
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if at == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The field: `server.port`, `models[1].path`; empty for a whole file.
    pub path: String,
    /// Where its value comes from.
    pub origin: Origin,
    /// What is wrong.
    pub fault: Fault,
    /// What may help.
    pub hint: Option<String>,
}

/// What is wrong with a field or a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// There is no such field.
    Unknown,
    /// The value cannot be used.
    Value {
        /// It, in one line; `***` for secrets.
        value: String,
        /// What is accepted.
        expected: String,
    },
    /// A file that the field names, or the configuration's own, cannot be read.
    File {
        /// The file.
        file: PathBuf,
        /// Why the system refused.
        reason: String,
    },
    /// The value is of no form that the field can have.
    Form {
        /// What was found, and what was expected.
        reason: String,
    },
    /// The text is no TOML or JSON.
    Syntax {
        /// The column, from 1 on.
        column: usize,
        /// What the parser says.
        reason: String,
    },
}

impl Problem {
    /// A problem that the program itself has found, as a dry run does.
    #[must_use]
    pub fn new(path: impl Into<String>, origin: Origin, fault: Fault) -> Self {
        Self { path: path.into(), origin, fault, hint: None }
    }

    pub(crate) fn value(
        path: impl Into<String>,
        origin: Origin,
        value: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        // What comes from a file may hold anything.
        let escaped = |letter: char| match letter {
            letter if letter.is_control() => letter.escape_default().to_string(),
            letter => letter.to_string(),
        };
        let value = value.into().chars().map(escaped).collect();
        let fault = Fault::Value { value, expected: expected.into() };
        Self { path: path.into(), origin, fault, hint: None }
    }

    pub(crate) fn file(path: impl Into<String>, origin: Origin, file: PathBuf, reason: impl Into<String>) -> Self {
        Self { path: path.into(), origin, fault: Fault::File { file, reason: reason.into() }, hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// How whoever has written it calls the field, and of what variable it is a part.
    fn subject(&self) -> (&str, String) {
        match &self.origin {
            Origin::Environment { name } if self.path.contains('[') => (&self.path, format!(" ({name})")),
            Origin::Environment { name } | Origin::Flag { name } => (name, String::new()),
            Origin::Default | Origin::File { .. } | Origin::Runtime | Origin::Code => (&self.path, String::new()),
        }
    }
}

/// One line: the place, the field, what is wrong. The hint is apart.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Origin::File { .. } = &self.origin {
            write!(f, "{}", self.origin)?;
            if let Fault::Syntax { column, .. } = &self.fault {
                write!(f, ":{column}")?;
            }
            f.write_str(": ")?;
        }
        let (subject, within) = self.subject();
        match &self.fault {
            Fault::Unknown => write!(f, "there is no field `{subject}`{within}"),
            Fault::Value { value, expected } => write!(f, "{subject}{within} is {value}, but must be {expected}"),
            Fault::File { file, reason } if subject.is_empty() => {
                write!(f, "cannot read `{}`: {reason}", file.display())
            }
            Fault::File { file, reason } => write!(f, "{subject}{within}: cannot read `{}`: {reason}", file.display()),
            Fault::Form { reason } => write!(f, "{subject}{within}: {reason}"),
            Fault::Syntax { reason, .. } if matches!(self.origin, Origin::File { .. }) => f.write_str(reason),
            Fault::Syntax { reason, .. } => write!(f, "{subject}{within}: {reason}"),
        }
    }
}

/// What is no error, but should be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// A file with secrets that others than its owner and group can read, or change.
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exposed { path, mode } => write!(
                f,
                "`{}` holds secrets, but has the permissions {mode:o}: chmod 640, or 600, keeps others out",
                path.display()
            ),
        }
    }
}
