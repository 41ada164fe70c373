//! What clients of OpenAI's API rely on, row by row: each is something that a client was seen to break on.

mod errors;
mod requests;
mod stream;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mullama_async::{Script, ScriptedBackend};
use mullama_core::{ChatDelta, ToolCallDelta};
use mullama_web::WebConfig;
use serde_json::{Value, json};

use crate::client::{App, MODEL};

/// The beginning of a call.
fn call(index: usize, id: &str, name: &str) -> ChatDelta {
    let (id, name) = (Some(id.to_owned()), Some(name.to_owned()));
    ChatDelta::ToolCall(ToolCallDelta { index, id, name, arguments: String::new() })
}

/// More of its arguments.
fn arguments(index: usize, arguments: &str) -> ChatDelta {
    ChatDelta::ToolCall(ToolCallDelta { index, id: None, name: None, arguments: arguments.to_owned() })
}

fn text(text: &str) -> ChatDelta {
    ChatDelta::Content(text.to_owned())
}

fn thought(text: &str) -> ChatDelta {
    ChatDelta::ReasoningContent(text.to_owned())
}

fn answer(deltas: impl IntoIterator<Item = ChatDelta>) -> Script {
    Script::Answer { deltas: deltas.into_iter().collect(), interval: Duration::ZERO }
}

/// Two calls after a thought and a text.
fn everything() -> Script {
    answer([
        thought("Hm."),
        text("I "),
        text("look."),
        call(0, "call_a", "get_weather"),
        arguments(0, "{\"city\":"),
        arguments(0, " \"Paris\"}"),
        call(1, "call_b", "get_time"),
        arguments(1, "{}"),
    ])
}

fn tools() -> Value {
    let tool = |name| json!({ "type": "function", "function": { "name": name, "parameters": { "type": "object" } } });
    json!([tool("get_weather"), tool("get_time")])
}

#[tokio::test]
async fn a_whole_answer_has_all_that_strict_clients_ask_for() {
    let app = App::scripted(everything());
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let answer = app.chat(json!({ "n": 2, "tools": tools() })).await;
    assert!(answer.header("x-request-id").starts_with("req_"));
    answer.header("openai-processing-ms").parse::<u64>().unwrap();
    let answer = answer.ok();
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!((answer["object"].as_str(), answer["model"].as_str()), (Some("chat.completion"), Some(MODEL)));
    let created = u32::try_from(answer["created"].as_u64().unwrap()).unwrap();
    assert!((before..before + 60).contains(&created.into()), "{created} is no time in seconds");
    assert!(answer["system_fingerprint"].as_str().unwrap().starts_with("mullama-"));
    let choices = answer["choices"].as_array().unwrap();
    assert_eq!(choices.iter().map(|choice| choice["index"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1]);
    for choice in choices {
        assert_eq!(choice["finish_reason"], "tool_calls");
        assert!(choice.get("logprobs").is_some_and(Value::is_null), "{choice}");
        let message = &choice["message"];
        assert_eq!((&message["role"], &message["content"]), (&json!("assistant"), &json!("I look.")));
        assert_eq!((&message["reasoning_content"], &message["refusal"]), (&json!("Hm."), &Value::Null));
        let function = |id, name, arguments| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } });
        let calls = [function("call_a", "get_weather", "{\"city\": \"Paris\"}"), function("call_b", "get_time", "{}")];
        assert_eq!(message["tool_calls"], json!(calls));
    }
    // The prompt once, the answers of both choices; all whole numbers, or objects of them.
    let usage = &answer["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(6), &json!(16)));
    assert_eq!(usage["total_tokens"], 22);
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 0);
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 2);
    let whole = |value: &Value| value.is_u64();
    let plain = |value: &Value| whole(value) || value.as_object().is_some_and(|object| object.values().all(whole));
    assert!(usage.as_object().unwrap().values().all(plain), "{usage}");
}

