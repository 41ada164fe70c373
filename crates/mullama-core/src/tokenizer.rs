//! Text to tokens and back.

mod facts;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::generate::TextDecoder;
use crate::model::Model;
pub(crate) use facts::Facts;

/// The number of a token in a model's vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub i32);

impl std::fmt::Display for TokenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What [`Tokenizer::encode`] does with special tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncodeOptions {
    /// Add the tokens that the model wants around a text (BOS, EOS, CLS, SEP), where it wants any. Default true.
    pub add_special: bool,
    /// Read the texts of special tokens ("<|im_start|>") as those tokens. Default false: user text must not be able to
    /// make control tokens. Rendered chat prompts need true.
    pub parse_special: bool,
}

impl Default for EncodeOptions {
    fn default() -> Self {
        Self { add_special: true, parse_special: false }
    }
}

/// What kind of vocabulary it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenKind {
    /// No tokenizer in the file.
    None,
    /// SentencePiece BPE with byte fallback (Llama 2, Mistral).
    SentencePiece,
    /// Byte-level BPE (GPT-2, Llama 3, Qwen).
    Bpe,
    /// WordPiece (BERT).
    WordPiece,
    /// Unigram (T5).
    Unigram,
    /// Greedy (RWKV).
    Rwkv,
    /// Another.
    Other,
}

/// Turns text into tokens and back, with one model's vocabulary. Cheap to clone; shares the model.
///
/// ```no_run
/// use mullama_core::{EncodeOptions, Model};
///
/// let tokenizer = Model::load("model.gguf")?.tokenizer();
/// let tokens = tokenizer.encode("Hello world", EncodeOptions::default())?;
/// assert_eq!(tokenizer.decode(&tokens)?, "Hello world");
/// # Ok::<(), mullama_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tokenizer {
    model: Model,
}

impl Tokenizer {
    pub(crate) fn new(model: Model) -> Self {
        Self { model }
    }

    /// Tokens of a text. Texts over 512 bytes are tokenized on a thread with a large stack (llama.cpp recurses per
    /// character), which costs two thread switches. Wraps `llama_tokenize`.
    ///
    /// # Errors
    /// [`Error::TextTooLong`] over 16 MiB; [`Error::RunTooLong`] for more than 400,000 characters of one class in a row
    /// in a BPE vocabulary; [`Error::UnknownCharacters`] for more than 65,536 characters without a token in a SentencePiece
    /// vocabulary, where the time grows with their square; [`Error::Tokenize`] when the vocabulary has no token for a character and no byte fallback;
    /// [`Error::Timeout`] after 10 s; [`Error::Overloaded`].
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Result<Vec<TokenId>> {
        if text.len() > MAX_TEXT {
            return Err(Error::TextTooLong { bytes: text.len(), limit: MAX_TEXT });
        }
        if self.kind() == TokenKind::None {
            return Err(Error::Tokenize { reason: "the model has no tokenizer".to_owned() });
        }
        let EncodeOptions { add_special, parse_special } = options;
        let tokens = if text.len() <= SHORT_TEXT {
            self.model.ptr().tokenize(text, add_special, parse_special)
        } else {
            match self.kind() {
                TokenKind::Bpe => check_runs(text)?,
                TokenKind::SentencePiece if text.len() > MAX_UNKNOWN => {
                    let characters = self.model.vocabulary().unknown(text);
                    if characters > MAX_UNKNOWN {
                        return Err(Error::UnknownCharacters { characters, limit: MAX_UNKNOWN });
                    }
                }
                _ => {}
            }
            self.model.tokenize_deep(text, add_special, parse_special, DEADLINE)?
        };
        match tokens {
            Ok(tokens) => Ok(tokens.into_iter().map(TokenId).collect()),
            Err(reason) => Err(Error::Tokenize { reason: explain(reason) }),
        }
    }

    /// The fewest tokens that a text can have: so that one far too long is refused before it is tokenized. 0 where that
    /// cannot be told.
    pub(crate) fn fewest_tokens(&self, text: &str) -> usize {
        match self.kind() {
            TokenKind::SentencePiece | TokenKind::Bpe => self.model.vocabulary().fewest(text.len()),
            // Others throw away part of the text.
            _ => 0,
        }
    }

    /// The text of tokens, special tokens left out. Bytes that are no UTF-8 become U+FFFD. Wraps `llama_detokenize`.
    ///
    /// # Errors
    /// [`Error::UnknownToken`]; [`Error::Tokenize`].
    pub fn decode(&self, tokens: &[TokenId]) -> Result<String> {
        self.decode_with(tokens, false)
    }

