//! Requests from Ollama's shape, answers to it.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use mullama_async::{InferenceBackend as _, Script, ScriptedBackend};
use mullama_core::{ChatDelta, ChatRequest, ToolCallDelta};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::embed::{embed, embeddings};
use super::generate::generate;
use super::models::{human, ps, show, tags};
use super::*;
use crate::config::WebConfig;
use crate::notes::Notes;

fn state(script: Script) -> (ScriptedBackend, AppState) {
    let backend = ScriptedBackend::new().model("small", script);
    (backend.clone(), AppState::with_backend(Arc::new(backend), WebConfig::default()).unwrap())
}

fn parse<T: DeserializeOwned>(body: &Value) -> ApiResult<ApiJson<T>> {
    crate::extract::read(body.to_string().as_bytes()).map(|(request, _)| ApiJson(request))
}

async fn ask(state: &AppState, body: &Value) -> ApiResult<Response> {
    chat(State(state.clone()), Caller::default(), parse(body)?).await
}

async fn complete(state: &AppState, body: &Value) -> ApiResult<Response> {
    generate(State(state.clone()), Caller::default(), parse(body)?).await
}

async fn lines(response: Response) -> Vec<Value> {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let line = |line: &str| serde_json::from_str(line).unwrap();
    String::from_utf8(body.to_vec()).unwrap().lines().map(line).collect()
}

fn hello(more: Value) -> Value {
    let mut body = json!({ "model": "small", "messages": [{ "role": "user", "content": "Hello" }] });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
    }
    body
}

/// What the model was given.
async fn given(body: &Value) -> ChatRequest {
    let (backend, state) = state(Script::texts(["yes"]));
    ask(&state, body).await.unwrap();
    match backend.last_request("small").unwrap().prompt {
        BackendPrompt::Chat(chat) => *chat,
        other => panic!("{other:?}"),
    }
}

fn agent() -> Script {
    let call = |index, id: Option<&str>, arguments: &str| {
        let name = id.map(|_| "weather".to_owned());
        ChatDelta::ToolCall(ToolCallDelta { index, id: id.map(str::to_owned), name, arguments: arguments.to_owned() })
    };
    Script::Answer {
        deltas: vec![
            ChatDelta::ReasoningContent("Hm.".to_owned()),
            ChatDelta::Content("I ".to_owned()),
            ChatDelta::Content(String::new()),
            ChatDelta::Content("look.".to_owned()),
            call(0, Some("call_a"), "{\"city\":"),
            call(0, None, "\"Kiel\"}"),
        ],
        interval: Duration::ZERO,
    }
}

#[tokio::test]
async fn a_stream_is_lines_with_the_numbers_at_its_end() {
    let (_, state) = state(agent());
    let response = ask(&state, &hello(json!({}))).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let lines = lines(response).await;
    let told: Vec<(Value, bool)> =
        lines.iter().map(|line| (line["message"].clone(), line["done"].as_bool().unwrap())).collect();
    let says = |text: &str| json!({ "role": "assistant", "content": text });
    let function = json!({ "index": 0, "name": "weather", "arguments": { "city": "Kiel" } });
    assert_eq!(
        told,
        [
            (json!({ "role": "assistant", "content": "", "thinking": "Hm." }), false),
            (says("I "), false),
            (says("look."), false),
            (
                json!({ "role": "assistant", "content": "", "tool_calls": [{ "id": "call_a", "function": function }] }),
                false
            ),
            (says(""), true),
        ]
    );
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["done_reason"], &last["prompt_eval_count"], &last["eval_count"]),
        (&json!("stop"), &json!(5), &json!(6))
    );
    let total = last["total_duration"].as_u64().unwrap();
    for part in ["load_duration", "prompt_eval_duration", "eval_duration"] {
        assert!(last[part].as_u64().unwrap() <= total, "{last}");
    }
    assert!(lines.iter().all(|line| line["created_at"].as_str().unwrap().ends_with('Z') && line["model"] == "small"));
    assert!(lines[0].get("done_reason").is_none() && lines[0].get("eval_count").is_none());
}

