//! What the user gives: model and text by their places, files, standard input.

use std::ffi::OsStr;
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};

use mullama_core::Tool;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::load::ModelSource;

/// `[MODEL] TEXT`: two are model and text. One is a text for the embedded model; but if it names a .gguf file it is the
/// model, and the text comes from standard input. `-` and nothing at all: the text comes from standard input.
pub(crate) fn model_and_text(first: Option<&OsStr>, second: Option<&OsStr>) -> Result<(ModelSource, String)> {
    match (first, second) {
        (Some(model), Some(_)) if !names_gguf(model) && !Path::new(model).exists() => {
            Err(Error::NoFile { path: model.into(), hint: "a text with spaces needs quotes; a MODEL is a .gguf file" })
        }
        (Some(model), Some(text)) => Ok((ModelSource::File(model.into()), text_of(text)?)),
        (Some(model), None) if names_gguf(model) => {
            let model = ModelSource::File(model.into());
            // A wrong path is told before anything is waited for.
            model.header()?;
            Ok((model, piped_text("give a text too, or pipe one in; `mullama chat MODEL` is for conversations")?))
        }
        (Some(text), None) => Ok((ModelSource::Embedded, text_of(text)?)),
        (None, _) => Ok((ModelSource::Embedded, piped_text("give a text, or pipe one in")?)),
    }
}

/// The texts of the arguments, or the lines of standard input if there are none or just `-`.
pub(crate) fn texts(arguments: &[String]) -> Result<Box<dyn Iterator<Item = Result<String>> + '_>> {
    match arguments {
        [] if io::stdin().is_terminal() => {
            Err(Error::usage("nothing to do: there is no text", "give texts, or pipe them in, one in a line"))
        }
        [] => Ok(Box::new(Lines)),
        [only] if only == "-" => Ok(Box::new(Lines)),
        given => Ok(Box::new(given.iter().cloned().map(Ok))),
    }
}

/// The lines of standard input, without their ends.
#[derive(Debug)]
pub(crate) struct Lines;

impl Iterator for Lines {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut bytes = Vec::new();
        match io::stdin().lock().take(MAX_TEXT as u64 + 1).read_until(b'\n', &mut bytes) {
            Ok(0) => None,
            Ok(_) => Some(text_from(bytes, "standard input")),
            Err(error) => Some(Err(Error::Stdin(error))),
        }
    }
}

/// A text given as it is, or as the file that holds it: `is_text` tells which, `hint` says how.
fn text_or_file(given: &str, is_text: impl Fn(&str) -> bool, hint: &'static str) -> Result<String> {
    let path = Path::new(given);
    if is_text(given) {
        Ok(given.to_owned())
    } else if path.exists() {
        read_file(path)
    } else {
        Err(Error::NoFile { path: path.to_owned(), hint })
    }
}

/// A grammar given as it is, or as the file that holds it.
pub(crate) fn grammar_or_file(given: &str) -> Result<String> {
    text_or_file(
        given,
        |text| text.contains("::="),
        "check the path; a grammar has rules like `root ::= \"yes\" | \"no\"`",
    )
}

/// JSON given as it is, or as the file that holds it.
pub(crate) fn json_or_file(given: &str) -> Result<Value> {
    let is_json = |text: &str| text.trim_start().starts_with(['{', '[']);
    let text = text_or_file(given, is_json, "check the path; JSON itself begins with { or [")?;
    serde_json::from_str(&text).map_err(|source| Error::Json { what: one_word(given), source })
}

/// Tools in OpenAI's form: an array of `{"type": "function", "function": {...}}`, or of the functions alone.
pub(crate) fn tools(given: &str) -> Result<Vec<Tool>> {
    let json = json_or_file(given)?;
    let items = match json {
        Value::Array(items) => items,
        one => vec![one],
    };
    let read = |item: Value| {
        let function = match item {
            Value::Object(mut fields) if fields.contains_key("function") => {
                fields.remove("function").unwrap_or_default()
            }
            bare => bare,
        };
        serde_json::from_value(function).map_err(|source| Error::Json { what: one_word(given), source })
    };
    items.into_iter().map(read).collect()
}

