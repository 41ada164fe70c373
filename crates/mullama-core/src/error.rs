//! What can go wrong, and how a caller can classify it.

use std::path::PathBuf;
use std::time::Duration;

#[cfg(feature = "native")]
use crate::gguf::GgufError;

/// The result of a fallible call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of this crate: each variant is a cause that a caller can act on.
///
/// [`Error::kind`] sorts them into the few classes that a server maps to status codes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read or written.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried: "open", "read", "write", ...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why the system refused.
        source: std::io::Error,
    },
    /// The file is not a GGUF model that llama.cpp could load without harm.
    #[cfg(feature = "native")]
    #[error("`{}` is not a usable GGUF model", path.display())]
    InvalidModel {
        /// The file, or `<memory>`.
        path: PathBuf,
        /// What is wrong with it.
        source: GgufError,
    },
    /// llama.cpp refused the model.
    #[error("llama.cpp cannot load `{}`: {reason}", path.display())]
    LoadModel {
        /// The file, or `<memory>`.
        path: PathBuf,
        /// llama.cpp's last error message.
        reason: String,
    },
    /// llama.cpp made no context: usually too little memory for this context length.
    #[error("cannot create a context of {n_ctx} tokens: {reason}; try a shorter context or a smaller batch")]
    CreateContext {
        /// The context length that was asked for, in tokens.
        n_ctx: u32,
        /// llama.cpp's last error message.
        reason: String,
    },
    /// A parameter is outside its range.
    #[error("{name} is {value}, but must be {expected}")]
    InvalidParameter {
        /// The parameter, by its public name.
        name: &'static str,
        /// What was given.
        value: String,
        /// The range or the form that is accepted.
        expected: &'static str,
    },
    /// The text cannot be tokenized with this vocabulary.
    #[error("cannot tokenize the text: {reason}")]
    Tokenize {
        /// Why.
        reason: String,
    },
    /// The text is longer than the tokenizer accepts.
    #[error("the text has {bytes} bytes, the limit is {limit}; split it")]
    TextTooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The longest that is accepted.
        limit: usize,
    },
    /// A run of characters of one class is so long that llama.cpp's tokenizer would exhaust its stack.
    #[error("the text has a run of {characters} characters of one class, the limit is {limit}; break it up")]
    RunTooLong {
        /// Length of the run in characters.
        characters: usize,
        /// The longest that is accepted.
        limit: usize,
    },
    /// The text has so many characters that the vocabulary has no token for that tokenizing it would take too long.
    #[error("the text has {characters} characters without a token of their own, the limit is {limit}; split it")]
    UnknownCharacters {
        /// Such characters.
        characters: usize,
        /// The most that are accepted.
        limit: usize,
    },
    /// The id is not a token of this model.
    #[error("{name} has token {id}, which does not exist: the vocabulary has {n_vocab} tokens")]
    UnknownToken {
        /// Where it was given: "prompt", "tokens", "logit_bias".
        name: &'static str,
        /// The id.
        id: i32,
        /// The size of the vocabulary.
        n_vocab: i32,
    },
    /// There is nothing to generate from.
    #[error("the prompt has no tokens; give some text")]
    EmptyPrompt,
    /// The prompt needs more positions than the context has.
    #[error("the prompt has {}{got} tokens, but the context holds {limit}", if *exact { "" } else { "at least " })]
    PromptTooLong {
        /// Tokens in the prompt; of a text too long to be tokenized the fewest that it can have.
        got: usize,
        /// Is `got` the number itself?
        exact: bool,
        /// Positions in the context.
        limit: usize,
    },
    /// The batch is full.
    #[error("the batch holds {capacity} tokens and is full; decode it first")]
    BatchFull {
        /// Tokens that it holds.
        capacity: usize,
    },
    /// The grammar is not valid, or beyond its limits.
    #[error("invalid grammar: {reason}")]
    Grammar {
        /// What is wrong with it.
        reason: String,
    },
    /// No token is left that the grammar or the logit bias allows, or the model computed no numbers.
    #[error("no token can follow: the grammar or the logit bias allows none, or the model's output is not a number")]
    NoToken,
    /// llama.cpp's sampler failed.
    #[error("sampling failed: {reason}")]
    Sample {
        /// llama.cpp's message.
        reason: String,
    },
    /// The model has no chat template, and none was given.
    #[error("the model has no chat template; give one, or send the text as it is")]
    NoChatTemplate,
    /// The chat template cannot be read, or refused the conversation.
    #[error("chat template: {reason}")]
    ChatTemplate {
        /// The template engine's message.
        reason: String,
    },
    /// The answer does not have the form that the template's tools and reasoning ask for.
    #[error("cannot parse the answer: {reason}")]
    ChatParse {
        /// The parser's message.
        reason: String,
    },
    /// `llama_decode` or `llama_encode` returned a status that has no other meaning here.
    #[error("llama.cpp could not compute the batch (status {code}): {reason}")]
    Decode {
        /// llama.cpp's status.
        code: i32,
        /// llama.cpp's last error message.
        reason: String,
    },
    /// The context is full.
    #[error("the context of {limit} tokens is full")]
    ContextFull {
        /// Positions in the context.
        limit: usize,
    },
    /// A saved state is damaged, or belongs to another model or context.
    #[error("the saved state cannot be used: {reason}")]
    State {
        /// What does not fit.
        reason: &'static str,
    },
    /// The LoRA adapter cannot be used with this model.
    #[error("cannot use the adapter `{}`: {reason}", path.display())]
    Lora {
        /// The adapter's file.
        path: PathBuf,
        /// llama.cpp's last error message.
        reason: String,
    },
    /// llama.cpp could not quantize the model.
    #[error("cannot quantize `{}`: {reason}", path.display())]
    Quantize {
        /// The input.
        path: PathBuf,
        /// llama.cpp's last error message.
        reason: String,
    },
    /// The model or this build cannot do it.
    #[error("{what} is not supported: {reason}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// Why it cannot be done, and what can.
        reason: &'static str,
    },
    /// A media buffer's numbers do not fit together.
    #[error("invalid {what}: {problem}")]
    Media {
        /// "audio" or "image".
        what: &'static str,
        /// What does not fit.
        problem: String,
    },
    /// The work was cancelled by the caller.
    #[error("cancelled")]
    Cancelled,
    /// The work took longer than it may.
    #[error("{what} took longer than {} ms", limit.as_millis())]
    Timeout {
        /// The work.
        what: &'static str,
        /// How long it may take.
        limit: Duration,
    },
    /// A bounded queue is full.
    #[error("overloaded: the queue of {capacity} is full; try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// How many fit.
        capacity: usize,
        /// When a place is likely to be free.
        retry_after: Duration,
    },
    /// The engine has ended.
    #[error("the engine has stopped: {reason}")]
    EngineStopped {
        /// Why.
        reason: String,
    },
    /// The system gave no thread.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
    /// Something that cannot happen did: a bug of mullama or of llama.cpp.
    #[error("internal error: {what}; please report it")]
    Internal {
        /// What was seen.
        what: String,
    },
}

