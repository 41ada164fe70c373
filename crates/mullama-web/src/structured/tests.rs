//! Tests of plans and checks.

mod grammar;
mod strict;

use serde_json::json;

use super::*;

/// The warnings about a schema, without their common end.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "schemas are written where they are checked")]
fn check(schema: Value, expected: &[&str]) {
    let warnings = warnings(&schema);
    let short: Vec<&str> = warnings.iter().map(|text| text.trim_end_matches(" is not enforced")).collect();
    assert_eq!(short, expected, "{schema}");
}

#[test]
fn what_the_grammar_holds_is_not_warned_of() {
    let item = json!({ "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"] });
    for schema in [
        json!({ "type": "object", "properties": { "a": { "type": ["string", "null"] }, "b": { "enum": [1, "x", null] } },
            "required": ["a", "b"], "additionalProperties": false }),
        json!({ "type": "object", "additionalProperties": { "type": "integer", "minimum": 3, "maximum": 99 } }),
        json!({ "type": "array", "items": item, "minItems": 1, "maxItems": 3, "uniqueItems": false }),
        json!({ "type": "array", "prefixItems": [{ "type": "string" }, { "type": "number" }], "minItems": 2 }),
        json!({ "type": "string", "minLength": 2, "maxLength": 9 }),
        json!({ "type": "string", "format": "date-time" }),
        json!({ "anyOf": [{ "type": "string" }, { "type": "null" }], "default": null, "title": "T" }),
        json!({ "oneOf": [{ "type": "string" }, { "type": "integer" }], "minItems": 0 }),
        json!({ "$defs": { "a": item }, "type": "array", "items": { "$ref": "#/$defs/a", "description": "d" } }),
        json!({ "$defs": { "a": item }, "allOf": [{ "$ref": "#/$defs/a" }] }),
        json!({ "$defs": { "n": { "type": "object", "properties": { "next": { "anyOf": [{ "$ref": "#/$defs/n" },
            { "type": "null" }] } }, "required": ["next"] } }, "$ref": "#/$defs/n" }),
        json!({ "type": "string", "const": "a" }),
        json!({ "type": "integer", "exclusiveMinimum": 0 }),
        json!({ "type": "integer", "minimum": 15 }),
        json!({ "type": "integer", "minimum": -5 }),
        json!({ "type": "integer", "maximum": 120 }),
        json!({ "type": "integer", "minimum": 100, "maximum": 205 }),
        // What zod writes for whole numbers.
        json!({ "type": "integer", "minimum": -9_007_199_254_740_991_i64, "maximum": 9_007_199_254_740_991_i64 }),
        json!({ "type": "integer", "minimum": 0, "exclusiveMinimum": -1, "multipleOf": 1 }),
        // They say nothing of values of this type.
        json!({ "type": "string", "minimum": 5, "uniqueItems": true, "required": ["a"] }),
        json!({ "type": "object", "properties": {}, "required": [], "dependentRequired": {}, "unevaluatedProperties": false }),
        json!({}),
    ] {
        check(schema, &[]);
    }
}

