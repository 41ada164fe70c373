//! Which keywords a grammar of each kind enforces.

use std::collections::HashSet;

use serde_json::Value;

use super::super::kind::{Fields, Kind, Types, known_format, resolve};
use super::super::{keywords, pattern};
use super::Walk;

impl<'a> Walk<'a> {
    /// Does a grammar of this kind hold answers to a keyword other than `type`?
    pub(super) fn enforces(&mut self, kind: Kind<'a>, name: &str, value: &'a Value, fields: &'a Fields) -> bool {
        match kind {
            Kind::Reference(reference) => name == "$ref" && resolve(self.root, reference).is_some(),
            Kind::Union(key, list) => name == key && (key == "anyOf" || self.exclude_each_other(list)),
            Kind::Const(constant) => match name {
                "const" => true,
                "enum" => value.as_array().is_some_and(|values| values.contains(constant)),
                _ => false,
            },
            Kind::Enum(_) => name == "enum",
            Kind::AllOf(list) => name == "allOf" && self.merges(list),
            Kind::Object => object(name, value, fields),
            Kind::Tuple(key, items) => {
                let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
                match name {
                    "minItems" => value.as_u64().is_some_and(|least| least <= count),
                    "maxItems" => value.as_u64().is_some_and(|most| most >= count),
                    "unevaluatedItems" => true,
                    _ => name == key,
                }
            }
            Kind::List(item) => match name {
                "minItems" | "maxItems" => true,
                "unevaluatedItems" => item.is_some(),
                _ => item.is_some_and(|(key, _)| name == key),
            },
            Kind::Text => text(name, value, fields),
            Kind::Integer => integer(name, value, fields),
            Kind::Types(_) | Kind::Number | Kind::Boolean | Kind::Null | Kind::Any | Kind::Broken => false,
        }
    }

    /// Can nothing that a grammar of this kind admits satisfy a keyword that it does not enforce? Tells only what is plain.
    pub(super) fn contradicts(&mut self, kind: Kind<'a>, name: &str, value: &'a Value, fields: &'a Fields) -> bool {
        match (kind, name) {
            (_, "$ref") => true,
            (Kind::Const(constant), "enum") => !value.as_array().is_some_and(|values| values.contains(constant)),
            (Kind::Enum(values), "const") => !values.contains(value),
            (Kind::AllOf(parts), "allOf") => {
                parts.iter().any(|part| !self.types_of_part(part).meets(self.types_of(kind)))
            }
            (Kind::Object, "properties") => true,
            (Kind::Object, "required") => {
                // Properties that have no names come only where this keyword allows them.
                match fields.get("additionalProperties") {
                    None => fields.contains_key("properties"),
                    Some(additional) => *additional == Value::Bool(false),
                }
            }
            (Kind::Tuple(..), "minItems" | "maxItems") => true,
            (Kind::Text, "pattern") => value.as_str().is_some_and(pattern::leaves_string),
            (Kind::Integer, _) => value.as_f64().is_some_and(|bound| bound.abs() >= WRAPS),
            _ => false,
        }
    }

    /// Of a part of an `allOf`, which a reference or a `type` tells.
    fn types_of_part(&mut self, part: &'a Value) -> Types {
        self.fields_behind(part).map_or(Types::ALL, Types::declared)
    }

    /// Can a value satisfy only one of these schemas? Told by their types, or by a property that all objects must have.
    fn exclude_each_other(&mut self, list: &'a [Value]) -> bool {
        if list.len() > MAX_ALTERNATIVES {
            return false;
        }
        let types: Vec<Types> = list.iter().map(|schema| self.types_of_schema(schema, 1)).collect();
        list.iter().enumerate().all(|(index, one)| {
            list[..index].iter().enumerate().all(|(before, other)| {
                if !types[index].meets(types[before]) {
                    return true;
                }
                match (self.values(one), self.values(other)) {
                    (Some(one), Some(other)) => one.iter().all(|value| !other.contains(value)),
                    _ => self.differ_by_a_property(one, other),
                }
            })
        })
    }

