//! JSON. Its parser tells no lines but of what is no JSON; the path of a field must do.

use std::fmt;
use std::path::Path;

use figment::value::{Dict, Empty, Num, Tag, Value};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

use super::Layer;
use super::toml::Wrong;

pub(super) fn read(text: &str, layer: &mut Layer, _path: &Path) -> Result<(), Wrong> {
    let text = text.trim_start_matches('\u{feff}');
    let Strict(json) = serde_json::from_str(text).map_err(|error| {
        // The position is in the message too.
        let reason = error.to_string();
        let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason);
        (error.line().max(1), error.column().max(1), reason.to_owned())
    })?;
    match value(json) {
        Value::Dict(_, tree) => {
            layer.tree = tree;
            Ok(())
        }
        _ => Err((1, 1, "the whole must be an object".to_owned())),
    }
}

pub(super) fn value(json: Json) -> Value {
    match json {
        Json::Null => Value::Empty(Tag::Default, Empty::None),
        Json::Bool(flag) => Value::from(flag),
        Json::Number(number) => {
            let number = match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Num::from(number),
                (None, Some(number)) => Num::from(number),
                (None, None) => Num::from(number.as_f64().unwrap_or(f64::NAN)),
            };
            Value::Num(Tag::Default, number)
        }
        Json::String(text) => Value::from(text),
        Json::Array(items) => Value::Array(Tag::Default, items.into_iter().map(value).collect()),
        Json::Object(fields) => {
            let fields: Dict = fields.into_iter().map(|(name, json)| (name, value(json))).collect();
            Value::Dict(Tag::Default, fields)
        }
    }
}

/// JSON in which no object has a key twice: serde_json takes the last one, and forgets what was said before.
struct Strict(Json);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom("duplicate key"));
            }
            let Strict(value) = fields.next_value()?;
            object.insert(name, value);
        }
        Ok(object.into())
    }
}