#[test]
fn what_the_grammar_passes_over_is_told_with_its_place() {
    check(json!({ "type": "array", "items": {}, "uniqueItems": true }), &["`uniqueItems` at the root"]);
    let tags = json!({ "type": "array", "contains": { "const": 1 }, "minContains": 2 });
    check(
        json!({ "type": "object", "properties": { "a/b": tags } }),
        &["`contains` at /properties/a~1b", "`minContains` at /properties/a~1b"],
    );
    check(
        json!({ "type": "number", "minimum": 0, "exclusiveMaximum": 1, "multipleOf": 0.1 }),
        &["`minimum` at the root", "`exclusiveMaximum` at the root", "`multipleOf` at the root"],
    );
    check(json!({ "type": "integer", "minimum": 0, "multipleOf": 5 }), &["`multipleOf` at the root"]);
    check(json!({ "type": "integer", "minimum": 1, "exclusiveMinimum": 1 }), &["`exclusiveMinimum` at the root"]);
    // From 100 on the converter admits 10 to 19, too; and below 0 numbers that begin with zeros.
    check(json!({ "type": "integer", "minimum": 100 }), &["`minimum` at the root"]);
    check(json!({ "type": "integer", "exclusiveMinimum": 204 }), &["`exclusiveMinimum` at the root"]);
    check(json!({ "type": "integer", "maximum": -5 }), &["`maximum` at the root"]);
    check(json!({ "type": "integer", "maximum": 9_007_199_254_740_993_i64 }), &["`maximum` at the root"]);
    check(
        json!({ "type": "object", "properties": { "a": {} }, "required": ["a", "b"], "minProperties": 1,
            "patternProperties": { "^x": {} }, "propertyNames": { "maxLength": 3 }, "dependentRequired": { "a": ["b"] } }),
        &[
            "`required` at the root",
            "`minProperties` at the root",
            "`patternProperties` at the root",
            "`propertyNames` at the root",
            "`dependentRequired` at the root",
        ],
    );
    check(json!({ "type": "object", "unevaluatedProperties": false }), &["`unevaluatedProperties` at the root"]);
    check(
        json!({ "type": "object", "properties": { "a": {} }, "not": { "required": ["a"] }, "if": {}, "then": {},
            "allOf": [{}] }),
        &["`not` at the root", "`if` at the root", "`allOf` at the root"],
    );
    check(
        json!({ "prefixItems": [{ "type": "string", "format": "email" }], "minItems": 2 }),
        &["`minItems` at the root", "`format` at /prefixItems/0"],
    );
    check(json!({ "prefixItems": [{}], "items": { "type": "null" } }), &["`prefixItems` at the root"]);
    check(
        json!({ "type": "string", "format": "date", "minLength": 11, "pattern": "^2[0-9]*$" }),
        &["`format` at the root", "`minLength` at the root"],
    );
    check(json!({ "minimum": 3 }), &["`minimum` at the root"]);
}

#[test]
fn what_stands_beside_alternatives_and_references_is_told() {
    check(
        json!({ "type": "object", "properties": { "a": {} }, "anyOf": [{ "required": ["a"] }, { "required": ["b"] }] }),
        &["`type` at the root", "`properties` at the root", "`required` at /anyOf/0", "`required` at /anyOf/1"],
    );
    check(
        json!({ "$ref": "#/$defs/a", "minLength": 2, "$defs": { "a": { "type": "string" } } }),
        &["`minLength` at the root"],
    );
    check(
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "array", "uniqueItems": true } } }),
        &["`uniqueItems` at /$defs/a"],
    );
    // Both get the rule `ref--defs-a-b`.
    check(
        json!({ "type": "object", "properties": { "x": { "$ref": "#/$defs/a-b" }, "y": { "$ref": "#/$defs/a_b" } },
            "$defs": { "a-b": { "type": "string" }, "a_b": { "type": "null" } } }),
        &["`$ref` at /properties/y"],
    );
    check(json!({ "const": 5, "enum": [6], "multipleOf": 2 }), &["`enum` at the root", "`multipleOf` at the root"]);
    check(json!({ "type": "string", "enum": ["a", 5] }), &["`type` at the root"]);
    check(json!({ "oneOf": [{ "type": "number" }, { "type": "integer" }] }), &["`oneOf` at the root"]);
    let kind =
        |name: &str| json!({ "type": "object", "properties": { "kind": { "const": name } }, "required": ["kind"] });
    check(json!({ "oneOf": [kind("a"), kind("b")] }), &[]);
    check(json!({ "oneOf": [kind("a"), kind("a")] }), &["`oneOf` at the root"]);
    let one = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    let other = json!({ "type": "object", "properties": { "b": { "type": "string" } } });
    check(json!({ "allOf": [one, other, { "title": "T" }] }), &[]);
    check(json!({ "allOf": [one, one] }), &["`allOf` at the root"]);
    check(json!({ "type": "string", "allOf": [{ "minLength": 3 }] }), &["`type` at the root", "`allOf` at the root"]);
    check(json!({ "allOf": [{ "enum": [1, 2] }, { "enum": [2, 3] }] }), &[]);
}

