//! The configuration as the server's admin routes see it.

use mullama_web::{Configuration, Reloads};
use serde_json::{Map, Value as Json, json};

use super::{Change, ConfigWatcher};
use crate::error::{Error, Fault, Problem, Problems};
use crate::load::Entry;
use crate::origin::Origin;

/// What is refused is told line by line.
impl Configuration for ConfigWatcher {
    fn show(&self) -> Json {
        let current = self.current();
        let values = current.entries().into_iter().map(|Entry { path, value, origin, apply }| {
            json!({ "path": path, "value": value, "origin": origin.to_string(), "apply": apply })
        });
        let pending: Vec<String> = self.pending().into_iter().map(|change| change.path).collect();
        json!({ "values": values.collect::<Vec<_>>(), "pending": pending })
    }

    fn change(&self, patch: Json) -> Result<Json, Vec<String>> {
        let changes = if patch.is_object() { self.shared.change(patch) } else { Err(no_object()) };
        match changes {
            Ok(changes) => Ok(json!(changes)),
            Err(error) if error.problems().is_empty() => Err(vec![error.to_string()]),
            Err(error) => Err(error.problems().iter().map(told).collect()),
        }
    }

    fn reloads(&self) -> Reloads {
        let stats = self.stats();
        Reloads { taken: stats.reloads, refused: stats.failures }
    }
}

/// RFC 7396: objects are merged, null takes away, all else replaces.
pub(super) fn merge(target: &mut Json, patch: Json) {
    let Json::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Json::Object(Map::new());
    }
    let Json::Object(fields) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            fields.remove(&name);
        } else {
            merge(fields.entry(name).or_insert(Json::Null), value);
        }
    }
}

/// A change of what is not live.
pub(super) fn refused(change: Change) -> Problem {
    let when = if change.waits() { "it takes effect only with a restart" } else { "models change with the files" };
    let expected = format!("{}: {when}", change.from.as_deref().unwrap_or("unset"));
    Problem::value(change.path, Origin::Runtime, change.to.unwrap_or_else(|| "unset".to_owned()), expected)
}

fn told(problem: &Problem) -> String {
    match &problem.hint {
        Some(hint) => format!("{problem} ({hint})"),
        None => problem.to_string(),
    }
}

fn no_object() -> Error {
    let fault = Fault::Form { reason: "the patch must be an object".to_owned() };
    Error::Invalid(Problems(vec![Problem::new("the whole", Origin::Runtime, fault)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 7396, appendix A, but for those with values that are no objects.
    #[test]
    fn patches_are_merged_as_the_standard_says() {
        for (mut target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            merge(&mut target, patch);
            assert_eq!(target, result);
        }
    }
}
