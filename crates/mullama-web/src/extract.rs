//! JSON bodies, strictly: what is wrong is told with the field's name; fields that nobody reads are noted.

mod objects;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use http::header::{CONTENT_TYPE, HeaderName, ORIGIN, REFERER};
use http::{HeaderMap, StatusCode};
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::error::{ApiError, ApiResult};
use crate::notes::Notes;
pub(crate) use objects::objects;

/// A JSON body. From a browser it needs `content-type: application/json`: without it a page of another site could send one
/// unasked.
#[derive(Debug)]
pub(crate) struct ApiJson<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for ApiJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let notes = Notes::of(request.extensions());
        let kind = Kind::of(request.headers())?;
        let body = Bytes::from_request(request, state).await.map_err(|rejection| body_error(&rejection))?;
        let (value, ignored) = read(&body).map_err(|error| kind.explain(error, &body))?;
        notes.ignored(ignored);
        Ok(Self(value))
    }
}

/// What a body is said to be.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Json,
    /// What curl says, or nothing, by no browser: the name of it.
    Unsaid(String),
}

impl Kind {
    fn of(headers: &HeaderMap) -> ApiResult<Self> {
        let given = headers.get(CONTENT_TYPE);
        let kind = given.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json")) {
            return Ok(Self::Json);
        }
        // Pages can send both without being asked for leave first, but no browser does so without one of the headers.
        if (given.is_none() || kind == FORM) && !OF_BROWSERS.iter().any(|name| headers.contains_key(name)) {
            return Ok(Self::Unsaid(kind));
        }
        Err(unsupported(&kind))
    }

    /// Why a body could not be read: one that is no JSON was not said to be any.
    fn explain(&self, error: ApiError, body: &[u8]) -> ApiError {
        match self {
            Self::Unsaid(kind) if serde_json::from_slice::<IgnoredAny>(body).is_err() => unsupported(kind),
            _ => error,
        }
    }
}

fn unsupported(kind: &str) -> ApiError {
    let not = if kind.is_empty() { String::new() } else { format!(", not `{kind}`") };
    let message = format!("The body must be JSON with `content-type: application/json`{not}.");
    ApiError::protocol(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
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
    let value = objects(serde_ignored::Deserializer::new(traced, &mut note))
        .map_err(|error: serde_json::Error| explain(&error, &track.path().to_string()))?;
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
        named if named.starts_with("struct ") || named.starts_with(objects::TAGGED) => "an object",
        other => other,
    };
    let found = match found {
        "invalid type: sequence" => "invalid type: list",
        "invalid type: map" => "invalid type: object",
        other => other,
    };
    let place = if place.is_empty() { String::new() } else { format!(" at line {place}") };
    format!("{found}, expected {expected}{place}")
}

const MAX_IGNORED: usize = 32;
/// What `curl -d` says of any body.
const FORM: &str = "application/x-www-form-urlencoded";
/// Browsers send the first with whatever pages post; the others count where something on the way took it out.
const OF_BROWSERS: [HeaderName; 3] = [ORIGIN, REFERER, HeaderName::from_static("sec-fetch-site")];

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Body {
        messages: Vec<Message>,
        n: Option<u32>,
        form: Option<Form>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(tag = "type", rename_all = "lowercase")]
    enum Form {
        Text { text: String },
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
            (r#"[[],null]"#, "invalid type: list, expected an object at line 1"),
            (r#"{"messages":[["user"]]}"#, "invalid type: list, expected an object at line 1"),
            (r#"{"messages":[],"form":7}"#, "invalid type: integer `7`, expected an object"),
            (r#"{"messages":[],"form":["text","a"]}"#, "invalid type: list, expected an object"),
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
            for word in ["struct", "sequence", "enum", "length"] {
                assert!(!message.contains(word), "{message}");
            }
        }
    }

    #[test]
    fn a_body_of_no_kind_is_read_where_no_browser_sent_it() {
        let of = |headers: &[(&'static str, &'static str)]| {
            let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            Kind::of(&headers.collect::<HeaderMap>())
        };
        assert_eq!(of(&[("content-type", "Application/JSON; charset=utf-8"), ("origin", "null")]), Ok(Kind::Json));
        let unsaid = [of(&[]), of(&[("content-type", "application/x-www-form-urlencoded; charset=UTF-8")])];
        assert_eq!(unsaid, [Ok(Kind::Unsaid(String::new())), Ok(Kind::Unsaid(FORM.to_owned()))]);
        for kind in [None, Some(FORM)] {
            for (name, value) in
                [("origin", "http://localhost"), ("origin", "null"), ("sec-fetch-site", "none"), ("referer", "")]
            {
                let kind = kind.map(|kind| ("content-type", kind));
                let headers: Vec<_> = kind.into_iter().chain([(name, value)]).collect();
                assert_eq!(of(&headers).unwrap_err().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{headers:?}");
            }
        }
        for kind in ["", "text/plain", "multipart/form-data", "json"] {
            assert!(of(&[("content-type", kind)]).is_err(), "{kind}");
        }
        let explained = |kind: &Kind, body: &str| kind.explain(ApiError::invalid("n", ""), body.as_bytes()).status();
        let unsaid = Kind::Unsaid(String::new());
        for (kind, body, status) in
            [(&unsaid, "{}", 400), (&unsaid, "a=b", 415), (&unsaid, "", 415), (&Kind::Json, "a=b", 400)]
        {
            assert_eq!(explained(kind, body), status, "{kind:?} {body}");
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
        assert_eq!(body, Body { messages: vec![Message { role: "user".to_owned() }], n: None, form: None });
        assert_eq!(ignored, ["messages.0.x", "y"]);
    }
}
