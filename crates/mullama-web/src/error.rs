//! What a request is answered when it fails: one shape, one table of statuses.

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{HeaderName, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use mullama_core::ErrorKind;
use serde_json::{Map, Value, json};

/// A failed request, as OpenAI's API tells it: `{"error":{"message","type","param","code"}}`.
///
/// The routes of other dialects get their own shape of the same thing on the way out.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) code: Option<&'static str>,
    pub(crate) param: Option<Cow<'static, str>>,
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
    /// Beside the four: `n_prompt_tokens` and the like.
    pub(crate) more: Map<String, Value>,
}

/// The result of a handler.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// How errors look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    Anthropic,
    Ollama,
}

impl Dialect {
    /// Of the route with this path.
    pub(crate) fn of(path: &str) -> Self {
        let path = path.strip_prefix("/v1").unwrap_or(path);
        if path == "/messages" || path.starts_with("/messages/") {
            Self::Anthropic
        } else if path.starts_with("/api/") {
            Self::Ollama
        } else {
            Self::OpenAi
        }
    }
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { status, kind, code, param: None, message: message.into(), retry_after: None, more: Map::new() }
    }

    /// 400: what was given cannot be used. `param`: the field; empty for the whole.
    pub(crate) fn invalid(param: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let param = param.into();
        let mut error = Self::new(StatusCode::BAD_REQUEST, INVALID, None, message);
        error.param = Some(param).filter(|param| !param.is_empty());
        error
    }

    /// 400: it cannot be done here.
    pub(crate) fn unsupported(param: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::invalid(param, message).code("unsupported_parameter")
    }

    /// 404: no such model.
    pub(crate) fn no_model(name: &str) -> Self {
        let message = format!("The model `{name}` does not exist. GET /v1/models lists those that do.");
        let mut error = Self::new(StatusCode::NOT_FOUND, NOT_FOUND, Some("model_not_found"), message);
        error.param = Some("model".into());
        error
    }

    /// 404.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, NOT_FOUND, Some("not_found"), message)
    }

    /// Any 4xx of the protocol itself.
    pub(crate) fn protocol(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::new(status, INVALID, Some(code), message)
    }

    /// 401.
    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "authentication_error", Some("invalid_api_key"), message)
    }

    /// 403.
    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission_error", Some(code), message)
    }

    /// 429: later.
    pub(crate) fn too_many(code: &'static str, message: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some(code), message).retry_after(retry_after)
    }

    /// 503: not now.
    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable_error", Some(code), message).retry_after(retry_after)
    }

    /// 500.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", None, message)
    }

    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    pub(crate) fn param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// `field`: what the form of answers came from, where that is what is wrong; empty where it is not known.
    pub(crate) fn formed_by(self, field: &'static str) -> Self {
        if self.code == Some(INVALID_GRAMMAR) && !field.is_empty() { self.param(field) } else { self }
    }

    pub(crate) fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// The status that it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The body, in a dialect's shape.
    pub(crate) fn body(&self, dialect: Dialect) -> Value {
        match dialect {
            Dialect::OpenAi => {
                let mut error = json!({
                    "message": self.message, "type": self.kind, "param": self.param, "code": self.code,
                });
                if let Value::Object(object) = &mut error {
                    object.extend(self.more.clone());
                }
                json!({ "error": error })
            }
            Dialect::Anthropic => {
                let kind = match self.status.as_u16() {
                    401 => "authentication_error",
                    403 => "permission_error",
                    404 => "not_found_error",
                    413 => "request_too_large",
                    429 => "rate_limit_error",
                    503 => "overloaded_error",
                    500.. => "api_error",
                    _ => INVALID,
                };
                json!({ "type": "error", "error": { "type": kind, "message": self.message } })
            }
            Dialect::Ollama => json!({ "error": self.message }),
        }
    }

    /// The same; Anthropic's clients look in it for the id of the request.
    pub(crate) fn body_of(&self, dialect: Dialect, request_id: Option<&str>) -> Value {
        let mut body = self.body(dialect);
        if let (Dialect::Anthropic, Value::Object(fields), Some(id)) = (dialect, &mut body, request_id) {
            fields.insert("request_id".to_owned(), id.into());
        }
        body
    }

    /// The whole response, in a dialect's shape.
    pub(crate) fn response(&self, dialect: Dialect) -> Response {
        let mut response = (self.status, axum::Json(self.body(dialect))).into_response();
        let headers = response.headers_mut();
        if let Some(time) = self.retry_after {
            headers
                .insert(RETRY_AFTER, time.as_secs_f64().ceil().clamp(1.0, 3_600.0).to_string().parse().unwrap_or(ONE));
            let ms = HeaderValue::from(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
            headers.insert(HeaderName::from_static("retry-after-ms"), ms);
        } else if self.status.is_server_error() || self.status == StatusCode::CONFLICT {
            // Clients of OpenAI's API try again after these, which here would only be the same work once more.
            headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
        }
        response.extensions_mut().insert(Told(self.clone().into()));
        response
    }
}

