//! JSON. Its parser tells no lines but of what is no JSON; the path of a field must do.

use std::path::Path;

use figment::value::{Dict, Empty, Num, Tag, Value};
use serde_json::Value as Json;

use super::Layer;
use super::toml::Wrong;

pub(super) fn read(text: &str, layer: &mut Layer, _path: &Path) -> Result<(), Wrong> {
    let json: Json = serde_json::from_str(text).map_err(|error| {
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