#[test]
fn patterns_are_exact_or_told() {
    for pattern in [
        "^abc$",
        "^[a-z]+$",
        "^(ab|c){2,3}$",
        "^a{2,}$",
        "^\\$[0-9]{1,4}(?:\\.[0-9]{2})?$",
        "^[a\\-z]?x*$",
        "^\\x41\\u00e9$",
    ] {
        assert!(pattern::is_exact(pattern), "{pattern}");
    }
    for pattern in [
        "abc",
        "^abc",
        "abc$",
        "^",
        "",
        "^.*$",
        "^[^a]$",
        "^\\d$",
        "^\\w+$",
        "^[\\d]$",
        "^(?=a)a$",
        "^(?<n>a)$",
        "^(a)\\1$",
        "^a\\b$",
        "^a^b$",
        "^a\"b$",
        "^a\\\\b$",
        "^\\n$",
        "^[ -~]$",
        "^[A-z]$",
        "^a+?$",
        "^a{2,3}?$",
        "^ab\\.*$",
        "^é*$",
        "^a{3,2}$",
        "^a{x}$",
        "^*a$",
        "^(a$",
        "^a)$",
        "^[a$",
        "^a\u{1}$",
        "^\\ud83d$",
        "^\\u{41}$",
        "^a{,5}$",
        "^a\\$",
    ] {
        assert!(!pattern::is_exact(pattern), "{pattern}");
    }
}

#[test]
fn patterns_without_any_text_for_json_are_known() {
    for pattern in [
        "^a\"b$",
        "^a\\\\b$",
        "^\\n$",
        "^\\x22$",
        "^a\\u0022$",
        "^\\u000a+$",
        "^a\u{1}$",
        "^[\"]$",
        "^[\"\\\\]{2}$",
        "^[\\x00-\\x1f]$",
        "^(\\n|\")$",
        "^(?:a(b\\tc)+)d$",
        "^\\ud83d$",
    ] {
        assert!(pattern::leaves_string(pattern), "{pattern}");
    }
    for pattern in [
        "^$",
        "^a$",
        "^.*$",
        // All characters but those.
        "^[^\"]*$",
        "^[^\"\\\\\\n]+$",
        "^[^\\x00-\\x1f\"]$",
        // Among others.
        "^[\"a-z]+$",
        "^[ -~]$",
        "^[\\x00-\\x7f]$",
        "^(a|\")$",
        "^(|\n)$",
        // As many as none.
        "^a\\n?$",
        "^a(\\n)*$",
        "^a\"{0,2}$",
        "^a\"+?$",
        // Characters by their numbers.
        "^\\x41\\u00e9$",
        "^n t r f v x u$",
        "^\\[\\]\\-\\.$",
        // The converter takes any string for these, which can have all characters in their own way.
        "a\"b",
        "^\\d+\\n$",
        "^[\\w]\\n$",
        "^\\f$",
        "^(?=a)\"$",
        "^\"^$",
        "^\\u00$",
        // It refuses these.
        "^(\"$",
        "^\")$",
        "^[\"$",
        "^+\"$",
        "^\"{x}$",
    ] {
        assert!(!pattern::leaves_string(pattern), "{pattern}");
    }
    let deep = format!("^{}\"{}$", "(".repeat(60_000), ")".repeat(60_000));
    assert!(!pattern::leaves_string(&deep));
}

