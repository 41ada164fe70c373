//! Bodies that are broken, too deep, too large, or ask for what is not there.

use std::time::{Duration, Instant};

use mullama_async::{Script, ScriptedBackend};
use mullama_web::{ServerConfig, WebConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{App, CHAT, JSON, chat, tiny};
use crate::serve_with;

/// All routes that read JSON.
const ROUTES: [&str; 10] = [
    CHAT,
    "/v1/completions",
    "/v1/embeddings",
    "/v1/rerank",
    "/v1/responses",
    "/completion",
    "/tokenize",
    "/detokenize",
    "/apply-template",
    "/models/load",
];

fn scripted() -> App {
    App::scripted(Script::tokens(1, Duration::ZERO))
}

#[tokio::test]
async fn truncated_json_is_400_with_its_place() {
    let app = scripted();
    let whole = r#"{"messages":[{"role":"user","content":"Hi"}],"prompt":"Hi","input":"Hi","content":"Hi"}"#;
    for path in ROUTES {
        for end in 0..whole.len() {
            let told = app.send("POST", path, &[JSON], &whole[..end]).await.error(400);
            assert_eq!(told.kind, "invalid_request_error", "{path}: {}", &whole[..end]);
            let place = told.message.split_once(" line 1 column ").map(|(_, column)| column.parse::<usize>().unwrap());
            assert_eq!(place, Some(end), "{path}: {}: {told:?}", &whole[..end]);
        }
        let told = app.send("POST", path, &[JSON], format!("{whole} x")).await.error(400);
        assert!(!told.message.is_empty(), "{path}");
        app.send("POST", path, &[JSON], &b"{\"messages\":\"\xff\xfe\"}"[..]).await.error(400);
    }
}

#[tokio::test]
async fn json_that_is_ten_thousand_deep_is_400() {
    let app = scripted();
    for path in ROUTES {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
            app.send("POST", path, &[JSON], deep.clone()).await.error(400);
            app.send("POST", path, &[JSON], format!("{{\"messages\":{deep}}}")).await.error(400);
        }
    }
    for deep in [format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000)), "{\"a\":".repeat(10_000)] {
        for field in ["json_schema", "metadata", "chat_template_kwargs", "logit_bias", "stop", "tool_choice"] {
            let body = format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"Hi\"}}],\"{field}\":{deep}}}");
            app.send("POST", CHAT, &[JSON], body).await.error(400);
        }
    }
    assert_eq!(app.chat(json!({ "metadata": [[[[[[[[1]]]]]]]] })).await.status, 200);
}

