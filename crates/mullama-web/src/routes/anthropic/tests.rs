//! Requests from Anthropic's shape, answers to it.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use mullama_async::{BackendPrompt, BackendSummary, Script, ScriptedBackend, TokenDelta};
use mullama_core::{ChatDelta, ChatRequest, FinishReason, ToolCallDelta};
use serde_json::{Value, json};

use super::*;
use crate::config::WebConfig;
use crate::extract::read;

fn state(script: Script) -> (ScriptedBackend, AppState) {
    let backend = ScriptedBackend::new().model("small", script);
    (backend.clone(), AppState::with_backend(Arc::new(backend), WebConfig::default()).unwrap())
}

fn parse(body: &Value) -> ApiResult<MessagesRequest> {
    read(body.to_string().as_bytes()).map(|(request, _)| request)
}

async fn ask(state: &AppState, body: &Value) -> ApiResult<Response> {
    messages(State(state.clone()), Caller::default(), ApiJson(parse(body)?)).await
}

async fn text(response: Response) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// The events of a stream: each one's name, which must be its type, and its data.
fn events(body: &str) -> Vec<(String, Value)> {
    let event = |event: &str| {
        let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["type"], name);
        (name.to_owned(), data)
    };
    body.split_terminator("\n\n").map(event).collect()
}

/// What the model was given.
async fn given(body: &Value) -> ChatRequest {
    let (backend, state) = state(Script::texts(["{}"]));
    ask(&state, body).await.unwrap();
    match backend.last_request("small").unwrap().prompt {
        BackendPrompt::Chat(chat) => *chat,
        other => panic!("{other:?}"),
    }
}

async fn refusal(body: &Value) -> (String, String) {
    let (backend, state) = state(Script::texts(["yes"]));
    let error = ask(&state, body).await.unwrap_err();
    assert_eq!((error.status().as_u16(), backend.submitted("small")), (400, 0), "{error:?}");
    (error.param.unwrap_or_default().into_owned(), error.message)
}

fn hello(more: Value) -> Value {
    let mut body = json!({ "max_tokens": 100, "messages": [{ "role": "user", "content": "Hello" }] });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

fn call(index: usize, id: Option<&str>, name: Option<&str>, arguments: &str) -> ChatDelta {
    let (id, name) = (id.map(str::to_owned), name.map(str::to_owned));
    ChatDelta::ToolCall(ToolCallDelta { index, id, name, arguments: arguments.to_owned() })
}

fn agent() -> Script {
    Script::Answer {
        deltas: vec![
            ChatDelta::ReasoningContent("Two ".to_owned()),
            ChatDelta::ReasoningContent("cities.".to_owned()),
            ChatDelta::Content("I look.".to_owned()),
            call(0, Some("call_a"), Some("weather"), ""),
            call(0, None, None, "{\"city\":"),
            call(0, None, None, "\"Kiel\"}"),
            call(1, Some("call_b"), Some("time"), ""),
        ],
        interval: Duration::ZERO,
    }
}

const WEATHER: &str = r#"[{"name":"weather","description":"Tells it.","input_schema":{"type":"object","properties":{"city":{"type":"string"}}}}]"#;

fn tools() -> Value {
    serde_json::from_str(WEATHER).unwrap()
}

#[tokio::test]
async fn a_conversation_with_tools_is_translated() {
    let chat = given(&json!({
        "model": "small", "max_tokens": 50, "temperature": 0.0, "top_k": 3, "stop_sequences": ["END"],
        "system": [{ "type": "text", "text": "Be short." }, { "type": "text", "text": "Be kind.", "cache_control": {} }],
        "tools": tools(), "tool_choice": { "type": "auto", "disable_parallel_tool_use": true },
        "messages": [
            { "role": "user", "content": "Weather" },
            { "role": "user", "content": [{ "type": "text", "text": "in Kiel?" }] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "A tool.", "signature": "x" },
                { "type": "redacted_thinking", "data": "xyz" },
                { "type": "text", "text": "I look." },
                { "type": "tool_use", "id": "t1", "name": "weather", "input": { "city": "Kiel" } },
                { "type": "tool_use", "id": "t2", "name": "weather", "input": {} },
            ] },
            { "role": "user", "content": [
                { "type": "text", "text": "And?" },
                { "type": "tool_result", "tool_use_id": "t1", "content": [{ "type": "text", "text": "rain" }] },
                { "type": "tool_result", "tool_use_id": "t2", "content": "no city", "is_error": true },
            ] },
        ],
    }))
    .await;
    let told: Vec<Value> = chat.messages.iter().map(|message| serde_json::to_value(message).unwrap()).collect();
    let part = |text: &str| json!({ "type": "text", "text": text });
    assert_eq!(
        told,
        [
            json!({ "role": "system", "content": [part("Be short.\nBe kind.")] }),
            json!({ "role": "user", "content": [part("Weather"), part("in Kiel?")] }),
            json!({ "role": "assistant", "content": [part("I look.")], "reasoning_content": "A tool.", "tool_calls": [
                { "id": "t1", "function": { "name": "weather", "arguments": "{\"city\":\"Kiel\"}" } },
                { "id": "t2", "function": { "name": "weather", "arguments": "{}" } },
            ] }),
            json!({ "role": "tool", "content": [part("rain")], "tool_call_id": "t1", "name": "weather" }),
            json!({ "role": "tool", "content": [part("Error: no city")], "tool_call_id": "t2", "name": "weather" }),
            json!({ "role": "user", "content": [part("And?")] }),
        ]
    );
    assert_eq!((chat.tools.len(), chat.parallel_tool_calls), (1, Some(false)));
    assert_eq!(chat.tools[0].parameters["properties"]["city"]["type"], "string");
    assert!(!chat.continue_final_message);
}

