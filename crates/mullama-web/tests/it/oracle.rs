//! Conversations with the embedded model: the same as llama.cpp's server answered, whole and as streams.

use std::path::Path;

use mullama_web::WebConfig;
use serde_json::{Value, json};

use crate::client::{App, CHAT, Event, JSON};

/// The records, or `None`, said aloud, on a machine that does not have the folder beside the checkout.
fn records() -> Option<Vec<Value>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    if !folder.is_dir() {
        eprintln!("NOT RUN: ../shared with the records is not on this machine");
        return None;
    }
    let text = std::fs::read(folder.join("models/mullama-tiny/testset/chats.json")).unwrap();
    let record: Value = serde_json::from_slice(&text).unwrap();
    let pictures = |chat: &&Value| {
        chat["request"]["messages"].as_array().unwrap().iter().any(|message| message["content"].is_array())
    };
    let chats: Vec<Value> =
        record["chats"].as_array().unwrap().iter().filter(|chat| !pictures(chat)).cloned().collect();
    assert_eq!(chats.len(), 22);
    Some(chats)
}

/// What an answer says, as the records have it.
#[derive(Debug, Default, PartialEq)]
struct Said {
    content: String,
    calls: Vec<(String, Value)>,
    finish_reason: String,
    usage: Option<(u64, u64)>,
}

fn recorded(output: &Value) -> Said {
    Said {
        content: output["content"].as_str().unwrap_or_default().to_owned(),
        calls: output["tool_calls"]
            .as_array()
            .unwrap()
            .iter()
            .map(|call| (text(&call["name"]), parsed(&call["arguments"])))
            .collect(),
        finish_reason: text(&output["finish_reason"]),
        usage: output.get("usage").map(tokens),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Arguments are always a text of JSON.
fn parsed(arguments: &Value) -> Value {
    serde_json::from_str(arguments.as_str().unwrap()).unwrap()
}

fn tokens(usage: &Value) -> (u64, u64) {
    (usage["prompt_tokens"].as_u64().unwrap(), usage["completion_tokens"].as_u64().unwrap())
}

fn whole(answer: &Value) -> Said {
    let choice = &answer["choices"][0];
    Said {
        content: choice["message"]["content"].as_str().unwrap_or_default().to_owned(),
        calls: choice["message"]["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|call| (text(&call["function"]["name"]), parsed(&call["function"]["arguments"])))
            .collect(),
        finish_reason: text(&choice["finish_reason"]),
        usage: Some(tokens(&answer["usage"])),
    }
}

/// Joins a stream as clients do.
async fn joined(app: &App, request: &Value) -> Said {
    let mut request = request.clone();
    request["stream"] = json!(true);
    request["stream_options"] = json!({ "include_usage": true });
    let events = app.open("POST", CHAT, &[JSON], request.to_string()).await.rest().await;
    assert_eq!(events.last(), Some(&Event::Done));
    let mut said = Said::default();
    let mut calls: Vec<(String, String)> = Vec::new();
    for event in events {
        let Event::Data(chunk) = event else { continue };
        for choice in chunk["choices"].as_array().unwrap() {
            let delta = &choice["delta"];
            said.content.push_str(delta["content"].as_str().unwrap_or_default());
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                if let Some(name) = call["function"].get("name") {
                    calls.push((text(name), String::new()));
                }
                let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
                calls[index].1.push_str(call["function"]["arguments"].as_str().unwrap());
            }
            if let Some(reason) = choice["finish_reason"].as_str() {
                reason.clone_into(&mut said.finish_reason);
            }
        }
        if chunk["usage"].is_object() {
            said.usage = Some(tokens(&chunk["usage"]));
        }
    }
    said.calls = calls.into_iter().map(|(name, arguments)| (name, serde_json::from_str(&arguments).unwrap())).collect();
    said
}

#[tokio::test]
async fn answers_are_those_of_llama_cpps_server() {
    let Some(records) = records() else { return };
    let app = App::tiny(1, 2_048, WebConfig::default()).await;
    let mut failures = Vec::new();
    for record in &records {
        let expected = recorded(&record["output"]);
        let mut request = record["request"].clone();
        request["stream"] = json!(false);
        let whole = whole(&app.post(CHAT, &request).await.ok());
        let streamed = joined(&app, &request).await;
        for (how, said) in [("whole", &whole), ("streamed", &streamed)] {
            // Records of streams have no usage.
            let usage = if expected.usage.is_some() { expected.usage } else { said.usage };
            if (&said.content, &said.calls, &said.finish_reason, said.usage)
                != (&expected.content, &expected.calls, &expected.finish_reason, usage)
            {
                failures.push(format!("{}, {how}: {said:?} instead of {expected:?}", record["name"]));
            }
        }
        if whole != streamed {
            failures.push(format!("{}: {streamed:?} as a stream, but {whole:?}", record["name"]));
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}
