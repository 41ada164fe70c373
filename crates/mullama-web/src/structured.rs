//! JSON schemas of answers: what of a schema the grammar cannot hold, and the check of the whole answer.
//!
//! llama.cpp turns a schema into a grammar and passes over what it cannot express. Here it is found out beforehand, and told:
//! as an error where `strict` is asked for, as a warning elsewhere. What the grammar passes over, the [`Validator`] still
//! finds in the answer.

mod cost;
mod gaps;
mod kind;
mod pattern;
mod validator;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

use self::gaps::{Gap, Gaps};
pub(crate) use self::validator::Validator;
use crate::error::{ApiError, ApiResult};

/// How answers will follow a schema.
#[derive(Debug)]
pub(crate) struct Plan {
    /// What they may not follow.
    pub(crate) warnings: Vec<String>,
    /// Checks a whole answer. `None` where the schema cannot be compiled, or only at a high price: a warning says so.
    pub(crate) validator: Option<Arc<Validator>>,
}

/// Plans how answers will follow a schema. `param`: the field that it came with.
///
/// Some ten microseconds for a small schema, a few milliseconds for the largest. Says nothing of schemas that llama.cpp
/// refuses: those are 400 later.
///
/// # Errors
/// 400 `invalid_json_schema` where it is `strict` and has a keyword that is not enforced, or is no valid JSON schema.
pub(crate) fn plan(schema: &Value, strict: bool, param: impl Into<Cow<'static, str>>) -> ApiResult<Plan> {
    let param = param.into();
    let mut warnings = warnings(schema, strict, param.clone())?;
    let validator = match Validator::new(schema) {
        Ok(validator) => Some(Arc::new(validator)),
        Err(reason) if strict => {
            return Err(ApiError::invalid(param, format!("The schema cannot be used: {reason}.")).code(CODE));
        }
        Err(reason) => {
            warnings.push(format!("the answer as a whole is not checked against the schema: {reason}"));
            None
        }
    };
    Ok(Plan { warnings, validator })
}

/// As [`plan`], for schemas whose values are not checked by a validator: those of tools' arguments.
///
/// # Errors
/// As [`plan`], for keywords.
pub(crate) fn warnings(schema: &Value, strict: bool, param: impl Into<Cow<'static, str>>) -> ApiResult<Vec<String>> {
    let Gaps { found, all } = gaps::find(schema);
    if strict && let Some(gap) = found.first() {
        let message = format!("{gap}, which `strict` asks for: leave the keyword or `strict` out.");
        return Err(ApiError::invalid(gap.param(&param.into()), message).code(CODE));
    }
    if strict && !all {
        let message = "The schema has too many parts to tell whether they are all enforced, which `strict` asks for.";
        return Err(ApiError::invalid(param, message).code(CODE));
    }
    let mut warnings: Vec<String> = found.iter().take(MAX_WARNINGS).map(Gap::to_string).collect();
    if found.len() > MAX_WARNINGS || !all {
        warnings.push("more keywords may not be enforced".to_owned());
    }
    Ok(warnings)
}

const CODE: &str = "invalid_json_schema";
/// Warnings about one schema.
const MAX_WARNINGS: usize = 16;

#[cfg(test)]
mod tests;
