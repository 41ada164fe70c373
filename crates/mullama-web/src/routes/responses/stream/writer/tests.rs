//! Events, read as OpenAI's own clients read them.

use mullama_async::BackendSummary;
use mullama_core::{FinishReason, Timings, TokenId, TokenLogprob as CoreLogprob, Usage};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::routes::responses::tests::{blank, events};

fn end(finish_reason: &'static str, last: TokenDelta) -> End {
    let mut usage = Usage::default();
    (usage.prompt_tokens, usage.completion_tokens) = (3, 4);
    let reason = if finish_reason == "length" { FinishReason::Length } else { FinishReason::Stop };
    let summary = json!({
        "finish_reason": reason, "stop": null, "seed": null, "usage": usage, "timings": Timings::default(),
    });
    let summary = serde_json::from_value(summary).unwrap();
    End { finish_reason, reasoning_tokens: 1, done: BackendSummary { summary, last, message: None, unparsed: None } }
}

fn delta(deltas: Vec<ChatDelta>) -> TokenDelta {
    TokenDelta { deltas, ..TokenDelta::default() }
}

fn begin(index: usize) -> ChatDelta {
    let (id, name) = (Some(format!("call_{index}")), Some(format!("f{index}")));
    ChatDelta::ToolCall(ToolCallDelta { index, id, name, arguments: String::new() })
}

fn more(index: usize, arguments: &str) -> ChatDelta {
    ChatDelta::ToolCall(ToolCallDelta { index, id: None, name: None, arguments: arguments.to_owned() })
}

/// Runs an answer through the writer.
fn run(pieces: Vec<TokenDelta>, end: Result<End, ApiError>) -> Vec<Value> {
    let mut writer = Writer::new(blank());
    let mut out = BytesMut::new();
    writer.begin(&mut out);
    for piece in pieces {
        writer.tokens(&mut out, piece);
    }
    match end {
        Ok(end) => writer.finish(&mut out, end),
        Err(error) => writer.fail(&error),
    }
    writer.last(&mut out);
    events(&out)
}

