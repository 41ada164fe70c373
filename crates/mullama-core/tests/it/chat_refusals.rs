//! Templates and conversations that cannot be had, and what is said of them.

use mullama_core::{
    ChatMessage, ChatRequest, ChatTemplate, Error, FunctionCall, GenerationParams, Model, ResponseFormat, Tool,
    ToolCall, ToolChoice,
};
use serde_json::Value;

use crate::shared;

#[test]
fn templates_that_loop_recurse_or_refuse_end_in_an_error() {
    let model = shared::tiny();
    let request = ChatRequest::new([ChatMessage::user("Hi")]);
    let render =
        |source: &str| ChatTemplate::with_source(&model, source).and_then(|template| template.render(&request));
    for source in
        ["{% if %}", "{{ raise_exception('no') }}", "{{ nothing.here.at.all() }}", "{% for x in %}", "{{", "  "]
    {
        assert!(matches!(render(source), Err(Error::ChatTemplate { .. })), "{source}: {:?}", render(source));
    }
    assert!(matches!(render(&"x".repeat(300 << 10)), Err(Error::ChatTemplate { .. })));
    assert!(matches!(render("a\0b"), Err(Error::ChatTemplate { .. })));
    for deep in [
        format!("{}{}", "{% if true %}".repeat(2_000), "{% endif %}".repeat(2_000)),
        format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000)),
    ] {
        match render(&deep) {
            Ok(_) | Err(Error::ChatTemplate { .. } | Error::Timeout { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    // And a sound one still renders.
    assert_eq!(
        render("{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}").unwrap().text(),
        "[user] Hi"
    );
}

#[test]
fn requests_beyond_the_limits_are_named() {
    let template = shared::tiny().chat_template().unwrap();
    let user = || ChatRequest::new([ChatMessage::user("Hi")]);
    let tool = |name: &str, parameters: Value| Tool { name: name.to_owned(), description: String::new(), parameters };
    let deep = (0..200).fold(
        serde_json::json!({ "type": "string" }),
        |inner, _| serde_json::json!({ "type": "array", "items": inner }),
    );
    let wide: serde_json::Map<_, _> =
        (0..300).map(|n| (format!("p{n}"), serde_json::json!({ "type": "string" }))).collect();
    let wide = serde_json::json!({ "type": "object", "properties": wide });
    let elsewhere = serde_json::json!({ "$ref": "https://example.com/schema.json" });
    let nested = serde_json::json!({ "a": { "b": 1 } }).as_object().unwrap().clone();
    let bad = [
        ChatRequest::default(),
        ChatRequest { tools: vec![tool("", Value::Null)], ..user() },
        ChatRequest { tools: (0..200).map(|n| tool(&n.to_string(), Value::Null)).collect(), ..user() },
        ChatRequest { tools: vec![tool("f", deep.clone())], ..user() },
        ChatRequest { response_format: ResponseFormat::JsonSchema { schema: deep }, ..user() },
        ChatRequest { response_format: ResponseFormat::JsonSchema { schema: wide }, ..user() },
        ChatRequest { response_format: ResponseFormat::JsonSchema { schema: elsewhere }, ..user() },
        ChatRequest { template_args: nested, ..user() },
    ];
    for request in bad {
        let error = template.render(&request).unwrap_err();
        assert!(matches!(error, Error::InvalidParameter { .. } | Error::Grammar { .. }), "{error}");
    }
    let huge = ChatRequest::new([ChatMessage::user("x".repeat(17 << 20))]);
    assert!(matches!(template.render(&huge), Err(Error::TextTooLong { .. })));
    // A schema that llama.cpp cannot express is an error, not an exception, and not the template's fault.
    let schema = serde_json::json!({ "type": "nonsense" });
    let request = ChatRequest { response_format: ResponseFormat::JsonSchema { schema }, ..user() };
    let refused = template.render(&request);
    assert!(matches!(refused, Err(Error::Grammar { .. })), "{refused:?}");
}

#[test]
fn tools_that_a_template_leaves_out_are_refused() {
    let source = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}";
    let template = ChatTemplate::with_source(&shared::tiny(), source).unwrap();
    let tools = vec![Tool { name: "f".to_owned(), description: String::new(), parameters: Value::Null }];
    let request = ChatRequest { tools, ..ChatRequest::new([ChatMessage::user("Hi")]) };
    assert!(matches!(template.render(&request), Err(Error::Unsupported { what: "`tools`", .. })));
    // Nobody misses what is not to be used.
    let forbidden = ChatRequest { tool_choice: ToolChoice::None, ..request };
    assert_eq!(template.render(&forbidden).unwrap().text(), "[user] Hi");
}

#[test]
fn what_would_recurse_or_abort_in_the_chat_engine_is_refused() {
    let model = shared::tiny();
    let template = model.chat_template().unwrap();
    // Tool arguments go to the template as a tree.
    let mut said = ChatMessage::assistant("");
    let arguments = format!("{}{}", "[".repeat(400_000), "]".repeat(400_000));
    said.tool_calls.push(ToolCall { id: "1".to_owned(), function: FunctionCall { name: "f".to_owned(), arguments } });
    let deep = ChatRequest::new([ChatMessage::user("Hi"), said, ChatMessage::tool("1", "x")]);
    assert!(matches!(template.render(&deep), Err(Error::InvalidParameter { name: "arguments", .. })));
    // Answers may be anything.
    let request =
        ChatRequest { response_format: ResponseFormat::JsonObject, ..ChatRequest::new([ChatMessage::user("Hi")]) };
    let prompt = template.render(&request).unwrap();
    for depth in [900, 9_000, 200_000] {
        for bracket in ["[", "{\"a\":"] {
            match prompt.parser().unwrap().parse(&bracket.repeat(depth)) {
                Ok(_) | Err(Error::ChatParse { .. } | Error::Timeout { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
    // Many brackets that are not deep are an answer like any other.
    let plain = template.render(&ChatRequest::new([ChatMessage::user("Hi")])).unwrap();
    let flat = "[x] {y}, ".repeat(6_000);
    let mut parser = plain.parser().unwrap();
    assert!(!parser.push(&flat).unwrap().is_empty());
    assert_eq!(parser.finish().unwrap().1.text().trim(), flat.trim());
    // An end token in what the grammar is fed before the answer.
    let begun = ChatRequest {
        continue_final_message: true,
        messages: vec![ChatMessage::user("Hi"), ChatMessage::assistant("{\"k\":\"<|im_end|>")],
        ..request
    };
    if let Ok(prompt) = template.render(&begun) {
        let mut context = model.context().length(256).build().unwrap();
        let outcome = context.generate(&prompt, &GenerationParams::greedy(8)).map(|generation| generation.text());
        assert!(matches!(outcome, Err(Error::Grammar { .. }) | Ok(_)), "{outcome:?}");
    }
}

#[test]
fn a_model_without_a_template_says_so() {
    let Some(model) = shared::model("models/llm/stories260K-f32.gguf") else { return };
    assert!(matches!(model.chat_template(), Err(Error::NoChatTemplate)));
    let own = ChatTemplate::with_source(&model, "{{ messages[0].content }}").unwrap();
    assert_eq!(own.render(&ChatRequest::new([ChatMessage::user("Hi")])).unwrap().text(), "Hi");
    let alone = ChatTemplate::without_model("{{ bos_token }}{{ messages[0].content }}", "<s>", "</s>").unwrap();
    assert!(alone.render(&ChatRequest::new([ChatMessage::user("Hi")])).unwrap().text().ends_with("Hi"));
    assert!(!Model::chat_template(&shared::tiny()).unwrap().capabilities().is_empty());
}

#[test]
fn a_template_given_at_load_time_is_used_instead_of_the_files() {
    let load = |source: &str| Model::builder(shared::tiny_path()).vocab_only(true).chat_template(source).load();
    let source = "{% for m in messages %}{{ m.role }}: {{ m.content }};{% endfor %}";
    let model = load(source).unwrap();
    assert_eq!(model.chat_template_source().as_deref(), Some(source));
    let rendered = model.chat_template().unwrap().render(&ChatRequest::new([ChatMessage::user("Hi")])).unwrap();
    assert_eq!(rendered.text(), "user: Hi;");
    // What is wrong is told at once.
    assert!(matches!(load("{% for"), Err(Error::ChatTemplate { .. })));
    assert!(matches!(load(" \n"), Err(Error::ChatTemplate { .. })));
    assert!(matches!(load(&"a".repeat(300 << 10)), Err(Error::ChatTemplate { .. })));
}
