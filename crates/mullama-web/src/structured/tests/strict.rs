//! Strict schemas: what the grammar passes over, the check of the whole answer enforces; what neither does is refused.

use serde_json::{Value, json};

use super::super::*;

/// A schema that is taken, an answer that satisfies it, and one that does not.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "schemas are written where they are checked")]
fn enforced(schema: Value, right: &Value, wrong: &Value) {
    let plan = plan(&schema, true, "schema").unwrap_or_else(|error| panic!("{schema}: {}", error.message));
    assert_eq!(plan.warnings, Vec::<String>::new(), "{schema}");
    mullama_core::Grammar::json_schema(&schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
    let validator = plan.validator.unwrap();
    validator.check("The answer", &right.to_string()).unwrap_or_else(|error| panic!("{schema}: {}", error.message));
    let error = validator.check("The answer", &wrong.to_string()).unwrap_err();
    assert_eq!((error.status.as_u16(), error.code), (500, Some("structured_output_invalid")), "{schema}");
}

/// A schema that is refused, and the field that is named.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "schemas are written where they are checked")]
fn refused(schema: Value, param: &str) {
    let error = plan(&schema, true, "schema").map(|plan| plan.warnings).expect_err(&schema.to_string());
    assert_eq!((error.status.as_u16(), error.code), (400, Some("invalid_json_schema")), "{schema}");
    assert_eq!(error.param.as_deref(), Some(param), "{schema}: {}", error.message);
}

#[test]
fn what_the_check_enforces_is_taken() {
    // zod's `z.number().min(0)` and pydantic's `Field(ge=0, lt=1)`.
    enforced(json!({ "type": "number", "minimum": 0 }), &json!(0.5), &json!(-0.5));
    enforced(json!({ "type": "number", "minimum": 0, "exclusiveMaximum": 1 }), &json!(0.5), &json!(1));
    enforced(json!({ "type": "number", "exclusiveMinimum": 0 }), &json!(0.1), &json!(0));
    enforced(json!({ "type": "number", "maximum": -1.5 }), &json!(-2), &json!(-1));
    enforced(json!({ "type": "number", "multipleOf": 0.1 }), &json!(0.3), &json!(0.35));
    enforced(json!({ "type": "integer", "multipleOf": 5 }), &json!(10), &json!(12));
    // The grammar admits 10 to 19 here, and -05 in the next but two.
    enforced(json!({ "type": "integer", "minimum": 100 }), &json!(100), &json!(19));
    enforced(json!({ "type": "integer", "exclusiveMinimum": 204 }), &json!(205), &json!(204));
    enforced(
        json!({ "type": "integer", "minimum": 9_007_199_254_740_993_i64 }),
        &json!(9_007_199_254_740_993_i64),
        &json!(9_007_199_254_740_992_i64),
    );
    enforced(json!({ "type": "integer", "maximum": -5 }), &json!(-5), &json!(-4));
    enforced(json!({ "type": "integer", "minimum": 1, "exclusiveMinimum": 1 }), &json!(2), &json!(1));
    enforced(json!({ "type": "string", "pattern": "ab" }), &json!("cabs"), &json!("ba"));
    enforced(json!({ "type": "string", "pattern": "^\\d{3}$" }), &json!("123"), &json!("12"));
    enforced(json!({ "type": "string", "pattern": "^v.*$" }), &json!("v1"), &json!("1"));
    enforced(json!({ "type": "string", "pattern": "^[^\"\\\\]+$" }), &json!("a/b"), &json!("a\"b"));
    enforced(json!({ "type": "string", "pattern": "^a\\x2db\\n?$" }), &json!("a-b"), &json!("ab"));
    enforced(json!({ "type": "string", "pattern": "^a*$", "maxLength": 3 }), &json!("aaa"), &json!("aaaa"));
    enforced(
        json!({ "type": "string", "format": "date", "maxLength": 10 }),
        &json!("2024-02-29"),
        &json!("2023-02-29"),
    );
    let array = |more: Value| {
        let mut schema = json!({ "type": "array", "items": { "type": "integer" } });
        schema.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        schema
    };
    enforced(array(json!({ "uniqueItems": true })), &json!([1, 2]), &json!([1, 1]));
    enforced(array(json!({ "contains": { "const": 1 }, "minContains": 2 })), &json!([1, 1]), &json!([1, 2]));
    enforced(json!({ "type": "object", "minProperties": 1 }), &json!({ "a": 1 }), &json!({}));
    enforced(json!({ "type": "object", "maxProperties": 1 }), &json!({ "a": 1 }), &json!({ "a": 1, "b": 1 }));
    enforced(
        json!({ "type": "object", "patternProperties": { "^x": { "type": "null" } } }),
        &json!({ "x": null }),
        &json!({ "x": 1 }),
    );
    enforced(
        json!({ "type": "object", "propertyNames": { "maxLength": 2 } }),
        &json!({ "ab": 1 }),
        &json!({ "abc": 1 }),
    );
    enforced(json!({ "type": "object", "dependentRequired": { "a": ["b"] } }), &json!({ "b": 1 }), &json!({ "a": 1 }));
    enforced(json!({ "type": "object", "required": ["a"] }), &json!({ "a": 1 }), &json!({ "b": 1 }));
    enforced(
        json!({ "type": "object", "properties": { "a": {} }, "not": { "required": ["a"] } }),
        &json!({}),
        &json!({ "a": 1 }),
    );
    enforced(
        json!({ "type": "object", "properties": { "a": {}, "b": {} }, "if": { "required": ["a"] }, "then": { "required": ["b"] } }),
        &json!({ "a": 1, "b": 1 }),
        &json!({ "a": 1 }),
    );
    enforced(json!({ "oneOf": [{ "type": "number" }, { "type": "integer" }] }), &json!(0.5), &json!(1));
    enforced(
        json!({ "type": "object", "properties": { "a": {} }, "anyOf": [{ "required": ["a"] }, { "minProperties": 2 }] }),
        &json!({ "a": 1 }),
        &json!({ "b": 1 }),
    );
    enforced(
        json!({ "$ref": "#/$defs/a", "minLength": 2, "$defs": { "a": { "type": "string" } } }),
        &json!("ab"),
        &json!("a"),
    );
}

#[test]
fn formats_are_checked_where_they_are_defined() {
    for (format, right, wrong) in [
        ("email", "a@example.org", "a.example.org"),
        ("uri", "https://example.org/a", "a b"),
        ("ipv4", "192.0.2.1", "192.0.2.256"),
        ("ipv6", "2001:db8::1", "2001:db8"),
        ("hostname", "example.org", "-a"),
        ("duration", "P3DT4H", "3 days"),
        ("date-time", "2024-02-29T12:00:00Z", "2023-02-29T12:00:00Z"),
        ("time", "12:00:00Z", "25:00:00Z"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-42661417400"),
        ("uuid4", "123e4567-e89b-42d3-a456-426614174000", "123e4567e89b42d3a456426614174000"),
    ] {
        enforced(json!({ "type": "string", "format": format }), &json!(right), &json!(wrong));
    }
    refused(json!({ "type": "string", "format": "binary" }), "schema.format");
    // It says nothing of numbers.
    enforced(json!({ "type": "integer", "format": "int32" }), &json!(1), &json!("a"));
    // Where it is not strict, a format is a note.
    let validator = plan(&json!({ "type": "string", "format": "email" }), false, "schema").unwrap().validator.unwrap();
    validator.check("The answer", "\"nobody\"").unwrap();
}

#[test]
fn what_neither_enforces_is_refused_with_the_field() {
    let tags = json!({ "type": "array", "items": { "type": "string", "format": "colour" } });
    let schema = json!({ "type": "object", "properties": { "tags": { "anyOf": [{ "type": "null" }, tags] } } });
    let error = plan(&schema, true, "response_format.json_schema.schema").unwrap_err();
    assert_eq!((error.status.as_u16(), error.code), (400, Some("invalid_json_schema")));
    let param = "response_format.json_schema.schema.properties.tags.anyOf[1].items.format";
    assert_eq!(error.param.as_deref(), Some(param));
    let beginning = "`format` at /properties/tags/anyOf/1/items is not enforced";
    assert!(error.message.starts_with(beginning), "{}", error.message);

    // Behind what only the check looks at.
    refused(json!({ "type": "object", "propertyNames": { "format": "colour" } }), "schema.propertyNames.format");
    let behind =
        json!({ "type": "array", "contains": { "$ref": "#/$defs/a~1b" }, "$defs": { "a/b": { "format": "colour" } } });
    refused(behind, "schema.$defs.a/b.format");
    // What the draft does not know.
    let draft = |number: &str, more: Value| {
        let mut schema = json!({ "$schema": format!("http://json-schema.org/draft-{number}/schema#") });
        schema.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        schema
    };
    refused(draft("07", json!({ "type": "object", "dependentRequired": { "a": ["b"] } })), "schema.dependentRequired");
    refused(draft("07", json!({ "type": "object", "unevaluatedProperties": false })), "schema.unevaluatedProperties");
    let sibling = json!({ "$ref": "#/definitions/a", "minLength": 2, "definitions": { "a": { "type": "string" } } });
    refused(draft("07", sibling), "schema.minLength");
    refused(draft("04", json!({ "type": "array", "contains": { "type": "null" } })), "schema.contains");
    refused(draft("04", json!({ "type": "number", "exclusiveMinimum": 0 })), "schema.exclusiveMinimum");
    enforced(draft("04", json!({ "type": "number", "minimum": 0, "exclusiveMinimum": true })), &json!(1), &json!(0));
    enforced(draft("07", json!({ "type": "number", "minimum": 0 })), &json!(1), &json!(-1));
    let other =
        json!({ "type": "array", "items": { "$schema": "http://json-schema.org/draft-04/schema#", "type": "null" } });
    refused(other, "schema.items.$schema");
}

#[test]
fn what_no_answer_of_the_grammar_satisfies_is_refused() {
    refused(json!({ "type": "object", "properties": { "a": {} }, "required": ["a", "b"] }), "schema.required");
    refused(json!({ "prefixItems": [{}, {}], "minItems": 3 }), "schema.minItems");
    refused(json!({ "type": "string", "pattern": "^a\"b$" }), "schema.pattern");
    refused(json!({ "type": "string", "pattern": "^a\\\\b$" }), "schema.pattern");
    refused(json!({ "type": "string", "pattern": "^\\n$" }), "schema.pattern");
    refused(json!({ "const": 5, "enum": [6] }), "schema.enum");
    refused(json!({ "type": "string", "allOf": [{ "type": "string", "minLength": 3 }] }), "schema.type");
    refused(json!({ "type": "integer", "minimum": 1e300 }), "schema.minimum");
    let both = json!({ "type": "object", "properties": { "x": { "$ref": "#/$defs/a-b" }, "y": { "$ref": "#/$defs/a_b" } },
        "$defs": { "a-b": { "type": "string" }, "a_b": { "type": "null" } } });
    refused(both, "schema.properties.y.$ref");
    // No expression that looks around.
    refused(
        json!({ "properties": { "a": { "type": "string", "pattern": "^(?=a)a$" } } }),
        "schema.properties.a.pattern",
    );
}

#[test]
fn an_answer_that_cannot_be_checked_is_not_called_right() {
    let part = json!({ "type": "object", "properties": { "a": { "$ref": "#" } } });
    let doubling = json!({ "not": { "allOf": [part, part, { "required": ["b"] }] } });
    let validator = strictly(&doubling, "schema").unwrap();
    let deep = format!("{}{{}}{}", "{\"a\":".repeat(100), "}".repeat(100));
    let error = validator.check("The answer", &deep).unwrap_err();
    assert!(error.message.contains("too long to be checked"), "{}", error.message);
    let error = validator.check("The answer", "{\"a\"").unwrap_err();
    assert!(error.message.contains("not JSON"), "{}", error.message);
    let tags = strictly(&json!({ "properties": { "tags": { "uniqueItems": true } } }), "schema").unwrap();
    let error = tags.check("The answer", r#"{"tags":["a","a"]}"#).unwrap_err();
    assert!(error.message.starts_with("The answer does not satisfy the schema at /tags"), "{}", error.message);
}

#[test]
fn the_calls_of_strict_tools_are_checked() {
    let schema =
        json!({ "type": "object", "properties": { "n": { "type": "number", "minimum": 0 } }, "required": ["n"] });
    let arguments = [("count".to_owned(), strictly(&schema, "tools[0].function.parameters").unwrap())].into();
    let checks = Checks { arguments, ..Checks::default() };
    let calling = |name: &str, arguments: &str| {
        let function = mullama_core::FunctionCall { name: name.to_owned(), arguments: arguments.to_owned() };
        let mut message = ChatMessage::assistant("");
        message.tool_calls.push(mullama_core::ToolCall { id: String::new(), function });
        message
    };
    checks.calls(Some(&calling("count", "{\"n\":1}"))).unwrap();
    checks.calls(Some(&calling("other", "{\"n\":-1}"))).unwrap();
    let error = checks.calls(Some(&calling("count", "{\"n\":-1}"))).unwrap_err();
    assert!(error.message.starts_with("The call of `count` does not satisfy the schema at /n"), "{}", error.message);
}
