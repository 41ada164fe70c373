//! What llama.cpp's converter (`json-schema.cpp`) makes of one schema object: it looks at one kind of keywords and passes
//! over the others.

use serde_json::{Map, Value};

/// The fields of a schema.
pub(super) type Fields = Map<String, Value>;

/// A set of JSON types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    pub(super) const NONE: Self = Self(0);
    pub(super) const NULL: Self = Self(1);
    pub(super) const BOOLEAN: Self = Self(2);
    pub(super) const INTEGER: Self = Self(4);
    pub(super) const NUMBER: Self = Self(4 | 8);
    pub(super) const STRING: Self = Self(16);
    pub(super) const ARRAY: Self = Self(32);
    pub(super) const OBJECT: Self = Self(64);
    pub(super) const ALL: Self = Self(127);

    pub(super) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Of a name in `type`.
    fn named(name: &str) -> Self {
        match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOLEAN,
            "integer" => Self::INTEGER,
            "number" => Self::NUMBER,
            "string" => Self::STRING,
            "array" => Self::ARRAY,
            "object" => Self::OBJECT,
            _ => Self::NONE,
        }
    }

    /// What `type` allows; all without one.
    pub(super) fn declared(fields: &Fields) -> Self {
        match fields.get("type") {
            Some(Value::String(name)) => Self::named(name),
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).map(Self::named).fold(Self::NONE, Self::or)
            }
            _ => Self::ALL,
        }
    }

    /// Of a value. 1.0 is an integer.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => Self::INTEGER,
            Value::Number(_) => Self(8),
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }
}

/// What the grammar of a schema is made from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind<'a> {
    Reference(&'a str),
    /// `oneOf`, `anyOf`.
    Union(&'static str, &'a [Value]),
    /// A list in `type`: one alternative each.
    Types(&'a [Value]),
    Const(&'a Value),
    Enum(&'a [Value]),
    AllOf(&'a [Value]),
    Object,
    /// An array of this many items, each with a schema of its own.
    Tuple(&'static str, &'a [Value]),
    /// An array of any number of items, all with the same schema.
    List(Option<(&'static str, &'a Value)>),
    Text,
    Integer,
    Number,
    Boolean,
    Null,
    Any,
    /// What the converter refuses.
    Broken,
}

impl<'a> Kind<'a> {
    /// In the order in which the converter looks. `single`: one of the names of a list in `type`.
    pub(super) fn of(fields: &'a Fields, single: Option<&'a str>) -> Self {
        if let Some(reference) = fields.get("$ref") {
            return reference.as_str().map_or(Self::Broken, Self::Reference);
        }
        for key in ["oneOf", "anyOf"] {
            if let Some(alternatives) = fields.get(key) {
                return alternatives.as_array().map_or(Self::Broken, |list| Self::Union(key, list));
            }
        }
        // The converter takes the lists of types apart first, but every part of it is then made from these.
        if let Some(value) = fields.get("const") {
            return Self::Const(value);
        }
        if let Some(values) = fields.get("enum") {
            return values.as_array().map_or(Self::Broken, |list| Self::Enum(list));
        }
        let name = match (single, fields.get("type")) {
            (Some(name), _) => Some(name),
            (None, Some(Value::Array(names))) => return Self::Types(names),
            (None, Some(Value::String(name))) => Some(name.as_str()),
            (None, None | Some(Value::Null)) => None,
            (None, Some(_)) => return Self::Broken,
        };
        let has_properties = fields.contains_key("properties")
            || fields.get("additionalProperties").is_some_and(|value| *value != Value::Bool(true));
        let all_of = || fields.get("allOf").map(|all| all.as_array().map_or(Self::Broken, |list| Self::AllOf(list)));
        match name {
            None | Some("") => {
                if has_properties {
                    Self::Object
                } else if let Some(all) = all_of() {
                    all
                } else if fields.contains_key("items") || fields.contains_key("prefixItems") {
                    Self::array(fields)
                } else if ["pattern", "minLength", "maxLength"].iter().any(|key| fields.contains_key(*key))
                    || known_format(fields)
                {
                    Self::Text
                } else {
                    Self::Any
                }
            }
            Some("object") if has_properties => Self::Object,
            Some("object") => all_of().unwrap_or(Self::Object),
            Some("string") => all_of().unwrap_or(Self::Text),
            Some("array") => Self::array(fields),
            Some("integer") => Self::Integer,
            Some("number") => Self::Number,
            Some("boolean") => Self::Boolean,
            Some("null") => Self::Null,
            Some(_) => Self::Broken,
        }
    }

    fn array(fields: &'a Fields) -> Self {
        // `items` wins where both are given.
        for key in ["items", "prefixItems"] {
            match fields.get(key) {
                Some(Value::Array(items)) => return Self::Tuple(key, items),
                Some(item) => return Self::List(Some((key, item))),
                None => {}
            }
        }
        Self::List(None)
    }
}

/// Is the format of a text one that the grammar knows?
pub(super) fn known_format(fields: &Fields) -> bool {
    let name = fields.get("format").and_then(Value::as_str).unwrap_or_default();
    matches!(name, "date" | "time" | "date-time" | "uuid" | "uuid1" | "uuid2" | "uuid3" | "uuid4" | "uuid5")
}

/// What a `$ref` means, if the converter resolves it as JSON Schema does: it knows no escapes.
pub(super) fn resolve<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let pointer = reference.strip_prefix('#').filter(|pointer| pointer.starts_with('/'))?;
    if pointer.contains(['~', '%']) { None } else { root.pointer(pointer) }
}
