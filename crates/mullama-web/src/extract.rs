//! JSON bodies, strictly: what is wrong is told with the field's name; fields that nobody reads are noted.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use crate::error::{ApiError, ApiResult};
use crate::notes::Notes;

/// A JSON body. Needs `content-type: application/json`, so that no page of another site can send one unasked.
#[derive(Debug)]
pub(crate) struct ApiJson<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let notes = Notes::of(request.extensions());
        require_json(request.headers())?;
        let body = Bytes::from_request(request, state).await.map_err(|rejection| body_error(&rejection))?;
        let (value, ignored) = read(&body)?;
        notes.ignored(ignored);
        Ok(Self(value))
    }
}

fn require_json(headers: &HeaderMap) -> ApiResult<()> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json")) {
        return Ok(());
    }
    let message = format!("The body must be JSON with `content-type: application/json`, not `{kind}`.");
    Err(ApiError::protocol(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message))
}

pub(crate) fn body_error(rejection: &BytesRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let message = "The body is larger than this server takes.";
        return ApiError::protocol(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", message);
    }
    let mut cause = std::error::Error::source(rejection);
    while let Some(error) = cause {
        if error.is::<crate::server::Stalled>() {
            let message = "The body stopped coming.";
            return ApiError::protocol(StatusCode::REQUEST_TIMEOUT, "body_timeout", message);
        }
        cause = error.source();
    }
    ApiError::protocol(StatusCode::BAD_REQUEST, "body_incomplete", "The body could not be read to its end.")
}

/// Reads JSON, with the paths of the fields that nobody reads.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> ApiResult<(T, Vec<String>)> {
    let mut ignored = Vec::new();
    let mut track = serde_path_to_error::Track::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut note = |path: serde_ignored::Path<'_>| {
        if ignored.len() < MAX_IGNORED {
            // It marks optional fields by `?`.
            ignored.push(path.to_string().replace("?.", ""));
        }
    };
    let traced = serde_path_to_error::Deserializer::new(&mut json, &mut track);
    let value =
        serde_ignored::deserialize(traced, &mut note).map_err(|error| explain(&error, &track.path().to_string()))?;
    json.end().map_err(|error| explain(&error, ""))?;
    Ok((value, ignored))
}

fn explain(error: &serde_json::Error, path: &str) -> ApiError {
    let path = if path == "." { "" } else { path.trim_start_matches('.') };
    if error.is_data() && !path.is_empty() {
        return ApiError::invalid(path.to_owned(), format!("`{path}`: {}", in_words(&error.to_string())));
    }
    let message = format!("The body is not the JSON that is expected here: {}", in_words(&error.to_string()));
    ApiError::invalid("", message).code("invalid_json")
}

/// What serde says, in JSON's words instead of Rust's.
fn in_words(message: &str) -> String {
    let Some((found, rest)) = message.rsplit_once(", expected ") else { return message.to_owned() };
    let (expected, place) = rest.split_once(" at line ").unwrap_or((rest, ""));
    let expected = match expected {
        "f32" | "f64" => "a number",
        "u8" => "a whole number from 0 to 255",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 to 18446744073709551615",
        "i32" => "a whole number from -2147483648 to 2147483647",
        "i64" => "a whole number from -9223372036854775808 to 9223372036854775807",
        "a sequence" => "a list",
        "a map" => "an object",
        named if named.starts_with("struct ") => "an object",
        other => other,
    };
    let found = match found {
        "invalid type: sequence" => "invalid type: list",
        "invalid type: map" => "invalid type: object",
        // serde takes lists for objects whose fields come in order.
        counted if expected == "an object" && counted.starts_with("invalid length") => "invalid type: list",
        other => other,
    };
    let place = if place.is_empty() { String::new() } else { format!(" at line {place}") };
    format!("{found}, expected {expected}{place}")
}

const MAX_IGNORED: usize = 32;

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Body {
        messages: Vec<Message>,
        n: Option<u32>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Message {
        role: String,
    }

    fn failure(body: &str) -> (Option<String>, String) {
        let error = read::<Body>(body.as_bytes()).unwrap_err();
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
        (error.param.map(Into::into), error.message)
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(failure(r#"{"messages":[{"role":7}]}"#).0.as_deref(), Some("messages[0].role"));
        assert_eq!(failure(r#"{"messages":[],"n":-1}"#).0.as_deref(), Some("n"));
        assert_eq!(failure(r#"{"messages":[],"n":1e999}"#).0, None);
        assert!(failure("{").1.contains("line 1 column 1"), "{}", failure("{").1);
        assert_eq!(failure(r#"{"messages":[]} x"#).0, None);
        assert_eq!(failure(r#"{"messages":[{"role":"\ud800"}]}"#).0, None);
    }

    #[test]
    fn types_are_told_in_words_of_json() {
        for (body, expected) in [
            ("[]", "invalid type: list, expected an object at line 1"),
            ("null", "invalid type: null, expected an object at line 1"),
            (r#"{"messages":{}}"#, "invalid type: object, expected a list at line 1"),
            (r#"{"messages":[],"n":"x"}"#, "invalid type: string \"x\", expected a whole number from 0 to 4294967295"),
            (
                r#"{"messages":[],"n":5000000000}"#,
                "invalid value: integer `5000000000`, expected a whole number from 0",
            ),
            (r#"{"messages":[{"role":["a, expected f32"]}]}"#, "invalid type: list, expected a string"),
        ] {
            let message = failure(body).1;
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("struct") && !message.contains("sequence"), "{message}");
        }
    }

    #[test]
    fn deep_json_is_refused() {
        let deep = "[".repeat(10_000);
        assert!(failure(&format!(r#"{{"messages":{deep}"#)).1.contains("invalid type"));
        // What nobody reads is skipped without recursion.
        assert!(failure(&format!(r#"{{"messages":[],"x":{deep}"#)).1.contains("EOF"));
    }

    #[test]
    fn fields_that_nobody_reads_are_noted() {
        let (body, ignored) = read::<Body>(br#"{"messages":[{"role":"user","x":1}],"y":{"z":2},"n":null}"#).unwrap();
        assert_eq!(body, Body { messages: vec![Message { role: "user".to_owned() }], n: None });
        assert_eq!(ignored, ["messages.0.x", "y"]);
    }
}
