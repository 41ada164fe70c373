//! The schemas in a schema, and what of a value they are held against.

use serde_json::Value;

/// What of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Onto {
    /// The value itself.
    Same,
    EachProperty,
    OneProperty,
    EachItem,
    OneItem,
}

/// What a keyword applies: to what its schemas are held, and whether there are many of them, in a list or by names.
pub(super) fn applied(key: &str, value: &Value) -> Option<(Onto, bool)> {
    Some(match key {
        "allOf" | "anyOf" | "oneOf" | "dependentSchemas" | "dependencies" => (Onto::Same, true),
        "not" | "if" | "then" | "else" => (Onto::Same, false),
        "properties" => (Onto::OneProperty, true),
        "patternProperties" => (Onto::EachProperty, true),
        "additionalProperties" | "unevaluatedProperties" | "propertyNames" => (Onto::EachProperty, false),
        "items" if !value.is_array() => (Onto::EachItem, false),
        "items" | "prefixItems" => (Onto::OneItem, true),
        "additionalItems" | "unevaluatedItems" | "contains" => (Onto::EachItem, false),
        _ => return None,
    })
}

/// What a reference into the same document means.
pub(super) fn target<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer))
}
