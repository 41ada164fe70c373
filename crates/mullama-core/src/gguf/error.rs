//! What can be wrong with a GGUF file.

use std::path::PathBuf;

use super::{tensor::TensorType, value::GgufValue};

/// Why a GGUF file cannot be read, or must not be given to llama.cpp.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GgufError {
    /// The operating system could not open or read the file.
    #[error("failed to read the GGUF file")]
    Io(#[from] std::io::Error),
    /// The file does not begin with `GGUF`.
    #[error("not a GGUF file: it begins with {magic:02x?}, not with \"GGUF\"")]
    NotGguf {
        /// First four bytes of the file, zero where it is shorter.
        magic: [u8; 4],
    },
    /// The version of the container is none that llama.cpp reads.
    #[error("version {found} of GGUF is not supported, only 2 and 3 are")]
    Version {
        /// Version in the file.
        found: u32,
    },
    /// The file was written for a machine of the other byte order.
    #[error("the GGUF file is big-endian; convert it with gguf_convert_endian.py")]
    BigEndian,
    /// The header goes on beyond the end of the file.
    #[error(
        "the file ends within its {what}: {need} bytes are needed at byte {offset}, {have} are there; \
             download the file again"
    )]
    Truncated {
        /// Part of the header that was being read.
        what: &'static str,
        /// Byte of the file where this part begins.
        offset: u64,
        /// Bytes that this part needs at least.
        need: u64,
        /// Bytes that are left in the file.
        have: u64,
    },
    /// The file is shorter than its tensors.
    #[error("the tensors need a file of {need} bytes, it has {have}; download the file again")]
    TruncatedData {
        /// Size of the file in bytes that the tensors need.
        need: u64,
        /// Size of the file in bytes.
        have: u64,
    },
    /// A count or a length is beyond any real model's.
    #[error("{what} is {value}, the limit is {limit}")]
    TooLarge {
        /// What was counted.
        what: &'static str,
        /// Value in the file.
        value: u64,
        /// Largest accepted value.
        limit: u64,
    },
    /// A metadata entry is malformed.
    #[error("metadata entry `{key}` {problem}")]
    Metadata {
        /// Name of the entry; replacement characters where it is not UTF-8.
        key: String,
        /// What is wrong with it.
        problem: MetadataProblem,
    },
    /// `general.alignment` is 0 or not a power of two.
    #[error("general.alignment is {found}, it must be a power of two")]
    Alignment {
        /// Value in the file.
        found: u32,
    },
    /// A tensor's description is malformed.
    #[error("tensor `{name}` {problem}")]
    Tensor {
        /// Name of the tensor; replacement characters where it is not UTF-8.
        name: String,
        /// What is wrong with it.
        problem: TensorProblem,
    },
    /// The tokenizer's tables would end the process inside llama.cpp.
    #[error("the vocabulary {problem}")]
    Vocabulary {
        /// What is wrong with it.
        problem: VocabularyProblem,
    },
    /// A hyperparameter would end the process inside llama.cpp.
    #[error("{key} is {value}, {problem}")]
    Hyperparameter {
        /// Metadata key.
        key: String,
        /// Value in the file; what llama.cpp assumes where the key is absent.
        value: GgufValue,
        /// What is wrong with it.
        problem: HyperparameterProblem,
    },
    /// The model is split into several files, and this one is not there.
    #[error("a part of the split model is missing: {}; download all parts into one folder", path.display())]
    MissingSplit {
        /// The file that is not there.
        path: PathBuf,
    },
    /// The file belongs to a split model in a way that llama.cpp cannot load.
    #[error("{}: {problem}", path.display())]
    Split {
        /// The part in question.
        path: PathBuf,
        /// What is wrong with it.
        problem: SplitProblem,
    },
}

/// What is wrong with a metadata entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataProblem {
    /// The name is empty.
    #[error("has an empty name")]
    EmptyKey,
    /// The name is not UTF-8, or has a NUL where C would end it.
    #[error("has a name that is not text")]
    InvalidKey,
    /// The name was there before.
    #[error("is there twice")]
    Duplicate,
    /// The number of the type is none of GGUF's 13.
    #[error("has the unknown type {id}")]
    UnknownType {
        /// Number in the file.
        id: u32,
    },
    /// An array of arrays, which llama.cpp does not read either.
    #[error("is an array of arrays")]
    NestedArray,
    /// The entry is needed to load the file as a model.
    #[error("is missing")]
    Missing,
}