/// Puts the response together from its events, and fails where a client would: a delta before its item or part, an
/// index that jumps, a `done` that differs from its deltas.
fn read(events: &[Value]) -> Vec<Value> {
    let mut items: Vec<Value> = Vec::new();
    let mut done = Vec::new();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
        let name = event["type"].as_str().unwrap();
        let index = event["output_index"].as_u64().map(|index| usize::try_from(index).unwrap());
        if name == "response.output_item.added" {
            assert_eq!(index, Some(items.len()));
            assert_eq!(event["item"]["status"], "in_progress");
            items.push(event["item"].clone());
            continue;
        }
        let Some(item) = index.map(|index| &mut items[index]) else { continue };
        assert!(!done.contains(&index), "{name} after its item");
        if name == "response.output_item.done" {
            done.push(index);
            assert_eq!(event["item"]["id"], item["id"]);
            item["status"] = event["item"]["status"].clone();
            assert_eq!(*item, event["item"]);
            continue;
        }
        assert_eq!(event["item_id"], item["id"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        match name {
            "response.content_part.added" => {
                assert_eq!(event["content_index"], item["content"].as_array().unwrap().len());
                item["content"].as_array_mut().unwrap().push(event["part"].clone());
            }
            "response.output_text.delta" | "response.reasoning_text.delta" => {
                let part = &mut item["content"][0];
                part["text"] = (text(&part["text"]) + &text(&event["delta"])).into();
                if let Some(logprobs) = event["logprobs"].as_array() {
                    part["logprobs"].as_array_mut().unwrap().extend(logprobs.iter().cloned());
                }
            }
            "response.function_call_arguments.delta" => {
                item["arguments"] = (text(&item["arguments"]) + &text(&event["delta"])).into();
            }
            "response.output_text.done" | "response.reasoning_text.done" => {
                assert_eq!(event["text"], item["content"][0]["text"]);
            }
            "response.function_call_arguments.done" => assert_eq!(event["arguments"], item["arguments"]),
            "response.content_part.done" => assert_eq!(event["part"], item["content"][0]),
            other => panic!("{other} is not known"),
        }
    }
    items
}

fn pieces() -> impl Strategy<Value = Vec<TokenDelta>> {
    let piece = prop_oneof![
        "[a-z\u{e9}\n]{0,3}".prop_map(ChatDelta::Content),
        "[a-z]{0,3}".prop_map(ChatDelta::ReasoningContent),
        (0..3_usize).prop_map(begin),
        (0..3_usize, "[{}a-z\"]{0,3}").prop_map(|(index, text)| more(index, &text)),
    ];
    prop::collection::vec(prop::collection::vec(piece, 0..3).prop_map(delta), 0..20)
}

proptest! {
    #[test]
    fn every_answer_is_told_in_order_and_whole(pieces in pieces(), cut in any::<bool>()) {
        let said = |want: fn(&ChatDelta) -> Option<&str>| {
            pieces.iter().flat_map(|piece| &piece.deltas).filter_map(want).collect::<String>()
        };
        let text = said(|delta| if let ChatDelta::Content(text) = delta { Some(text) } else { None });
        let thoughts = said(|delta| if let ChatDelta::ReasoningContent(text) = delta { Some(text) } else { None });
        let calls = said(|delta| if let ChatDelta::ToolCall(call) = delta { Some(&call.arguments) } else { None });
        let all = run(pieces.clone(), Ok(end(if cut { "length" } else { "stop" }, TokenDelta::default())));
        let items = read(&all);
        let last = all.last().unwrap();
        prop_assert_eq!(&last["type"], if cut { "response.incomplete" } else { "response.completed" });
        prop_assert_eq!(&last["response"]["output"], &Value::from(items.clone()));
        prop_assert!(!items.is_empty());
        let of = |kind: &str, field: fn(&Value) -> &Value| {
            let items = items.iter().filter(|item| item["type"] == kind);
            items.map(|item| field(item).as_str().unwrap()).collect::<String>()
        };
        prop_assert_eq!(of("message", |item| &item["content"][0]["text"]), text);
        prop_assert_eq!(of("reasoning", |item| &item["content"][0]["text"]), thoughts);
        prop_assert_eq!(of("function_call", |item| &item["arguments"]).len(), calls.len());
        let with = |status: &str| items.iter().filter(|item| item["status"] == status).count();
        prop_assert_eq!(with("incomplete"), usize::from(cut));
        prop_assert_eq!(with("completed"), items.len() - usize::from(cut));
    }
}

#[test]
fn thoughts_text_and_calls_become_items_in_their_order() {
    let pieces = vec![
        delta(vec![ChatDelta::ReasoningContent("hm".to_owned())]),
        delta(vec![ChatDelta::ReasoningContent("m".to_owned()), ChatDelta::Content("so".to_owned())]),
        delta(vec![begin(0), more(0, "{}")]),
    ];
    let all = run(pieces, Ok(end("tool_calls", delta(vec![begin(1)]))));
    let names: Vec<_> = all.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.reasoning_text.delta",
            "response.reasoning_text.delta",
            "response.reasoning_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.output_item.added",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let items = read(&all);
    assert_eq!(items[0]["content"], json!([{ "type": "reasoning_text", "text": "hmm" }]));
    assert_eq!(items[2]["call_id"], "call_0");
    assert_eq!(items[3]["name"], "f1");
    let usage = &all.last().unwrap()["response"]["usage"];
    assert_eq!((&usage["input_tokens"], &usage["total_tokens"]), (&json!(3), &json!(7)));
}

#[test]
fn an_error_ends_the_stream_as_a_failed_response() {
    let late =
        ApiError::unavailable("engine_restarted", "the engine is coming back", std::time::Duration::from_secs(1));
    let all = run(vec![delta(vec![ChatDelta::Content("half".to_owned())])], Err(late));
    let last = all.last().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["response"]["status"], "failed");
    assert_eq!(last["response"]["error"], json!({ "code": "server_error", "message": "the engine is coming back" }));
    assert_eq!(last["response"]["output"][0]["status"], "incomplete");
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], "half");
}

#[test]
fn log_probabilities_are_those_of_the_text() {
    let one = |id: i32, deltas: Vec<ChatDelta>| {
        let bytes = id.to_string().into_bytes();
        let logprob = CoreLogprob { token: TokenId(id), logprob: -1.0, bytes, top_logprobs: Vec::new() };
        TokenDelta { deltas, logprobs: vec![logprob], ..TokenDelta::default() }
    };
    let text = |text: &str| vec![ChatDelta::Content(text.to_owned())];
    let pieces = vec![
        one(1, vec![ChatDelta::ReasoningContent("hm".to_owned())]),
        one(2, Vec::new()),
        one(3, text("a")),
        one(4, text("b")),
        one(5, vec![begin(0)]),
    ];
    let all = run(pieces, Ok(end("tool_calls", one(6, Vec::new()))));
    let items = read(&all);
    let ids: Vec<_> = items[1]["content"][0]["logprobs"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [2, 3, 4]);
}
