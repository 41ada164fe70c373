//! The crate async-openai, whose types are strict, against the server: what it cannot read is an error in it.

use std::sync::Arc;

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::error::{ApiErrorResponse, OpenAIError};
use async_openai::types::chat::{ChatCompletionMessageToolCalls, FinishReason, Role};
use async_openai::types::responses::{OutputItem, ResponseStreamEvent};
use futures_util::StreamExt;
use mullama_async::{AsyncModel, LocalBackend};
use mullama_core::EngineParams;
use mullama_demo_models::CHAT;
use mullama_web::{AppState, WebConfig};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{Served, serve};

const KEY: &str = "the-key";

/// A server that asks for a key, and the client with it.
async fn start() -> (Served, Client<OpenAIConfig>) {
    let mut params = EngineParams { sequences: 4, host_cache_bytes: 0, ..Default::default() };
    params.context.length = 512;
    params.context.threads = 1;
    params.context.threads_batch = 1;
    let model = AsyncModel::from_bytes(CHAT).engine_params(params).load().await.unwrap();
    let config = WebConfig { api_keys: vec![KEY.to_owned()], ..WebConfig::default() };
    let backend = Arc::new(LocalBackend::of_model("mullama-tiny", model));
    let served = serve(AppState::with_backend(backend, config).unwrap()).await;
    let client = client(&served, KEY);
    (served, client)
}

fn client(served: &Served, key: &str) -> Client<OpenAIConfig> {
    Client::with_config(OpenAIConfig::new().with_api_base(format!("{}/v1", served.url)).with_api_key(key))
}

/// A request in the crate's own type.
fn request<T: DeserializeOwned>(fields: Value) -> T {
    let mut all = json!({ "model": "mullama-tiny", "temperature": 0.0 });
    if let Value::Object(fields) = fields {
        all.as_object_mut().unwrap().extend(fields);
    }
    serde_json::from_value(all).unwrap()
}

fn user(text: &str) -> Value {
    json!([{ "role": "user", "content": text }])
}

fn tools() -> Value {
    let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] });
    let text = "Get the weather for a city";
    let function = json!({ "name": "get_weather", "description": text, "parameters": parameters });
    json!([{ "type": "function", "function": function }])
}

fn told<T: std::fmt::Debug>(result: Result<T, OpenAIError>) -> ApiErrorResponse {
    match result.unwrap_err() {
        OpenAIError::ApiError(told) => told,
        other => unreachable!("not an error of the API: {other:?}"),
    }
}

#[tokio::test]
async fn chat_is_read() {
    let (_served, client) = start().await;
    let fields = json!({ "messages": user("What is 7 + 8?"), "n": 2, "logprobs": true, "top_logprobs": 2 });
    let answer = client.chat().create(request(fields)).await.unwrap();
    assert_eq!((answer.model.as_str(), answer.object.as_str()), ("mullama-tiny", "chat.completion"));
    assert_eq!(answer.choices.iter().map(|choice| choice.index).collect::<Vec<_>>(), [0, 1]);
    for choice in &answer.choices {
        assert_eq!(choice.message.content.as_deref(), Some("7 + 8 = 15."));
        assert_eq!((choice.message.role, choice.finish_reason), (Role::Assistant, Some(FinishReason::Stop)));
        let tokens = choice.logprobs.as_ref().unwrap().content.as_ref().unwrap();
        assert!(!tokens.is_empty() && tokens.iter().all(|token| token.top_logprobs.len() == 2), "{tokens:?}");
    }
    let usage = answer.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (16, 20));
}

