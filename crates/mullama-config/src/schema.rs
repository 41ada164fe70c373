//! The JSON schema of the file.

use figment::value::{Dict, Num, Value};
use serde_json::{Map, Value as Json, json};

use crate::config::MullamaConfig;
use crate::field::{Field, Kind};

/// The JSON schema (2020-12) of the file, so that editors complete and check it. Taplo's comment for TOML:
/// `#:schema ./mullama.schema.json`.
#[must_use]
pub fn schema() -> Json {
    let mut schema = object(MullamaConfig::FIELDS, defaults().as_ref());
    if let Json::Object(schema) = &mut schema {
        schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        schema.insert("title".to_owned(), "Configuration of mullama".into());
    }
    schema
}

/// The defaults, as a tree.
pub(crate) fn defaults() -> Option<Dict> {
    match Value::serialize(MullamaConfig::default()) {
        Ok(Value::Dict(_, tree)) => Some(tree),
        _ => None,
    }
}

fn object(fields: &[Field], defaults: Option<&Dict>) -> Json {
    let properties: Map<String, Json> = fields
        .iter()
        .map(|field| (field.name.to_owned(), described(field, defaults.and_then(|tree| tree.get(field.name)))))
        .collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn described(field: &Field, default: Option<&Value>) -> Json {
    let mut schema = of(&field.kind, default);
    if let Json::Object(schema) = &mut schema {
        schema.insert("description".to_owned(), field.text().into());
        let default = default.and_then(json_value).filter(|_| !matches!(field.kind, Kind::Section(_)));
        if let Some(default) = default {
            schema.insert("default".to_owned(), default);
        }
    }
    schema
}

fn of(kind: &Kind, default: Option<&Value>) -> Json {
    match kind {
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Whole { low, high } => json!({ "type": "integer", "minimum": small(*low), "maximum": small(*high) }),
        Kind::Number { low, high } => json!({ "type": "number", "minimum": low, "maximum": high }),
        Kind::Text | Kind::Path | Kind::Secret => json!({ "type": "string" }),
        Kind::Names(names) => json!({ "enum": names }),
        Kind::List(kind) => json!({ "type": "array", "items": of(kind, None) }),
        Kind::Section(fields) => match default {
            Some(Value::Dict(_, tree)) => object(fields, Some(tree)),
            _ => object(fields, None),
        },
        Kind::Sections(fields) => json!({ "type": "array", "items": object(fields, None) }),
        Kind::Any => json!({}),
    }
}

fn small(number: i128) -> Json {
    i64::try_from(number).map_or(Json::Null, Json::from)
}

/// Floats as they are written: 0.8, not the nearest of 64 bits to that of 32.
fn json_value(value: &Value) -> Option<Json> {
    Some(match value {
        Value::Empty(..) => return None,
        Value::Num(_, Num::F32(number)) => json!(number.to_string().parse::<f64>().ok()?),
        Value::Array(_, items) => items.iter().map(json_value).collect::<Option<Vec<_>>>()?.into(),
        value => serde_json::to_value(value).ok()?,
    })
}
