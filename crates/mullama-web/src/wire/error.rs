//! The shape of errors, for the OpenAPI document; [`ApiError`](crate::ApiError) writes them.

use utoipa::ToSchema;

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
