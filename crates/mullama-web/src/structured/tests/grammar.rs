//! What is told against what llama.cpp's converter does: a keyword that it passes over can be left out, and the grammar is
//! the same.

use mullama_core::Grammar;
use serde_json::{Value, json};

use super::super::warnings;

/// Does the grammar of a schema change with a keyword at its root?
fn counts(schema: &Value, keyword: &str) -> bool {
    let mut without = schema.clone();
    without.as_object_mut().unwrap().remove(keyword).unwrap();
    Grammar::json_schema(schema).unwrap() != Grammar::json_schema(&without).unwrap()
}

#[test]
fn what_is_told_makes_no_difference_to_the_grammar() {
    let cases = [
        (json!({ "type": "array", "items": {}, "uniqueItems": true }), "uniqueItems"),
        (json!({ "type": "array", "contains": { "const": 1 } }), "contains"),
        (json!({ "type": "array", "unevaluatedItems": { "type": "null" } }), "unevaluatedItems"),
        (json!({ "type": "number", "minimum": 3 }), "minimum"),
        (json!({ "type": "number", "multipleOf": 3 }), "multipleOf"),
        (json!({ "type": "integer", "multipleOf": 3 }), "multipleOf"),
        (json!({ "type": "integer", "minimum": 1, "exclusiveMinimum": 5 }), "exclusiveMinimum"),
        (json!({ "type": "integer", "maximum": 9, "exclusiveMaximum": 5 }), "exclusiveMaximum"),
        (json!({ "type": "object", "properties": { "a": {} }, "required": ["b"] }), "required"),
        (json!({ "type": "object", "minProperties": 1 }), "minProperties"),
        (json!({ "type": "object", "maxProperties": 1 }), "maxProperties"),
        (json!({ "type": "object", "patternProperties": { "^a": {} } }), "patternProperties"),
        (json!({ "type": "object", "propertyNames": { "maxLength": 3 } }), "propertyNames"),
        (json!({ "type": "object", "dependentRequired": { "a": ["b"] } }), "dependentRequired"),
        (json!({ "type": "object", "unevaluatedProperties": false }), "unevaluatedProperties"),
        (json!({ "type": "object", "properties": { "a": {} }, "allOf": [{ "required": ["a"] }] }), "allOf"),
        (json!({ "type": "object", "properties": { "a": {} }, "not": {} }), "not"),
        (json!({ "type": "object", "if": {}, "then": { "required": ["a"] } }), "if"),
        (json!({ "type": "string", "format": "email" }), "format"),
        (json!({ "type": "string", "format": "date", "minLength": 11 }), "minLength"),
        (json!({ "type": "string", "pattern": "^a*$", "maxLength": 3 }), "maxLength"),
        (json!({ "type": "string", "enum": ["a", 5] }), "type"),
        (json!({ "anyOf": [{ "type": "string" }], "minLength": 3 }), "minLength"),
        (json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "string" } }, "minLength": 3 }), "minLength"),
        (json!({ "prefixItems": [{}, {}], "minItems": 3 }), "minItems"),
        (json!({ "items": { "type": "null" }, "prefixItems": [{}, {}] }), "prefixItems"),
    ];
    for (schema, keyword) in cases {
        let told = warnings(&schema);
        assert!(told.contains(&format!("`{keyword}` at the root is not enforced")), "{schema}: {told:?}");
        assert!(!counts(&schema, keyword), "{schema}");
    }
}

#[test]
fn what_makes_a_difference_is_not_told() {
    let cases = [
        (json!({ "type": "array", "items": { "type": "string" }, "minItems": 2 }), "minItems"),
        (json!({ "type": "array", "items": { "type": "string" }, "maxItems": 2 }), "maxItems"),
        (json!({ "type": "array", "prefixItems": [{ "type": "string" }] }), "prefixItems"),
        (json!({ "type": "integer", "minimum": 3 }), "minimum"),
        (json!({ "type": "integer", "exclusiveMaximum": 3 }), "exclusiveMaximum"),
        (json!({ "type": "object", "properties": { "a": {}, "b": {} }, "required": ["b"] }), "required"),
        (json!({ "type": "object", "properties": { "a": {} }, "additionalProperties": {} }), "additionalProperties"),
        (json!({ "type": "string", "maxLength": 3 }), "maxLength"),
        (json!({ "type": "string", "format": "uuid" }), "format"),
        (json!({ "type": "string", "pattern": "^(a|[b-d]{2})+$" }), "pattern"),
        (json!({ "type": "string", "enum": ["a"] }), "enum"),
        (json!({ "type": "object", "allOf": [{ "type": "object", "properties": { "a": {} } }] }), "allOf"),
        (json!({ "oneOf": [{ "type": "string" }, { "type": "null" }] }), "oneOf"),
    ];
    for (schema, keyword) in cases {
        assert_eq!(warnings(&schema), Vec::<String>::new(), "{schema}");
        assert!(counts(&schema, keyword), "{schema}");
    }
}

#[test]
fn grammars_that_admit_too_much_are_known() {
    let gbnf = |schema: Value| Grammar::json_schema(&schema).unwrap().as_gbnf().to_owned();
    // 1, and then 1 to 15 digits: 10 is less than 100.
    assert!(gbnf(json!({ "type": "integer", "minimum": 100 })).contains("[1] ([0-9]{1,15})"));
    // The largest whole numbers of JavaScript are held to.
    let within = |bound: i64| gbnf(json!({ "type": "integer", "minimum": -bound, "maximum": bound }));
    assert_ne!(within(9_007_199_254_740_991), within(9_007_199_254_740_990));
    // -05 is no JSON.
    assert!(gbnf(json!({ "type": "integer", "maximum": -5 })).contains("\"-\" ([0-4] [0-9]"));
    // The dot is repeated with what stands before it.
    assert!(gbnf(json!({ "type": "string", "pattern": "^ab\\.*$" })).contains("\"ab.\"*"));
    // A quotation mark ends the string.
    assert!(gbnf(json!({ "type": "string", "pattern": "^a\"b$" })).contains("a\\\"b"));
    // Any string.
    for pattern in ["abc", "^\\d$", "^(?=a)b$", "^[\\w]$"] {
        assert!(gbnf(json!({ "type": "string", "pattern": pattern })).contains("root ::= string"), "{pattern}");
    }
    // The second reference gets the rule of the first.
    let schema = json!({ "type": "object", "properties": { "x": { "$ref": "#/$defs/a-b" }, "y": { "$ref": "#/$defs/a_b" } },
        "$defs": { "a-b": { "enum": ["first"] }, "a_b": { "enum": ["second"] } } });
    let gbnf_of_both = gbnf(schema);
    assert!(gbnf_of_both.contains("first") && !gbnf_of_both.contains("second"), "{gbnf_of_both}");
    // Parts that are no objects are passed over, and what is left is an object without properties.
    assert!(gbnf(json!({ "type": "string", "allOf": [{ "minLength": 3 }] })).contains("root ::= \"{\" space \"}\""));
}
