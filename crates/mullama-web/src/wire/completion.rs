//! Completions: OpenAI's, and llama.cpp's own.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::chat::StreamOptions;
use super::logprobs::TokenLogprob;
use super::loose::Inputs;
use super::sampling::request_with_sampling;
use super::usage::{Timings, Usage};

request_with_sampling! {
    /// POST /v1/completions.
    pub struct CompletionRequest {
        /// The model's name; without one the server's first.
        pub model: Option<String>,
        /// A text, tokens, or several of them.
        #[schema(required)]
        pub prompt: Option<Inputs>,
        /// What follows the gap that is to be filled.
        pub suffix: Option<String>,
        /// Tokens to generate at most. Default 16, as OpenAI has it.
        pub max_tokens: Option<i64>,
        /// Answers to each prompt. 1 to 8.
        pub n: Option<i64>,
        /// Answers to compute, of which the `n` likeliest are given.
        pub best_of: Option<i64>,
        /// Give the prompt too.
        pub echo: Option<bool>,
        /// The log-probability of each token, and of so many of the likeliest in its place. 0 to 5.
        pub logprobs: Option<i64>,
        /// Send the answer as it comes.
        pub stream: Option<bool>,
        /// More of the stream.
        pub stream_options: Option<StreamOptions>,
        /// A JSON schema of the answer.
        #[schema(value_type = Option<Object>)]
        pub json_schema: Option<Value>,
        /// "flex" is for work that nobody waits for: other requests go first.
        pub service_tier: Option<String>,
        /// Accepted, unused.
        pub user: Option<String>,
    }
}

/// An answer, or with `stream` a piece of one.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Completion {
    /// `cmpl-...`.
    pub id: String,
    /// Always "text_completion".
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: u64,
    /// The model's name.
    pub model: String,
    /// The answers: for each prompt `n` of them.
    pub choices: Vec<CompletionChoice>,
    /// Tokens of all answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Names the build and the model.
    pub system_fingerprint: String,
    /// Times of the first answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// What was relaxed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct CompletionChoice {
    /// Its number.
    pub index: u32,
    /// It.
    pub text: String,
    /// stop or length; null while it goes on.
    pub finish_reason: Option<&'static str>,
    /// How likely the tokens were, if asked for.
    pub logprobs: Option<CompletionLogprobs>,
}

/// How likely tokens were, in the older form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct CompletionLogprobs {
    /// The tokens' texts.
    pub tokens: Vec<String>,
    /// Natural logarithms of their probabilities.
    pub token_logprobs: Vec<f32>,
    /// The likeliest in each place, by text.
    #[schema(value_type = Vec<Object>)]
    pub top_logprobs: Vec<serde_json::Map<String, Value>>,
    /// Where each token begins in the answer, in characters.
    pub text_offset: Vec<usize>,
}

request_with_sampling! {
    /// POST /completion, with llama.cpp's names.
    pub struct NativeCompletionRequest {
        /// The model's name; without one the server's first.
        pub model: Option<String>,
        /// A text, or tokens.
        #[schema(required)]
        pub prompt: Option<Inputs>,
        /// Tokens to generate at most; -1 is no limit. Default -1.
        pub n_predict: Option<i64>,
        /// The same under OpenAI's name.
        pub max_tokens: Option<i64>,
        /// Log-probabilities of so many of the likeliest tokens in each place. 0 to 20.
        pub n_probs: Option<i64>,
        /// Send the answer as it comes.
        pub stream: Option<bool>,
        /// A JSON schema of the answer.
        #[schema(value_type = Option<Object>)]
        pub json_schema: Option<Value>,
        /// End after this time with what there is, in ms.
        pub t_max_predict_ms: Option<i64>,
        /// Give the tokens' numbers too.
        pub return_tokens: Option<bool>,
        /// POST /infill: what stands before the gap.
        pub input_prefix: Option<String>,
        /// POST /infill: what stands after it.
        pub input_suffix: Option<String>,
    }
}

/// All answers with llama.cpp's names.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum NativeAnswer {
    /// To one prompt.
    One(Box<NativeCompletion>),
    /// To several prompts, in their order.
    Several(Vec<NativeCompletion>),
}

/// An answer with llama.cpp's names, or with `stream` a piece of one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct NativeCompletion {
    /// Which of several prompts.
    pub index: u32,
    /// The text, or what is new of it.
    pub content: String,
    /// The tokens, if asked for.
    pub tokens: Vec<i32>,
    /// Always -1: sequences have no fixed places.
    pub id_slot: i32,
    /// Is this the last piece?
    pub stop: bool,
    /// The model's name.
    pub model: String,
    /// Tokens generated so far.
    pub tokens_predicted: u32,
    /// Tokens of the prompt.
    pub tokens_evaluated: u32,
    /// How likely the tokens were, if asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub completion_probabilities: Vec<TokenLogprob>,
    /// With the last piece: eos, limit, word or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_type: Option<&'static str>,
    /// With the last piece: the stop text that came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopping_word: Option<String>,
    /// With the last piece: tokens of the prompt that were known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_cached: Option<u32>,
    /// With the last piece: was the prompt cut? Never: one that is too long is 400.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,
    /// With the last piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
}

/// POST /v1/chat/completions/{id}/control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
pub(crate) struct ControlRequest {
    /// What to do with the answer that is being given.
    pub action: ControlAction,
}

/// POST /v1/chat/completions/control, as llama.cpp's server has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
pub(crate) struct ControlByIdRequest {
    /// The answer's id.
    pub id: String,
    /// What to do with it.
    pub action: ControlAction,
}

/// What can be done with an answer that is being given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ControlAction {
    /// End it with what there is; its `finish_reason` is "stop".
    Stop,
    /// End the thoughts and go on to the answer, at once or as soon as the model begins to think. Needs
    /// `reasoning_control` in the request of the answer. llama.cpp's server calls it `reasoning_end`.
    #[serde(alias = "reasoning_end")]
    EndReasoning,
    /// Change how tokens are chosen. Not done by this server yet: 400.
    Set,
}