#[tokio::test]
async fn fields_reach_the_request() {
    let (backend, state) = state(Script::texts(["yes"]));
    let body = hello(json!({ "temperature": 0.5, "top_p": 0.5, "top_k": 7, "stop_sequences": ["END"],
        "thinking": { "type": "enabled", "budget_tokens": 2048 } }));
    ask(&state, &body).await.unwrap();
    let request = backend.last_request("small").unwrap();
    let sampling = &request.params.sampling;
    assert_eq!((sampling.temperature, sampling.top_p, sampling.top_k), (0.5, 0.5, 7));
    assert_eq!((request.params.max_tokens, request.params.stop), (Some(100), vec!["END".to_owned()]));

    assert_eq!(given(&body).await.reasoning_budget, Some(2048));
    let off = given(&hello(json!({ "thinking": { "type": "disabled" }, "output_config": { "effort": "max" } }))).await;
    assert!(!off.enable_thinking);
    assert_eq!(off.template_args["reasoning_effort"], "xhigh");
    assert!(given(&hello(json!({ "thinking": { "type": "adaptive" } }))).await.enable_thinking);
    let begun = json!([{ "role": "user", "content": "1, 2," }, { "role": "assistant", "content": "3," }]);
    assert!(given(&hello(json!({ "messages": begun }))).await.continue_final_message);
    let named = hello(json!({ "tools": tools(), "tool_choice": { "type": "tool", "name": "weather" } }));
    assert_eq!(given(&named).await.tool_choice, mullama_core::ToolChoice::Required);
    let document = json!({ "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "d" } });
    let read = given(&hello(json!({ "messages": [{ "role": "user", "content": [document] }] }))).await;
    assert_eq!(read.messages[0].text(), "d");
    let form = json!({ "format": { "type": "json_schema", "schema": { "type": "object" } } });
    let formed = given(&hello(json!({ "output_config": form }))).await.response_format;
    assert!(matches!(formed, mullama_core::ResponseFormat::JsonSchema { .. }), "{formed:?}");
}

#[tokio::test]
async fn what_cannot_be_done_is_told_with_its_place() {
    let user = |block: Value| hello(json!({ "messages": [{ "role": "user", "content": [block] }] }));
    let tool = json!([{ "type": "web_search_20250305", "name": "web_search" }]);
    let pdf = json!({ "type": "document", "source": { "type": "base64", "data": "JVBERi0=" } });
    let picture = json!({ "type": "image", "source": { "type": "url", "url": "http://localhost/x.png" } });
    let result = json!({ "type": "tool_result", "tool_use_id": "t", "content": [picture] });
    let dangling =
        json!([{ "role": "assistant", "content": [{ "type": "tool_use", "id": "t", "name": "f", "input": {} }] }]);
    for (body, param) in [
        (json!({ "messages": [{ "role": "user", "content": "Hello" }] }), "max_tokens"),
        (json!({ "max_tokens": 5 }), "messages"),
        (hello(json!({ "max_tokens": 0 })), "max_tokens"),
        (hello(json!({ "messages": [] })), "messages"),
        (hello(json!({ "messages": [{ "role": "user", "content": [] }] })), "messages[0].content"),
        (hello(json!({ "messages": [{ "role": "robot", "content": "x" }] })), "messages[0].role"),
        (hello(json!({ "messages": dangling })), "messages"),
        (user(picture.clone()), "messages[0].content[0]"),
        (user(result), "messages[0].content[0].content[0]"),
        (user(pdf), "messages[0].content[0].source"),
        (user(json!({ "type": "thinking", "thinking": "x" })), "messages[0].content[0]"),
        (user(json!({ "type": "video" })), "messages[0].content[0].type"),
        (hello(json!({ "tools": tool })), "tools[0].type"),
        (hello(json!({ "tools": [{ "name": "f" }] })), "tools[0].input_schema"),
        (hello(json!({ "tool_choice": { "type": "any" } })), "tool_choice"),
        (hello(json!({ "tools": tools(), "tool_choice": { "type": "tool", "name": "f" } })), "tool_choice"),
        (hello(json!({ "thinking": { "type": "enabled", "budget_tokens": 0 } })), "thinking.budget_tokens"),
        (hello(json!({ "temperature": -1.0 })), "temperature"),
    ] {
        assert_eq!(refusal(&body).await.0, param, "{body}");
    }
    let (_, state) = state(Script::texts(["yes"]));
    assert_eq!(ask(&state, &hello(json!({ "model": "large" }))).await.unwrap_err().status().as_u16(), 404);
}

#[tokio::test]
async fn a_whole_answer_has_blocks() {
    let (_, state) = state(agent());
    let answer: Value =
        serde_json::from_str(&text(ask(&state, &hello(json!({ "tools": tools() }))).await.unwrap()).await).unwrap();
    assert!(answer["id"].as_str().unwrap().starts_with("msg_"));
    let expected = json!({
        "id": answer["id"], "type": "message", "role": "assistant", "model": "small",
        "content": [
            { "type": "thinking", "thinking": "Two cities.", "signature": "" },
            { "type": "text", "text": "I look." },
            { "type": "tool_use", "id": "call_a", "name": "weather", "input": { "city": "Kiel" } },
            { "type": "tool_use", "id": "call_b", "name": "time", "input": {} },
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": { "input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0 },
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn a_stream_has_one_block_after_the_other() {
    let (_, state) = state(agent());
    let response = ask(&state, &hello(json!({ "stream": true, "tools": tools() }))).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    let events = events(&text(response).await);
    let told: Vec<String> = events
        .iter()
        .map(|(name, data)| match name.as_str() {
            "content_block_start" => {
                format!("start {} {}", data["index"], data["content_block"]["type"].as_str().unwrap())
            }
            "content_block_delta" => format!("delta {} {}", data["index"], data["delta"]["type"].as_str().unwrap()),
            "content_block_stop" => format!("stop {}", data["index"]),
            other => other.to_owned(),
        })
        .collect();
    assert_eq!(
        told,
        [
            "message_start",
            "ping",
            "start 0 thinking",
            "delta 0 thinking_delta",
            "delta 0 thinking_delta",
            "stop 0",
            "start 1 text",
            "delta 1 text_delta",
            "stop 1",
            "start 2 tool_use",
            "delta 2 input_json_delta",
            "delta 2 input_json_delta",
            "stop 2",
            "start 3 tool_use",
            "stop 3",
            "message_delta",
            "message_stop",
        ]
    );
    let start = &events[0].1["message"];
    assert_eq!(
        (&start["content"], &start["stop_reason"], &start["usage"]["input_tokens"]),
        (&json!([]), &Value::Null, &json!(5))
    );
    let begun = json!({ "type": "tool_use", "id": "call_a", "name": "weather", "input": {} });
    assert_eq!(events[9].1["content_block"], begun);
    let arguments: String =
        events[10..12].iter().map(|(_, data)| data["delta"]["partial_json"].as_str().unwrap()).collect();
    assert_eq!(arguments, r#"{"city":"Kiel"}"#);
    let end = &events[15].1;
    assert_eq!(end["delta"], json!({ "stop_reason": "tool_use", "stop_sequence": null }));
    assert_eq!(end["usage"]["output_tokens"], 7);
}

#[tokio::test]
async fn thoughts_can_be_left_out() {
    let (_, state) = state(agent());
    let thinking = json!({ "type": "enabled", "budget_tokens": 1024, "display": "omitted" });
    for stream in [true, false] {
        let body = hello(json!({ "stream": stream, "tools": tools(), "thinking": thinking }));
        let told = text(ask(&state, &body).await.unwrap()).await;
        assert!(told.contains("I look.") && !told.contains("cities"), "{told}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_says_so() {
    let (_, state) = state(Script::tokens(50, Duration::ZERO));
    let told = text(ask(&state, &hello(json!({ "max_tokens": 3, "stream": true }))).await.unwrap()).await;
    let events = events(&told);
    assert_eq!(events[events.len() - 2].1["delta"]["stop_reason"], "max_tokens");
    assert_eq!(events[events.len() - 2].1["usage"]["output_tokens"], 3);
}

#[tokio::test]
async fn an_error_in_a_stream_ends_it() {
    let error = || mullama_core::Error::Internal { what: "it broke".to_owned() }.into();
    let (_, state) = state(Script::FailAfter { tokens: 2, interval: Duration::ZERO, error });
    let told = text(ask(&state, &hello(json!({ "stream": true }))).await.unwrap()).await;
    let events = events(&told);
    let (name, data) = events.last().unwrap();
    assert_eq!((name.as_str(), &data["error"]["type"]), ("error", &json!("api_error")));
    assert!(!told.contains("message_stop"));
}

#[tokio::test]
async fn whatever_a_model_says_is_framed() {
    let (_, state) = state(Script::Noise);
    let events = events(&text(ask(&state, &hello(json!({ "stream": true }))).await.unwrap()).await);
    let (mut open, mut begun, mut said) = (None, 0, String::new());
    for (name, data) in &events {
        match name.as_str() {
            "content_block_start" => {
                assert_eq!((open, &data["index"]), (None, &json!(begun)));
                open = Some(begun);
                begun += 1;
            }
            "content_block_delta" => {
                assert_eq!(Some(&data["index"]), open.map(|open| json!(open)).as_ref());
                said.push_str(data["delta"]["text"].as_str().unwrap_or_default());
            }
            "content_block_stop" => assert_eq!(open.take().map(|open| json!(open)).as_ref(), Some(&data["index"])),
            _ => assert_eq!(open, None),
        }
    }
    assert_eq!((begun, events.last().unwrap().0.as_str()), (3, "message_stop"));
    assert!(said.starts_with("\n\ndata: [DONE]\n\nevent: error") && said.ends_with('\u{1f469}'));
}

#[tokio::test]
async fn tokens_are_counted_with_the_template() {
    let (backend, state) = state(Script::Hang);
    let body = json!({ "messages": [{ "role": "user", "content": "Hello" }] });
    let count = count_tokens(State(state), Caller::default(), ApiJson(parse(&body).unwrap())).await.unwrap();
    let expected = u32::try_from("user: Hello\nassistant: ".len()).unwrap();
    assert_eq!((count.0.input_tokens, backend.submitted("small")), (expected, 0));
}

#[tokio::test]
async fn a_prompt_that_is_too_long_is_told_in_anthropics_words() {
    let error = || mullama_core::Error::PromptTooLong { got: 9_000, exact: true, limit: 8_192 }.into();
    let (_, state) = state(Script::Refuse(error));
    let error = ask(&state, &hello(json!({}))).await.unwrap_err();
    assert_eq!(
        (error.status().as_u16(), error.message.as_str()),
        (400, "prompt is too long: 9000 tokens > 8192 maximum")
    );
}

#[test]
fn only_the_callers_own_stop_strings_are_told() {
    let end = |stop: Option<&str>| {
        let summary = json!({
            "finish_reason": FinishReason::Stop, "stop": stop, "seed": null,
            "usage": { "prompt_tokens": 10, "cached_tokens": 4, "completion_tokens": 2, "total_tokens": 12 },
            "timings": { "prompt_n": 6, "prompt_ms": 1.0, "prompt_per_second": 1.0, "predicted_n": 2, "predicted_ms": 1.0,
                "predicted_per_second": 1.0 },
        });
        let summary = serde_json::from_value(summary).unwrap();
        let done = BackendSummary { summary, last: TokenDelta::default(), message: None, unparsed: None };
        End { finish_reason: "stop", reasoning_tokens: 0, done }
    };
    let manner = Manner { stop_sequences: vec!["END".to_owned()], thoughts_omitted: false };
    assert_eq!(manner.reason(&end(Some("END"))), ("stop_sequence", Some("END".to_owned())));
    assert_eq!(manner.reason(&end(Some("<|im_end|>"))), ("end_turn", None));
    assert_eq!(manner.reason(&end(None)), ("end_turn", None));
    let answer = response("msg_1".to_owned(), "small".to_owned(), end(None), &manner);
    assert_eq!((answer.usage.input_tokens, answer.usage.cache_read_input_tokens), (6, 4));
}

#[test]
fn arguments_become_an_object_without_loss() {
    assert_eq!(Value::Object(object(r#"{"a":[1]}"#)), json!({ "a": [1] }));
    assert!(object(" ").is_empty());
    for broken in [r#"{"a":"#, "[1]", "7"] {
        assert_eq!(Value::Object(object(broken)), json!({ "raw_arguments": broken }));
    }
}
