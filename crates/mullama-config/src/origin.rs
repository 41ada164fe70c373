//! Where a value comes from.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody has said anything else.
    #[default]
    Default,
    /// A file.
    File {
        /// Which one.
        path: PathBuf,
        /// The line, from 1 on; `None` in JSON, where the path of the field must do.
        line: Option<usize>,
    },
    /// A variable of the environment.
    Environment {
        /// Its name.
        name: String,
    },
    /// The command line.
    Flag {
        /// The flag, or the argument.
        name: String,
    },
    /// A change over HTTP while the program runs.
    Runtime,
    /// The program itself.
    Code,
}

impl Origin {
    /// Has somebody said it?
    #[must_use]
    pub fn is_given(&self) -> bool {
        !matches!(self, Self::Default)
    }

    /// Does it come from the command line?
    #[must_use]
    pub fn is_flag(&self) -> bool {
        matches!(self, Self::Flag { .. })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Self::File { path, line: None } => write!(f, "{}", path.display()),
            Self::Environment { name } | Self::Flag { name } => f.write_str(name),
            Self::Runtime => f.write_str("changed while it runs"),
            Self::Code => f.write_str("the program"),
        }
    }
}
