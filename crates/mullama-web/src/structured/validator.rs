//! The check of a whole answer against its schema.

use std::fmt;

use jsonschema::{Draft, PatternOptions};
use serde_json::Value;

use super::cost::Cost;
use crate::error::{ApiError, ApiResult};

/// A compiled schema.
///
/// Formats are not checked: JSON Schema leaves them to the reader. Nothing is fetched. Regular expressions are matched in
/// linear time.
pub(crate) struct Validator {
    schema: jsonschema::Validator,
    cost: Cost,
}

impl Validator {
    /// Compiles a schema.
    ///
    /// # Errors
    /// Why it cannot be used: it is no valid schema, refers to other documents, has a pattern that cannot be matched in
    /// linear time, or is too large.
    pub(super) fn new(schema: &Value) -> Result<Self, String> {
        if is_larger(schema, MAX_SIZE) {
            return Err(format!("it has more than {MAX_SIZE} bytes"));
        }
        let cost = Cost::of(schema)?;
        let compile = |draft: Option<Draft>| {
            let patterns = PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN);
            let options = jsonschema::options().offline().with_pattern_options(patterns).should_validate_formats(false);
            let options = draft.into_iter().fold(options, jsonschema::ValidationOptions::with_draft);
            options.build(schema)
        };
        let compiled = match compile(None) {
            // Lists of items were written otherwise then.
            Err(error) if schema.get("$schema").is_none() => compile(Some(Draft::Draft7)).map_err(|_| error),
            other => other,
        };
        let schema = compiled.map_err(|error| short(&error.to_string()))?;
        Ok(Self { schema, cost })
    }

    /// Checks a whole answer. One whose check would take too long counts as right.
    ///
    /// # Errors
    /// 500 `structured_output_invalid` for one that is not JSON, or does not satisfy the schema: it says where.
    pub(crate) fn check(&self, answer: &str) -> ApiResult<()> {
        let value: Value = serde_json::from_str(answer)
            .map_err(|error| invalid(format!("The answer is not JSON ({error}); the model did not complete it.")))?;
        if !self.cost.bears(&value) {
            tracing::warn!(bytes = answer.len(), "an answer is not checked against its schema: it would take too long");
            return Ok(());
        }
        self.schema.validate(&value).map_err(|error| {
            let place = error.instance_path().as_str();
            let place = if place.is_empty() { "the root" } else { place };
            invalid(format!(
                "The answer does not satisfy the schema at {}: {}.",
                short(place),
                short(&error.to_string())
            ))
        })
    }
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validator").finish_non_exhaustive()
    }
}

fn invalid(message: String) -> ApiError {
    ApiError::internal(message).code("structured_output_invalid")
}

/// Values of the answer and of the schema stand in messages, and may be long.
fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_TOLD) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Is it larger as text? Does not write it.
fn is_larger(value: &Value, limit: usize) -> bool {
    let mut size = 0_usize;
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        size += match value {
            Value::String(text) => text.len() + 2,
            Value::Array(list) => {
                waiting.extend(list);
                list.len() + 2
            }
            Value::Object(map) => {
                waiting.extend(map.values());
                map.keys().map(|key| key.len() + 4).sum::<usize>() + 2
            }
            _ => 4,
        };
        if size > limit {
            return true;
        }
    }
    false
}

/// Bytes of a schema.
const MAX_SIZE: usize = 64 << 10;
/// Bytes of a compiled regular expression.
const MAX_PATTERN: usize = 128 << 10;
/// Characters of an explanation.
const MAX_TOLD: usize = 240;
