//! Checks of the tokenizer's tables against the assertions of llama-vocab.cpp.

use super::{
    Gguf,
    error::{GgufError, MetadataProblem, VocabularyProblem},
    value::{GgufArray, GgufStrings, GgufValue},
};

/// Checks the vocabulary of a model.
pub(super) fn check(gguf: &Gguf, architecture: &str) -> Result<(), GgufError> {
    templates(gguf)?;
    let Some(model) = gguf.text(MODEL) else {
        return Err(GgufError::Metadata { key: MODEL.to_owned(), problem: MetadataProblem::Missing });
    };
    if matches!(model, "none" | "no_vocab") {
        // llama.cpp makes that many empty tokens.
        let count = gguf.u32(&format!("{architecture}.vocab_size")).map_or(0, u64::from);
        return limit_tokens(count);
    }
    let Some(tokens) = gguf.get(TOKENS).and_then(GgufValue::as_array).and_then(GgufArray::as_strings) else {
        return wrong(VocabularyProblem::NoTokens);
    };
    if tokens.is_empty() {
        return wrong(VocabularyProblem::NoTokens);
    }
    limit_tokens(tokens.len() as u64)?;
    parallel(gguf, tokens.len())?;
    duplicates(tokens)?;
    special(gguf, model, tokens.len())?;
    match model {
        "bert" => word_pieces(gguf, tokens.len()),
        "t5" | "plamo2" => lengths(tokens),
        "rwkv" => lengths(tokens).and_then(|()| first_bytes(tokens)),
        _ => Ok(()),
    }
}

/// Special tokens whose ids llama.cpp ignores, because they are not in the vocabulary.
pub(super) fn warnings(gguf: &Gguf) -> Vec<GgufError> {
    let Some(tokens) = gguf.get(TOKENS).and_then(GgufValue::as_array) else { return Vec::new() };
    let tokens = tokens.len() as u64;
    let ids = SPECIAL_KEYS.iter().filter_map(|&key| Some((key, gguf.u32(key)?)));
    ids.filter(|&(_, id)| u64::from(id) >= tokens)
        .map(|(key, id)| GgufError::Vocabulary { problem: VocabularyProblem::SpecialToken { key, id, tokens } })
        .collect()
}

fn wrong(problem: VocabularyProblem) -> Result<(), GgufError> {
    Err(GgufError::Vocabulary { problem })
}

fn templates(gguf: &Gguf) -> Result<(), GgufError> {
    let templates = gguf.metadata().filter(|(key, _)| key.starts_with("tokenizer.chat_template"));
    let longest = templates.filter_map(|(_, value)| value.as_str()).map(str::len).max().unwrap_or(0);
    if longest > MAX_TEMPLATE {
        return wrong(VocabularyProblem::LongTemplate { bytes: longest, limit: MAX_TEMPLATE });
    }
    Ok(())
}

fn limit_tokens(count: u64) -> Result<(), GgufError> {
    if count > MAX_TOKENS {
        return wrong(VocabularyProblem::TooManyTokens { count, limit: MAX_TOKENS });
    }
    Ok(())
}

/// The tables beside the tokens; llama.cpp refuses them when they have another type.
fn parallel(gguf: &Gguf, tokens: usize) -> Result<(), GgufError> {
    for key in [SCORES, TYPES] {
        match gguf.get(key) {
            Some(GgufValue::Array(table)) if table.len() < tokens => {
                let (found, tokens) = (table.len() as u64, tokens as u64);
                return wrong(VocabularyProblem::Length { key, found, tokens });
            }
            _ => {}
        }
    }
    Ok(())
}

/// `GGML_ASSERT(id_to_token.size() == token_to_id.size())`: no text twice, where texts end at a NUL and an empty text
/// is called after its id.
fn duplicates(tokens: &GgufStrings) -> Result<(), GgufError> {
    let text = |id: &u32| c_string(tokens, *id as usize);
    let mut order: Vec<u32> = (0..).take(tokens.len()).collect();
    order.sort_by(|a, b| text(a).cmp(text(b)));
    let filled = order.partition_point(|id| text(id).is_empty());
    let (empty, filled) = order.split_at(filled);

    let pair = filled.windows(2).find(|pair| text(&pair[0]) == text(&pair[1])).map(|pair| (pair[0], pair[1]));
    let named = || {
        empty.iter().find_map(|&id| {
            let name = format!("[EMPTY_{id}]");
            let found = filled.binary_search_by(|other| text(other).cmp(name.as_bytes())).ok()?;
            Some((id.min(filled[found]), id.max(filled[found])))
        })
    };
    let Some((first, second)) = pair.or_else(named) else { return Ok(()) };
    let shown = if text(&first).is_empty() { second } else { first };
    let text = String::from_utf8_lossy(text(&shown)).chars().take(64).collect();
    wrong(VocabularyProblem::DuplicateToken { first: first as usize, second: second as usize, text })
}