#[tokio::test]
async fn a_body_one_byte_over_the_limit_is_413_and_ends_the_connection() {
    let backend = ScriptedBackend::new().model("m", Script::tokens(1, Duration::ZERO));
    let config = WebConfig { max_body_bytes: 2_000, ..WebConfig::default() };
    let app = App::of(&backend, config.clone());
    let of = |size: usize| {
        let body = chat(json!({ "user": "" })).to_string();
        body.replace("\"user\":\"\"", &format!("\"user\":\"{}\"", "x".repeat(size - body.len())))
    };
    assert_eq!(app.send("POST", CHAT, &[JSON], of(2_000)).await.status, 200);
    assert_eq!(app.send("POST", CHAT, &[JSON], of(2_001)).await.error(413).code.as_deref(), Some("body_too_large"));

    let state = mullama_web::AppState::with_backend(std::sync::Arc::new(backend), config).unwrap();
    let served = serve_with(state, ServerConfig::default()).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    client.write_all(format!("{head}content-length: 2001\r\n\r\n").as_bytes()).await.unwrap();
    // Nothing of the body is sent, and the server does not wait for it.
    let mut answer = String::new();
    let read = tokio::time::timeout(Duration::from_secs(10), client.read_to_string(&mut answer)).await;
    read.expect("the connection stays open").unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("connection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn another_content_type_is_415() {
    let app = scripted();
    for path in ROUTES {
        for kind in ["text/plain", "multipart/form-data; boundary=a", "text/json", "json", ""] {
            let answer = app.send("POST", path, &[("content-type", kind)], chat(json!({})).to_string()).await;
            assert_eq!(answer.error(415).code.as_deref(), Some("unsupported_media_type"), "{path} {kind:?}");
        }
        // What curl says, and nothing, by a program: JSON all the same, or not. By a page: never.
        for kind in [Some("application/x-www-form-urlencoded"), None] {
            let kind: Vec<_> = kind.map(|kind| ("content-type", kind)).into_iter().collect();
            for body in ["", "messages=hello", "{\"messages\":"] {
                app.send("POST", path, &kind, body).await.error(415);
            }
            let answer = app.send("POST", path, &kind, chat(json!({})).to_string()).await;
            assert_ne!(answer.status, 415, "{path} {answer:?}");
            for browser in [("origin", "http://localhost"), ("sec-fetch-site", "cross-site"), ("referer", "http://a/")]
            {
                let headers: Vec<_> = kind.iter().copied().chain([browser, ("host", "localhost")]).collect();
                app.send("POST", path, &headers, chat(json!({})).to_string()).await.error(415);
            }
        }
    }
    assert_eq!(app.send("POST", CHAT, &[], chat(json!({})).to_string()).await.status, 200);
    for kind in ["application/json; charset=utf-8", "Application/JSON", "application/problem+json"] {
        let answer = app.send("POST", CHAT, &[("content-type", kind)], chat(json!({})).to_string()).await;
        assert_eq!(answer.status, 200, "{kind}");
    }
}

#[tokio::test]
async fn unknown_fields_are_left_out_and_unknown_words_are_400() {
    let app = scripted();
    assert_eq!(app.chat(json!({ "new_field": 1 })).await.header("x-mullama-ignored-fields"), "new_field");
    assert!(app.get("/metrics").await.text.contains("mullama_http_ignored_fields_total 1\n"));
    // It would only make the answer come sooner.
    let prediction = app.chat(json!({ "prediction": { "type": "content", "content": "Hello" } })).await;
    assert_eq!((prediction.status, prediction.header("x-mullama-ignored-fields")), (200, "prediction"));
    let message = |fields: Value| json!({ "messages": [fields] });
    for (fields, param) in [
        (json!({ "reasoning_effort": "extreme" }), "reasoning_effort"),
        (json!({ "reasoning_format": "xml" }), "reasoning_format"),
        (json!({ "tool_choice": "sometimes" }), "tool_choice"),
        (json!({ "response_format": { "type": "xml" } }), "response_format"),
        (json!({ "samplers": ["nobody"] }), "samplers"),
        (message(json!({ "role": "robot", "content": "a" })), "messages[0].role"),
        (message(json!({ "role": "user", "content": [{ "type": "video" }] })), "messages[0].content[0]"),
        (json!({ "tools": [{ "type": "browser", "function": { "name": "f" } }] }), "tools[0].type"),
    ] {
        let told = app.chat(fields.clone()).await.error(400);
        let named = told.param.as_deref().unwrap_or_default();
        assert!(named.starts_with(param), "{fields}: {told:?}");
    }
}

#[tokio::test]
async fn a_list_is_no_object() {
    let app = scripted();
    let user = |content: Value| json!([{ "role": "user", "content": content }]);
    let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    let document = json!([{ "type": "document", "source": ["text", "a"] }]);
    let result = json!([{ "type": "tool_result", "tool_use_id": "a", "content": [["text", "a"]] }]);
    for (path, body, param) in [
        (CHAT, json!([["m"]]), None),
        (CHAT, json!({ "messages": [["user", "hello"]] }), Some("messages[0]")),
        (CHAT, json!({ "messages": user(json!([["text", "a"]])) }), Some("messages[0].content[0]")),
        (CHAT, json!({ "messages": user(json!("a")), "stream_options": [true] }), Some("stream_options")),
        (CHAT, json!({ "messages": user(json!("a")), "tools": [["function", ["f"]]] }), Some("tools[0]")),
        (CHAT, json!({ "messages": user(json!("a")), "response_format": ["text"] }), Some("response_format")),
        (
            CHAT,
            json!({ "messages": user(json!("a")), "response_format": { "type": "json_schema", "json_schema": ["a", null, {}] } }),
            Some("response_format"),
        ),
        (
            CHAT,
            json!({ "messages": user(json!("a")), "tools": tools, "tool_choice": { "type": "function", "function": ["f"] } }),
            Some("tool_choice"),
        ),
        ("/v1/completions", json!({ "prompt": "a", "lora": [[0, 1.0]] }), Some("lora[0]")),
        ("/v1/responses", json!({ "input": [["message"]] }), Some("input[0]")),
        ("/v1/responses", json!({ "input": "a", "text": { "format": ["text"] } }), Some("text.format")),
        ("/v1/rerank", json!({ "query": "a", "documents": [["a"]] }), Some("documents[0]")),
        ("/models/load", json!(["m"]), None),
        ("/api/chat", json!({ "messages": [["user", "hello"]] }), None),
        ("/v1/messages", json!({ "max_tokens": 1, "messages": user(document) }), None),
        ("/v1/messages", json!({ "max_tokens": 1, "messages": user(result) }), None),
    ] {
        let answer = app.post(path, &body).await;
        assert_eq!(answer.status, 400, "{path} {body}: {answer:?}");
        assert!(answer.text.contains("list, expected "), "{path} {body}: {answer:?}");
        for word in ["struct", "sequence", "enum", "length"] {
            assert!(!answer.text.contains(word), "{path} {body}: {answer:?}");
        }
        if param.is_some() {
            let told = answer.error(400).param;
            assert!(told.as_deref().is_some_and(|told| told.starts_with(param.unwrap())), "{path} {body}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn no_messages_are_400() {
    let app = scripted();
    for messages in [json!([]), json!(null)] {
        let told = app.chat(json!({ "messages": messages })).await.error(400);
        assert_eq!(told.param.as_deref(), Some("messages"));
    }
    assert_eq!(app.post(CHAT, &json!({})).await.error(400).param.as_deref(), Some("messages"));
    for (path, param) in [("/v1/completions", "prompt"), ("/v1/embeddings", "input"), ("/v1/rerank", "query")] {
        assert_eq!(app.post(path, &json!({})).await.error(400).param.as_deref(), Some(param), "{path}");
    }
}

#[tokio::test]
async fn numbers_beyond_all_numbers_are_400() {
    let app = scripted();
    for (field, number) in
        [("temperature", "1e999"), ("top_p", "-1e999"), ("top_p", "1e300"), ("temperature", "NaN"), ("seed", "1e30")]
    {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"Hi"}}],"{field}":{number}}}"#);
        let told = app.send("POST", CHAT, &[JSON], body).await.error(400);
        assert!(told.param.as_deref() == Some(field) || told.message.contains("line 1 column"), "{told:?}");
    }
}

