//! What is refused before llama.cpp's recursive grammar parser and schema converter see it.

use std::collections::HashSet;

use serde_json::Value;

use crate::error::{Error, Result};

/// What a GBNF text looks like from outside.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// Depth of round brackets.
    pub(super) depth: usize,
    /// A repetition `{m,n}` with n < m, which llama.cpp would take for some 2^64.
    pub(super) backward: Option<String>,
    /// The largest number in a repetition.
    pub(super) largest_repetition: usize,
}

/// Reads a GBNF text outside of its literals, character classes and comments.
pub(super) fn scan(gbnf: &str) -> Scan {
    let mut scan = Scan::default();
    let mut depth = 0_usize;
    let mut repetition: Option<String> = None;
    let mut characters = gbnf.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => skip(&mut characters, '"', true),
            '[' => skip(&mut characters, ']', true),
            '#' => skip(&mut characters, '\n', false),
            '(' => {
                depth += 1;
                scan.depth = scan.depth.max(depth);
            }
            ')' => depth = depth.saturating_sub(1),
            '{' => repetition = Some(String::new()),
            '}' => {
                if let Some(range) = repetition.take() {
                    scan.see_repetition(range);
                }
            }
            other => {
                if let Some(range) = &mut repetition {
                    range.push(other);
                }
            }
        }
    }
    scan
}

impl Scan {
    fn see_repetition(&mut self, range: String) {
        let number = |text: &str| text.trim().parse::<usize>().ok();
        let (from, to) = range.split_once(',').unwrap_or((&range, &range));
        let (from, to) = (number(from), number(to));
        self.largest_repetition = self.largest_repetition.max(from.unwrap_or(0)).max(to.unwrap_or(0));
        if matches!((from, to), (Some(from), Some(to)) if to < from) {
            self.backward = Some(range);
        }
    }
}

fn skip(characters: &mut std::str::Chars<'_>, end: char, escapes: bool) {
    while let Some(character) = characters.next() {
        if character == end {
            return;
        }
        if escapes && character == '\\' {
            characters.next();
        }
    }
}

/// The schema as text, if it is within the limits that keep llama.cpp's converter quick and off the end of its stack.
pub(crate) fn check_schema(schema: &Value) -> Result<String> {
    let mut walk = Walk { root: schema, properties: 0, steps: 0 };
    walk.visit(schema, 0, 1).map_err(|reason| Error::Grammar { reason })?;
    let text = schema.to_string();
    if text.len() > super::MAX_USER {
        let reason = format!("the schema has {} bytes, the limit is {}", text.len(), super::MAX_USER);
        return Err(Error::Grammar { reason });
    }
    Ok(text)
}

struct Walk<'a> {
    root: &'a Value,
    properties: usize,
    steps: usize,
}

impl<'a> Walk<'a> {
    /// `copies`: how often llama.cpp copies this part, once for each name in the arrays of `type` above it.
    fn visit(&mut self, value: &'a Value, depth: usize, copies: usize) -> Result<(), String> {
        if depth > MAX_SCHEMA_DEPTH {
            return Err(format!("the schema is more than {MAX_SCHEMA_DEPTH} levels of JSON deep"));
        }
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.visit(item, depth + 1, copies)),
            Value::Object(fields) => {
                if let Some(Value::Object(named)) = fields.get("properties") {
                    self.properties += named.len();
                    if self.properties > MAX_SCHEMA_PROPERTIES {
                        return Err(format!("the schema has more than {MAX_SCHEMA_PROPERTIES} properties"));
                    }
                }
                let copies = match fields.get("type") {
                    Some(Value::Array(types)) => copies.saturating_mul(types.len().max(1)),
                    _ => copies,
                };
                if copies > MAX_SCHEMA_COPIES {
                    return Err(
                        "lists of types within lists of types multiply the schema; name one type each".to_owned()
                    );
                }
                if fields.contains_key("$ref") || fields.contains_key("allOf") {
                    self.unroll(value, &mut HashSet::new(), 0)?;
                }
                fields.values().try_for_each(|field| self.visit(field, depth + 1, copies))
            }
            _ => Ok(()),
        }
    }

    /// Follows what llama.cpp's converter follows without consuming anything: `$ref` and the parts of `allOf`.
    fn unroll(&mut self, value: &'a Value, seen: &mut HashSet<&'a str>, depth: usize) -> Result<(), String> {
        self.steps += 1;
        if depth > MAX_REFERENCES || self.steps > MAX_STEPS {
            return Err("its references and parts of allOf refer to too many others".to_owned());
        }
        let Value::Object(fields) = value else { return Ok(()) };
        if let Some(Value::String(reference)) = fields.get("$ref") {
            let Some(pointer) = reference.strip_prefix('#') else {
                return Err(format!("$ref to another document is not followed: {reference:?}"));
            };
            if !seen.insert(reference) {
                return Err(format!("$ref {reference:?} refers to itself"));
            }
            if let Some(target) = self.root.pointer(pointer) {
                self.unroll(target, seen, depth + 1)?;
            }
            seen.remove(reference.as_str());
        }
        if let Some(Value::Array(parts)) = fields.get("allOf") {
            parts.iter().try_for_each(|part| self.unroll(part, seen, depth + 1))?;
        }
        Ok(())
    }
}