/// Rides on an error's response, so that the way out can write it in the dialect of the route, and log and count it.
#[derive(Debug, Clone)]
pub(crate) struct Told(pub(crate) std::sync::Arc<ApiError>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.response(Dialect::OpenAi)
    }
}

impl From<mullama_core::Error> for ApiError {
    fn from(error: mullama_core::Error) -> Self {
        use mullama_core::Error as Core;
        let message = told(&error);
        match &error {
            // Of a text too long to be tokenized the fewest that it can have: clients expect a number.
            Core::PromptTooLong { got, limit, .. } => Self::invalid("prompt", message)
                .code("context_length_exceeded")
                .with("n_prompt_tokens", *got)
                .with("n_ctx", *limit),
            Core::InvalidParameter { name, .. } => Self::invalid(*name, message),
            Core::Grammar { .. } => Self::invalid("response_format", message).code(INVALID_GRAMMAR),
            Core::ChatTemplate { .. } => Self::invalid("prompt", message).code("chat_template"),
            Core::EmptyPrompt
            | Core::TextTooLong { .. }
            | Core::RunTooLong { .. }
            | Core::UnknownCharacters { .. }
            | Core::Tokenize { .. } => Self::invalid("prompt", message),
            Core::UnknownToken { name: "logit_bias", .. } => Self::invalid("logit_bias", message).code("unknown_token"),
            Core::UnknownToken { .. } => Self::invalid("prompt", message).code("unknown_token"),
            _ => Self::of_kind(error.kind(), message, retry_of(&error)),
        }
    }
}

impl From<mullama_async::Error> for ApiError {
    fn from(error: mullama_async::Error) -> Self {
        use mullama_async::Error as Async;
        match error {
            Async::Core(error) => error.into(),
            Async::NoSuchModel { name } => Self::no_model(&name),
            Async::BackendDown { retry_after, .. } => Self::unavailable("engine_restarted", told(&error), retry_after),
            Async::Overloaded { retry_after, .. } => Self::of_kind(error.kind(), told(&error), Some(retry_after)),
            Async::LoadModel { ref name, .. } => {
                // Its causes name files of this machine; they are for the log.
                tracing::error!(model = %name, error = %told(&error), "a model could not be loaded");
                let message = format!("The model `{name}` could not be loaded; the server's log says why.");
                Self::unavailable("model_load_failed", message, Duration::from_secs(10))
            }
            Async::InvalidParameter { name, .. } => Self::invalid(name, told(&error)),
            _ => Self::of_kind(error.kind(), told(&error), None),
        }
    }
}

impl ApiError {
    /// The one table of statuses.
    fn of_kind(kind: ErrorKind, message: String, retry_after: Option<Duration>) -> Self {
        let later = retry_after.unwrap_or(SOON);
        match kind {
            ErrorKind::InvalidInput => Self::invalid("", message),
            ErrorKind::Unsupported => Self::unsupported("", message),
            ErrorKind::NotFound => Self::not_found(message),
            ErrorKind::LimitExceeded => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID, Some("limit_exceeded"), message)
            }
            ErrorKind::Overloaded => Self::too_many("server_overloaded", message, later),
            ErrorKind::Unavailable => Self::unavailable("unavailable", message, later),
            ErrorKind::Timeout => Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout_error", Some("timeout"), message),
            _ => {
                tracing::error!(error = %message, "a request failed");
                Self::internal(message)
            }
        }
    }
}

fn retry_of(error: &mullama_core::Error) -> Option<Duration> {
    match error {
        mullama_core::Error::Overloaded { retry_after, .. } => Some(*retry_after),
        _ => None,
    }
}

/// An error with all its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

const INVALID: &str = "invalid_request_error";
const INVALID_GRAMMAR: &str = "invalid_grammar";
const NOT_FOUND: &str = "not_found_error";
const SOON: Duration = Duration::from_secs(1);
const ONE: HeaderValue = HeaderValue::from_static("1");