#[tokio::test]
async fn a_stream_is_read() {
    let (_served, client) = start().await;
    let fields = json!({ "messages": user("Count to 20."), "stream_options": { "include_usage": true } });
    let mut stream = client.chat().create_stream(request(fields)).await.unwrap();
    let (mut text, mut roles, mut finish, mut usage) = (String::new(), Vec::new(), None, None);
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.unwrap();
        for choice in chunk.choices {
            text.push_str(choice.delta.content.as_deref().unwrap_or_default());
            roles.extend(choice.delta.role);
            finish = finish.or(choice.finish_reason);
        }
        usage = usage.or(chunk.usage);
    }
    let count: Vec<String> = (1..=20).map(|number: u32| number.to_string()).collect();
    assert_eq!(text, format!("{}.", count.join(", ")));
    assert_eq!((roles, finish), (vec![Role::Assistant], Some(FinishReason::Stop)));
    assert!(usage.unwrap().completion_tokens > 20);
}

#[tokio::test]
async fn calls_are_read() {
    let (_served, client) = start().await;
    for choice in
        [json!("auto"), json!("required"), json!({ "type": "function", "function": { "name": "get_weather" } })]
    {
        let fields =
            json!({ "messages": user("What is the weather in Paris?"), "tools": tools(), "tool_choice": choice });
        let answer = client.chat().create(request(fields.clone())).await.unwrap();
        assert_eq!(answer.choices[0].finish_reason, Some(FinishReason::ToolCalls));
        let calls = answer.choices[0].message.tool_calls.as_deref().unwrap();
        let [ChatCompletionMessageToolCalls::Function(call)] = calls else { panic!("{calls:?}") };
        assert!(!call.id.is_empty());
        assert_eq!(call.function.name, "get_weather");
        let arguments: Value = serde_json::from_str(&call.function.arguments).unwrap();
        assert_eq!(arguments, json!({ "city": "Paris" }));

        let mut stream = client.chat().create_stream(request(fields)).await.unwrap();
        let (mut ids, mut names, mut streamed) = (Vec::new(), Vec::new(), String::new());
        while let Some(chunk) = stream.next().await {
            for call in chunk.unwrap().choices.into_iter().filter_map(|choice| choice.delta.tool_calls).flatten() {
                assert_eq!(call.index, 0);
                ids.extend(call.id);
                let function = call.function.unwrap();
                names.extend(function.name);
                streamed.push_str(&function.arguments.unwrap_or_default());
            }
        }
        assert_eq!((ids.len(), names), (1, vec!["get_weather".to_owned()]));
        assert_eq!(serde_json::from_str::<Value>(&streamed).unwrap(), arguments);
    }
}

#[tokio::test]
async fn a_schema_holds() {
    let (_served, client) = start().await;
    let properties = json!({ "name": { "type": "string" }, "age": { "type": "integer" } });
    let required = json!(["name", "age"]);
    let schema =
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false });
    let form = json!({ "type": "json_schema", "json_schema": { "name": "person", "strict": true, "schema": schema } });
    let fields =
        json!({ "messages": user("Make JSON with name Anna and age 7."), "response_format": form, "max_tokens": 100 });
    let answer = client.chat().create(request(fields)).await.unwrap();
    let content = answer.choices[0].message.content.as_deref().unwrap();
    assert_eq!(serde_json::from_str::<Value>(content).unwrap(), json!({ "name": "Anna", "age": 7 }));
}

#[tokio::test]
async fn responses_are_read() {
    let (_served, client) = start().await;
    let answer = client.responses().create(request(json!({ "input": "What is 7 + 8?" }))).await.unwrap();
    assert_eq!(answer.output_text().as_deref(), Some("7 + 8 = 15."));
    let fields = json!({ "input": "What is 7 + 8?", "stream": true });
    let mut stream = client.responses().create_stream(request(fields)).await.unwrap();
    let (mut text, mut completed) = (String::new(), None);
    while let Some(event) = stream.next().await {
        match event.unwrap() {
            ResponseStreamEvent::ResponseOutputTextDelta(event) => text.push_str(&event.delta),
            ResponseStreamEvent::ResponseCompleted(event) => completed = Some(event.response),
            _ => {}
        }
    }
    assert_eq!(text, "7 + 8 = 15.");
    assert_eq!(completed.unwrap().output_text().as_deref(), Some("7 + 8 = 15."));

    let mut tool = tools()[0]["function"].clone();
    tool["type"] = json!("function");
    let fields = json!({ "input": "What is the weather in Paris?", "tools": [tool], "tool_choice": "required" });
    let answer = client.responses().create(request(fields)).await.unwrap();
    let [OutputItem::FunctionCall(call)] = answer.output.as_slice() else { panic!("{:?}", answer.output) };
    assert_eq!(call.name, "get_weather");
    assert_eq!(serde_json::from_str::<Value>(&call.arguments).unwrap(), json!({ "city": "Paris" }));
}

