//! The configuration as the server's admin routes see it.

use mullama_web::{Configuration, Reloads};
use serde_json::{Map, Value as Json, json};

use super::ConfigWatcher;
use crate::error::{Error, Fault, Problem, Problems};
use crate::field::{self, Apply, Field, Kind};
use crate::load::Entry;
use crate::origin::Origin;
use crate::suggest::join;

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

/// The fields that a patch names and that do not change while the program runs, whatever it says of them.
pub(super) fn fixed(patch: &Json) -> Vec<String> {
    let mut found = Vec::new();
    walk(patch, "", &mut found);
    found
}

fn walk(patch: &Json, table: &str, found: &mut Vec<String>) {
    for (name, value) in patch.as_object().into_iter().flatten() {
        let path = join(table, name);
        match (field::find(&path), value) {
            // A table, or null for all that was changed in it.
            (Some(Field { kind: Kind::Section(_), .. }), Json::Object(_)) => walk(value, &path, found),
            (Some(Field { kind: Kind::Section(_), .. }), Json::Null) => {}
            (Some(field), _) if !field.apply.is_live() => found.push(path),
            // What is not known is told by the check of the whole.
            _ => {}
        }
    }
}

/// That a field is not live.
pub(super) fn refused(path: &str, current: &[Entry]) -> Problem {
    let value = current.iter().find(|entry| entry.path == path).and_then(|entry| entry.value.as_deref());
    let value = value.map_or_else(|| "unset".to_owned(), |value| value.to_owned());
    let when = match field::find(path).map(|field| field.apply) {
        Some(Apply::ReloadModel) => "models change with the files",
        _ => "it takes effect only with a restart",
    };
    let reason = format!("it stays {value} while the program runs: {when}");
    Problem::new(path, Origin::Runtime, Fault::Form { reason })
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

    #[test]
    fn fields_that_do_not_change_while_it_runs_are_named() {
        let of = |patch: Json| fixed(&patch);
        assert_eq!(of(json!({ "server": { "port": 8080, "limits": { "max_choices": 3 } } })), ["server.port"]);
        assert_eq!(of(json!({ "server": { "port": null } })), ["server.port"]);
        assert_eq!(of(json!({ "model": { "path": "" }, "models": [] })), ["model.path", "models"]);
        assert_eq!(of(json!({ "server": null, "sampling": 5, "nothing": { "x": 1 } })), [""; 0]);
    }

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