#[tokio::test]
async fn a_whole_answer_is_one_object() {
    let (_, state) = state(agent());
    let response = ask(&state, &hello(json!({ "stream": false, "logprobs": true, "top_logprobs": 1 }))).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    let answer = lines(response).await.remove(0);
    let message = &answer["message"];
    assert_eq!(
        (&message["content"], &message["thinking"], &answer["done"]),
        (&json!("I look."), &json!("Hm."), &json!(true))
    );
    assert_eq!(message["tool_calls"][0]["function"]["arguments"], json!({ "city": "Kiel" }));
    assert_eq!(answer["logprobs"].as_array().unwrap().len(), 6);
    assert_eq!(answer["logprobs"][1]["token"], "I ");
}

#[tokio::test]
async fn calls_that_are_cut_are_none() {
    let (_, state) = state(agent());
    for stream in [true, false] {
        let body = hello(json!({ "stream": stream, "options": { "num_predict": 5 } }));
        let lines = lines(ask(&state, &body).await.unwrap()).await;
        assert!(lines.iter().all(|line| line["message"].get("tool_calls").is_none()));
        assert_eq!(lines.last().unwrap()["done_reason"], "length");
    }
}

#[tokio::test]
async fn an_error_in_a_stream_ends_it() {
    let error = || mullama_core::Error::Internal { what: "it broke".to_owned() }.into();
    let (_, state) = state(Script::FailAfter { tokens: 2, interval: Duration::ZERO, error });
    let lines = lines(ask(&state, &hello(json!({}))).await.unwrap()).await;
    assert!(lines.last().unwrap()["error"].as_str().unwrap().contains("it broke"));
    assert!(lines.iter().all(|line| line["done"] != true));
}

#[tokio::test]
async fn options_reach_the_request() {
    let (backend, state) = state(Script::texts(["yes"]));
    let options = json!({
        "temperature": 0.5, "top_k": 7, "top_p": 0.5, "min_p": 0.25, "seed": 3, "num_predict": 9, "stop": ["END"],
        "repeat_penalty": 1.5, "repeat_last_n": 8, "presence_penalty": 0.5, "frequency_penalty": 0.25, "mirostat": 2,
        "typical_p": 0.75, "num_ctx": 4096, "num_keep": 4,
    });
    ask(&state, &hello(json!({ "options": options }))).await.unwrap();
    let params = backend.last_request("small").unwrap().params;
    let sampling = &params.sampling;
    assert_eq!((sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p), (0.5, 7, 0.5, 0.25));
    assert_eq!((sampling.repeat_penalty, sampling.repeat_last_n, sampling.typical_p), (1.5, 8, 0.75));
    assert_eq!((sampling.presence_penalty, sampling.frequency_penalty, sampling.seed), (0.5, 0.25, Some(3)));
    assert_eq!((params.max_tokens, params.keep, &params.stop[..]), (Some(9), 4, &["END".to_owned()][..]));
    for endless in [-1, -2, 0] {
        ask(&state, &hello(json!({ "options": { "num_predict": endless } }))).await.unwrap();
        assert_eq!(backend.last_request("small").unwrap().params.max_tokens, None);
    }
}