/// The text of a file.
pub(crate) fn read_file(path: &Path) -> Result<String> {
    let failed = |source| mullama_core::Error::File { action: "read", path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    whole_text(bytes, &format!("`{}`", path.display()))
}

/// Is this the name of a model file? Nobody asks a model "model.gguf".
fn names_gguf(argument: &OsStr) -> bool {
    let path = Path::new(argument);
    let gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    gguf && (path.is_file() || !argument.to_string_lossy().contains(char::is_whitespace))
}

fn text_of(argument: &OsStr) -> Result<String> {
    if argument == "-" {
        return stdin_text();
    }
    let text = argument.to_str();
    Ok(text.ok_or_else(|| Error::usage("the text is not valid UTF-8", "mullama takes UTF-8 only"))?.to_owned())
}

/// Standard input, if somebody gave one.
fn piped_text(hint: &'static str) -> Result<String> {
    if io::stdin().is_terminal() {
        return Err(Error::usage("nothing to do: there is no text", hint));
    }
    stdin_text()
}

/// All of standard input, without the last line's end.
fn stdin_text() -> Result<String> {
    let mut bytes = Vec::new();
    io::stdin().lock().take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes).map_err(Error::Stdin)?;
    let text = text_from(bytes, "standard input")?;
    if text.is_empty() {
        return Err(mullama_core::Error::EmptyPrompt.into());
    }
    Ok(text)
}

fn text_from(bytes: Vec<u8>, what: &str) -> Result<String> {
    let mut text = whole_text(bytes, what)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn whole_text(bytes: Vec<u8>, what: &str) -> Result<String> {
    if bytes.len() > MAX_TEXT {
        return Err(mullama_core::Error::TextTooLong { bytes: bytes.len(), limit: MAX_TEXT }.into());
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Error::usage(format!("{what} is not valid UTF-8 at byte {at}"), "mullama takes UTF-8 only")
    })
}

fn one_word(given: &str) -> String {
    format!("`{}`", crate::terminal::one_line(given, 60))
}

/// What the tokenizer takes.
const MAX_TEXT: usize = 16 << 20;

/// Where state of the program is kept between runs: `$XDG_STATE_HOME/mullama` or `~/.local/state/mullama`.
pub(crate) fn state_folder() -> Option<PathBuf> {
    folder("XDG_STATE_HOME", "mullama").or_else(|| folder("HOME", ".local/state/mullama"))
}

/// Where files are kept that can be made again: `$XDG_CACHE_HOME/mullama` or `~/.cache/mullama`.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    folder("XDG_CACHE_HOME", "mullama").or_else(|| folder("HOME", ".cache/mullama"))
}

/// A folder in the one that an environment variable names.
fn folder(name: &str, rest: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(name)?);
    path.is_absolute().then(|| path.join(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_argument_is_a_text_unless_it_names_a_model() {
        let resolve = |first: &str| model_and_text(Some(OsStr::new(first)), None);
        assert_eq!(resolve("Who are you?").unwrap(), (ModelSource::Embedded, "Who are you?".to_owned()));
        assert!(!names_gguf(OsStr::new("what is model.gguf")));
        assert!(names_gguf(OsStr::new("model.GGUF")));
        assert!(!names_gguf(OsStr::new("gguf")));
        let (model, text) = model_and_text(Some(OsStr::new("m.gguf")), Some(OsStr::new("hi"))).unwrap();
        assert_eq!((model, text.as_str()), (ModelSource::File("m.gguf".into()), "hi"));
    }

    #[test]
    fn tools_are_read_in_both_forms() {
        let function = r#"{"name": "f", "parameters": {"type": "object"}}"#;
        let wrapped = format!(r#"[{{"type": "function", "function": {function}}}]"#);
        assert_eq!(tools(&wrapped).unwrap(), tools(&format!("[{function}]")).unwrap());
        assert!(matches!(tools("[1]"), Err(Error::Json { .. })));
        assert!(matches!(tools("{"), Err(Error::Json { .. })));
    }

    #[test]
    fn one_line_end_goes_and_more_stay() {
        let text = |bytes: &[u8]| text_from(bytes.to_vec(), "x").unwrap();
        assert_eq!((text(b"a\n"), text(b"a\r\n"), text(b"a\n\n")), ("a".into(), "a".into(), "a\n".into()));
        assert_eq!(text_from(b"ab\xff".to_vec(), "x").unwrap_err().kind(), mullama_core::ErrorKind::InvalidInput);
    }
}
