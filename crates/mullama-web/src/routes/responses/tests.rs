//! Requests through the routes, to a backend that follows a script.

use axum::Router;
use axum::routing::{get, post};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use mullama_async::{Script, ScriptedBackend};
use mullama_core::{Role, ToolCallDelta};
use serde_json::{Value, json};
use std::time::Duration;
use tower::ServiceExt as _;

use super::*;
use crate::config::WebConfig;
use crate::notes::Notes;

/// A response of which nothing is known yet.
pub(super) fn blank() -> ResponseObject {
    let state = AppState::with_backend(Arc::new(backend()), WebConfig::default()).unwrap();
    let request = serde_json::from_value(json!({ "input": "hi" })).unwrap();
    translate::prepare(&state, None, request).unwrap().response
}

/// The data of server-sent events; their names are their types.
pub(super) fn events(stream: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stream).unwrap();
    let read = |event: &str| {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name);
        data
    };
    text.strip_suffix("\n\n").unwrap().split("\n\n").map(read).collect()
}

fn backend() -> ScriptedBackend {
    ScriptedBackend::new().model("m", Script::texts(["Hel", "lo"]))
}

struct Client {
    backend: ScriptedBackend,
    router: Router,
}

fn client() -> Client {
    let backend = backend();
    let state = AppState::with_backend(Arc::new(backend.clone()), WebConfig::default()).unwrap();
    let router = Router::new()
        .route("/v1/responses", post(create))
        .route("/v1/responses/input_tokens", post(input_tokens))
        .route("/v1/responses/{id}", get(retrieve).delete(delete))
        .with_state(state);
    Client { backend, router }
}

impl Client {
    async fn send(&self, method: &str, path: &str, key: Option<&str>, body: Option<Value>) -> (StatusCode, Bytes) {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let notes = Notes::default();
        key.into_iter().for_each(|key| notes.key(key));
        request = request.extension(notes);
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let status = response.status();
        (status, response.into_body().collect().await.unwrap().to_bytes())
    }