/// Text of a token as llama.cpp sees it, which is up to the first NUL.
fn c_string(tokens: &GgufStrings, id: usize) -> &[u8] {
    let bytes = tokens.bytes(id).unwrap_or_default();
    bytes.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Whatever `llama_tokenize` inserts has to be there: it asserts on that. An id beyond the vocabulary counts as absent,
/// and an absent key leaves the tokenizer's default.
fn special(gguf: &Gguf, model: &str, tokens: usize) -> Result<(), GgufError> {
    let pre = gguf.text("tokenizer.ggml.pre").unwrap_or_default();
    let Some(default) = Defaults::of(model, pre) else { return Ok(()) };
    let flag = |key, default| gguf.get(key).and_then(GgufValue::as_bool).unwrap_or(default);
    let begin = default.always_begin || flag("tokenizer.ggml.add_bos_token", default.begin);
    let end = !default.ends_with_separator && flag("tokenizer.ggml.add_eos_token", default.end);
    let needed = [
        (begin, BEGIN, default.begin_id),
        (end, END, default.end_id),
        (default.ends_with_separator, SEPARATOR, default.separator_id),
    ];
    for (is_needed, key, default_id) in needed {
        let exists = |id: &u32| (*id as usize) < tokens;
        if is_needed && gguf.u32(key).filter(exists).or(default_id.filter(exists)).is_none() {
            return wrong(VocabularyProblem::MissingSpecial { key });
        }
    }
    Ok(())
}

/// What a tokenizer does where the file is silent, from `llama_vocab::impl::load`.
#[derive(Default)]
struct Defaults {
    begin: bool,
    end: bool,
    /// Inserts the first token whatever the file says.
    always_begin: bool,
    /// Inserts the separator after each text, instead of the end token.
    ends_with_separator: bool,
    begin_id: Option<u32>,
    end_id: Option<u32>,
    separator_id: Option<u32>,
}

impl Defaults {
    /// `None` for tokenizers that insert nothing, and for those that llama.cpp refuses.
    fn of(model: &str, pre: &str) -> Option<Self> {
        let none = Self::default();
        Some(match model {
            "llama" => Self { begin: true, begin_id: Some(1), end_id: Some(2), ..none },
            "bert" => Self {
                always_begin: true,
                ends_with_separator: true,
                begin_id: Some(101),
                separator_id: Some(102),
                ..none
            },
            "gpt2" | "hybriddna" | "whitespace" => Self {
                begin: BEGINNING_PRE.contains(&pre),
                always_begin: pre == "granite-embed-multi-311m" || pre == "gemma4",
                begin_id: if matches!(pre, "chatglm-bpe" | "glm4" | "glm5") { None } else { Some(11) },
                end_id: Some(11),
                ..none
            },
            "gemma4" => Self { always_begin: true, ..none },
            "t5" => Self { end: true, end_id: Some(1), ..none },
            "plamo2" => Self { begin_id: Some(1), end_id: Some(2), ..none },
            _ => return None,
        })
    }
}

/// `token_to_byte` aborts for WordPiece, and is called for each token of the type "byte".
fn word_pieces(gguf: &Gguf, tokens: usize) -> Result<(), GgufError> {
    const BYTE: i32 = 6;
    let Some(GgufValue::Array(GgufArray::I32(types))) = gguf.get(TYPES) else { return Ok(()) };
    match types.iter().take(tokens).position(|&kind| kind == BYTE) {
        Some(token) => wrong(VocabularyProblem::ByteToken { token }),
        None => Ok(()),
    }
}

/// These tokenizers build a trie with a recursion for each byte of a token.
fn lengths(tokens: &GgufStrings) -> Result<(), GgufError> {
    let length = |id| c_string(tokens, id).len();
    match (0..tokens.len()).find(|&id| length(id) > MAX_TOKEN) {
        Some(token) => wrong(VocabularyProblem::LongToken { token, bytes: length(token), limit: MAX_TOKEN }),
        None => Ok(()),
    }
}

/// `llm_tokenizer_rwkv_session::tokenize` starts over, for ever and filling memory, where a text begins like a token
/// but no token ends within it.
fn first_bytes(tokens: &GgufStrings) -> Result<(), GgufError> {
    let (mut begins, mut alone) = ([false; 256], [false; 256]);
    for id in 0..tokens.len() {
        match *unescape(c_string(tokens, id)) {
            [] if c_string(tokens, id).is_empty() => begins[usize::from(b'[')] = true,
            [] => {}
            [byte] => alone[usize::from(byte)] = true,
            [byte, ..] => begins[usize::from(byte)] = true,
        }
    }
    match (0..=u8::MAX).find(|&byte| begins[usize::from(byte)] && !alone[usize::from(byte)]) {
        Some(byte) => wrong(VocabularyProblem::MissingByte { byte }),
        None => Ok(()),
    }
}

/// First bytes of a token, two at most, after resolving escapes as `llama_unescape_rwkv_token` does.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(2);
    let mut rest = text.iter().copied();
    while let (true, Some(byte)) = (output.len() < 2, rest.next()) {
        if byte != b'\\' {
            output.push(byte);
            continue;
        }
        match rest.next() {
            Some(b't') => output.push(b'\t'),
            Some(b'n') => output.push(b'\n'),
            Some(b'r') => output.push(b'\r'),
            Some(b'x') => {
                let (Some(high), Some(low)) = (rest.next(), rest.next()) else { break };
                output.push((nibble(high) << 4).wrapping_add(nibble(low)));
            }
            Some(other) => output.push(other),
            None => break,
        }
    }
    output
}