/// The class of an error, the same whichever crate raised it.
///
/// HTTP status, WebSocket close code and exit code each follow from it in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// llama.cpp or a device failed.
    Backend,
    /// The caller cancelled.
    Cancelled,
    /// A bug.
    Internal,
    /// What was given cannot be used; giving it again will not help.
    InvalidInput,
    /// The file system or the network failed.
    Io,
    /// Too large.
    LimitExceeded,
    /// No such file or model.
    NotFound,
    /// Too much at once: try again later.
    Overloaded,
    /// Took too long.
    Timeout,
    /// Not ready, or no longer.
    Unavailable,
    /// This build or this model cannot do it.
    Unsupported,
}

impl Error {
    /// The class of this error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::File { .. } => ErrorKind::Io,
            #[cfg(feature = "native")]
            Self::InvalidModel { .. } => ErrorKind::InvalidInput,
            Self::LoadModel { .. }
            | Self::InvalidParameter { .. }
            | Self::Tokenize { .. }
            | Self::UnknownToken { .. }
            | Self::EmptyPrompt
            | Self::PromptTooLong { .. }
            | Self::Grammar { .. }
            | Self::ChatTemplate { .. }
            | Self::State { .. }
            | Self::Lora { .. }
            | Self::Media { .. }
            | Self::RunTooLong { .. }
            | Self::UnknownCharacters { .. }
            | Self::TextTooLong { .. }
            | Self::BatchFull { .. } => ErrorKind::InvalidInput,
            Self::NoChatTemplate | Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::ContextFull { .. } => ErrorKind::LimitExceeded,
            Self::CreateContext { .. }
            | Self::NoToken
            | Self::Sample { .. }
            | Self::ChatParse { .. }
            | Self::Decode { .. }
            | Self::Quantize { .. } => ErrorKind::Backend,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Overloaded { .. } => ErrorKind::Overloaded,
            Self::Thread(_) | Self::EngineStopped { .. } => ErrorKind::Unavailable,
            Self::Internal { .. } => ErrorKind::Internal,
        }
    }

    /// An out-of-range parameter; shared by every `validate` of this crate.
    #[cfg(feature = "native")]
    #[expect(clippy::needless_pass_by_value, reason = "callers give numbers and texts alike")]
    pub(crate) fn parameter(name: &'static str, value: impl ToString, expected: &'static str) -> Self {
        Self::InvalidParameter { name, value: value.to_string(), expected }
    }
}