#[tokio::test]
async fn content_is_null_beside_calls_alone_and_a_text_otherwise() {
    let message = async |script| {
        let answer = App::scripted(script).chat(json!({ "tools": tools() })).await.ok();
        answer["choices"][0]["message"].clone()
    };
    let called = message(answer([call(0, "call_a", "get_time"), arguments(0, "{}")])).await;
    assert!(called.get("content").is_some_and(Value::is_null), "{called}");
    let empty = message(answer([])).await;
    assert_eq!((&empty["content"], empty.get("tool_calls")), (&json!(""), None));
}

#[tokio::test]
async fn finish_reasons_are_those_of_the_enum() {
    let app = App::scripted(Script::tokens(3, Duration::ZERO));
    for (fields, reason, content) in [
        (json!({}), "stop", "word word word "),
        (json!({ "max_tokens": 3 }), "stop", "word word word "),
        (json!({ "max_tokens": 2 }), "length", "word word "),
    ] {
        let answer = app.chat(fields).await.ok();
        assert_eq!(answer["choices"][0]["finish_reason"], reason);
        assert_eq!(answer["choices"][0]["message"]["content"], content);
    }
}

#[tokio::test]
async fn logprobs_have_their_lists() {
    let app = App::scripted(Script::tokens(2, Duration::ZERO));
    for top in [0_usize, 1] {
        let answer = app.chat(json!({ "logprobs": true, "top_logprobs": top })).await.ok();
        let logprobs = &answer["choices"][0]["logprobs"];
        let tokens = logprobs["content"].as_array().unwrap();
        assert_eq!(tokens.len(), 2);
        for token in tokens {
            assert_eq!((&token["token"], &token["bytes"]), (&json!("word "), &json!(b"word ")));
            assert!(token["logprob"].is_number());
            assert_eq!(token["top_logprobs"].as_array().unwrap().len(), top);
        }
    }
}

#[tokio::test]
async fn vectors_come_as_numbers_or_as_base64_of_them() {
    let app = App::scripted(Script::Hang);
    app.post("/v1/embeddings", &json!({ "input": [] })).await.error(400);
    let app = App::scripted(Script::tokens(1, Duration::ZERO));
    let ask = async |fields: Value| app.post("/v1/embeddings", &fields).await;
    let input = json!(["The sun", "The moon", "The sun"]);
    let plain = ask(json!({ "input": input })).await.ok();
    let floats = ask(json!({ "input": input, "encoding_format": "float" })).await.ok();
    assert_eq!(plain, floats);
    let packed = ask(json!({ "input": input, "encoding_format": "base64" })).await.ok();
    assert_eq!((&floats["object"], &floats["model"]), (&json!("list"), &json!(MODEL)));
    assert_eq!(floats["usage"], json!({ "prompt_tokens": 22, "total_tokens": 22 }));
    let data = floats["data"].as_array().unwrap();
    assert_eq!(data.len(), 3);
    for (index, (item, packed)) in data.iter().zip(packed["data"].as_array().unwrap()).enumerate() {
        assert_eq!((&item["object"], &item["index"]), (&json!("embedding"), &json!(index)));
        assert_eq!(packed["index"], index);
        let bytes = STANDARD.decode(packed["embedding"].as_str().unwrap()).unwrap();
        let numbers: Vec<f32> =
            bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
        assert_eq!(numbers, serde_json::from_value::<Vec<f32>>(item["embedding"].clone()).unwrap());
        assert_eq!(numbers.len(), ScriptedBackend::DIMENSIONS);
    }
    assert_eq!(data[0]["embedding"], data[2]["embedding"]);
    assert_ne!(data[0]["embedding"], data[1]["embedding"]);

    // LangChain sends the tokens of another vocabulary unless told not to.
    let refused = ask(json!({ "input": [[1, 2, 3]] })).await.error(400);
    assert!(refused.message.contains("check_embedding_ctx_length=False"), "{refused:?}");
    for (fields, param) in [
        (json!({ "input": [] }), "input"),
        (json!({ "input": "" }), "input[0]"),
        (json!({ "input": "x", "dimensions": 8 }), "dimensions"),
        (json!({ "input": "x", "dimensions": 17 }), "dimensions"),
        (json!({ "input": "x", "encoding_format": "hex" }), "encoding_format"),
    ] {
        assert_eq!(ask(fields.clone()).await.error(400).param.as_deref(), Some(param), "{fields}");
    }
}

