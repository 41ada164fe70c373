//! `mullama tokenize`: text to tokens and back.

use mullama_core::{EncodeOptions, ModelParams, TokenId, Tokenizer};
use serde_json::{Value, json};

use crate::cli::Tokenize;
use crate::error::{Error, Result};
use crate::input;
use crate::settings::{Settings, TOKENS};
use crate::terminal::{Output, Ui};

pub(crate) fn run(args: &Tokenize, ui: &Ui) -> Result<()> {
    let (source, text) = input::model_and_text(args.model.as_deref(), args.text.as_deref())?;
    let ids = if args.decode { read_ids(&text)? } else { Vec::new() };
    let settings = Settings::read(&args.config, source, TOKENS)?;
    let source = &settings.source;
    // What the configuration says in the place of the file's metadata may be about tokens.
    let params = ModelParams { vocab_only: true, lora: Vec::new(), ..settings.model_base() };
    let model = source.load(params, ui)?;
    let tokenizer = model.tokenizer();
    let mut output = Output::lock();
    if args.decode {
        let text = if args.parse_special { tokenizer.decode_special(&ids)? } else { tokenizer.decode(&ids)? };
        if args.json {
            output.json(&json!({ "model": source.name(), "tokens": ids, "text": text }))?;
        } else {
            output.text(&text)?;
            output.text(if text.ends_with('\n') { "" } else { "\n" })?;
        }
        return output.flush();
    }
    let options = EncodeOptions { add_special: !args.no_special, parse_special: args.parse_special };
    let tokens = tokenizer.encode(&text, options)?;
    if args.json {
        let pieces = tokens.iter().map(|token| piece(&tokenizer, *token)).collect::<Result<Vec<_>>>()?;
        // As llama.cpp's server: a part of a character is an array of bytes.
        let pieces: Vec<_> =
            pieces.iter().map(|bytes| str::from_utf8(bytes).map_or_else(|_| json!(bytes), Value::from)).collect();
        let model = source.name();
        output.json(&json!({ "model": model, "count": tokens.len(), "tokens": tokens, "pieces": pieces }))?;
    } else if args.ids {
        let ids: Vec<_> = tokens.iter().map(TokenId::to_string).collect();
        output.line(&ids.join(" "))?;
    } else {
        for token in &tokens {
            output.line(&format!("{token:>8}  {}", quoted(&piece(&tokenizer, *token)?)))?;
        }
    }
    output.flush()
}

/// A token's bytes; special tokens by name.
fn piece(tokenizer: &Tokenizer, token: TokenId) -> Result<Vec<u8>> {
    Ok(tokenizer.piece(token, true)?)
}

/// Bytes as a text in quotes; what is no UTF-8 as `\xNN`.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\\' => text.extend(['\\', character]),
                control if control.is_control() => text.extend(control.escape_default()),
                other => text.push(other),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text.push('"');
    text
}

/// Numbers with anything usual between them: spaces, commas, brackets.
fn read_ids(text: &str) -> Result<Vec<TokenId>> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']')).filter(|word| !word.is_empty());
    let read = |word: &str| {
        let shown = crate::terminal::one_line(word, 40);
        word.parse()
            .map(TokenId)
            .map_err(|_| Error::usage(format!("`{shown}` is not a token's id"), "give whole numbers"))
    };
    words.map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_printed_and_as_json() {
        let expected = vec![TokenId(1), TokenId(-2), TokenId(30)];
        assert_eq!(read_ids("1 -2\n30").unwrap(), expected);
        assert_eq!(read_ids("[1, -2,30]").unwrap(), expected);
        assert!(read_ids("1 x").is_err() && read_ids("99999999999").is_err());
    }

    #[test]
    fn pieces_are_shown_without_doubt() {
        assert_eq!(quoted(b"a\"\\\n\xe6\x9d"), r#""a\"\\\n\xe6\x9d""#);
        assert_eq!(quoted("東".as_bytes()), "\"東\"");
    }
}
