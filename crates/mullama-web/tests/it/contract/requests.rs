//! What clients send, in all the forms in which they do: what arrives at the engine.

use std::time::Duration;

use mullama_async::{BackendPrompt, BackendRequest, Script, ScriptedBackend};
use mullama_core::{ChatRequest, Priority, Role, TokenId, ToolChoice};
use mullama_web::WebConfig;
use serde_json::{Value, json};

use super::tools;
use crate::client::{App, MODEL};

/// What the engine is asked when a client sends this.
async fn asked(path: &str, body: Value) -> BackendRequest {
    let backend = ScriptedBackend::new().model(MODEL, Script::tokens(1, Duration::ZERO));
    let answer = App::of(&backend, WebConfig::default()).post(path, &body).await;
    assert_eq!(answer.status, 200, "{body}: {answer:?}");
    assert_eq!(answer.header("x-mullama-ignored-fields"), "", "{body}");
    backend.last_request(MODEL).unwrap()
}

async fn chat(fields: Value) -> (ChatRequest, BackendRequest) {
    let request = asked(crate::client::CHAT, crate::client::chat(fields)).await;
    let BackendPrompt::Chat(chat) = request.prompt.clone() else { unreachable!("{request:?}") };
    (*chat, request)
}

#[tokio::test]
async fn null_is_absent() {
    let plain = chat(json!({})).await.1;
    let names = [
        "model",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "max_tokens",
        "n",
        "stream",
        "max_completion_tokens",
        "stream_options",
        "logprobs",
        "top_logprobs",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "stop",
        "logit_bias",
        "presence_penalty",
        "frequency_penalty",
        "user",
        "metadata",
        "store",
        "service_tier",
        "reasoning_effort",
        "grammar",
        "json_schema",
        "lora",
        "samplers",
        "chat_template_kwargs",
    ];
    let nulls: serde_json::Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    assert_eq!(chat(Value::Object(nulls)).await.1, plain);
}

#[tokio::test]
async fn limits_have_two_names_and_the_newer_wins() {
    for (fields, tokens) in [
        (json!({}), None),
        (json!({ "max_tokens": 7 }), Some(7)),
        (json!({ "max_completion_tokens": 8 }), Some(8)),
        (json!({ "max_tokens": 7, "max_completion_tokens": 8 }), Some(8)),
        (json!({ "max_tokens": 9, "max_completion_tokens": null }), Some(9)),
    ] {
        assert_eq!(chat(fields.clone()).await.1.params.max_tokens, tokens, "{fields}");
    }
}

#[tokio::test]
async fn numbers_may_be_whole_where_fractions_are_meant() {
    let params = chat(json!({ "temperature": 1, "top_p": 1, "presence_penalty": -2, "seed": 5 })).await.1.params;
    let sampling = params.sampling;
    assert_eq!((sampling.temperature, sampling.top_p, sampling.presence_penalty), (1.0, 1.0, -2.0));
    assert_eq!(sampling.seed, Some(5));
    assert_eq!(chat(json!({ "seed": -1 })).await.1.params.sampling.seed, None);
    let seed = async |seed: u64| chat(json!({ "seed": seed })).await.1.params.sampling.seed.unwrap();
    assert_ne!(seed(1 << 40).await, seed(1 << 41).await);
}

#[tokio::test]
async fn stops_are_one_text_or_up_to_sixteen() {
    let many: Vec<String> = (0..16).map(|number| format!("stop {number}")).collect();
    for (given, expected) in [
        (json!("a"), vec!["a".to_owned()]),
        (json!(["a", "b"]), vec!["a".to_owned(), "b".to_owned()]),
        (json!(many), many.clone()),
    ] {
        assert_eq!(chat(json!({ "stop": given })).await.1.params.stop, expected);
    }
}

#[tokio::test]
async fn biases_are_an_object_or_pairs() {
    for given in [json!({ "7": -100, "9": 1.5 }), json!([[7, -100], [9, 1.5]])] {
        let bias = chat(json!({ "logit_bias": given })).await.1.params.sampling.logit_bias;
        let bias: Vec<_> = bias.iter().map(|one| (one.token, one.bias)).collect();
        assert_eq!(bias, [(TokenId(7), Some(-100.0)), (TokenId(9), Some(1.5))]);
    }
}