#[tokio::test]
async fn half_a_surrogate_pair_is_400() {
    let app = scripted();
    for text in [r"\ud800", r"\udc00", r"\ud83d\ud83d", r"a\ud800b"] {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"{text}"}}]}}"#);
        assert_eq!(app.send("POST", CHAT, &[JSON], body).await.error(400).kind, "invalid_request_error", "{text}");
    }
    let body = r#"{"messages":[{"role":"user","content":"\ud83d\ude00"}]}"#;
    assert_eq!(app.send("POST", CHAT, &[JSON], body).await.status, 200);
}

#[tokio::test]
async fn a_nul_in_a_prompt_cuts_nothing() {
    let app = App::tiny(1, 512, WebConfig::default()).await;
    for text in ["a\0b", "\0", "\0\0end"] {
        let tokens = app.post("/tokenize", &json!({ "content": text })).await.ok()["tokens"].clone();
        let back = app.post("/detokenize", &json!({ "tokens": tokens })).await.ok();
        assert_eq!(back["content"], text);
    }
    let prompt = async |text: &str| {
        let body = json!({ "messages": [{ "role": "user", "content": text }], "max_tokens": 1 });
        app.post(CHAT, &body).await.ok()["usage"]["prompt_tokens"].as_u64().unwrap()
    };
    assert!(prompt("Hello!\0 What is 7 + 8?").await > prompt("Hello!").await + 4);
}

