//! Grammars that generated text must follow.

mod limits;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ffi;
use crate::model::Model;
use crate::prepare::Preparer;
use crate::tokenizer::TokenId;
pub(crate) use limits::{check_schema, json_depth, json_depth_within};

/// A grammar in llama.cpp's GBNF. Tokens that cannot continue it are never chosen.
///
/// ```
/// use mullama_core::Grammar;
///
/// let grammar = Grammar::gbnf(r#"root ::= "yes" | "no""#)?;
/// let person = Grammar::json_schema(&serde_json::json!({
///     "type": "object",
///     "properties": { "name": { "type": "string" }, "age": { "type": "integer" } },
///     "required": ["name", "age"]
/// }))?;
/// assert!(person.as_gbnf().contains("root"));
/// # Ok::<(), mullama_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grammar {
    gbnf: String,
    #[serde(default)]
    kind: GrammarKind,
    /// Empty: the grammar holds from the first token on.
    #[serde(default)]
    triggers: Vec<GrammarTrigger>,
    #[serde(default)]
    preserved_tokens: Vec<String>,
}

/// Who made the grammar: llama.cpp's sampler treats the beginning of an answer that the template already wrote
/// differently for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum GrammarKind {
    #[default]
    User,
    OutputFormat,
    /// By the chat engine, whatever for: llama.cpp's server makes no difference.
    ToolCalls,
}

/// What switches a lazy grammar on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GrammarTrigger {
    /// This text appears.
    Word(String),
    /// This token appears.
    Token(TokenId),
    /// This regular expression (ECMAScript) matches from some point on; the grammar begins with its first group.
    Pattern(String),
    /// This regular expression matches the whole text so far.
    PatternFull(String),
}

impl Grammar {
    /// A grammar from GBNF text, with a rule named `root`. Checks its size and nesting; the grammar itself is read when
    /// a sampler is made ([`Grammar::check`] does so ahead of time).
    ///
    /// A very ambiguous grammar, one with many ways to read the same text, can take seconds for a token, during which
    /// neither a deadline nor a cancellation is seen. The first characters are tried beforehand, and a grammar that is
    /// slow on them is refused; one that is slow only later is not found.
    ///
    /// # Errors
    /// [`Error::Grammar`] over 64 KiB, over 64 levels of brackets, or with a NUL character.
    pub fn gbnf(text: impl Into<String>) -> Result<Self> {
        let grammar =
            Self { gbnf: text.into(), kind: GrammarKind::User, triggers: Vec::new(), preserved_tokens: Vec::new() };
        grammar.validate()?;
        Ok(grammar)
    }

    /// The grammar of the JSON texts that a schema allows, as llama.cpp's server derives it.
    ///
    /// # Errors
    /// [`Error::Grammar`] for a schema over 64 KiB, over 64 levels of JSON or over 256 properties, one that refers to another
    /// document, or one that llama.cpp cannot express; [`Error::Timeout`].
    pub fn json_schema(schema: &serde_json::Value) -> Result<Self> {
        let text = check_schema(schema)?;
        let gbnf = Preparer::new().run("JSON schema", DEADLINE, move || ffi::json_schema_to_grammar(&text))?;
        let gbnf = gbnf.map_err(|reason| Error::Grammar { reason })?;
        Self::generated(gbnf, GrammarKind::OutputFormat, Vec::new(), Vec::new())
    }

    /// The same grammar, but held back until one of the triggers appears.
    ///
    /// # Errors
    /// [`Error::Grammar`] without a trigger, or with a word over 256 bytes or a pattern over 4 KiB.
    pub fn lazy(mut self, triggers: impl IntoIterator<Item = GrammarTrigger>) -> Result<Self> {
        self.triggers = triggers.into_iter().collect();
        if self.triggers.is_empty() {
            return Err(Error::Grammar { reason: "a lazy grammar needs at least one trigger".to_owned() });
        }
        self.validate()?;
        Ok(self)
    }

    /// One that llama.cpp derived: its size is bounded by what it was derived from.
    pub(crate) fn generated(
        gbnf: String,
        kind: GrammarKind,
        triggers: Vec<GrammarTrigger>,
        preserved_tokens: Vec<String>,
    ) -> Result<Self> {
        if gbnf.len() > MAX_GENERATED {
            let reason =
                format!("the schema or the tools need a grammar of {} bytes, the limit is {MAX_GENERATED}", gbnf.len());
            return Err(Error::Grammar { reason });
        }
        Ok(Self { gbnf, kind, triggers, preserved_tokens })
    }

    /// The grammar's text.
    #[must_use]
    pub fn as_gbnf(&self) -> &str {
        &self.gbnf
    }

    /// Reads the grammar as a sampler would, with `model`'s vocabulary.
    ///
    /// # Errors
    /// [`Error::Grammar`] with llama.cpp's message; [`Error::Timeout`] after 5 s.
    pub fn check(&self, model: &Model) -> Result<()> {
        self.validate()?;
        let gbnf = self.gbnf.clone();
        let checked = model.prepare("grammar", DEADLINE, move |ptr| ptr.check_grammar(&gbnf))?;
        checked.map_err(|reason| Error::Grammar { reason })
    }