#[tokio::test]
async fn content_is_a_text_or_parts_or_null() {
    let call = json!({ "id": "call_a", "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let parts = json!([{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }]);
    let messages = json!([
        { "role": "developer", "content": "Be brief." },
        { "role": "user", "content": parts, "name": "anna" },
        { "role": "assistant", "content": null, "tool_calls": [call], "reasoning": "Hm." },
        { "role": "tool", "content": "42", "tool_call_id": "call_a" },
        { "role": "assistant", "content": "It is 42.", "refusal": null, "reasoning_content": "So." },
        { "role": "user", "content": "Thanks" },
    ]);
    let body = json!({ "messages": messages, "tools": tools() });
    let request = asked(crate::client::CHAT, body).await;
    let BackendPrompt::Chat(chat) = request.prompt else { unreachable!("{request:?}") };
    let roles = [Role::Developer, Role::User, Role::Assistant, Role::Tool, Role::Assistant, Role::User];
    assert_eq!(chat.messages.iter().map(|message| message.role).collect::<Vec<_>>(), roles);
    let [_, user, called, result, said, _] = chat.messages.as_slice() else { unreachable!("{chat:?}") };
    assert_eq!((user.text().as_str(), user.content.len(), user.name.as_deref()), ("ab", 2, Some("anna")));
    assert_eq!((called.text().as_str(), called.reasoning_content.as_deref()), ("", Some("Hm.")));
    assert_eq!((called.tool_calls[0].id.as_str(), called.tool_calls[0].function.arguments.as_str()), ("call_a", "{}"));
    assert_eq!(result.tool_call_id.as_deref(), Some("call_a"));
    assert_eq!((said.text().as_str(), said.reasoning_content.as_deref()), ("It is 42.", Some("So.")));
}

#[tokio::test]
async fn a_choice_of_tools_has_five_forms() {
    let one = json!({ "type": "function", "function": { "name": "get_time" } });
    let allowed = json!({ "type": "allowed_tools", "allowed_tools": { "mode": "auto", "tools": [one] } });
    let both = &["get_weather", "get_time"][..];
    for (given, choice, names) in [
        (json!("none"), ToolChoice::None, both),
        (json!("auto"), ToolChoice::Auto, both),
        (json!("required"), ToolChoice::Required, both),
        (one, ToolChoice::Required, &["get_time"]),
        (allowed, ToolChoice::Auto, &["get_time"]),
    ] {
        let request = chat(json!({ "tools": tools(), "tool_choice": given })).await.0;
        assert_eq!(request.tool_choice, choice, "{given}");
        assert_eq!(request.tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), names, "{given}");
    }
    let app = App::scripted(Script::tokens(1, Duration::ZERO));
    for given in [json!({ "type": "function", "function": { "name": "nobody" } }), json!("sometimes"), json!(7)] {
        let told = app.chat(json!({ "tools": tools(), "tool_choice": given })).await.error(400);
        assert_eq!(told.param.as_deref(), Some("tool_choice"), "{given}");
    }
    assert_eq!(app.chat(json!({ "tool_choice": "required" })).await.error(400).param.as_deref(), Some("tool_choice"));
}

#[tokio::test]
async fn prompts_are_texts_or_tokens() {
    for (given, prompt) in [
        (json!("ab"), BackendPrompt::Text("ab".to_owned())),
        (json!(["ab"]), BackendPrompt::Text("ab".to_owned())),
        (json!([7, 8]), BackendPrompt::Tokens(vec![TokenId(7), TokenId(8)])),
        (json!([[7, 8]]), BackendPrompt::Tokens(vec![TokenId(7), TokenId(8)])),
    ] {
        let request = asked("/v1/completions", json!({ "prompt": given })).await;
        assert_eq!((&request.prompt, request.params.max_tokens), (&prompt, Some(16)), "{given}");
    }
    let app = App::scripted(Script::tokens(1, Duration::ZERO));
    let answer = app.post("/v1/completions", &json!({ "prompt": ["a", "b"], "n": 2, "echo": true })).await.ok();
    let choices = answer["choices"].as_array().unwrap();
    let told: Vec<_> =
        choices.iter().map(|choice| (choice["index"].as_u64().unwrap(), choice["text"].as_str().unwrap())).collect();
    assert_eq!(told, [(0, "aword "), (1, "aword "), (2, "bword "), (3, "bword ")]);
    assert_eq!((&answer["usage"]["prompt_tokens"], &answer["usage"]["completion_tokens"]), (&json!(2), &json!(4)));
}

#[tokio::test]
async fn several_answers_have_seeds_of_their_own() {
    let request = chat(json!({ "n": 3, "seed": 5 })).await.1;
    assert_eq!(request.params.sampling.seed, Some(7));
    assert_eq!(chat(json!({ "service_tier": "flex" })).await.1.priority, Priority::Batch);
    assert_eq!(chat(json!({ "service_tier": "auto" })).await.1.priority, Priority::Interactive);
}

#[tokio::test]
async fn fields_that_nobody_knows_are_told() {
    let app = App::scripted(Script::tokens(1, Duration::ZERO));
    let body = json!({ "messages": [{ "role": "user", "content": "a", "weight": 1 }], "new_field": { "a": 1 } });
    let answer = app.post(crate::client::CHAT, &body).await;
    assert_eq!((answer.status, answer.header("x-mullama-ignored-fields")), (200, "messages.0.weight,new_field"));
}