/// What is wrong with the description of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorProblem {
    /// The name is not UTF-8, or has a NUL where C would end it.
    #[error("has a name that is not text")]
    InvalidName,
    /// The name has 64 bytes or more.
    #[error("has a name of {bytes} bytes, the limit is 63")]
    LongName {
        /// Length of the name.
        bytes: u64,
    },
    /// The name was there before.
    #[error("is there twice")]
    Duplicate,
    /// More than four dimensions.
    #[error("has {count} dimensions, the limit is 4")]
    Dimensions {
        /// Dimensions in the file.
        count: u32,
    },
    /// A dimension has no elements.
    #[error("has no elements along dimension {axis}")]
    EmptyDimension {
        /// Number of the dimension, counted from 0.
        axis: usize,
    },
    /// The number of elements or of bytes does not fit 63 bits.
    #[error("has more elements than a 64-bit number can count")]
    Overflow,
    /// The number of the type is unknown, or that of a withdrawn type.
    #[error("has the unknown or withdrawn type {id}; quantize the model again")]
    UnknownType {
        /// Number in the file.
        id: u32,
    },
    /// A row ends within a block.
    #[error("has rows of {row} elements, which is no multiple of the {} that a block of {kind} holds",
            kind.block_size())]
    PartialBlock {
        /// Elements of a row.
        row: u64,
        /// Storage type.
        kind: TensorType,
    },
    /// The data is not where the tensors before it end.
    #[error("begins at byte {found} of the data, not at {expected}")]
    Offset {
        /// Offset in the file.
        found: u64,
        /// Offset that follows from the tensors before it.
        expected: u64,
    },
    /// The data is not aligned as the CPU backend needs it.
    #[error("begins at byte {at} of the file, which is no multiple of {align}")]
    Unaligned {
        /// Place in the file.
        at: u64,
        /// Alignment in bytes that llama.cpp needs.
        align: u64,
    },
    /// No kernel of llama.cpp can use this type for this tensor.
    #[error("is stored as {kind}, which llama.cpp cannot compute with here")]
    Type {
        /// Storage type in the file.
        kind: TensorType,
    },
}

/// What is wrong with the tokenizer's tables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VocabularyProblem {
    /// No list of tokens, and the tokenizer is not `none`.
    #[error("has no list of tokens (`tokenizer.ggml.tokens`)")]
    NoTokens,
    /// More tokens than any model has.
    #[error("has {count} tokens, the limit is {limit}")]
    TooManyTokens {
        /// Tokens in the file.
        count: u64,
        /// Largest accepted number.
        limit: u64,
    },
    /// Two tokens have the same text, on which llama.cpp asserts. Texts end at a NUL.
    #[error("gives the tokens {first} and {second} the same text {text:?}")]
    DuplicateToken {
        /// Smaller of the two ids.
        first: usize,
        /// Larger of the two ids.
        second: usize,
        /// Their text, at most 64 characters of it.
        text: String,
    },
    /// A token's text is so long that llama.cpp's recursive trie would exhaust the stack.
    #[error("has a text of {bytes} bytes for token {token}, the limit is {limit}")]
    LongToken {
        /// Id of the token.
        token: usize,
        /// Length of its text.
        bytes: usize,
        /// Largest accepted length.
        limit: usize,
    },
    /// A table that runs parallel to the tokens is shorter than they are.
    #[error("has {tokens} tokens but {found} entries in {key}")]
    Length {
        /// Metadata key of the table.
        key: &'static str,
        /// Entries in it.
        found: u64,
        /// Number of tokens.
        tokens: u64,
    },
    /// A special token's id is not below the number of tokens. llama.cpp falls back to a default, see
    /// [`Gguf::warnings`](super::Gguf::warnings).
    #[error("has {tokens} tokens but {key} is {id}")]
    SpecialToken {
        /// Metadata key of the special token.
        key: &'static str,
        /// Id in the file.
        id: u32,
        /// Number of tokens.
        tokens: u64,
    },
    /// The tokenizer inserts a special token that the vocabulary does not define, on which llama.cpp asserts.
    #[error("makes the tokenizer insert a special token but {key} names none")]
    MissingSpecial {
        /// Metadata key of the special token.
        key: &'static str,
    },
    /// A WordPiece vocabulary marks a token as a byte, on which llama.cpp aborts.
    #[error("marks token {token} as a byte, which a WordPiece vocabulary cannot have")]
    ByteToken {
        /// Id of the token.
        token: usize,
    },
    /// An RWKV vocabulary lacks a single byte that begins other tokens: llama.cpp would loop for ever.
    #[error("has tokens that begin with the byte 0x{byte:02x} but none for it alone")]
    MissingByte {
        /// The byte.
        byte: u8,
    },
    /// A chat template is too long.
    #[error("has a chat template of {bytes} bytes, the limit is {limit}")]
    LongTemplate {
        /// Length of the template.
        bytes: usize,
        /// Largest accepted length.
        limit: usize,
    },
}

/// What is wrong with a hyperparameter; each would be an assertion or a division by zero in llama.cpp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HyperparameterProblem {
    /// It is zero, or zero for one layer.
    #[error("it must not be zero")]
    Zero,
    /// It is larger than llama.cpp can hold or another value allows.
    #[error("the limit is {limit}")]
    Above {
        /// Largest accepted value.
        limit: u64,
    },
    /// It is not a multiple of another value.
    #[error("it must be a multiple of {of}")]
    NotMultiple {
        /// Divisor.
        of: u64,
    },
    /// It is odd.
    #[error("it must be even")]
    Odd,
    /// It must equal a value that follows from others.
    #[error("this architecture needs {expected}")]
    Differs {
        /// The value that follows.
        expected: u64,
    },
    /// It is negative, infinite or not a number.
    #[error("it must be a number that is not negative")]
    Negative,
    /// It is none of the values that llama.cpp knows.
    #[error("llama.cpp does not know this value")]
    Unknown,
}

/// Why a part of a split model cannot be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitProblem {
    /// The name does not end as llama.cpp names parts.
    #[error("the name must end with -{number:05}-of-{count:05}.gguf")]
    Name {
        /// Number of the part, counted from 1.
        number: u32,
        /// Number of parts.
        count: u32,
    },
    /// `split.no` is missing, is not a `u16` (on which llama.cpp asserts) or names another part.
    #[error("split.no must be {expected} as an unsigned 16-bit number")]
    Number {
        /// Number of the part, counted from 0.
        expected: u16,
    },
}
