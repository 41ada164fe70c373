//! The keywords of JSON Schema that say something about values.

use serde_json::Value;

use super::kind::{Fields, Types};

/// A keyword.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keyword {
    pub(super) name: &'static str,
    /// Values of other types satisfy it.
    pub(super) of: Types,
}

/// The keyword of this name, unless it only describes.
pub(super) fn find(name: &str) -> Option<Keyword> {
    let groups: [(&[&'static str], Types); 5] = [
        (&ANY, Types::ALL),
        (&OBJECT, Types::OBJECT),
        (&ARRAY, Types::ARRAY),
        (&STRING, Types::STRING),
        (&NUMBER, Types::NUMBER),
    ];
    let find = |(names, of): (&[&'static str], Types)| {
        names.iter().find(|known| **known == name).map(|name| Keyword { name, of })
    };
    groups.into_iter().find_map(find)
}

/// Does it allow everything as it stands there?
pub(super) fn is_idle(name: &str, value: &Value, fields: &Fields) -> bool {
    let is_true = || *value == Value::Bool(true) || value.as_object().is_some_and(serde_json::Map::is_empty);
    let is_empty = || match value {
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => true,
    };
    match name {
        "minItems" | "minLength" | "minProperties" => value.as_f64() == Some(0.0),
        "additionalProperties" | "unevaluatedProperties" | "unevaluatedItems" | "propertyNames" => is_true(),
        // Only behind a list in `items`, and then no more of them come.
        "additionalItems" => true,
        "items" => is_true(),
        "uniqueItems" => *value != Value::Bool(true),
        // `true` in a property was draft 3's.
        "required" | "patternProperties" | "dependentRequired" | "dependentSchemas" | "dependencies"
        | "prefixItems" | "properties" => is_empty(),
        "minContains" | "maxContains" => !fields.contains_key("contains"),
        "if" => !fields.contains_key("then") && !fields.contains_key("else"),
        // Told with `if`.
        "then" | "else" => true,
        "not" => *value == Value::Bool(false),
        "pattern" => value.as_str() == Some(""),
        // Draft 4's.
        "exclusiveMinimum" | "exclusiveMaximum" => *value == Value::Bool(false),
        _ => false,
    }
}

const ANY: [&str; 13] = [
    "$ref",
    "$dynamicRef",
    "$recursiveRef",
    "type",
    "enum",
    "const",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
];
const OBJECT: [&str; 11] = [
    "properties",
    "required",
    "additionalProperties",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "unevaluatedProperties",
];
const ARRAY: [&str; 10] = [
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "minContains",
    "maxContains",
    "minItems",
    "maxItems",
    "uniqueItems",
];
const STRING: [&str; 4] = ["minLength", "maxLength", "pattern", "format"];
const NUMBER: [&str; 5] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
