//! Tokens and templates, with llama.cpp's names.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// POST /tokenize.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub(crate) struct TokenizeRequest {
    /// The model's name; without one the server's first.
    pub model: Option<String>,
    /// The text.
    #[schema(required)]
    pub content: Option<String>,
    /// Add the tokens that the model wants around a text. Default false.
    pub add_special: Option<bool>,
    /// Read the names of special tokens as those tokens. Default true.
    pub parse_special: Option<bool>,
    /// Give the tokens' texts too. Default false.
    pub with_pieces: Option<bool>,
}

/// Tokens of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Tokenized {
    /// Numbers, or with `with_pieces` numbers and texts.
    pub tokens: Vec<Token>,
}

/// A token, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Token {
    /// Its number.
    Id(i32),
    /// Its number and text.
    Piece(TokenPiece),
}

/// A token and its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct TokenPiece {
    /// Its number.
    pub id: i32,
    /// Its text; its bytes where they are no text.
    pub piece: PieceText,
}

/// A token's text, or bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum PieceText {
    /// Text.
    Text(String),
    /// Bytes that are no text by themselves.
    Bytes(Vec<u8>),
}

/// POST /detokenize.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub(crate) struct DetokenizeRequest {
    /// The model's name; without one the server's first.
    pub model: Option<String>,
    /// The tokens.
    #[schema(required)]
    pub tokens: Option<Vec<i32>>,
}

/// The text of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Detokenized {
    /// The text.
    pub content: String,
}

/// What a conversation becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AppliedTemplate {
    /// The text.
    pub prompt: String,
    /// Its tokens.
    pub n_tokens: u32,
}
