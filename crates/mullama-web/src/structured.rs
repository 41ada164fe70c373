//! JSON schemas of answers: what of a schema the grammar cannot hold, and the check of the whole answer.
//!
//! llama.cpp turns a schema into a grammar and passes over what it cannot express. What the grammar passes over, the
//! [`Validator`] still finds in the whole answer. A schema that is `strict` is taken where one of the two enforces each of its
//! keywords; elsewhere it is told beforehand what the grammar relaxes, as a warning.

mod applied;
mod checked;
mod cost;
mod gaps;
mod keywords;
mod kind;
mod pattern;
mod validator;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use mullama_core::ChatMessage;
use serde_json::Value;

use self::gaps::{Gap, Gaps};
use self::validator::Unusable;
pub(crate) use self::validator::Validator;
use crate::error::{ApiError, ApiResult};

/// What whole answers must satisfy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checks {
    /// The field of the request that the form of answers comes from; empty: it has none.
    pub(crate) form: &'static str,
    /// The text of an answer.
    pub(crate) text: Option<Arc<Validator>>,
    /// The arguments of calls, by the name of the tool.
    pub(crate) arguments: HashMap<String, Arc<Validator>>,
}

impl Checks {
    /// Of the text alone.
    pub(crate) fn of_text(form: &'static str, text: Option<Arc<Validator>>) -> Self {
        Self { form, text, ..Self::default() }
    }

    /// Checks the calls of a message.
    ///
    /// # Errors
    /// As [`Validator::check`].
    pub(crate) fn calls(&self, message: Option<&ChatMessage>) -> ApiResult<()> {
        for call in message.into_iter().flat_map(|message| &message.tool_calls) {
            if let Some(validator) = self.arguments.get(&call.function.name) {
                validator.check(&format!("The call of `{}`", call.function.name), &call.function.arguments)?;
            }
        }
        Ok(())
    }
}

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
/// As [`strictly`], where it is `strict`.
pub(crate) fn plan(schema: &Value, strict: bool, param: impl Into<Cow<'static, str>>) -> ApiResult<Plan> {
    if strict {
        return Ok(Plan { warnings: Vec::new(), validator: Some(strictly(schema, param)?) });
    }
    let mut warnings = warnings(schema);
    let validator = match Validator::new(schema) {
        Ok(validator) => Some(Arc::new(validator)),
        Err(Unusable { reason, .. }) => {
            warnings.push(format!("the answer as a whole is not checked against the schema: {reason}"));
            None
        }
    };
    Ok(Plan { warnings, validator })
}

/// The check of answers that follow a schema strictly.
///
/// # Errors
/// 400 `invalid_json_schema` where it has a keyword that neither the grammar nor the check enforces, or is no valid JSON
/// schema.
pub(crate) fn strictly(schema: &Value, param: impl Into<Cow<'static, str>>) -> ApiResult<Arc<Validator>> {
    let param = param.into();
    let gaps = gaps::find(schema);
    let (validator, unchecked) = Validator::strict(schema).map_err(|Unusable { reason, place }| {
        let param = gaps::below(&param, place.split('/').skip(1));
        ApiError::invalid(param, format!("The schema cannot be used: {reason}.")).code(CODE)
    })?;
    if let Some(gap) = gaps.left(&unchecked) {
        let message = format!("{gap}, which `strict` asks for: leave the keyword or `strict` out.");
        return Err(ApiError::invalid(gap.param(&param), message).code(CODE));
    }
    if !gaps.all {
        let message = "The schema has too many parts to tell whether they are all enforced, which `strict` asks for.";
        return Err(ApiError::invalid(param, message).code(CODE));
    }
    Ok(Arc::new(validator))
}

/// What of a schema the grammar does not enforce.
pub(crate) fn warnings(schema: &Value) -> Vec<String> {
    let Gaps { found, all, .. } = gaps::find(schema);
    let mut warnings: Vec<String> = found.iter().take(MAX_WARNINGS).map(Gap::to_string).collect();
    if found.len() > MAX_WARNINGS || !all {
        warnings.push("more keywords may not be enforced".to_owned());
    }
    warnings
}

const CODE: &str = "invalid_json_schema";
/// Warnings about one schema.
const MAX_WARNINGS: usize = 16;

#[cfg(test)]
mod tests;