/// Depth of brackets in a JSON text, outside of its strings.
pub(crate) fn json_depth(text: &str) -> usize {
    depth_from(text, false)
}

/// The depth that JSON anywhere in a text can have: whether it begins within a string depends on the quotes before it.
pub(crate) fn json_depth_within(text: &str) -> usize {
    depth_from(text, false).max(depth_from(text, true))
}

fn depth_from(text: &str, mut string: bool) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if string => drop(bytes.next()),
            b'"' => string = !string,
            b'[' | b'{' if !string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

const MAX_SCHEMA_DEPTH: usize = 64;
const MAX_SCHEMA_PROPERTIES: usize = 256;
const MAX_SCHEMA_COPIES: usize = 1_000;
const MAX_REFERENCES: usize = 32;
const MAX_STEPS: usize = 10_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn brackets_count_outside_of_literals_classes_and_comments() {
        assert_eq!(scan(r#"root ::= (("a" | "((") [(] ) # ((("#).depth, 2);
        assert_eq!(scan(r#"root ::= "\"(" (a)"#).depth, 1);
        assert_eq!(scan("# \\\nroot ::= ((a))").depth, 2);
    }

    #[test]
    fn backward_repetitions_are_found_behind_comments_too() {
        for text in ["[a]{1,2} \"b\"{ 5 , 2 }", "(\"a\"{5,#}\n2})", "\"a\"{#}\n5,2}"] {
            assert!(scan(&format!("root ::= {text}")).backward.is_some(), "{text}");
        }
        for text in ["\"a\"{2}", "\"a\"{2,}", "\"{5,2}\"", "\"a\"{2,2}", "{x,y}", "[{5,2}]", "a # {5,2}"] {
            assert_eq!(scan(&format!("root ::= {text}")).backward, None, "{text}");
        }
        assert_eq!(scan("root ::= \"a\"{7} \"b\"{3,9}").largest_repetition, 9);
    }

    #[test]
    fn schemas_that_refer_to_themselves_or_multiply_are_refused() {
        let many = (0..60).fold(json!({}), |inner, _| json!({ "type": ["array", "array"], "items": inner }));
        let bad = [
            json!({ "allOf": [{ "$ref": "#/definitions/a" }], "definitions": { "a": { "$ref": "#/definitions/a" } } }),
            json!({ "$ref": "#/a", "a": { "allOf": [{ "$ref": "#/b" }] }, "b": { "$ref": "#/a" } }),
            json!({ "$ref": "other.json" }),
            many,
        ];
        for schema in bad {
            assert!(check_schema(&schema).is_err(), "{schema:.80}");
        }
        // A tree of nodes refers to itself below its properties, which is fine.
        let tree =
            json!({ "$ref": "#/node", "node": { "type": "object", "properties": { "next": { "$ref": "#/node" } } } });
        assert!(check_schema(&tree).is_ok());
    }

    #[test]
    fn depth_of_json() {
        assert_eq!(json_depth(r#"{"a": [1, [2]], "b": "[[[[\"[["}"#), 3);
        assert_eq!(json_depth(&"[".repeat(500)), 500);
        // An inch, and then JSON whose strings close brackets.
        let hidden = format!("5\" {}", "[\"]\",".repeat(300));
        assert!(json_depth(&hidden) < 2 && json_depth_within(&hidden) == 300);
        assert_eq!(json_depth_within(&"[x] {y}, ".repeat(500)), 1);
    }
}
