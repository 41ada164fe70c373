//! The shape of errors, for the OpenAPI document; [`ApiError`](crate::ApiError) writes them.

use utoipa::{IntoResponses, ToSchema};

/// What every route may answer instead.
#[derive(Debug, IntoResponses)]
#[expect(dead_code, reason = "describes what `ApiError::response` writes")]
pub(crate) enum Failures {
    /// The request cannot be answered.
    #[response(status = "4XX")]
    Refused(ErrorBody),
    /// The server cannot answer.
    #[response(status = "5XX")]
    Failed(ErrorBody),
}

/// The same, as Anthropic's clients read it.
#[derive(Debug, IntoResponses)]
#[expect(dead_code, reason = "as above")]
pub(crate) enum AnthropicFailures {
    /// The request cannot be answered.
    #[response(status = "4XX")]
    Refused(AnthropicErrorBody),
    /// The server cannot answer.
    #[response(status = "5XX")]
    Failed(AnthropicErrorBody),
}

/// The same, as Ollama's clients read it.
#[derive(Debug, IntoResponses)]
#[expect(dead_code, reason = "as above")]
pub(crate) enum OllamaFailures {
    /// The request cannot be answered.
    #[response(status = "4XX")]
    Refused(OllamaErrorBody),
    /// The server cannot answer.
    #[response(status = "5XX")]
    Failed(OllamaErrorBody),
}

/// Why a request was not answered.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what `ApiError::body` writes")]
pub(crate) struct ErrorBody {
    /// What went wrong.
    error: ErrorObject,
}

/// What went wrong.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what `ApiError::body` writes")]
pub(crate) struct ErrorObject {
    /// For people.
    #[schema(example = "The model `gpt-9` does not exist. GET /v1/models lists those that do.")]
    message: String,
    /// The class: `invalid_request_error`, `authentication_error`, `permission_error`, `not_found_error`,
    /// `rate_limit_error`, `unavailable_error`, `timeout_error` or `server_error`.
    #[schema(rename = "type", example = "not_found_error")]
    kind: String,
    /// The field that is to blame.
    #[schema(required, example = "model")]
    param: Option<String>,
    /// Which error of its class.
    #[schema(required, example = "model_not_found")]
    code: Option<String>,
    /// Tokens of a prompt that is too long.
    n_prompt_tokens: Option<u64>,
    /// Tokens that the model's context holds, where the prompt has more.
    n_ctx: Option<u64>,
}

/// Why a request to Anthropic's endpoints was not answered.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes what `ApiError::body_of` writes")]
pub(crate) struct AnthropicErrorBody {
    /// Always "error".
    #[schema(rename = "type", example = "error")]
    kind: String,
    /// What went wrong.
    error: AnthropicErrorObject,
    /// The request's id, as in the header `request-id`.
    request_id: Option<String>,
}

/// What went wrong.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "as above")]
pub(crate) struct AnthropicErrorObject {
    /// The class.
    #[schema(rename = "type", example = "not_found_error")]
    kind: String,
    /// For people.
    message: String,
}

/// Why a request to Ollama's endpoints was not answered.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "as above")]
pub(crate) struct OllamaErrorBody {
    /// For people.
    error: String,
}