#[tokio::test]
async fn a_conversation_with_tools_is_translated() {
    let call = |id: Option<&str>, name: &str, arguments: Value| json!({ "id": id, "function": { "name": name, "arguments": arguments } });
    let tool = json!({ "type": "function", "function": { "name": "weather", "parameters": { "type": "object" } } });
    let chat = given(&hello(json!({ "tools": [tool], "think": false, "format": "json", "messages": [
        { "role": "system", "content": "Be short." },
        { "role": "user", "content": "Weather?" },
        { "role": "assistant", "content": "", "thinking": "A tool.", "tool_calls": [
            call(None, "weather", json!({ "city": "Kiel" })), call(None, "time", json!({})), call(Some("x"), "time", Value::Null),
        ] },
        { "role": "tool", "tool_name": "time", "content": "noon" },
        { "role": "tool", "content": "rain" },
        { "role": "tool", "tool_call_id": "x", "content": "one" },
    ] })))
    .await;
    let results: Vec<_> =
        chat.messages[3..].iter().map(|one| (one.tool_call_id.as_deref(), one.name.as_deref())).collect();
    assert_eq!(
        results,
        [(Some("call00002"), Some("time")), (Some("call00001"), Some("weather")), (Some("x"), Some("time"))]
    );
    let calls = &chat.messages[2].tool_calls;
    assert_eq!(
        (calls[0].function.arguments.as_str(), calls[2].function.arguments.as_str()),
        (r#"{"city":"Kiel"}"#, "{}")
    );
    assert_eq!(chat.messages[2].reasoning_content.as_deref(), Some("A tool."));
    assert!(!chat.enable_thinking && !chat.continue_final_message);
    assert!(matches!(chat.response_format, mullama_core::ResponseFormat::JsonSchema { .. }));
    let high = given(&hello(json!({ "think": "high" }))).await;
    assert_eq!(high.template_args["reasoning_effort"], "high");
}

#[tokio::test]
async fn what_cannot_be_done_is_told() {
    let (backend, state) = state(Script::texts(["yes"]));
    for (body, param) in [
        (hello(json!({ "messages": [{ "role": "user", "content": "x", "images": ["aGk="] }] })), "messages[0].images"),
        (hello(json!({ "format": 7 })), "format"),
        (hello(json!({ "format": "yaml" })), "format"),
        (hello(json!({ "think": "deeply" })), "think"),
        (hello(json!({ "keep_alive": "soon" })), "keep_alive"),
        (hello(json!({ "options": { "temperature": "hot" } })), "options.temperature"),
        (hello(json!({ "options": { "top_p": 7 } })), "top_p"),
    ] {
        let error = ask(&state, &body).await.unwrap_err();
        assert_eq!((error.status().as_u16(), error.param.as_deref()), (400, Some(param)), "{body}");
    }
    for (more, param) in [
        (json!({ "images": ["aGk="] }), "images"),
        (json!({ "context": [1] }), "context"),
        (json!({ "template": "{{ .Prompt }}" }), "template"),
        (json!({ "raw": true, "system": "x" }), "system"),
        (json!({ "suffix": "x", "system": "x" }), "system"),
        (json!({ "raw": true, "logprobs": true, "top_logprobs": 99 }), "top_logprobs"),
        (json!({ "raw": true, "format": "json", "options": { "grammar": "root ::= \"a\"" } }), "format"),
        (json!({ "format": "json", "options": { "grammar": "root ::= \"a\"" } }), "grammar"),
    ] {
        let mut body = json!({ "model": "small", "prompt": "Hello" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let error = complete(&state, &body).await.unwrap_err();
        assert_eq!((error.status().as_u16(), error.param.as_deref()), (400, Some(param)), "{body}");
    }
    assert_eq!(backend.submitted("small"), 0);
    let error = ask(&state, &hello(json!({ "model": "large" }))).await.unwrap_err();
    assert_eq!((error.status().as_u16(), error.message.as_str()), (404, "model 'large' not found"));
}

#[tokio::test]
async fn names_may_have_a_tag() {
    let (_, state) = state(Script::texts(["yes"]));
    let answer = lines(ask(&state, &hello(json!({ "model": "small:latest", "stream": false }))).await.unwrap()).await;
    assert_eq!(answer[0]["model"], "small");
    assert!(resolve(&state, Some("small:7b")).is_err() && resolve(&state, Some(":latest")).is_ok());
}

#[tokio::test]
async fn a_prompt_is_a_conversation_unless_it_is_raw() {
    let (backend, state) = state(Script::texts(["yes", "!"]));
    let prompt = || backend.last_request("small").unwrap().prompt;
    let answer = complete(&state, &json!({ "prompt": "Hello", "system": "Be short.", "stream": false })).await.unwrap();
    let answer = lines(answer).await.remove(0);
    assert_eq!((&answer["response"], &answer["done"], answer.get("message")), (&json!("yes!"), &json!(true), None));
    let BackendPrompt::Chat(chat) = prompt() else { panic!("{:?}", prompt()) };
    assert_eq!(chat.messages.iter().map(|one| one.text()).collect::<Vec<_>>(), ["Be short.", "Hello"]);

    let raw = json!({ "prompt": "Hello", "raw": true, "format": { "type": "object" } });
    // "yes!" is no object, and a backend without grammars says it all the same: the check of the whole answer finds it.
    let told = lines(complete(&state, &raw).await.unwrap()).await;
    assert_eq!((&told[0]["response"], &told[1]["response"]), (&json!("yes"), &json!("!")));
    assert!(told.last().unwrap().get("error").is_some());
    assert_eq!(prompt(), BackendPrompt::Text("Hello".to_owned()));
    assert!(backend.last_request("small").unwrap().params.sampling.grammar.is_some());
    let grammar = json!({ "prompt": "Hello", "raw": true, "options": { "grammar": "root ::= \"a\"" } });
    complete(&state, &grammar).await.unwrap();
    let given = backend.last_request("small").unwrap().params.sampling.grammar;
    assert_eq!(given, Some(mullama_core::Grammar::gbnf("root ::= \"a\"").unwrap()));

    let told = lines(complete(&state, &json!({ "prompt": "a", "suffix": "c" })).await.unwrap()).await;
    assert_eq!((told.len(), &told[2]["done"]), (3, &json!(true)));
    assert_eq!(prompt(), BackendPrompt::Infill { prefix: "a".to_owned(), suffix: "c".to_owned() });
}

#[tokio::test]
async fn nothing_to_answer_loads_and_unloads() {
    let (backend, state) = state(Script::texts(["yes"]));
    for (keep_alive, reason) in
        [(Value::Null, "load"), (json!("5m"), "load"), (json!(0), "unload"), (json!("0s"), "unload")]
    {
        let answer = ask(&state, &json!({ "model": "small", "messages": [], "keep_alive": keep_alive })).await.unwrap();
        let answer = lines(answer).await.remove(0);
        assert_eq!((&answer["done_reason"], &answer["message"]["content"]), (&json!(reason), &json!("")));
        let answer = complete(&state, &json!({ "model": "small", "keep_alive": keep_alive })).await.unwrap();
        let answer = lines(answer).await.remove(0);
        assert_eq!(
            (&answer["done_reason"], &answer["response"], &answer["done"]),
            (&json!(reason), &json!(""), &json!(true))
        );
        let loaded = backend.models()[0].state == mullama_async::ModelState::Ready;
        assert_eq!(loaded, reason == "load");
    }
    assert_eq!(backend.submitted("small"), 0);
}

#[tokio::test]
async fn vectors_come_in_the_order_of_their_texts() {
    let (_, state) = state(Script::texts(["yes"]));
    let ask = |body: Value| embed(State(state.clone()), Notes::default(), parse(&body).unwrap());
    let both = ask(json!({ "input": ["a", "bc"] })).await.unwrap().0;
    let one = ask(json!({ "input": "bc", "dimensions": 16 })).await.unwrap().0;
    assert_eq!((both.embeddings.len(), both.prompt_eval_count), (2, 3));
    assert_eq!(both.embeddings[1], one.embeddings[0]);
    assert_ne!(both.embeddings[0], one.embeddings[0]);
    for nothing in [json!({ "input": "" }), json!({ "input": [] }), json!({})] {
        assert!(ask(nothing).await.unwrap().0.embeddings.is_empty());
    }
    for dimensions in [8, 17, -1] {
        let error = ask(json!({ "input": "a", "dimensions": dimensions })).await.unwrap_err();
        assert_eq!(error.param.as_deref(), Some("dimensions"));
    }
    let old =
        embeddings(State(state.clone()), Notes::default(), parse(&json!({ "prompt": "bc" })).unwrap()).await.unwrap();
    assert_eq!(old.0.embedding, one.embeddings[0]);
}

#[tokio::test]
async fn models_are_listed_and_shown() {
    let (_, state) = state(Script::texts(["yes"]));
    let listed = tags(State(state.clone())).await.0.models;
    assert_eq!((listed[0].name.as_str(), listed[0].details.family.as_str()), ("small", "scripted"));
    assert_eq!(ps(State(state.clone())).await.0.models.len(), 1);
    state.backend().unload("small", Duration::ZERO).await.unwrap();
    assert!(ps(State(state.clone())).await.0.models.is_empty());
    let shown = show(State(state.clone()), parse(&json!({ "model": "small:latest" })).unwrap()).await.unwrap().0;
    assert_eq!(shown.model_info["scripted.embedding_length"], 16);
    assert_eq!(shown.capabilities, ["completion"]);
    assert!(show(State(state), parse(&json!({ "name": "large" })).unwrap()).await.is_err());
    let told: Vec<_> = [0, 999, 135_000, 494_032_768, 7_615_616_512].map(human).into();
    assert_eq!(told, ["", "999", "135K", "494.03M", "7.6B"]);
}
