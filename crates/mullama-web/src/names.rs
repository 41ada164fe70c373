//! How a route calls the fields that an error names: the engines, and what several routes share, have one name for each.

use std::borrow::Cow;

use crate::error::ApiError;

/// The names of one route's fields.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Names(Option<Rename>);

/// The route's name for a field, where it is another one.
type Rename = fn(&str) -> Option<Cow<'static, str>>;

impl Names {
    /// Of the route with this path.
    pub(crate) fn of(path: &str) -> Self {
        let path = path.strip_prefix("/v1").unwrap_or(path);
        let rename: Rename = match path.strip_suffix('/').unwrap_or(path) {
            "/chat/completions" | "/apply-template" => |param| prompt(param).then_some("messages".into()),
            "/infill" => |param| prompt(param).then_some("input_prefix".into()),
            "/embeddings" | "/embedding" => |param| prompt(param).then_some("input".into()),
            "/rerank" | "/reranking" => |param| prompt(param).then_some("documents".into()),
            "/tokenize" => |param| prompt(param).then_some("content".into()),
            "/detokenize" => |param| prompt(param).then_some("tokens".into()),
            "/responses" | "/responses/input_tokens" => of_responses,
            _ => return Self(None),
        };
        Self(Some(rename))
    }

    /// The same error, in the route's words.
    pub(crate) fn of_error(self, mut error: ApiError) -> ApiError {
        if let (Some(rename), Some(param)) = (self.0, &error.param)
            && let Some(name) = rename(param)
        {
            error.param = Some(name);
        }
        error
    }
}

/// What the engines call the text, the conversation, or the tokens that they get.
fn prompt(param: &str) -> bool {
    param == "prompt"
}

fn of_responses(param: &str) -> Option<Cow<'static, str>> {
    if param == "prompt" || param.starts_with("messages") {
        return Some("input".into());
    }
    if let Some(rest) = param.strip_prefix("response_format") {
        return Some(format!("text.format{}", rest.strip_prefix(".json_schema").unwrap_or(rest)).into());
    }
    if param.starts_with("tools[") {
        return Some(param.replacen(".function", "", 1).into());
    }
    match param {
        "max_completion_tokens" | "max_tokens" => Some("max_output_tokens".into()),
        "reasoning_effort" => Some("reasoning.effort".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, param: &'static str, expected: &str) {
        let error = Names::of(path).of_error(ApiError::invalid(param, "It is wrong."));
        assert_eq!(error.param.as_deref(), Some(expected), "{path}");
    }

    #[test]
    fn each_route_has_its_words() {
        for (path, name) in [
            ("/v1/chat/completions", "messages"),
            ("/chat/completions", "messages"),
            ("/v1/chat/completions/", "messages"),
            ("/apply-template", "messages"),
            ("/v1/completions", "prompt"),
            ("/completion", "prompt"),
            ("/infill", "input_prefix"),
            ("/v1/embeddings", "input"),
            ("/embedding", "input"),
            ("/v1/rerank", "documents"),
            ("/tokenize", "content"),
            ("/detokenize", "tokens"),
            ("/v1/responses", "input"),
            ("/v1/responses/input_tokens", "input"),
        ] {
            check(path, "prompt", name);
            check(path, "temperature", "temperature");
        }
        for (param, name) in [
            ("messages[0].content", "input"),
            ("response_format.json_schema.schema.properties.a", "text.format.schema.properties.a"),
            ("tools[1].function.parameters", "tools[1].parameters"),
            ("max_completion_tokens", "max_output_tokens"),
            ("reasoning_effort", "reasoning.effort"),
        ] {
            check("/v1/responses", param, name);
            check("/v1/chat/completions", param, param);
        }
    }
}
