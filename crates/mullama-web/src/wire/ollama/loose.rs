//! Fields of Ollama's that may be one thing or another.

use std::fmt;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::wire::chat::ReasoningEffort;

/// Whether the model thinks first, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Think {
    No,
    Yes,
    Effort(ReasoningEffort),
}

impl<'de> Deserialize<'de> for Think {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct BoolOrLevel;
        impl Visitor<'_> for BoolOrLevel {
            type Value = Think;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, \"low\", \"medium\" or \"high\"")
            }

            fn visit_bool<E: Error>(self, think: bool) -> Result<Think, E> {
                Ok(if think { Think::Yes } else { Think::No })
            }

            fn visit_str<E: Error>(self, level: &str) -> Result<Think, E> {
                match level {
                    "low" => Ok(Think::Effort(ReasoningEffort::Low)),
                    "medium" => Ok(Think::Effort(ReasoningEffort::Medium)),
                    "high" => Ok(Think::Effort(ReasoningEffort::High)),
                    other => Err(E::invalid_value(Unexpected::Str(other), &self)),
                }
            }
        }
        from.deserialize_any(BoolOrLevel)
    }
}

/// How long a model stays: seconds, or a duration as Go writes it; negative ones are for ever. Only whether it is 0 matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeepAlive {
    pub(crate) is_zero: bool,
}

impl<'de> Deserialize<'de> for KeepAlive {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct SecondsOrDuration;
        impl Visitor<'_> for SecondsOrDuration {
            type Value = KeepAlive;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of seconds, or a duration like \"5m\" or \"1h30m\"")
            }

            fn visit_i64<E: Error>(self, seconds: i64) -> Result<KeepAlive, E> {
                Ok(KeepAlive { is_zero: seconds == 0 })
            }

            fn visit_u64<E: Error>(self, seconds: u64) -> Result<KeepAlive, E> {
                Ok(KeepAlive { is_zero: seconds == 0 })
            }

            fn visit_f64<E: Error>(self, seconds: f64) -> Result<KeepAlive, E> {
                Ok(KeepAlive { is_zero: seconds == 0.0 })
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<KeepAlive, E> {
                let is_zero = is_zero(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))?;
                Ok(KeepAlive { is_zero })
            }
        }
        from.deserialize_any(SecondsOrDuration)
    }
}

/// Of a duration in the form of Go's `time.ParseDuration`: a sign, then decimal numbers, each with a unit; or a bare 0.
/// `None`: it has another form.
fn is_zero(text: &str) -> Option<bool> {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    if text == "0" {
        return Some(true);
    }
    let mut rest = text;
    let mut zero = true;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number = &rest[..end];
        let dots = number.matches('.').count();
        if dots > 1 || number.len() == dots {
            return None;
        }
        zero &= number.bytes().all(|byte| matches!(byte, b'0' | b'.'));
        let unit = UNITS.iter().find(|unit| rest[end..].starts_with(**unit))?;
        rest = &rest[end + unit.len()..];
    }
    (!text.is_empty()).then_some(zero)
}

/// A unit before its own beginning.
const UNITS: [&str; 8] = ["ns", "us", "µs", "μs", "ms", "s", "m", "h"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, zero) in [
            ("0", true),
            ("-0", true),
            ("0s", true),
            ("0m0.0s", true),
            ("5m", false),
            ("1h30m", false),
            ("-1m", false),
            ("1.5h", false),
            ("100ms", false),
            ("+2us", false),
            (".5s", false),
            ("3µs", false),
        ] {
            assert_eq!(is_zero(text), Some(zero), "{text}");
        }
        for text in ["", "-", "5", "m", "5x", "1..5s", ".s", "5m 3s", "five", "5ms3"] {
            assert_eq!(is_zero(text), None, "{text}");
        }
    }

    #[test]
    fn both_fields_have_several_forms() {
        let keep = |json: &str| serde_json::from_str::<KeepAlive>(json).map(|keep| keep.is_zero);
        assert!(keep("0").unwrap() && keep("0.0").unwrap() && keep("\"0s\"").unwrap());
        assert!(!keep("-1").unwrap() && !keep("300").unwrap() && !keep("\"5m\"").unwrap());
        assert!(keep("true").is_err() && keep("\"soon\"").is_err() && keep("[]").is_err());
        let think = |json: &str| serde_json::from_str::<Think>(json);
        assert_eq!(think("false").unwrap(), Think::No);
        assert_eq!(think("\"high\"").unwrap(), Think::Effort(ReasoningEffort::High));
        assert!(think("\"deeply\"").is_err() && think("1").is_err());
    }
}
