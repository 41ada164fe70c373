//! Streams, chunk by chunk.

use std::collections::BTreeMap;
use std::time::Duration;

use mullama_async::Script;
use mullama_core::{ChatDelta, Error as CoreError};
use serde_json::{Value, json};

use super::{answer, arguments, call, everything, text, thought, tools};
use crate::client::{App, Event, JSON, Open, told};

/// What a client has of one choice when it joined all chunks as openai-python's helper does.
#[derive(Debug, Default, PartialEq)]
struct Joined {
    roles: u32,
    content: String,
    thoughts: String,
    /// Id, name, arguments.
    calls: Vec<(String, String, String)>,
    finish_reason: Option<String>,
}

/// Reads a stream to its end and checks each chunk by what clients break on.
async fn checked(mut stream: Open, usage: bool) -> BTreeMap<u64, Joined> {
    assert_eq!(stream.status, 200);
    for (name, value) in [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-cache"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(stream.headers[name], value);
    }
    let mut events = stream.rest().await;
    assert_eq!(events.pop(), Some(Event::Done));
    let mut chunks: Vec<Value> = Vec::new();
    for event in events {
        let Event::Data(chunk) = event else { unreachable!("{event:?} between chunks") };
        assert!(chunk.get("error").is_none(), "{chunk}");
        chunks.push(chunk);
    }
    let first = chunks[0].clone();
    assert!(first["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(first["object"], "chat.completion.chunk");
    u32::try_from(first["created"].as_u64().unwrap()).unwrap();
    for chunk in &chunks {
        for name in ["id", "object", "created", "model", "system_fingerprint"] {
            assert_eq!(chunk[name], first[name], "{name}");
        }
    }
    if usage {
        let trailer = chunks.pop().unwrap();
        assert_eq!(trailer["choices"], json!([]));
        for name in ["prompt_tokens", "completion_tokens", "total_tokens"] {
            assert!(trailer["usage"][name].is_u64(), "{trailer}");
        }
    }
    let mut choices: BTreeMap<u64, Joined> = BTreeMap::new();
    for chunk in &chunks {
        // Where it is asked for it is null before the end; where not, nobody hears of it.
        assert_eq!(chunk.get("usage"), usage.then_some(&Value::Null), "{chunk}");
        let [choice] = chunk["choices"].as_array().unwrap().as_slice() else { unreachable!("{chunk}") };
        let joined = choices.entry(choice["index"].as_u64().unwrap()).or_default();
        assert_eq!(joined.finish_reason, None, "{choice} after the end");
        add(joined, choice);
    }
    choices
}

fn add(joined: &mut Joined, choice: &Value) {
    let delta = choice["delta"].as_object().unwrap();
    let begins = joined.roles == 0;
    if let Some(role) = delta.get("role") {
        joined.roles += 1;
        assert_eq!((role, &delta["content"]), (&json!("assistant"), &json!("")));
    }
    assert_eq!(begins, delta.contains_key("role"), "{choice}");
    // No text at all is better than null, which some take for the end.
    joined.content.push_str(delta.get("content").map_or("", |content| content.as_str().unwrap()));
    joined.thoughts.push_str(delta.get("reasoning_content").map_or("", |content| content.as_str().unwrap()));
    for piece in delta.get("tool_calls").map_or(&[][..], |calls| calls.as_array().unwrap()) {
        let index = usize::try_from(piece["index"].as_u64().unwrap()).unwrap();
        let function = piece["function"].as_object().unwrap();
        let more = function["arguments"].as_str().unwrap();
        if index == joined.calls.len() {
            assert_eq!(piece["type"], "function");
            let (id, name) = (piece["id"].as_str().unwrap(), function["name"].as_str().unwrap());
            joined.calls.push((id.to_owned(), name.to_owned(), String::new()));
        } else {
            // Not even as null: ids and names are joined like text.
            assert!(piece.get("id").is_none() && !function.contains_key("name"), "{piece}");
            assert!(piece.get("type").is_none(), "{piece}");
        }
        joined.calls[index].2.push_str(more);
    }
    match &choice["finish_reason"] {
        Value::Null => {}
        reason => {
            let reason = reason.as_str().unwrap();
            assert!(["stop", "length", "tool_calls"].contains(&reason), "{reason:?}");
            assert!(delta.is_empty(), "{choice}");
            joined.finish_reason = Some(reason.to_owned());
        }
    }
}

#[tokio::test]
async fn chunks_join_to_the_answer() {
    let owned = |calls: &[(&str, &str, &str)]| -> Vec<(String, String, String)> {
        calls.iter().map(|(id, name, arguments)| ((*id).into(), (*name).into(), (*arguments).into())).collect()
    };
    let joined = |content: &str, thoughts: &str, calls: &[(&str, &str, &str)], reason: &str| Joined {
        roles: 1,
        content: content.to_owned(),
        thoughts: thoughts.to_owned(),
        calls: owned(calls),
        finish_reason: Some(reason.to_owned()),
    };
    let both = [("call_a", "get_weather", "{\"city\": \"Paris\"}"), ("call_b", "get_time", "{}")];
    let rows: [(&str, Script, Value, Joined); 7] = [
        ("everything", everything(), json!({ "tools": tools() }), joined("I look.", "Hm.", &both, "tool_calls")),
        ("text", answer([text("a"), text(""), text("b")]), json!({}), joined("ab", "", &[], "stop")),
        ("thoughts", answer([thought("a"), text("b")]), json!({}), joined("b", "a", &[], "stop")),
        ("nothing", answer([]), json!({}), joined("", "", &[], "stop")),
        ("cut", Script::tokens(9, Duration::ZERO), json!({ "max_tokens": 1 }), joined("word ", "", &[], "length")),
        (
            "one call",
            answer([call(0, "call_c", "get_time"), arguments(0, "{"), arguments(0, "}")]),
            json!({ "tools": tools() }),
            joined("", "", &[("call_c", "get_time", "{}")], "tool_calls"),
        ),
        (
            "signs that look like the protocol's",
            answer([text("data: [DONE]\n\n"), text("\r\n: ping\n\nevent: error\ndata: {}\n\n")]),
            json!({}),
            joined("data: [DONE]\n\n\r\n: ping\n\nevent: error\ndata: {}\n\n", "", &[], "stop"),
        ),
    ];
    for (name, script, fields, expected) in rows {
        let app = App::scripted(script);
        for (n, usage) in [(1, false), (1, true), (3, true)] {
            let mut fields = fields.clone();
            fields["n"] = json!(n);
            if usage {
                fields["stream_options"] = json!({ "include_usage": true });
            }
            let choices = checked(app.stream(fields).await, usage).await;
            assert_eq!(choices.keys().copied().collect::<Vec<_>>(), (0..n).collect::<Vec<_>>(), "{name}");
            for choice in choices.values() {
                assert_eq!(choice, &expected, "{name}");
            }
        }
    }
}

#[tokio::test]
async fn usage_is_told_only_when_it_is_asked_for() {
    let app = App::scripted(Script::tokens(2, Duration::ZERO));
    for (options, told) in [
        (json!(null), false),
        (json!({}), false),
        (json!({ "include_usage": null }), false),
        (json!({ "include_usage": false }), false),
        (json!({ "include_usage": true }), true),
    ] {
        let stream = app.stream(json!({ "stream_options": options })).await;
        assert_eq!(checked(stream, told).await[&0].content, "word word ");
    }
    let mut stream = app.stream(json!({ "n": 2, "stream_options": { "include_usage": true } })).await;
    let events = stream.rest().await;
    let Event::Data(trailer) = &events[events.len() - 2] else { unreachable!("{events:?}") };
    let usage = &trailer["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&json!(6), &json!(4)));
}

#[tokio::test]
async fn pieces_of_calls_that_never_began_are_left_out() {
    let app = App::scripted(answer([
        arguments(0, "lost"),
        call(1, "call_x", "f"),
        call(0, "call_a", "get_time"),
        arguments(0, "{}"),
        arguments(3, "lost"),
        text("end"),
    ]));
    let choices = checked(app.stream(json!({ "tools": tools() })).await, false).await;
    assert_eq!(choices[&0].calls, [("call_a".to_owned(), "get_time".to_owned(), "{}".to_owned())]);
    assert_eq!(choices[&0].content, "end");
}

#[tokio::test]
async fn logprobs_come_with_their_chunks() {
    let app = App::scripted(Script::tokens(3, Duration::ZERO));
    let mut stream = app.stream(json!({ "logprobs": true, "top_logprobs": 1 })).await;
    let mut tokens = 0;
    while let Some(event) = stream.next().await {
        let Event::Data(chunk) = event else { continue };
        let logprobs = &chunk["choices"][0]["logprobs"];
        assert_eq!(logprobs.is_null(), chunk["choices"][0]["delta"].get("content") != Some(&json!("word ")), "{chunk}");
        tokens += logprobs["content"].as_array().map_or(0, Vec::len);
    }
    assert_eq!(tokens, 3);
}

fn failure() -> mullama_async::Error {
    CoreError::Internal { what: "a defect".to_owned() }.into()
}

#[tokio::test]
async fn an_error_before_the_first_token_has_a_status_and_one_after_it_is_an_event() {
    for script in [Script::Refuse(failure), Script::FailAfter { tokens: 0, interval: Duration::ZERO, error: failure }] {
        let answer = App::scripted(script).stream(json!({})).await.whole().await;
        assert_eq!(answer.error(500).kind, "server_error");
        assert_eq!(answer.header("x-should-retry"), "false");
    }
    let app = App::scripted(Script::FailAfter { tokens: 2, interval: Duration::ZERO, error: failure });
    let mut stream = app.stream(json!({})).await;
    assert_eq!(stream.status, 200);
    let mut events = stream.rest().await;
    let Some(Event::Data(last)) = events.pop() else { unreachable!("{events:?}") };
    assert_eq!(told(&last).kind, "server_error");
    assert_eq!(last.as_object().unwrap().len(), 1);
    // The role, and two tokens.
    assert_eq!(events.len(), 3);
}

#[tokio::test]
async fn all_other_streams_tell_an_error_too() {
    let app = App::scripted(Script::FailAfter { tokens: 1, interval: Duration::ZERO, error: failure });
    for (path, field, error, end) in [
        ("/v1/completions", "prompt", "data: {\"error\":{", "data: [DONE]"),
        ("/completion", "prompt", "data: {\"error\":{", "data: [DONE]"),
        ("/v1/responses", "input", "event: response.failed\n", "event: response.completed"),
        ("/v1/messages", "model", "event: error\ndata: {\"type\":\"error\",\"error\":{", "event: message_stop"),
        ("/api/chat", "model", "{\"error\":\"", "\"done\":true"),
        ("/api/generate", "prompt", "{\"error\":\"", "\"done\":true"),
    ] {
        let mut body = crate::client::chat(json!({ "stream": true, "max_tokens": 9, "model": "m" }));
        body[field] = json!("m");
        let answer = app.send("POST", path, &[JSON], body.to_string()).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert!(answer.text.contains("word "), "{path}: {answer:?}");
        assert!(answer.text.contains(error) && !answer.text.contains(end), "{path}: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_filled_with_comments_alone() {
    for path in ["/v1/chat/completions", "/v1/completions"] {
        let app = App::scripted(Script::Stall { after: 1, interval: Duration::ZERO, text: "a".to_owned() });
        let body = crate::client::chat(json!({ "stream": true, "prompt": "a" })).to_string();
        let mut stream = app.open("POST", path, &[JSON], body).await;
        let start = tokio::time::Instant::now();
        let mut comments = 0;
        while comments < 4 {
            match stream.next().await.unwrap() {
                Event::Comment(comment) => {
                    assert_eq!(comment, "ping");
                    comments += 1;
                }
                data => assert!(comments == 0 && data != Event::Done, "{data:?}"),
            }
        }
        assert_eq!(start.elapsed().as_secs(), 60);
    }
}

#[tokio::test]
async fn each_delta_is_one_event_of_one_line() {
    let deltas: Vec<ChatDelta> = "e\u{301}👩‍👧\u{2028}\u{85}\r\n漢字".chars().map(|c| text(&c.to_string())).collect();
    let count = deltas.len();
    let mut stream = App::scripted(answer(deltas)).stream(json!({})).await;
    // Reading fails where a line is broken.
    assert_eq!(stream.rest().await.len(), count + 3);
}