    /// As [`Tokenizer::decode`], with special tokens as text.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn decode_special(&self, tokens: &[TokenId]) -> Result<String> {
        self.decode_with(tokens, true)
    }

    fn decode_with(&self, tokens: &[TokenId], special: bool) -> Result<String> {
        let ids = tokens.iter().map(|token| self.check("tokens", *token)).collect::<Result<Vec<_>>>()?;
        let bytes = self.model.ptr().detokenize(&ids, false, special).map_err(|reason| Error::Tokenize { reason })?;
        Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// The bytes that one token stands for in a text: maybe a part of a character only. Special tokens have none, or
    /// with `special` their names. Wraps `llama_token_to_piece`.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn piece(&self, token: TokenId, special: bool) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.append_piece(token, special, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn append_piece(&self, token: TokenId, special: bool, into: &mut Vec<u8>) -> Result<()> {
        let id = self.check("token", token)?;
        self.model.ptr().token_bytes(id, special, into).map_err(|reason| Error::Tokenize { reason })
    }

    /// A decoder that turns the bytes of one token after another into text without splitting characters.
    #[must_use]
    pub fn decoder(&self) -> TextDecoder {
        TextDecoder::new()
    }

    /// Is this one of the tokens that end an answer (EOS, EOT, EOM, ...)? False for ids outside the vocabulary.
    #[must_use]
    pub fn is_end_of_generation(&self, token: TokenId) -> bool {
        self.contains(token) && self.model.ptr().is_eog(token.0)
    }

    /// Is this a control token, one without text of its own? False for ids outside the vocabulary.
    #[must_use]
    pub fn is_control(&self, token: TokenId) -> bool {
        self.contains(token) && self.model.ptr().is_control(token.0)
    }

    /// Tokens in the vocabulary.
    #[must_use]
    pub fn vocabulary_size(&self) -> usize {
        usize::try_from(self.model.n_vocab()).unwrap_or(0)
    }

    /// The kind of vocabulary.
    #[must_use]
    pub fn kind(&self) -> TokenKind {
        match self.model.ptr().vocab_type() {
            mullama_sys::LLAMA_VOCAB_TYPE_NONE => TokenKind::None,
            mullama_sys::LLAMA_VOCAB_TYPE_SPM => TokenKind::SentencePiece,
            mullama_sys::LLAMA_VOCAB_TYPE_BPE => TokenKind::Bpe,
            mullama_sys::LLAMA_VOCAB_TYPE_WPM => TokenKind::WordPiece,
            mullama_sys::LLAMA_VOCAB_TYPE_UGM => TokenKind::Unigram,
            mullama_sys::LLAMA_VOCAB_TYPE_RWKV => TokenKind::Rwkv,
            _ => TokenKind::Other,
        }
    }

    /// Does the model want a beginning-of-sequence token before a text?
    #[must_use]
    pub fn adds_bos(&self) -> bool {
        self.model.ptr().add_bos()
    }

    /// Does the model want an end-of-sequence token after a text?
    #[must_use]
    pub fn adds_eos(&self) -> bool {
        self.model.ptr().add_eos()
    }

    /// Does the model want a separator between two texts?
    #[must_use]
    pub fn adds_sep(&self) -> bool {
        self.model.ptr().add_sep()
    }

    /// `name`: where the token was given.
    pub(crate) fn check(&self, name: &'static str, token: TokenId) -> Result<i32> {
        if self.contains(token) {
            return Ok(token.0);
        }
        Err(Error::UnknownToken { name, id: token.0, n_vocab: self.model.n_vocab() })
    }

    fn contains(&self, token: TokenId) -> bool {
        (0..self.model.n_vocab()).contains(&token.0)
    }

    fn special(&self, id: i32) -> Option<TokenId> {
        let token = TokenId(id);
        self.contains(token).then_some(token)
    }
}

/// The special tokens, where the vocabulary has them.
macro_rules! special_tokens {
    ($($(#[$doc:meta])* $name:ident = $getter:ident;)*) => {
        impl Tokenizer {
            $($(#[$doc])* #[must_use] pub fn $name(&self) -> Option<TokenId> {
                self.special(self.model.ptr().$getter())
            })*
        }
    };
}

special_tokens! {
    /// Beginning of sequence.
    bos = bos;
    /// End of sequence.
    eos = eos;
    /// End of turn.
    eot = eot;
    /// Separator of sentences.
    sep = sep;
    /// Line feed.
    newline = nl;
    /// Padding.
    pad = pad;
    /// Mask, for models that fill gaps.
    mask = mask;
    /// Fill in the middle: what stands before the gap follows.
    fim_prefix = fim_pre;
    /// Fill in the middle: what stands after the gap follows.
    fim_suffix = fim_suf;
    /// Fill in the middle: write the gap.
    fim_middle = fim_mid;
    /// Fill in the middle: padding.
    fim_pad = fim_pad;
    /// Fill in the middle: name of the repository follows.
    fim_repository = fim_rep;
    /// Fill in the middle: next file.
    fim_separator = fim_sep;
}

/// llama.cpp's exception text alone would not help.
fn explain(reason: String) -> String {
    if reason.contains("map::at") || reason.contains("out_of_range") {
        return "the vocabulary has no token for one of its characters, and no byte fallback".to_owned();
    }
    reason
}

/// Refuses runs that would exhaust the stack: llama.cpp's `std::regex` needs some 300 bytes of it per character.
fn check_runs(text: &str) -> Result<()> {
    let (mut class, mut run, mut longest) = (u8::MAX, 0_usize, 0);
    for character in text.chars() {
        let this = match character {
            c if c.is_whitespace() => 0,
            c if c.is_alphabetic() => 1,
            c if c.is_numeric() => 2,
            _ => 3,
        };
        run = if this == class { run + 1 } else { 1 };
        class = this;
        longest = longest.max(run);
    }
    if longest > MAX_RUN {
        return Err(Error::RunTooLong { characters: longest, limit: MAX_RUN });
    }
    Ok(())
}

/// Short enough for the stack of any thread: 512 characters of 300 bytes.
const SHORT_TEXT: usize = 512;
const MAX_TEXT: usize = 16 << 20;
/// 256 MiB of stack, twice what was seen to be needed.
const MAX_RUN: usize = 400_000;
/// Some 0.1 s. llama.cpp moves all that is done each time that it writes one as bytes.
const MAX_UNKNOWN: usize = 1 << 16;
const DEADLINE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_of_each_class_are_refused_and_mixed_text_is_not() {
        for character in ["a", "1", " ", "!", "漢"] {
            assert!(matches!(check_runs(&character.repeat(MAX_RUN + 1)), Err(Error::RunTooLong { .. })), "{character}");
            assert!(check_runs(&character.repeat(MAX_RUN)).is_ok());
        }
        assert!(check_runs(&"ab ".repeat(MAX_RUN)).is_ok());
    }
}
