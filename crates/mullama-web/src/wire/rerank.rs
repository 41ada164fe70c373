//! Ranking, in Jina's and Cohere's shape.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// POST /v1/rerank.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub(crate) struct RerankRequest {
    /// The model's name; without one the server's first.
    pub model: Option<String>,
    /// What is asked.
    #[schema(required)]
    pub query: Option<String>,
    /// The texts.
    #[schema(required)]
    pub documents: Option<Vec<Document>>,
    /// The same under TEI's name.
    pub texts: Option<Vec<Document>>,
    /// Give the best only.
    pub top_n: Option<i64>,
    /// Give the texts too.
    pub return_documents: Option<bool>,
}

/// A text to rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(value_type = String)]
pub(crate) struct Document(pub(crate) String);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct TextOrObject;
        impl<'de> Visitor<'de> for TextOrObject {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or {\"text\"}")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Document, E> {
                Ok(Document(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Document, A::Error> {
                #[derive(Deserialize)]
                struct Object {
                    text: String,
                }
                Object::deserialize(MapAccessDeserializer::new(map)).map(|object| Document(object.text))
            }
        }
        from.deserialize_any(TextOrObject)
    }
}

/// Texts by how well they answer, best first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Ranking {
    /// The model's name.
    pub model: String,
    /// Always "list".
    pub object: &'static str,
    /// Tokens of the query, once for each text, and of the texts.
    pub usage: super::embedding::EmbeddingUsage,
    /// Best first.
    pub results: Vec<RankedDocument>,
}

/// A text and how well it answers.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RankedDocument {
    /// Its place in the list.
    pub index: usize,
    /// The model's own number: higher is better.
    pub relevance_score: f32,
    /// The text, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub document: Option<RankedText>,
}

/// A text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct RankedText {
    /// It.
    pub text: String,
}