#[tokio::test]
async fn a_prompt_of_one_token_too_many_is_400_with_both_numbers() {
    let app = App::tiny(2, 256, WebConfig::default()).await;
    let ask = async |tokens: usize| {
        app.post("/v1/completions", &json!({ "prompt": vec![100; tokens], "max_tokens": 1 })).await
    };
    assert_eq!(ask(255).await.ok()["usage"]["prompt_tokens"], 255);
    let answer = ask(257).await;
    assert_eq!(answer.error(400).code.as_deref(), Some("context_length_exceeded"));
    let error = &answer.json()["error"];
    assert_eq!((&error["n_prompt_tokens"], &error["n_ctx"]), (&json!(257), &json!(256)));
    let long = chat(json!({ "messages": [{ "role": "user", "content": "word ".repeat(2_000) }], "stream": true }));
    assert_eq!(app.post(CHAT, &long).await.error(400).code.as_deref(), Some("context_length_exceeded"));
}

#[tokio::test]
async fn a_mebibyte_of_one_letter_is_answered_in_two_seconds() {
    let app = App::tiny(1, 512, WebConfig::default()).await;
    for letter in ["a", " ", ".", "1", "ab ", "\n", "\u{1}", "漢"] {
        let text = letter.repeat((1 << 20) / letter.len());
        for (path, body) in [
            (CHAT, chat(json!({ "messages": [{ "role": "user", "content": text }] }))),
            ("/v1/completions", json!({ "prompt": text })),
            ("/v1/embeddings", json!({ "input": text })),
        ] {
            let start = Instant::now();
            app.post(path, &body).await.error(400);
            assert!(start.elapsed() < Duration::from_secs(2), "{letter:?} at {path}: {:?}", start.elapsed());
        }
    }
    assert_eq!(app.chat(json!({ "max_tokens": 1 })).await.status, 200);
}

#[tokio::test]
async fn an_unknown_model_is_404() {
    let state = tiny(1, 256, WebConfig::default()).await;
    let app = App::new(state);
    for name in ["nobody", "mullama-tiny.gguf", "../mullama-tiny", "/etc/passwd", "mullama-tiny\0", "MULLAMA-TINY"] {
        let body = json!({ "model": name, "input": "a", "query": "a", "documents": ["b"],
            "messages": [{ "role": "user", "content": "Hi" }], "content": "a", "tokens": [1] });
        for path in ROUTES {
            let mut body = body.clone();
            if path.ends_with("completion") || path.ends_with("/completions") {
                body["prompt"] = json!("a");
            }
            let told = app.post(path, &body).await.error(404);
            assert_eq!(
                (told.code.as_deref(), told.param.as_deref()),
                (Some("model_not_found"), Some("model")),
                "{path}"
            );
        }
        for path in ["/v1/messages", "/api/chat", "/api/generate", "/api/embed"] {
            let answer = app.post(path, &body).await;
            // Anthropic's requests must say how long the answer may be before anything else.
            assert!(matches!(answer.status, 404 | 400), "{path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_path_that_leads_out_of_the_tree_is_404() {
    let app = scripted();
    for path in [
        "//..%2f",
        "/..%2f..%2fetc%2fpasswd",
        "/v1/../../etc/passwd",
        "/%2e%2e/",
        "/v1/models/..%2F..%2Fetc%2Fpasswd",
        "//",
    ] {
        app.get(path).await.error(404);
    }
}
