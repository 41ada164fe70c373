//! One error for programs that use several of the crates.

use mullama_core::ErrorKind;

/// A failure of any of mullama's crates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MullamaError {
    /// Of the inference crate.
    #[error(transparent)]
    Core(#[from] mullama_core::Error),
    /// Of the async layer.
    #[cfg(feature = "async")]
    #[error(transparent)]
    Async(#[from] mullama_async::Error),
    /// Of the configuration.
    #[cfg(feature = "config")]
    #[error(transparent)]
    Config(#[from] mullama_config::Error),
    /// Of a conversion.
    #[cfg(feature = "format-conversion")]
    #[error(transparent)]
    Convert(#[from] mullama_convert::Error),
    /// Of the server.
    #[cfg(feature = "web")]
    #[error(transparent)]
    Web(#[from] mullama_web::Error),
}

impl MullamaError {
    /// The class of the error, the same whichever crate raised it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Core(error) => error.kind(),
            #[cfg(feature = "async")]
            Self::Async(error) => error.kind(),
            #[cfg(feature = "config")]
            Self::Config(error) => error.kind(),
            #[cfg(feature = "format-conversion")]
            Self::Convert(error) => error.kind(),
            #[cfg(feature = "web")]
            Self::Web(error) => error.kind(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(feature = "async")]
    fn the_class_is_the_same_whichever_crate_raised_it() {
        let error = || mullama_core::Error::EmptyPrompt;
        let direct = MullamaError::from(error());
        let wrapped = MullamaError::from(mullama_async::Error::from(error()));
        assert_eq!((direct.kind(), direct.to_string()), (wrapped.kind(), wrapped.to_string()));
    }
}