#[test]
fn a_schema_that_cannot_be_compiled_is_told() {
    let bad = [
        json!({ "type": "string", "pattern": "^(?=a)a$" }),
        json!({ "$schema": "https://example.org/mine", "type": "string" }),
        json!({ "type": "object", "properties": { "a": { "$ref": "https://example.org/a.json" } } }),
        json!({ "anyOf": [{ "$ref": "#/anyOf/0" }, { "type": "null" }] }),
        json!({ "type": "string", "minLength": "many" }),
        json!({ "type": "string", "title": "t".repeat(70_000) }),
        json!({ "enum": ["a"], "properties": (0..5_000).map(|n| (n.to_string(), json!({}))).collect::<serde_json::Map<_, _>>() }),
    ];
    for schema in bad {
        let plan = plan(&schema, false, "schema").unwrap();
        let warning = plan.warnings.last().unwrap();
        assert!(plan.validator.is_none() && warning.contains("is not checked"), "{warning}");
        assert!(plan_fails(&schema), "{schema:.80}");
    }
    // Draft 7's lists of items are read without being named.
    let old = json!({ "type": "array", "items": [{ "type": "string" }, { "type": "null" }], "additionalItems": false });
    let validator = plan(&old, true, "schema").unwrap().validator.unwrap();
    validator.check("The answer", r#"["a",null]"#).unwrap();
    assert!(validator.check("The answer", r#"["a",1]"#).is_err());
}

fn plan_fails(schema: &Value) -> bool {
    plan(schema, true, "schema").is_err_and(|error| error.code == Some("invalid_json_schema"))
}

#[test]
fn a_check_that_would_grow_without_bound_is_left_out() {
    // Each level is checked twice by each of two parts.
    let part = json!({ "type": "object", "properties": { "a": { "$ref": "#" } } });
    let doubling = json!({ "not": { "allOf": [part, part, { "required": ["b"] }] } });
    let deep = |levels: usize| format!("{}{{}}{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    let validator = Validator::new(&doubling).unwrap();
    let begun = std::time::Instant::now();
    validator.check("The answer", &deep(100)).unwrap();
    assert!(begun.elapsed() < std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
    // A tree grows with its size alone.
    let node = json!({ "type": "object", "properties": { "left": { "$ref": "#" }, "right": { "$ref": "#" },
        "n": { "type": "integer", "multipleOf": 2 } } });
    let validator = Validator::new(&node).unwrap();
    let mut tree = "{\"n\":2}".to_owned();
    for _ in 0..8 {
        tree = format!("{{\"left\":{tree},\"right\":{tree},\"n\":4}}");
    }
    validator.check("The answer", &tree).unwrap();
    assert!(validator.check("The answer", &tree.replacen("\"n\":2", "\"n\":3", 1)).is_err());
}

#[test]
fn deep_and_wide_schemas_are_read_in_time() {
    let mut deep = json!({ "type": "string" });
    for _ in 0..120 {
        deep = json!({ "anyOf": [deep], "type": ["array", "object"], "allOf": [{}] });
    }
    let defs: serde_json::Map<String, Value> = (0..200)
        .map(|n| {
            let next = json!({ "$ref": format!("#/$defs/d{}", n + 1) });
            (format!("d{n}"), json!({ "oneOf": [next, next], "not": { "anyOf": [next, next] } }))
        })
        .chain([("d200".to_owned(), json!({ "type": "null" }))])
        .collect();
    let chain = json!({ "$ref": "#/$defs/d0", "$defs": defs });
    let lists = (0..60).fold(json!({}), |inner, _| json!({ "type": ["array", "object", "string"], "allOf": [inner] }));
    for schema in [deep, chain, lists] {
        let begun = std::time::Instant::now();
        let plan = plan(&schema, false, "schema").unwrap();
        assert!(!plan.warnings.is_empty() && plan.warnings.len() <= MAX_WARNINGS + 2);
        if let Some(validator) = plan.validator {
            let _ = validator.check("The answer", "null");
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(1), "{:?} for {schema:.60}", begun.elapsed());
    }
}
