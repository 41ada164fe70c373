//! The check of a whole answer against its schema.

use std::fmt;

use jsonschema::{Draft, PatternOptions};
use serde_json::Value;

use super::checked::unchecked;
use super::cost::Cost;
use super::gaps::Gap;
use crate::error::{ApiError, ApiResult};

/// A compiled schema.
///
/// Nothing is fetched. Regular expressions are matched in linear time.
pub(crate) struct Validator {
    schema: jsonschema::Validator,
    cost: Cost,
    strict: bool,
}

/// Why a schema cannot be used.
#[derive(Debug)]
pub(super) struct Unusable {
    pub(super) reason: String,
    /// The keyword that is at fault, as a JSON pointer.
    pub(super) place: String,
}

impl From<String> for Unusable {
    fn from(reason: String) -> Self {
        Self { reason, place: String::new() }
    }
}

impl Validator {
    /// Compiles a schema. Formats are not checked: JSON Schema leaves them to the reader.
    ///
    /// # Errors
    /// Why it cannot be used: it is no valid schema, refers to other documents, has a pattern that cannot be matched in
    /// linear time, or is too large.
    pub(super) fn new(schema: &Value) -> Result<Self, Unusable> {
        Ok(compile(schema, false)?.0)
    }

    /// Compiles a schema whose formats are checked, too; and finds what the check does not enforce.
    ///
    /// # Errors
    /// As [`Validator::new`].
    pub(super) fn strict(schema: &Value) -> Result<(Self, Vec<Gap>), Unusable> {
        let (validator, draft) = compile(schema, true)?;
        let options = options(true);
        Ok((validator, unchecked(schema, draft, |name| options.is_known_format(draft, name))))
    }

    /// Were keywords taken that this check alone enforces?
    pub(crate) fn is_strict(&self) -> bool {
        self.strict
    }

    /// Checks a whole answer, or the arguments of a call; `what` begins the message. One whose check would take too long counts as right, unless the schema is strict.
    ///
    /// # Errors
    /// 500 `structured_output_invalid` for one that is not JSON, or does not satisfy the schema: it says where.
    pub(crate) fn check(&self, what: &str, answer: &str) -> ApiResult<()> {
        let value: Value = serde_json::from_str(answer)
            .map_err(|error| invalid(format!("{what} is not JSON ({error}); the model did not complete it.")))?;
        if !self.cost.bears(&value) {
            if self.strict {
                return Err(invalid(format!("{what} would take too long to be checked against its schema.")));
            }
            tracing::warn!(bytes = answer.len(), "an answer is not checked against its schema: it would take too long");
            return Ok(());
        }
        self.schema.validate(&value).map_err(|error| {
            let place = error.instance_path().as_str();
            let place = if place.is_empty() { "the root" } else { place };
            let (place, error) = (short(place), short(&error.to_string()));
            invalid(format!("{what} does not satisfy the schema at {place}: {error}."))
        })
    }
}

fn compile(schema: &Value, strict: bool) -> Result<(Validator, Draft), Unusable> {
    if is_larger(schema, MAX_SIZE) {
        return Err(format!("it has more than {MAX_SIZE} bytes").into());
    }
    let cost = Cost::of(schema)?;
    let draft = Draft::default().detect(schema);
    let compiled = match options(strict).build(schema) {
        // Lists of items were written otherwise then.
        Err(error) if schema.get("$schema").is_none() => {
            let old = options(strict).with_draft(Draft::Draft7).build(schema);
            old.map(|schema| (schema, Draft::Draft7)).map_err(|_| error)
        }
        other => other.map(|schema| (schema, draft)),
    };
    let (schema, draft) = compiled.map_err(|error| Unusable {
        reason: short(&error.to_string()),
        place: error.instance_path().as_str().to_owned(),
    })?;
    Ok((Validator { schema, cost, strict }, draft))
}

fn options(strict: bool) -> jsonschema::ValidationOptions<'static> {
    let patterns = PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN);
    let options = jsonschema::options().offline().with_pattern_options(patterns).should_validate_formats(strict);
    // Of all drafts, as they are to the grammar, which has versions of them, too.
    UUIDS.iter().fold(options, |options, name| options.with_format(*name, is_uuid))
}

/// 8-4-4-4-12 hexadecimal digits.
fn is_uuid(text: &str) -> bool {
    let groups = [8, 4, 4, 4, 12];
    let mut parts = text.split('-');
    let hexadecimal =
        |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    groups.into_iter().all(|length| parts.next().is_some_and(|part| hexadecimal(part, length)))
        && parts.next().is_none()
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

const UUIDS: [&str; 6] = ["uuid", "uuid1", "uuid2", "uuid3", "uuid4", "uuid5"];
/// Bytes of a schema.
const MAX_SIZE: usize = 64 << 10;
/// Bytes of a compiled regular expression.
const MAX_PATTERN: usize = 128 << 10;
/// Characters of an explanation.
const MAX_TOLD: usize = 240;
