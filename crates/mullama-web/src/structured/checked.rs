//! Which keywords of a schema the check of the whole answer does not enforce: those that its draft does not know, and
//! formats without a definition.

use std::collections::HashSet;
use std::ptr::from_ref;

use jsonschema::Draft;
use serde_json::Value;

use super::applied::{applied, target};
use super::gaps::Gap;
use super::keywords;
use super::kind::{Fields, Types};

/// Finds them in all schemas that can be applied, the first ones first. Of a schema that was compiled: its parts are few.
pub(super) fn unchecked(schema: &Value, draft: Draft, known_format: impl Fn(&str) -> bool) -> Vec<Gap> {
    let mut walk = Walk { root: schema, seen: HashSet::new(), places: Vec::new() };
    walk.add(schema, None, Vec::new());
    let (mut found, mut next) = (Vec::new(), 0);
    while let Some(fields) = walk.places.get(next).map(|place| place.fields) {
        for (key, value) in fields {
            if let Some(keyword) = keywords::find(key)
                && keyword.of.meets(Types::declared(fields))
                && !keywords::is_idle(keyword.name, value, fields)
                && !holds(draft, keyword.name, value, fields, &known_format)
            {
                found.push(Gap::new(keyword.name, walk.path(next), fields));
            }
            walk.descend(next, key, value);
        }
        // Another draft may be meant from here on.
        if next > 0 && fields.contains_key("$schema") {
            found.push(Gap::new("$schema", walk.path(next), fields));
        }
        next += 1;
    }
    found
}

/// Does the check enforce a keyword?
fn holds(draft: Draft, name: &str, value: &Value, fields: &Fields, known_format: &impl Fn(&str) -> bool) -> bool {
    if draft < Draft::Draft201909 && name != "$ref" && fields.contains_key("$ref") {
        return false;
    }
    match name {
        "$dynamicRef" | "$recursiveRef" => false,
        "const" | "contains" | "propertyNames" => draft >= Draft::Draft6,
        "exclusiveMinimum" | "exclusiveMaximum" => value.is_boolean() == (draft < Draft::Draft6),
        "if" | "then" | "else" => draft >= Draft::Draft7,
        "dependentRequired"
        | "dependentSchemas"
        | "unevaluatedProperties"
        | "unevaluatedItems"
        | "minContains"
        | "maxContains" => draft >= Draft::Draft201909,
        "prefixItems" => draft >= Draft::Draft202012,
        "format" => value.as_str().is_some_and(known_format),
        _ => true,
    }
}

struct Walk<'a> {
    root: &'a Value,
    seen: HashSet<*const Value>,
    places: Vec<Place<'a>>,
}

/// A schema and where it is: the steps from the one that leads to it.
struct Place<'a> {
    fields: &'a Fields,
    from: Option<usize>,
    steps: Vec<String>,
}

impl<'a> Walk<'a> {
    fn add(&mut self, schema: &'a Value, from: Option<usize>, steps: Vec<String>) {
        if let Some(fields) = schema.as_object().filter(|_| self.seen.insert(from_ref(schema))) {
            self.places.push(Place { fields, from, steps });
        }
    }

    fn descend(&mut self, from: usize, key: &str, value: &'a Value) {
        if key == "$ref" {
            let Some(reference) = value.as_str() else { return };
            let steps = reference.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect();
            if let Some(target) = target(self.root, reference) {
                self.add(target, None, steps);
            }
            return;
        }
        match (applied(key, value), value) {
            (Some((_, true)), Value::Array(list)) => {
                for (index, one) in list.iter().enumerate() {
                    self.add(one, Some(from), vec![key.to_owned(), index.to_string()]);
                }
            }
            (Some((_, true)), Value::Object(map)) => {
                for (name, one) in map {
                    self.add(one, Some(from), vec![key.to_owned(), name.clone()]);
                }
            }
            (Some(_), _) => self.add(value, Some(from), vec![key.to_owned()]),
            (None, _) => {}
        }
    }

    fn path(&self, mut at: usize) -> Vec<String> {
        let mut steps: Vec<&String> = Vec::new();
        while let Some(place) = self.places.get(at) {
            steps.extend(place.steps.iter().rev());
            let Some(from) = place.from else { break };
            at = from;
        }
        steps.into_iter().rev().cloned().collect()
    }
}