    fn differ_by_a_property(&self, one: &'a Value, other: &'a Value) -> bool {
        let (Some(one), Some(other)) = (self.fields_behind(one), self.fields_behind(other)) else { return false };
        if !matches!((Kind::of(one, None), Kind::of(other, None)), (Kind::Object, Kind::Object)) {
            return false;
        }
        let values = |fields: &'a Fields, name: &str| {
            let needed = fields.get("required").and_then(Value::as_array)?.iter().any(|one| one == name);
            self.values(fields.get("properties")?.get(name)?).filter(|_| needed)
        };
        let names = one.get("properties").and_then(Value::as_object).into_iter().flatten();
        names.map(|(name, _)| name).any(|name| match (values(one, name), values(other, name)) {
            (Some(one), Some(other)) => one.iter().all(|value| !other.contains(value)),
            _ => false,
        })
    }

    /// The values that a schema lists, if it does.
    fn values(&self, schema: &'a Value) -> Option<&'a [Value]> {
        match Kind::of(self.fields_behind(schema)?, None) {
            Kind::Const(value) => Some(std::slice::from_ref(value)),
            Kind::Enum(values) => Some(values),
            _ => None,
        }
    }

    /// Are the parts of an `allOf` such that the converter can merge them? It makes one object of the properties of all
    /// parts that are objects, or the values that all parts list, and passes over everything else.
    fn merges(&self, parts: &'a [Value]) -> bool {
        let Some(parts) = parts.iter().map(|part| self.fields_behind(part)).collect::<Option<Vec<_>>>() else {
            return false;
        };
        let kinds: Vec<Kind<'a>> = parts.iter().map(|fields| Kind::of(fields, None)).collect();
        if let Some(Kind::Enum(first)) = kinds.first() {
            let lists =
                |value: &Value| kinds.iter().all(|kind| matches!(kind, Kind::Enum(values) if values.contains(value)));
            return first.iter().any(lists);
        }
        let mut names = HashSet::new();
        let (mut with_properties, mut bounded) = (0, false);
        for (fields, kind) in parts.iter().zip(kinds) {
            match kind {
                Kind::Object => {
                    let properties = fields.get("properties").and_then(Value::as_object);
                    if !properties.into_iter().flatten().all(|(name, _)| names.insert(name)) {
                        return false;
                    }
                    with_properties += usize::from(properties.is_some_and(|map| !map.is_empty()));
                    let additional = fields.get("additionalProperties");
                    bounded |=
                        additional.is_some_and(|value| !keywords::is_idle("additionalProperties", value, fields));
                }
                Kind::Any if says_nothing(fields) => {}
                _ => return false,
            }
        }
        with_properties == 1 || (with_properties > 1 && !bounded)
    }
}

fn says_nothing(fields: &Fields) -> bool {
    fields
        .iter()
        .all(|(key, value)| keywords::find(key).is_none_or(|found| keywords::is_idle(found.name, value, fields)))
}

fn object(name: &str, value: &Value, fields: &Fields) -> bool {
    let properties = fields.get("properties").and_then(Value::as_object);
    match name {
        // The converter has another use for this name.
        "properties" => properties.is_some_and(|map| !map.contains_key("*")),
        "required" => {
            let known =
                |name: &Value| name.as_str().is_some_and(|name| properties.is_some_and(|map| map.contains_key(name)));
            value.as_array().is_some_and(|names| names.iter().all(known))
        }
        "additionalProperties" => true,
        // What is named is evaluated, and no more comes.
        "unevaluatedProperties" => properties.is_some() || fields.contains_key("additionalProperties"),
        _ => false,
    }
}

/// A pattern wins over a format, and that over a length.
fn text(name: &str, value: &Value, fields: &Fields) -> bool {
    let pattern = fields.get("pattern").and_then(Value::as_str).filter(|pattern| !pattern.is_empty());
    match name {
        "pattern" => value.as_str().is_some_and(pattern::is_exact),
        "format" => pattern.is_none() && known_format(fields),
        "minLength" | "maxLength" => pattern.is_none() && !known_format(fields),
        _ => false,
    }
}

fn integer(name: &str, value: &Value, fields: &Fields) -> bool {
    let has = |key: &str| fields.contains_key(key);
    let number = |key: &str| fields.get(key).and_then(Value::as_f64);
    let Some(bound) = value.as_f64().filter(|bound| bound.abs() < LARGEST) else { return false };
    match name {
        "multipleOf" => bound == 1.0,
        "minimum" => has_upper(fields) || at_least(bound.ceil()),
        // `minimum` wins, also where it is lower.
        "exclusiveMinimum" if has("minimum") => number("minimum").is_some_and(|other| other > bound),
        "exclusiveMinimum" => has_upper(fields) || at_least(bound.floor() + 1.0),
        "maximum" => has_lower(fields) || bound >= 0.0,
        "exclusiveMaximum" if has("maximum") => number("maximum").is_some_and(|other| other < bound),
        "exclusiveMaximum" => has_lower(fields) || bound.ceil() - 1.0 >= 0.0,
        _ => false,
    }
}

fn has_upper(fields: &Fields) -> bool {
    fields.contains_key("maximum") || fields.contains_key("exclusiveMaximum")
}

fn has_lower(fields: &Fields) -> bool {
    fields.contains_key("minimum") || fields.contains_key("exclusiveMinimum")
}

/// Is a lower bound without an upper one written exactly? The converter reads the digits behind the first as a number of
/// their own, and loses the zeros before it: from 100 on it admits 10 to 19.
fn at_least(bound: f64) -> bool {
    let digits = format!("{bound:.0}");
    bound < 10.0 || !digits.get(1..digits.len() - 1).unwrap_or_default().contains('0')
}

/// 2^53. Below it every whole number is one of its own here; far beyond, bounds wrap around in the converter.
const LARGEST: f64 = 9_007_199_254_740_992.0;
/// 2^63.
const WRAPS: f64 = 9_223_372_036_854_775_808.0;
const MAX_ALTERNATIVES: usize = 64;