    /// Size and nesting: what makes llama.cpp's recursive parser overflow its stack.
    pub(crate) fn validate(&self) -> Result<()> {
        let fail = |reason: String| Err(Error::Grammar { reason });
        let limit = if self.kind == GrammarKind::User { MAX_USER } else { MAX_GENERATED };
        if self.gbnf.len() > limit {
            return fail(format!("it has {} bytes, the limit is {limit}", self.gbnf.len()));
        }
        if self.gbnf.trim().is_empty() {
            return fail("it is empty".to_owned());
        }
        if self.gbnf.contains('\0') {
            return fail("it contains a NUL character".to_owned());
        }
        if self.gbnf.starts_with("%llguidance") {
            return fail("llguidance grammars are not supported; write GBNF".to_owned());
        }
        let limits::Scan { depth, backward, largest_repetition } = limits::scan(&self.gbnf);
        let deepest = if self.kind == GrammarKind::User { MAX_DEPTH } else { MAX_GENERATED_DEPTH };
        if depth > deepest {
            return fail(format!("its brackets are {depth} deep, the limit is {deepest}"));
        }
        if let Some(range) = backward {
            return fail(format!("the repetition {{{range}}} ends before it begins"));
        }
        if self.gbnf.len().saturating_mul(largest_repetition) > MAX_WRITTEN_OUT {
            return fail(format!(
                "it has {} bytes and repeats {largest_repetition} times, which is too much together",
                self.gbnf.len()
            ));
        }
        if self.triggers.len() > MAX_TRIGGERS {
            return fail(format!("it has {} triggers, the limit is {MAX_TRIGGERS}", self.triggers.len()));
        }
        for trigger in &self.triggers {
            let (text, limit) = match trigger {
                GrammarTrigger::Token(_) => continue,
                GrammarTrigger::Word(text) => (text, MAX_WORD),
                GrammarTrigger::Pattern(text) | GrammarTrigger::PatternFull(text) => (text, MAX_PATTERN),
            };
            if text.is_empty() || text.len() > limit {
                return fail(format!("a trigger has {} bytes, but must have 1 to {limit}", text.len()));
            }
        }
        if self.preserved_tokens.len() > MAX_PRESERVED || self.preserved_tokens.iter().any(|text| text.len() > MAX_WORD)
        {
            return fail(format!("it preserves more than {MAX_PRESERVED} tokens, or one over {MAX_WORD} bytes"));
        }
        Ok(())
    }

    /// The fields of the shim's sampler parameters.
    pub(crate) fn write(&self, into: &mut serde_json::Map<String, serde_json::Value>) {
        let kind = match self.kind {
            GrammarKind::User => "user",
            GrammarKind::OutputFormat => "output_format",
            GrammarKind::ToolCalls => "tool_calls",
        };
        into.insert("grammar".to_owned(), self.gbnf.clone().into());
        into.insert("grammar_type".to_owned(), kind.into());
        into.insert("grammar_lazy".to_owned(), (!self.triggers.is_empty()).into());
        into.insert("grammar_triggers".to_owned(), self.triggers.iter().map(GrammarTrigger::write).collect());
        into.insert("preserved_tokens".to_owned(), self.preserved_tokens.clone().into());
    }

    /// Do regular expressions watch the answer?
    pub(crate) fn has_pattern_triggers(&self) -> bool {
        self.triggers
            .iter()
            .any(|trigger| matches!(trigger, GrammarTrigger::Pattern(_) | GrammarTrigger::PatternFull(_)))
    }

    /// Texts of the special tokens that the maker of the grammar looks for in the answer.
    pub(crate) fn preserved_tokens(&self) -> &[String] {
        &self.preserved_tokens
    }

    /// The token ids among the triggers.
    pub(crate) fn trigger_tokens(&self) -> impl Iterator<Item = TokenId> + '_ {
        self.triggers.iter().filter_map(|trigger| match trigger {
            GrammarTrigger::Token(token) => Some(*token),
            _ => None,
        })
    }
}

impl GrammarTrigger {
    /// `common_grammar_trigger`: type, value, token.
    fn write(&self) -> serde_json::Value {
        let (kind, value, token) = match self {
            Self::Token(token) => (0, "", token.0),
            Self::Word(text) => (1, text.as_str(), -1),
            Self::Pattern(text) => (2, text.as_str(), -1),
            Self::PatternFull(text) => (3, text.as_str(), -1),
        };
        serde_json::json!({ "type": kind, "value": value, "token": token })
    }

    pub(crate) fn read(kind: i64, value: String, token: i32) -> Result<Self> {
        match kind {
            0 => Ok(Self::Token(TokenId(token))),
            1 => Ok(Self::Word(value)),
            2 => Ok(Self::Pattern(value)),
            3 => Ok(Self::PatternFull(value)),
            _ => Err(Error::Internal { what: format!("llama.cpp gave a grammar trigger of type {kind}") }),
        }
    }
}

const MAX_USER: usize = 64 << 10;
const MAX_GENERATED: usize = 1 << 20;
const MAX_DEPTH: usize = 64;
const MAX_GENERATED_DEPTH: usize = 1_000;
/// Bytes of grammar times its largest repetition: llama.cpp writes the repetition out.
const MAX_WRITTEN_OUT: usize = 16 << 20;
const MAX_TRIGGERS: usize = 64;
const MAX_WORD: usize = 256;
const MAX_PATTERN: usize = 4 << 10;
const MAX_PRESERVED: usize = 256;
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_overflow_llama_cpp_is_refused_here() {
        let deep = format!("root ::= {}\"a\"{}", "(".repeat(20_000), ")".repeat(20_000));
        let long = format!("root ::= \"{}\"{{2000}}", "a".repeat(60_000));
        let nothing = String::new();
        for grammar in
            [deep, long, "a".repeat(70_000), nothing, "%llguidance {}".to_owned(), "root ::= \"\0\"".to_owned()]
        {
            assert!(matches!(Grammar::gbnf(grammar), Err(Error::Grammar { .. })));
        }
    }
}