#[tokio::test]
async fn a_models_name_may_have_a_slash_written_in_either_way() {
    let backend = ScriptedBackend::new()
        .model("a/b", Script::tokens(1, Duration::ZERO))
        .model("c", Script::Hang)
        .alias("a/b", "gpt-4o");
    let app = App::of(&backend, WebConfig::default());
    let listed = app.get("/v1/models").await.ok();
    assert_eq!(listed["object"], "list");
    let models = listed["data"].as_array().unwrap();
    assert_eq!(models.iter().map(|model| model["id"].as_str().unwrap()).collect::<Vec<_>>(), ["a/b", "c"]);
    for model in models {
        assert_eq!((&model["object"], &model["owned_by"]), (&json!("model"), &json!("mullama")));
        u32::try_from(model["created"].as_u64().unwrap()).unwrap();
    }
    for path in ["/v1/models/a%2Fb", "/v1/models/a%2fb", "/v1/models/a/b", "/v1/models/gpt-4o"] {
        assert_eq!(app.get(path).await.ok(), models[0], "{path}");
    }
    assert_eq!(app.get("/v1/models/a").await.error(404).code.as_deref(), Some("model_not_found"));
    let chat = async |model: &str| app.chat(json!({ "model": model })).await;
    assert_eq!(chat("a/b").await.ok()["model"], "a/b");
    assert_eq!(chat("gpt-4o").await.ok()["choices"][0]["message"]["content"], "word ");
}

#[tokio::test]
async fn routes_are_there_with_and_without_their_prefix_and_a_slash() {
    let app = App::scripted(Script::tokens(1, Duration::ZERO));
    let body = json!({ "messages": [{ "role": "user", "content": "Hello!" }], "input": "a" });
    for path in ["/chat/completions", "/completions", "/embeddings", "/responses"] {
        let mut body = body.clone();
        if path == "/completions" {
            body["prompt"] = json!("a");
        }
        for path in [format!("/v1{path}"), path.to_owned(), format!("/v1{path}/")] {
            app.post(&path, &body).await.ok();
        }
    }
    let ranking = json!({ "query": "a", "documents": ["b", "a"] });
    for path in ["/v1/rerank", "/rerank", "/v1/reranking", "/reranking"] {
        assert_eq!(app.post(path, &ranking).await.ok()["results"][0]["index"], 1, "{path}");
    }
    for path in ["/v1/models", "/models", "/v1/models/", "/health", "/v1/health", "/"] {
        assert_eq!(app.get(path).await.status, 200, "{path}");
        let head = app.send("HEAD", path, &[], Body::empty()).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""), "{path}");
    }
    for path in ["/v1/audio/transcriptions", "/v1/images/generations", "/v1/moderations", "/v1/nothing"] {
        assert_eq!(app.post(path, &body).await.error(404).kind, "not_found_error", "{path}");
    }
}

#[tokio::test]
async fn a_model_is_deleted_from_memory_and_stays_in_the_catalogue() {
    let backend = ScriptedBackend::new().model("org/m", Script::tokens(1, Duration::ZERO));
    let app = App::of(&backend, WebConfig::default());
    let state = async || app.get("/v1/models/org/m").await.ok()["status"].clone();
    let loaded = state().await;
    for path in ["/v1/models/org/m", "/v1/models/org%2Fm", "/v1/models/org/m"] {
        let answer = app.send("DELETE", path, &[], Body::empty()).await.ok();
        assert_eq!(answer, json!({ "id": "org/m", "object": "model", "deleted": true }), "{path}");
        assert_ne!(state().await, loaded, "{path}");
    }
    let unknown = app.send("DELETE", "/v1/models/nobody", &[], Body::empty()).await;
    assert_eq!(unknown.error(404).code.as_deref(), Some("model_not_found"));
    assert_eq!(app.get("/v1/models").await.ok()["data"].as_array().unwrap().len(), 1);
    app.post("/models/load", &json!({ "model": "org/m" })).await.ok();
    assert_eq!(state().await, loaded);
}