    async fn create(&self, body: Value) -> Value {
        let (status, bytes) = self.send("POST", "/v1/responses", None, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{bytes:?}");
        serde_json::from_slice(&bytes).unwrap()
    }

    async fn refused(&self, body: Value) -> (Option<String>, Option<String>) {
        let (status, bytes) = self.send("POST", "/v1/responses", None, Some(body)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bytes:?}");
        let error: Value = serde_json::from_slice(&bytes).unwrap();
        let text = |name: &str| error["error"][name].as_str().map(str::to_owned);
        (text("param"), text("code"))
    }

    /// The last conversation that was handed in: who spoke, and what.
    fn heard(&self) -> Vec<(Role, String)> {
        self.chat().messages.iter().map(|message| (message.role, message.text())).collect()
    }

    fn chat(&self) -> mullama_core::ChatRequest {
        match self.backend.last_request("m").unwrap().prompt {
            BackendPrompt::Chat(chat) => *chat,
            other => panic!("{other:?} is no conversation"),
        }
    }
}

#[tokio::test]
async fn a_text_is_answered_with_a_message() {
    let client = client();
    let said = json!({ "input": "hi", "instructions": "be brief", "metadata": { "a": "b" }, "temperature": 0.5 });
    let answer = client.create(said).await;
    assert_eq!(client.heard(), [(Role::System, "be brief".to_owned()), (Role::User, "hi".to_owned())]);
    assert!(answer["id"].as_str().unwrap().starts_with("resp_"));
    assert_eq!(answer["status"], "completed");
    assert_eq!(answer["metadata"], json!({ "a": "b" }));
    assert_eq!(answer["temperature"], 0.5);
    assert_eq!(answer["output"][0]["content"][0]["text"], "Hello");
    assert_eq!(answer["output"][0]["content"][0]["annotations"], json!([]));
    assert_eq!(answer["usage"]["output_tokens"], 2);
    let named = ["error", "incomplete_details", "previous_response_id", "max_output_tokens", "user"];
    assert!(named.iter().all(|name| answer.get(name).is_some_and(Value::is_null)), "{answer}");
    assert_eq!(answer["text"], json!({ "format": { "type": "text" } }));
}

#[tokio::test]
async fn a_response_is_continued_by_its_id_as_by_its_items() {
    let client = client();
    let deltas = vec![
        ChatDelta::ReasoningContent("hm".to_owned()),
        ChatDelta::Content("wait".to_owned()),
        ChatDelta::ToolCall(ToolCallDelta {
            index: 0,
            id: Some("call_7".to_owned()),
            name: Some("f".to_owned()),
            arguments: "{}".to_owned(),
        }),
    ];
    client.backend.script("m", Script::Answer { deltas, interval: Duration::ZERO });
    let tools = json!([{ "type": "function", "name": "f", "parameters": { "type": "object" }, "strict": null }]);
    let first = client.create(json!({ "input": "go", "instructions": "gone", "tools": tools })).await;
    assert_eq!(first["tools"][0]["name"], "f");
    let kinds: Vec<_> = first["output"].as_array().unwrap().iter().map(|item| &item["type"]).collect();
    assert_eq!(kinds, ["reasoning", "message", "function_call"]);

    let result = json!({ "type": "function_call_output", "call_id": "call_7", "output": "42" });
    client.create(json!({ "input": [result], "previous_response_id": first["id"] })).await;
    let by_id = client.chat();
    let mut items = vec![json!({ "role": "user", "content": "go" })];
    items.extend(first["output"].as_array().unwrap().iter().cloned());
    items.push(result.clone());
    client.create(json!({ "input": items })).await;
    assert_eq!(client.chat().messages, by_id.messages);
    let references = first["output"].as_array().unwrap().iter();
    let references = references.map(|item| json!({ "type": "item_reference", "id": item["id"] }));
    let mut items = vec![json!({ "role": "user", "content": [{ "type": "input_text", "text": "go" }] })];
    items.extend(references);
    items.push(result);
    client.create(json!({ "input": items })).await;
    assert_eq!(client.chat().messages, by_id.messages);

    assert_eq!(by_id.messages.len(), 3);
    assert_eq!(by_id.messages[1].reasoning_content.as_deref(), Some("hm"));
    assert_eq!(by_id.messages[1].text(), "wait");
    assert_eq!(by_id.messages[1].tool_calls[0].id, "call_7");
    assert_eq!(by_id.messages[2].tool_call_id.as_deref(), Some("call_7"));
}

#[tokio::test]
async fn what_is_kept_is_there_for_its_key_alone() {
    let client = client();
    let (_, bytes) = client.send("POST", "/v1/responses", Some("a"), Some(json!({ "input": "hi" }))).await;
    let answer: Value = serde_json::from_slice(&bytes).unwrap();
    let path = format!("/v1/responses/{}", answer["id"].as_str().unwrap());
    for other in [None, Some("b")] {
        assert_eq!(client.send("GET", &path, other, None).await.0, StatusCode::NOT_FOUND);
        assert_eq!(client.send("DELETE", &path, other, None).await.0, StatusCode::NOT_FOUND);
        let next = json!({ "input": "more", "previous_response_id": answer["id"] });
        assert_eq!(client.send("POST", "/v1/responses", other, Some(next)).await.0, StatusCode::BAD_REQUEST);
    }
    assert_eq!(client.send("GET", &path, Some("a"), None).await, (StatusCode::OK, bytes));
    assert_eq!(client.send("GET", &format!("{path}?stream=true"), Some("a"), None).await.0, StatusCode::BAD_REQUEST);
    let (status, deleted) = client.send("DELETE", &path, Some("a"), None).await;
    assert_eq!(status, StatusCode::OK);
    let deleted: Value = serde_json::from_slice(&deleted).unwrap();
    assert_eq!(deleted, json!({ "id": answer["id"], "object": "response", "deleted": true }));
    assert_eq!(client.send("GET", &path, Some("a"), None).await.0, StatusCode::NOT_FOUND);

    let answer = client.create(json!({ "input": "hi", "store": false })).await;
    let path = format!("/v1/responses/{}", answer["id"].as_str().unwrap());
    assert_eq!(client.send("GET", &path, None, None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_stream_ends_with_the_response_that_is_kept() {
    let client = client();
    let request = json!({ "input": "hi", "stream": true });
    let (status, bytes) = client.send("POST", "/v1/responses", None, Some(request)).await;
    assert_eq!(status, StatusCode::OK);
    let events = events(&bytes);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    let path = format!("/v1/responses/{}", last["response"]["id"].as_str().unwrap());
    let (_, kept) = client.send("GET", &path, None, None).await;
    assert_eq!(serde_json::from_slice::<Value>(&kept).unwrap(), last["response"]);
    let text: String = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(text, "Hello");

    client.backend.script("m", Script::NoDone { tokens: 2 });
    let request = json!({ "input": "hi", "stream": true });
    let (_, bytes) = client.send("POST", "/v1/responses", None, Some(request)).await;
    let events = self::events(&bytes);
    assert_eq!(events.last().unwrap()["type"], "response.failed");
}

#[tokio::test]
async fn a_limit_makes_a_response_incomplete() {
    let client = client();
    client.backend.script("m", Script::tokens(9, Duration::from_millis(1)));
    let answer = client.create(json!({ "input": "hi", "max_output_tokens": 2 })).await;
    assert_eq!(answer["status"], "incomplete");
    assert_eq!(answer["incomplete_details"], json!({ "reason": "max_output_tokens" }));
    assert_eq!(answer["output"][0]["status"], "incomplete");
    assert_eq!(answer["max_output_tokens"], 2);
}

#[tokio::test]
async fn tokens_are_counted_without_an_answer() {
    let client = client();
    let count = async |body: Value| {
        let (status, bytes) = client.send("POST", "/v1/responses/input_tokens", None, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{bytes:?}");
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(answer["object"], "response.input_tokens");
        answer["input_tokens"].as_u64().unwrap()
    };
    let short = count(json!({ "input": "hi" })).await;
    assert_eq!(count(json!({ "input": "hi there" })).await, short + 6);
    assert_eq!(client.backend.submitted("m"), 0);
}

#[tokio::test]
async fn mistakes_are_told_by_their_field() {
    let client = client();
    let part = |kind: &str| json!({ "input": [{ "role": "user", "content": [{ "type": kind, "text": "x" }] }] });
    let item = |item: Value| json!({ "input": ["ok", item] });
    let with = |name: &str, value: Value| json!({ "input": "hi", name: value });
    let schema = json!({ "format": { "type": "json_schema", "name": "x" } });
    let cases = [
        (json!({}), "input"),
        (json!({ "input": [] }), "input"),
        (json!({ "input": 7 }), "input"),
        (item(json!({})), "input[0]"),
        (part("input_image"), "input[0].content[0]"),
        (part("video"), "input[0].content[0].type"),
        (json!({ "input": [{ "role": "tool", "content": "x" }] }), "input[0].role"),
        (
            json!({ "input": [{ "role": "user", "content": [{ "type": "input_text", "text": 7 }] }] }),
            "input[0].content[0].text",
        ),
        (json!({ "input": [{ "role": "user" }] }), "input[0].content"),
        (json!({ "input": [{ "type": "web_search_call" }] }), "input[0].type"),
        (json!({ "input": [{ "type": "function_call", "name": "f" }] }), "input[0].call_id"),
        (json!({ "input": [{ "type": "item_reference", "id": "msg_x" }] }), "input[0].id"),
        (with("previous_response_id", json!("resp_x")), "previous_response_id"),
        (with("tools", json!([{ "type": "web_search" }])), "tools[0].type"),
        (with("tools", json!([{ "type": "function" }])), "tools[0].name"),
        (with("tool_choice", json!("sometimes")), "tool_choice"),
        (with("tool_choice", json!({ "type": "function", "name": "f" })), "tool_choice"),
        (with("text", json!({ "format": { "type": "xml" } })), "text.format.type"),
        (with("text", schema), "text.format"),
        (with("reasoning", json!({ "effort": "huge" })), "reasoning.effort"),
        (with("include", json!(["everything"])), "include[0]"),
        (with("truncation", json!("middle")), "truncation"),
        (with("service_tier", json!("gold")), "service_tier"),
        (with("background", json!(true)), "background"),
        (with("conversation", json!("conv_1")), "conversation"),
        (with("prompt", json!({ "id": "p" })), "prompt"),
        (with("max_output_tokens", json!(0)), "max_output_tokens"),
        (with("temperature", json!(99)), "temperature"),
        (with("top_logprobs", json!(21)), "top_logprobs"),
        (with("top_logprobs", json!(-1)), "top_logprobs"),
        (with("metadata", json!({ "a": "x".repeat(513) })), "metadata.a"),
        (with("metadata", json!({ "a": 7 })), "metadata.a"),
    ];
    for (body, param) in cases {
        assert_eq!(client.refused(body.clone()).await.0.as_deref(), Some(param), "{body}");
    }
    assert_eq!(client.backend.submitted("m"), 0);
    let unknown = client.refused(with("previous_response_id", json!("resp_x"))).await;
    assert_eq!(unknown.1.as_deref(), Some("previous_response_not_found"));
}

#[tokio::test]
async fn an_item_is_named_once() {
    let client = client();
    let first = client.create(json!({ "input": "hi" })).await;
    let reference = json!({ "type": "item_reference", "id": first["output"][0]["id"] });
    let (param, _) = client.refused(json!({ "input": [reference, reference] })).await;
    assert_eq!(param.as_deref(), Some("input[1].id"));
}

#[tokio::test]
async fn instructions_of_both_kinds_are_one_message() {
    let client = client();
    let items = json!([
        { "role": "developer", "content": "two" },
        { "role": "user", "content": "hi" },
        { "role": "developer", "content": "three" },
        { "type": "reasoning", "summary": [], "encrypted_content": "x" },
    ]);
    client.create(json!({ "input": items, "instructions": "one" })).await;
    let expected = [(Role::System, "one\n\ntwo"), (Role::User, "hi"), (Role::Developer, "three")];
    assert_eq!(client.heard(), expected.map(|(role, text)| (role, text.to_owned())));
}

#[tokio::test]
async fn what_is_asked_reaches_the_engine() {
    let client = client();
    client.backend.script("m", Script::texts(["{", "}"]));
    let body = json!({
        "input": "hi", "seed": 7, "top_k": 3, "max_output_tokens": 5, "top_logprobs": 2, "truncation": "auto",
        "include": ["message.output_text.logprobs"], "reasoning": { "effort": "none" }, "service_tier": "flex",
        "text": { "format": { "type": "json_schema", "name": "x", "schema": { "type": "object" }, "strict": false } },
    });
    let answer = client.create(body).await;
    assert_eq!(answer["service_tier"], "flex");
    assert_eq!(answer["text"]["format"]["name"], "x");
    let request = client.backend.last_request("m").unwrap();
    assert_eq!(request.priority, mullama_core::Priority::Batch);
    assert_eq!((request.params.sampling.seed, request.params.sampling.top_k), (Some(7), 3));
    assert_eq!((request.params.max_tokens, request.params.top_logprobs), (Some(5), Some(2)));
    assert!(request.params.context_shift);
    let chat = client.chat();
    assert!(!chat.enable_thinking);
    assert_eq!(chat.response_format, mullama_core::ResponseFormat::JsonSchema { schema: json!({ "type": "object" }) });
}