fn nibble(digit: u8) -> u8 {
    // No more careful than the original, whose result this has to equal; there `char` is signed.
    if (b'a'..0x80).contains(&digit) { digit - b'a' + 10 } else { digit.wrapping_sub(b'0') }
}

const MODEL: &str = "tokenizer.ggml.model";
const TOKENS: &str = "tokenizer.ggml.tokens";
const SCORES: &str = "tokenizer.ggml.scores";
const TYPES: &str = "tokenizer.ggml.token_type";
const BEGIN: &str = "tokenizer.ggml.bos_token_id";
const END: &str = "tokenizer.ggml.eos_token_id";
const SEPARATOR: &str = "tokenizer.ggml.seperator_token_id";

/// Keys of special tokens; "seperator" is llama.cpp's spelling.
const SPECIAL_KEYS: [&str; 17] = [
    BEGIN,
    END,
    SEPARATOR,
    "tokenizer.ggml.eot_token_id",
    "tokenizer.ggml.eom_token_id",
    "tokenizer.ggml.unknown_token_id",
    "tokenizer.ggml.padding_token_id",
    "tokenizer.ggml.mask_token_id",
    "tokenizer.ggml.fim_pre_token_id",
    "tokenizer.ggml.fim_suf_token_id",
    "tokenizer.ggml.fim_mid_token_id",
    "tokenizer.ggml.fim_pad_token_id",
    "tokenizer.ggml.fim_rep_token_id",
    "tokenizer.ggml.fim_sep_token_id",
    "tokenizer.ggml.prefix_token_id",
    "tokenizer.ggml.suffix_token_id",
    "tokenizer.ggml.middle_token_id",
];

/// Pre-tokenizers that insert the first token by default.
const BEGINNING_PRE: [&str; 11] = [
    "llama3",
    "llama-v3",
    "llama-bpe",
    "falcon3",
    "falcon-h1",
    "pixtral",
    "midm-2.0",
    "lfm2",
    "jina-v5-nano",
    "tekken",
    "chameleon",
];

/// Ours: the largest vocabularies have about 300,000 tokens.
const MAX_TOKENS: u64 = 4 << 20;
/// Ours: the longest tokens of real vocabularies have about 500 bytes; 2,048 levels fit any stack.
const MAX_TOKEN: usize = 2_048;
/// Ours: the longest templates have about 20 KiB.
const MAX_TEMPLATE: usize = 256 << 10;
