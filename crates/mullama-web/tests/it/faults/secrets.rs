//! What must not be told: keys and texts never reach the log.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use mullama_web::WebConfig;
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::span;
use tracing::{Event, Level, Metadata, Subscriber};

use crate::client::{App, CHAT, JSON, chat};

/// All that is logged in this process, above TRACE.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<String>>);

impl Log {
    fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0.lock().unwrap_or_else(PoisonError::into_inner), "{field}={value:?} ").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut self.clone());
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push('\n');
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

const KEY: &str = "sk-canary-key-7d1f";
const WRONG: &str = "sk-canary-wrong-9c2e";
const TEXT: &str = "canary-text-51ab";

/// Requests that are answered and requests that fail, each with texts that nobody else has.
fn requests() -> Vec<(&'static str, Value)> {
    let said = || json!([{ "role": "system", "content": TEXT }, { "role": "user", "content": TEXT }]);
    let call = json!({ "id": "a", "type": "function", "function": { "name": "f", "arguments": format!("{{\"a\":\"{TEXT}\"}}") } });
    let tool = json!({ "type": "function", "function": { "name": "f", "description": TEXT, "parameters": { "type": "object", "description": TEXT } } });
    let schema = json!({ "type": "object", "properties": { TEXT: { "type": "string", "pattern": "^a$" } } });
    vec![
        (CHAT, json!({ "messages": said(), "max_tokens": 4, "user": TEXT, "metadata": { "a": TEXT } })),
        (CHAT, json!({ "messages": said(), "max_tokens": 4, "stream": true, "stop": [TEXT] })),
        (
            CHAT,
            json!({ "messages": [{ "role": "user", "content": TEXT }, { "role": "assistant", "tool_calls": [call] },
            { "role": "tool", "tool_call_id": "a", "content": TEXT }], "tools": [tool], "max_tokens": 4 }),
        ),
        (
            CHAT,
            json!({ "messages": said(), "response_format": { "type": "json_object", "schema": schema }, "max_tokens": 4 }),
        ),
        (CHAT, json!({ "messages": [{ "role": "user", "content": TEXT.repeat(500) }] })),
        (CHAT, json!({ "messages": said(), "grammar": format!("root ::= {TEXT}") })),
        (CHAT, json!({ "messages": said(), "temperature": TEXT })),
        (CHAT, json!({ "messages": said(), "model": TEXT })),
        (CHAT, json!({ "messages": said(), "logit_bias": { TEXT: 1 } })),
        (CHAT, json!({ "messages": said(), TEXT: 1 })),
        (CHAT, json!({ "messages": TEXT })),
        ("/v1/completions", json!({ "prompt": TEXT, "max_tokens": 4, "echo": true })),
        ("/v1/embeddings", json!({ "input": [TEXT] })),
        ("/v1/rerank", json!({ "query": TEXT, "documents": [TEXT] })),
        ("/v1/responses", json!({ "input": TEXT, "instructions": TEXT, "max_output_tokens": 4 })),
        ("/v1/messages", json!({ "messages": said(), "max_tokens": 4 })),
        ("/api/chat", json!({ "messages": said(), "options": { "num_predict": 4 } })),
        ("/api/generate", json!({ "prompt": TEXT, "options": { "num_predict": 4 } })),
        ("/tokenize", json!({ "content": TEXT })),
        ("/apply-template", json!({ "messages": said() })),
        ("/nothing/canary-text-51ab?canary-text-51ab", json!({})),
    ]
}

#[tokio::test]
async fn keys_and_texts_never_reach_the_log() {
    let log = Log::default();
    // Of the process, so that what the engine's threads say is there too.
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let app = App::tiny(1, 512, WebConfig { api_keys: vec![KEY.to_owned()], ..WebConfig::default() }).await;
    let (mut answered, mut failed) = (0, 0);
    for (path, body) in requests() {
        let bearer = format!("Bearer {KEY}");
        let headers = [JSON, ("authorization", bearer.as_str()), ("cookie", TEXT), ("x-api-key", WRONG)];
        let answer = app.send("POST", path, &headers, body.to_string()).await;
        if answer.status == 200 {
            answered += 1;
        } else {
            failed += 1;
        }
        let wrong = format!("Bearer {WRONG}");
        assert_eq!(app.send("POST", path, &[JSON, ("authorization", &wrong)], body.to_string()).await.status, 401);
        app.send("POST", path, &[JSON, ("authorization", &bearer)], body.to_string()[1..].to_owned()).await;
    }
    assert!(answered >= 10 && failed >= 6, "{answered} answered, {failed} failed");
    assert_eq!(app.send("POST", CHAT, &[JSON, ("x-api-key", KEY)], chat(json!({})).to_string()).await.status, 200);
    let text = log.text();
    assert!(text.contains("route=/v1/chat/completions") && text.contains("status=401"), "the log is not seen: {text}");
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("canary")).collect();
    assert_eq!(lines, Vec::<&str>::new());
}
