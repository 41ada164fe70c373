//! Tools: what a model may call, which of them it is to call, and its calls.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::extract::objects;

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub(crate) struct ToolSpec {
    /// Always "function".
    #[serde(rename = "type", default)]
    pub kind: FunctionKind,
    /// It.
    pub function: FunctionSpec,
}

/// The only kind of tool there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FunctionKind {
    /// A function.
    #[default]
    Function,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
pub(crate) struct FunctionSpec {
    /// Its name.
    pub name: String,
    /// What it does, for the model to read.
    pub description: Option<String>,
    /// JSON schema of its arguments.
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<Value>,
    /// Refuse a schema that cannot be enforced whole.
    pub strict: Option<bool>,
}

/// Whether the model calls tools, and which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToolChoice {
    /// As it likes.
    Auto,
    /// It must not.
    None,
    /// It must.
    Required,
    /// It must call this one.
    Named(String),
    /// It may, or must, call one of these.
    Allowed {
        /// Must it?
        required: bool,
        /// Their names.
        names: Vec<String>,
    },
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ToolCall {
    /// Names the call.
    #[serde(default)]
    pub id: String,
    /// Always "function".
    #[serde(rename = "type", default)]
    pub kind: FunctionKind,
    /// What is called.
    pub function: FunctionCall,
}

/// A function and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct FunctionCall {
    /// Its name.
    pub name: String,
    /// JSON text.
    #[serde(default)]
    pub arguments: String,
}

impl<'de> Deserialize<'de> for ToolChoice {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct NameOrObject;
        impl<'de> Visitor<'de> for NameOrObject {
            type Value = ToolChoice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "\"none\", \"auto\", \"required\", {\"type\":\"function\",...} or {\"type\":\"allowed_tools\",...}",
                )
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                match text {
                    "auto" => Ok(ToolChoice::Auto),
                    "none" => Ok(ToolChoice::None),
                    "required" | "any" => Ok(ToolChoice::Required),
                    other => Err(E::unknown_variant(other, &["none", "auto", "required"])),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                let name = |function: Option<Named>, name: Option<String>| {
                    name.or(function.map(|function| function.name)).ok_or_else(|| A::Error::missing_field("name"))
                };
                match Chosen::deserialize(MapAccessDeserializer::new(map))? {
                    Chosen::Function { function, name: given } => name(function, given).map(ToolChoice::Named),
                    Chosen::AllowedTools { allowed_tools, mode, tools } => {
                        let listed = |tools| (mode.unwrap_or(Mode::Auto), tools);
                        let (mode, tools) = match allowed_tools {
                            Some(list @ Value::Array(_)) => listed(objects(list).map_err(A::Error::custom)?),
                            Some(object) => {
                                let Allowed { mode, tools } = objects(object).map_err(A::Error::custom)?;
                                (mode, tools)
                            }
                            None => listed(tools.ok_or_else(|| A::Error::missing_field("tools"))?),
                        };
                        let names =
                            tools.into_iter().map(|tool| name(tool.function, tool.name)).collect::<Result<_, _>>()?;
                        Ok(ToolChoice::Allowed { required: mode == Mode::Required, names })
                    }
                }
            }
        }
        from.deserialize_any(NameOrObject)
    }
}

impl utoipa::PartialSchema for ToolChoice {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
        let names = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(["none", "auto", "required"]));
        let object = ObjectBuilder::new()
            .description(Some("`{\"type\":\"function\",\"function\":{\"name\"}}`, or `allowed_tools`"));
        OneOfBuilder::new().item(names).item(object).into()
    }
}

impl ToSchema for ToolChoice {}

/// An object that says which tools.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Chosen {
    Function {
        #[serde(default, deserialize_with = "objects")]
        function: Option<Named>,
        name: Option<String>,
    },
    AllowedTools {
        allowed_tools: Option<Value>,
        mode: Option<Mode>,
        #[serde(default, deserialize_with = "objects")]
        tools: Option<Vec<Tool>>,
    },
}

#[derive(Deserialize)]
struct Allowed {
    mode: Mode,
    tools: Vec<Tool>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Auto,
    Required,
}

/// `{"type":"function","function":{"name"}}`, or the Responses API's `{"type":"function","name"}`.
#[derive(Deserialize)]
struct Tool {
    function: Option<Named>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tool_choices_have_five_forms() {
        let read = |json: &str| serde_json::from_str::<ToolChoice>(json);
        assert_eq!(read(r#""none""#).unwrap(), ToolChoice::None);
        assert_eq!(read(r#""required""#).unwrap(), ToolChoice::Required);
        let named = ToolChoice::Named("f".to_owned());
        assert_eq!(read(r#"{"type":"function","function":{"name":"f"}}"#).unwrap(), named);
        assert_eq!(read(r#"{"type":"function","name":"f"}"#).unwrap(), named);
        let allowed = r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#;
        let expected = ToolChoice::Allowed { required: true, names: vec!["f".to_owned()] };
        assert_eq!(read(allowed).unwrap(), expected);
        for list in ["allowed_tools", "tools"] {
            let json =
                format!(r#"{{"type":"allowed_tools","mode":"required","{list}":[{{"type":"function","name":"f"}}]}}"#);
            assert_eq!(read(&json).unwrap(), expected);
        }
        for wrong in [
            r#""sometimes""#,
            "7",
            "{}",
            r#"{"type":"function"}"#,
            r#"{"type":"allowed_tools","allowed_tools":7}"#,
            r#"{"type":"allowed_tools","allowed_tools":[["f"]]}"#,
            r#"{"type":"allowed_tools","tools":[[null,"f"]]}"#,
            r#"{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[[["f"]]]}}"#,
            r#"{"type":"function","function":["f"]}"#,
            "[]",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
