//! One error for programs that use several of the crates.

use mullama_core::ErrorKind;

/// A failure of any of mullama's crates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MullamaError {
    /// Of the inference crate.
    #[error(transparent)]
    Core(#[from] mullama_core::Error),
}

impl MullamaError {
    /// The class of the error, the same whichever crate raised it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
        }
    }
}
