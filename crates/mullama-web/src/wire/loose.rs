//! Fields that may be one thing or another. Each is read by a visitor, which tells what it expected; serde's own untagged
//! enums only tell that nothing fitted.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// One value, or a list of them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// As a list.
    pub(crate) fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list of values")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMany::Many)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(OneOrMany::One)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        T::deserialize(serde::de::value::StrDeserializer::new(text)).map(OneOrMany::One)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        T::deserialize(serde::de::value::I64Deserializer::new(number)).map(OneOrMany::One)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        T::deserialize(serde::de::value::U64Deserializer::new(number)).map(OneOrMany::One)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Err(E::invalid_type(Unexpected::Float(number), &self))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Err(E::invalid_type(Unexpected::Bool(value), &self))
    }
}

/// A text, or tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum TextOrTokens {
    /// Text.
    Text(String),
    /// Tokens of the model.
    Tokens(Vec<i32>),
}

/// Texts or tokens, one or several: a text, texts, tokens, lists of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Inputs {
    /// One text.
    Text(String),
    /// One list of tokens.
    Tokens(Vec<i32>),
    /// Several.
    Many(Vec<TextOrTokens>),
}

impl Inputs {
    pub(crate) fn into_vec(self) -> Vec<TextOrTokens> {
        match self {
            Self::Text(text) => vec![TextOrTokens::Text(text)],
            Self::Tokens(tokens) => vec![TextOrTokens::Tokens(tokens)],
            Self::Many(many) => many,
        }
    }
}

impl<'de> Deserialize<'de> for TextOrTokens {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = TextOrTokens;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of tokens")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TextOrTokens::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(TextOrTokens::Tokens)
            }
        }
        from.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Inputs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Inputs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, tokens, or a list of texts or of lists of tokens")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Inputs::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                /// The first item decides.
                #[derive(Debug)]
                enum Item {
                    Number(i32),
                    Whole(TextOrTokens),
                }
                impl<'de> Deserialize<'de> for Item {
                    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                        struct Which;
                        impl<'de> Visitor<'de> for Which {
                            type Value = Item;

                            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                                f.write_str("a text, a token or a list of tokens")
                            }

                            fn visit_str<E: Error>(self, text: &str) -> Result<Item, E> {
                                Ok(Item::Whole(TextOrTokens::Text(text.to_owned())))
                            }

                            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Item, A::Error> {
                                let tokens = Vec::deserialize(SeqAccessDeserializer::new(list))?;
                                Ok(Item::Whole(TextOrTokens::Tokens(tokens)))
                            }

                            fn visit_i64<E: Error>(self, number: i64) -> Result<Item, E> {
                                let token = i32::try_from(number);
                                token.map(Item::Number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
                            }

                            fn visit_u64<E: Error>(self, number: u64) -> Result<Item, E> {
                                let token = i32::try_from(number);
                                token
                                    .map(Item::Number)
                                    .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
                            }
                        }
                        from.deserialize_any(Which)
                    }
                }
                let (mut tokens, mut many) = (Vec::new(), Vec::new());
                while let Some(item) = list.next_element::<Item>()? {
                    match item {
                        Item::Number(token) => tokens.push(token),
                        Item::Whole(item) => many.push(item),
                    }
                    if !tokens.is_empty() && !many.is_empty() {
                        return Err(A::Error::custom(
                            "tokens stand beside texts or lists: give each list of tokens alone",
                        ));
                    }
                }
                Ok(if tokens.is_empty() { Inputs::Many(many) } else { Inputs::Tokens(tokens) })
            }
        }
        from.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_have_four_forms() {
        let read = |json: &str| serde_json::from_str::<Inputs>(json).map(Inputs::into_vec);
        let text = |text: &str| TextOrTokens::Text(text.to_owned());
        assert_eq!(read(r#""a""#).unwrap(), [text("a")]);
        assert_eq!(read(r#"["a","b"]"#).unwrap(), [text("a"), text("b")]);
        assert_eq!(read("[1,2]").unwrap(), [TextOrTokens::Tokens(vec![1, 2])]);
        assert_eq!(read("[[1],[2,3]]").unwrap(), [TextOrTokens::Tokens(vec![1]), TextOrTokens::Tokens(vec![2, 3])]);
        assert_eq!(read("[]").unwrap(), []);
        for wrong in ["7", "{}", r#"[1,"a"]"#, "[1.5]", "[3000000000]", "[null]", "true"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