#[tokio::test]
async fn completions_are_read() {
    let (_served, client) = start().await;
    let fields = json!({ "prompt": ["One two", "The colour"], "max_tokens": 4, "logprobs": 1 });
    let answer = client.completions().create(request(fields)).await.unwrap();
    assert_eq!(answer.choices.iter().map(|choice| choice.index).collect::<Vec<_>>(), [0, 1]);
    let fields = json!({ "prompt": "One two", "max_tokens": 4, "stream": true });
    let mut stream = client.completions().create_stream(request(fields)).await.unwrap();
    let mut text = String::new();
    while let Some(chunk) = stream.next().await {
        chunk.unwrap().choices.iter().for_each(|choice| text.push_str(&choice.text));
    }
    assert_eq!(text, answer.choices[0].text);
}

#[tokio::test]
async fn embeddings_are_read() {
    let (_served, client) = start().await;
    let fields =
        |format: &str| json!({ "model": "mullama-tiny", "input": ["The sun", "The moon"], "encoding_format": format });
    let request = |format| serde_json::from_value(fields(format)).unwrap();
    let floats = client.embeddings().create(request("float")).await.unwrap();
    assert_eq!(
        floats.data.iter().map(|item| (item.index, item.embedding.len())).collect::<Vec<_>>(),
        [(0, 256), (1, 256)]
    );
    let packed = client.embeddings().create_base64(request("base64")).await.unwrap();
    for (float, packed) in floats.data.into_iter().zip(packed.data) {
        let unpacked: Vec<f32> = packed.embedding.into();
        assert!(float.embedding.iter().zip(&unpacked).all(|(one, other)| (one - other).abs() < 1e-5));
        assert_eq!(float.embedding.len(), unpacked.len());
    }
}

#[tokio::test]
async fn models_are_read() {
    let (_served, client) = start().await;
    let models = client.models().list().await.unwrap();
    assert_eq!(models.data.iter().map(|model| model.id.as_str()).collect::<Vec<_>>(), ["mullama-tiny"]);
    assert_eq!(client.models().retrieve("mullama-tiny").await.unwrap(), models.data[0]);
    let error = told(client.models().retrieve("nobody").await);
    assert_eq!((error.status_code.as_u16(), error.api_error.code.as_deref()), (404, Some("model_not_found")));
}

#[tokio::test]
async fn errors_are_read() {
    let (served, client) = start().await;
    let chat = async |fields: Value| told(client.chat().create(request(fields)).await);
    let error = chat(json!({ "messages": user("Hello!"), "model": "nobody" })).await;
    assert_eq!((error.status_code.as_u16(), error.api_error.code.as_deref()), (404, Some("model_not_found")));
    assert_eq!(error.api_error.r#type.as_deref(), Some("not_found_error"));
    let error = chat(json!({ "messages": user("Hello!"), "temperature": -1.0 })).await;
    assert_eq!((error.status_code.as_u16(), error.api_error.param.as_deref()), (400, Some("temperature")));
    let error = chat(json!({ "messages": user(&"word ".repeat(2_000)) })).await;
    assert_eq!((error.status_code.as_u16(), error.api_error.code.as_deref()), (400, Some("context_length_exceeded")));
    let stranger = self::client(&served, "wrong");
    let error = told(stranger.chat().create(request(json!({ "messages": user("Hello!") }))).await);
    assert_eq!((error.status_code.as_u16(), error.api_error.code.as_deref()), (401, Some("invalid_api_key")));
}
