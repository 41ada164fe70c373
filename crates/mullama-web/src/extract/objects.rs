//! A list is no object. serde's derived types take one for the other, field by field, so that a client's mistake would go
//! through, or would be told in words that nobody understands.

use std::fmt;

use serde::de::{
    DeserializeSeed, EnumAccess, Error as _, Expected, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::{Deserialize, Deserializer};

/// Reads as what it wraps does, all the way down, but takes no list for a struct.
///
/// What an enum with a tag holds is read before its type is known, and out of this one's sight: its structs need
/// [`objects`].
pub(crate) struct Objects<T>(pub(crate) T);

/// For `deserialize_with`.
pub(crate) fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    T::deserialize(Objects(from))
}

/// Hands calls of a deserializer on, with a visitor that watches.
macro_rules! watched {
    ($($lists:ident: $call:ident($($name:ident: $kind:ty),*);)*) => {$(
        fn $call<V: Visitor<'de>>(self, $($name: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            self.0.$call($($name,)* Watched { visitor, lists: Lists::$lists })
        }
    )*};
}

/// Hands calls of a deserializer on whose values have no parts.
macro_rules! plain {
    ($($call:ident)*) => {$(
        fn $call<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$call(visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Objects<D> {
    type Error = D::Error;

    watched! {
        Refused: deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        Unclear: deserialize_any();
        Taken: deserialize_option();
        Taken: deserialize_newtype_struct(name: &'static str);
        Taken: deserialize_seq();
        Taken: deserialize_tuple(length: usize);
        Taken: deserialize_tuple_struct(name: &'static str, length: usize);
        Taken: deserialize_map();
        Taken: deserialize_enum(name: &'static str, variants: &'static [&'static str]);
    }
    plain! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier
        deserialize_ignored_any
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

/// What becomes of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lists {
    Taken,
    Refused,
    /// The visitor says what it takes.
    Unclear,
}

struct Watched<V> {
    visitor: V,
    lists: Lists,
}

impl<'de, V: Visitor<'de>> Watched<V> {
    fn refuses_lists(&self) -> bool {
        match self.lists {
            Lists::Taken => false,
            Lists::Refused => true,
            // Such an enum asks for anything, and would take the first item for its tag.
            Lists::Unclear => (&self.visitor as &dyn Expected).to_string().starts_with(TAGGED),
        }
    }
}

/// Hands values on that have no parts.
macro_rules! values {
    ($($visit:ident: $kind:ty;)*) => {$(
        fn $visit<E: serde::de::Error>(self, value: $kind) -> Result<V::Value, E> {
            self.visitor.$visit(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Watched<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    values! {
        visit_bool: bool;
        visit_i8: i8;
        visit_i16: i16;
        visit_i32: i32;
        visit_i64: i64;
        visit_i128: i128;
        visit_u8: u8;
        visit_u16: u16;
        visit_u32: u32;
        visit_u64: u64;
        visit_u128: u128;
        visit_f32: f32;
        visit_f64: f64;
        visit_char: char;
        visit_str: &str;
        visit_borrowed_str: &'de str;
        visit_string: String;
        visit_bytes: &[u8];
        visit_borrowed_bytes: &'de [u8];
        visit_byte_buf: Vec<u8>;
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Objects(value))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, value: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(Objects(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        if self.refuses_lists() {
            return Err(A::Error::invalid_type(Unexpected::Seq, &self));
        }
        self.visitor.visit_seq(Objects(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Objects(map))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(Objects(data))
    }
}

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Objects<T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T::Value, D::Error> {
        self.0.deserialize(Objects(from))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.0.next_element_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.0.next_value_seed(Objects(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Objects<A> {
    type Error = A::Error;
    type Variant = Objects<A::Variant>;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self::Variant), A::Error> {
        self.0.variant_seed(seed).map(|(name, variant)| (name, Objects(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Objects<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.0.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.0.newtype_variant_seed(Objects(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.0.tuple_variant(length, Watched { visitor, lists: Lists::Taken })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.0.struct_variant(fields, Watched { visitor, lists: Lists::Refused })
    }
}

/// How serde's derived enums with a tag begin to say what they expect.
pub(super) const TAGGED: &str = "internally tagged enum ";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct One {
        name: Option<String>,
        inner: Option<Box<Self>>,
        list: Vec<Self>,
        pair: Option<(i32, String)>,
        by_name: BTreeMap<String, Named>,
        tagged: Option<Tagged>,
        plain: Option<Plain>,
        any: serde_json::Value,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Named {
        name: String,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(tag = "type", rename_all = "lowercase")]
    enum Tagged {
        Text {
            text: String,
        },
        Deep {
            #[serde(deserialize_with = "objects")]
            one: Named,
        },
        Wrapped(Named),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Plain {
        Unit,
        New(Named),
        Two(i32, Named),
        Fields { name: String },
    }

    fn read(json: &str) -> Result<One, String> {
        objects(&mut serde_json::Deserializer::from_str(json)).map_err(|error| error.to_string())
    }

    #[test]
    fn lists_are_no_objects_wherever_they_stand() {
        for json in [
            "[]",
            r#"["a"]"#,
            r#"{"inner":["a"]}"#,
            r#"{"list":[["a"]]}"#,
            r#"{"list":[{"inner":[]}]}"#,
            r#"{"by_name":{"a":["b"]}}"#,
            r#"{"tagged":["text","a"]}"#,
            r#"{"tagged":["text",{"text":"a"}]}"#,
            r#"{"tagged":["wrapped","a"]}"#,
            r#"{"tagged":{"type":"deep","one":["a"]}}"#,
            r#"{"plain":{"new":["a"]}}"#,
            r#"{"plain":{"two":[1,["a"]]}}"#,
            r#"{"plain":{"fields":["a"]}}"#,
        ] {
            let error = read(json).unwrap_err();
            assert!(error.starts_with("invalid type: sequence, expected "), "{json}: {error}");
            assert!(error.contains(" at line 1 column "), "{json}: {error}");
        }
    }

    #[test]
    fn all_else_is_read_as_before() {
        for json in [
            "{}",
            r#"{"name":"a","inner":{"name":null},"list":[{},{"name":"\u00e9"}],"pair":[1,"a"]}"#,
            r#"{"by_name":{"a":{"name":"b"}},"tagged":{"type":"text","text":"a"},"plain":"unit"}"#,
            r#"{"tagged":{"type":"deep","one":{"name":"a"}},"plain":{"new":{"name":"a"}}}"#,
            r#"{"tagged":{"type":"wrapped","name":"a"},"plain":{"two":[1,{"name":"a"}]}}"#,
            r#"{"any":[[1,-2,3.5,true,null,"a"],{"b":[]}],"plain":{"fields":{"name":"a"}},"unknown":[["a"]]}"#,
        ] {
            assert_eq!(read(json), Ok(serde_json::from_str(json).unwrap()), "{json}");
        }
        for json in [r#"{"name":7}"#, r#"{"pair":[1]}"#, r#"{"tagged":{"type":"none"}}"#, r#"{"list":{}}"#, "7", "{"] {
            assert_eq!(read(json), serde_json::from_str::<One>(json).map_err(|error| error.to_string()), "{json}");
        }
    }
}
