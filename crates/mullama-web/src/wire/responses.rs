//! The Responses API: what a request says. [`output`] is what it gives, [`event`] what it streams.

pub(crate) mod event;
pub(crate) mod input;
pub(crate) mod output;

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::chat::ToolChoice;
use super::sampling::request_with_sampling;
use input::{FunctionTool, Include, InputItem, ReasoningConfig, ServiceTier, StreamExtras, TextConfig, Truncation};

request_with_sampling! {
    /// POST /v1/responses.
    pub struct ResponseRequest {
        /// The model's name; without one the server's first.
        pub model: Option<String>,
        /// A text of the user, or the items of a conversation, oldest first.
        #[schema(required)]
        pub input: Option<TextOrList<InputItem>>,
        /// Instructions, before all else. Not carried over to the next response.
        pub instructions: Option<String>,
        /// The response that this one follows: its conversation comes before `input`.
        pub previous_response_id: Option<String>,
        /// Functions that the model may call; there are no other tools here.
        pub tools: Option<Vec<FunctionTool>>,
        /// none, auto, required, one function, or a choice of them.
        pub tool_choice: Option<ToolChoice>,
        /// May it ask for several calls at once? Default: if the model's template knows how to.
        pub parallel_tool_calls: Option<bool>,
        /// The form of the answer.
        pub text: Option<TextConfig>,
        /// How long the model thinks.
        pub reasoning: Option<ReasoningConfig>,
        /// Tokens to generate at most, thoughts included.
        pub max_output_tokens: Option<i64>,
        /// Tell the log-probability of each token of the text, and of so many of the likeliest in its place. 0 to 20.
        pub top_logprobs: Option<i64>,
        /// `message.output_text.logprobs` tells log-probabilities. The other names are of things that are not here.
        pub include: Option<Vec<Include>>,
        /// Send the answer as it comes.
        pub stream: Option<bool>,
        /// More of the stream.
        pub stream_options: Option<StreamExtras>,
        /// Keep the response in memory for a time, for `previous_response_id` and GET. Default true.
        pub store: Option<bool>,
        /// Given back with the response: at most 16 names of up to 64 characters, with texts of up to 512.
        pub metadata: Option<BTreeMap<String, String>>,
        /// auto: an answer that reaches the end of the context goes on without the oldest tokens. A prompt that does not
        /// fit is 400 either way.
        pub truncation: Option<Truncation>,
        /// true is 400: nothing is answered in the background.
        pub background: Option<bool>,
        /// 400: there are no stored conversations; `previous_response_id` continues one.
        #[schema(value_type = Option<Object>)]
        pub conversation: Option<Value>,
        /// 400: there are no stored prompts.
        #[schema(value_type = Option<Object>)]
        pub prompt: Option<Value>,
        /// Accepted, unused: it counts calls of built-in tools, of which there are none.
        pub max_tool_calls: Option<i64>,
        /// flex is for work that nobody waits for: other requests go first.
        pub service_tier: Option<ServiceTier>,
        /// Accepted, unused.
        pub user: Option<String>,
        /// Accepted, unused.
        pub safety_identifier: Option<String>,
        /// Accepted, unused: prefixes are found without it.
        pub prompt_cache_key: Option<String>,
        /// Accepted, unused.
        pub prompt_cache_retention: Option<String>,
    }
}

/// A text, or a list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum TextOrList<T> {
    /// A text.
    Text(String),
    /// A list.
    List(Vec<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOrList<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextOrListVisitor(PhantomData))
    }
}

struct TextOrListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TextOrListVisitor<T> {
    type Value = TextOrList<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(TextOrList::Text(text.to_owned()))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        Ok(TextOrList::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(TextOrList::List)
    }
}
