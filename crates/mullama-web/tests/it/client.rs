//! Requests to the router, and their answers as a client reads them.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use mullama_async::{AsyncModel, LocalBackend, Script, ScriptedBackend};
use mullama_core::EngineParams;
use mullama_web::{AppState, WebConfig, create_router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// The model of most tests.
pub(crate) const MODEL: &str = "m";

/// A router without a socket.
#[derive(Debug, Clone)]
pub(crate) struct App(Router);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// What an error says, after its form was checked.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) message: String,
    pub(crate) kind: String,
    pub(crate) param: Option<String>,
    pub(crate) code: Option<String>,
}

/// An answer that is read as it comes.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    read: String,
}

/// What comes in a stream of OpenAI's API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    Data(Value),
    Comment(String),
    Done,
}

impl App {
    pub(crate) fn new(state: AppState) -> Self {
        Self(create_router(state))
    }

    /// Of a scripted backend.
    pub(crate) fn of(backend: &ScriptedBackend, config: WebConfig) -> Self {
        Self::new(AppState::with_backend(Arc::new(backend.clone()), config).unwrap())
    }

    /// Of one model with this script.
    pub(crate) fn scripted(script: Script) -> Self {
        Self::of(&ScriptedBackend::new().model(MODEL, script), WebConfig::default())
    }

    /// Of the embedded model.
    pub(crate) async fn tiny(sequences: u32, length: u32, config: WebConfig) -> Self {
        Self::new(tiny(sequences, length, config).await)
    }

    pub(crate) async fn open(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Open {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.0.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        Open { status: parts.status.as_u16(), headers: parts.headers, body, read: String::new() }
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        self.open(method, path, headers, body).await.whole().await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[JSON], body.to_string()).await
    }

    /// A conversation with these fields beside its one message.
    pub(crate) async fn chat(&self, fields: Value) -> Answer {
        self.post(CHAT, &chat(fields)).await
    }

    /// The same as a stream.
    pub(crate) async fn stream(&self, fields: Value) -> Open {
        let mut body = chat(fields);
        body["stream"] = json!(true);
        self.open("POST", CHAT, &[JSON], body.to_string()).await
    }
}

impl Answer {
    /// Empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        assert!(self.header("content-type").starts_with("application/json"), "{self:?}");
        serde_json::from_str(&self.text).unwrap()
    }

    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// An error of this status, in OpenAI's form: four fields, always.
    #[track_caller]
    pub(crate) fn error(&self, status: u16) -> Told {
        assert_eq!(self.status, status, "{self:?}");
        let body = self.json();
        assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
        told(&body)
    }
}

/// Reads `{"error": {...}}`.
#[track_caller]
pub(crate) fn told(body: &Value) -> Told {
    let error = body["error"].as_object().unwrap_or_else(|| unreachable!("no error: {body}"));
    let text = |name: &str| error[name].as_str().map(str::to_owned);
    let or_null = |name: &str| {
        assert!(error[name].is_string() || error[name].is_null(), "{body}");
        text(name)
    };
    let told = Told {
        message: text("message").unwrap(),
        kind: text("type").unwrap(),
        param: or_null("param"),
        code: or_null("code"),
    };
    assert!(!told.message.is_empty() && !told.kind.is_empty(), "{body}");
    told
}

impl Open {
    pub(crate) async fn whole(self) -> Answer {
        let body = self.body.collect().await.unwrap().to_bytes();
        let text = self.read + std::str::from_utf8(&body).unwrap();
        Answer { status: self.status, headers: self.headers, text }
    }

    /// The next event; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.read.find("\n\n") {
                let block: String = self.read.drain(..end + 2).collect();
                return Some(event(&block));
            }
            let Some(frame) = self.body.frame().await else {
                assert_eq!(self.read, "", "the stream ends within an event");
                return None;
            };
            // Each piece has whole characters.
            self.read.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
        }
    }

    /// The next event, which is data.
    pub(crate) async fn data(&mut self) -> Value {
        match self.next().await {
            Some(Event::Data(data)) => data,
            other => unreachable!("{other:?}"),
        }
    }

    /// What is left.
    pub(crate) async fn rest(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// OpenAI's clients know lines of data, comments, and nothing else: an event with a name breaks them.
fn event(block: &str) -> Event {
    let line = block.strip_suffix("\n\n").unwrap();
    assert!(!line.contains('\n'), "{block:?}");
    if let Some(comment) = line.strip_prefix(':') {
        return Event::Comment(comment.trim().to_owned());
    }
    match line.strip_prefix("data: ") {
        Some("[DONE]") => Event::Done,
        Some(data) => Event::Data(serde_json::from_str(data).unwrap()),
        None => unreachable!("neither data nor a comment: {block:?}"),
    }
}

/// A request for a conversation with one message, and these fields.
pub(crate) fn chat(fields: Value) -> Value {
    let mut body = json!({ "messages": [{ "role": "user", "content": "Hello!" }] });
    if let Value::Object(fields) = fields {
        body.as_object_mut().unwrap().extend(fields);
    }
    body
}

/// The embedded model behind a state.
pub(crate) async fn tiny(sequences: u32, length: u32, config: WebConfig) -> AppState {
    let mut params = EngineParams { sequences, host_cache_bytes: 0, ..Default::default() };
    params.context.length = length;
    params.context.threads = 1;
    params.context.threads_batch = 1;
    let model = AsyncModel::from_bytes(mullama_demo_models::CHAT).engine_params(params).load().await.unwrap();
    AppState::with_backend(Arc::new(LocalBackend::of_model("mullama-tiny", model)), config).unwrap()
}

pub(crate) const JSON: (&str, &str) = ("content-type", "application/json");
pub(crate) const CHAT: &str = "/v1/chat/completions";
