//! Prompts and answers: the same as llama.cpp's server made.

use std::time::{Duration, SystemTime};

use mullama_core::{
    ChatDelta, ChatMessage, ChatPrompt, ChatRequest, ChatTemplate, ContentPart, Engine, EngineParams, Error,
    FlashAttention, FunctionCall, GenerationParams, GenerationRequest, Model, ReasoningFormat, ResponseFormat, Role,
    SamplingParams, TokenEvent, Tool, ToolCall, ToolChoice,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::shared;

/// OpenAI's request, as the records have it, to ours.
fn request(from: &Value) -> ChatRequest {
    let mut request = ChatRequest::new(from["messages"].as_array().unwrap().iter().map(message));
    // The records were made on this day.
    request.now = Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_435_200));
    for tool in from["tools"].as_array().into_iter().flatten() {
        let function = &tool["function"];
        request.tools.push(Tool {
            name: function["name"].as_str().unwrap().to_owned(),
            description: function["description"].as_str().unwrap_or_default().to_owned(),
            parameters: function["parameters"].clone(),
        });
    }
    if let Some(choice) = from.get("tool_choice") {
        request.tool_choice = serde_json::from_value(choice.clone()).unwrap();
    }
    request.parallel_tool_calls = from["parallel_tool_calls"].as_bool();
    match from["response_format"]["type"].as_str() {
        Some("json_schema") => {
            let schema = from["response_format"]["json_schema"]["schema"].clone();
            request.response_format = ResponseFormat::JsonSchema { schema };
        }
        Some("json_object") => request.response_format = ResponseFormat::JsonObject,
        _ => {}
    }
    request
}

fn message(from: &Value) -> ChatMessage {
    let role: Role = serde_json::from_value(from["role"].clone()).unwrap();
    let mut message = ChatMessage::of(role, "");
    message.content = match &from["content"] {
        Value::String(text) => vec![ContentPart::Text { text: text.clone() }],
        Value::Null => Vec::new(),
        other => panic!("the test does not read {other}"),
    };
    message.tool_call_id = from["tool_call_id"].as_str().map(str::to_owned);
    for call in from["tool_calls"].as_array().into_iter().flatten() {
        message.tool_calls.push(ToolCall {
            id: call["id"].as_str().unwrap().to_owned(),
            function: FunctionCall {
                name: call["function"]["name"].as_str().unwrap().to_owned(),
                arguments: call["function"]["arguments"].as_str().unwrap().to_owned(),
            },
        });
    }
    message
}

/// `(template, case)` of prompts that the pinned llama.cpp renders differently from the recorded one (a neighbour), and
/// why.
const EXCEPTIONS: [(&str, &str, &str); 0] = [];

/// A prompt as it was on 2026-11-23, when they were recorded: llama.cpp's `strftime_now` and `datetime` read the machine's
/// clock.
fn on_the_day(prompt: &str, today: &[String; 4]) -> String {
    let recorded = ["2026-11-23", "23 Nov 2026", "November 23, 2026", "Nov 23 2026"];
    today.iter().zip(recorded).fold(prompt.to_owned(), |prompt, (today, recorded)| prompt.replace(today, recorded))
}

fn today() -> [String; 4] {
    ["+%Y-%m-%d", "+%d %b %Y", "+%B %d, %Y", "+%b %d %Y"].map(|format| {
        let today = std::process::Command::new("date").arg(format).env("LC_ALL", "C").output().unwrap();
        String::from_utf8(today.stdout).unwrap().trim().to_owned()
    })
}

#[test]
fn rendered_prompts_are_those_of_llama_cpp() {
    let Some(records) = shared::json("oracle/chat-templates.json") else { return };
    let model = shared::model("models/llm/stories260K-f32.gguf").unwrap();
    let mut failures = Vec::new();
    let today = today();
    let records = records.as_array().unwrap();
    assert_eq!(records.len(), 280);
    for record in records {
        let (name, case) = (record["template"].as_str().unwrap(), record["case"].as_str().unwrap());
        let source = std::fs::read_to_string(shared::file(&format!("oracle/templates/{name}")).unwrap()).unwrap();
        let rendered = ChatTemplate::with_source(&model, &source)
            .and_then(|template| template.render(&request(&record["request"])));
        let outcome = match (record["status"].as_u64().unwrap(), &rendered) {
            (200, Ok(prompt)) if on_the_day(prompt.text(), &today) == record["prompt"].as_str().unwrap() => Ok(()),
            (200, Ok(prompt)) => {
                Err(format!("{:?}\ninstead of {:?}", prompt.text(), record["prompt"].as_str().unwrap()))
            }
            // It renders such conversations without the tools, and says nothing.
            (200, Err(Error::Unsupported { what: "`tools`", .. })) => {
                let (prompt, tools) =
                    (record["prompt"].as_str().unwrap(), record["request"]["tools"].as_array().unwrap());
                let shown = tools.iter().any(|tool| prompt.contains(tool["function"]["name"].as_str().unwrap()));
                if shown { Err("the prompt shows the tools".to_owned()) } else { Ok(()) }
            }
            (200, Err(error)) => Err(error.to_string()),
            (_, Err(Error::ChatTemplate { .. })) => Ok(()),
            (_, other) => Err(format!("{other:?} instead of an error")),
        };
        let exception = EXCEPTIONS.iter().any(|(template, at, _)| *template == name && *at == case);
        match outcome {
            Ok(()) if exception => failures.push(format!("{name}, {case} is listed as an exception, but agrees")),
            Err(what) if !exception => failures.push(format!("{name}, {case}: {what}")),
            _ => {}
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn conversations_with_the_projects_model_go_as_with_llama_cpp() {
    let Some(record) = shared::json("models/mullama-tiny/testset/chats.json") else { return };
    let model = shared::tiny();
    let template = model.chat_template().unwrap();
    assert!(template.is_explicit());
    let mut context = model.context().length(2_048).threads(1).build().unwrap();
    let mut compared = 0;
    for chat in record["chats"].as_array().unwrap() {
        let (name, from) = (chat["name"].as_str().unwrap(), &chat["request"]);
        if from["messages"].as_array().unwrap().iter().any(|message| message["content"].is_array()) {
            continue; // pictures
        }
        let prompt = template.render(&request(from)).unwrap();
        let max = from["max_tokens"].as_u64().unwrap().try_into().unwrap();
        let params = GenerationParams { cache_prompt: false, ..GenerationParams::greedy(max) };
        let (answer, summary) = context.generate(&prompt, &params).unwrap().complete().unwrap();
        let message = prompt.parser().unwrap().parse(&answer).unwrap();
        let expected = &chat["output"];
        assert_eq!(message.text(), expected["content"].as_str().unwrap_or_default(), "{name}: {answer:?}");
        let calls: Vec<_> =
            message.tool_calls.iter().map(|call| (&call.function.name, &call.function.arguments)).collect();
        let wanted = expected["tool_calls"].as_array().cloned().unwrap_or_default();
        assert_eq!(calls.len(), wanted.len(), "{name}: {answer:?}");
        for ((name, arguments), wanted) in calls.into_iter().zip(&wanted) {
            assert_eq!(
                (name.as_str(), arguments.as_str()),
                (wanted["name"].as_str().unwrap(), wanted["arguments"].as_str().unwrap())
            );
        }
        if let Some(usage) = expected.get("usage") {
            assert_eq!(u64::from(summary.usage.prompt_tokens), usage["prompt_tokens"].as_u64().unwrap(), "{name}");
            assert_eq!(
                u64::from(summary.usage.completion_tokens),
                usage["completion_tokens"].as_u64().unwrap(),
                "{name}"
            );
        }
        compared += 1;
    }
    assert_eq!(compared, 22);
}

/// Templates with different forms of tool calls and thoughts, and answers in these forms, broken ones too.
const ANSWERS: [&str; 9] = [
    "Just text, with <angle> brackets & {\"json\": true}.",
    "<think>\nLet me see.\n</think>\n\nThe answer is 4.",
    "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\"}}\n</tool_call>",
    "I will look.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"São Paulo 😀\"}}\n</tool_call>",
    "<think>hm</think><tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"A\\\"b\\\\\"}}\n</tool_call>",
    "<tool_call>\n{\"name\": \"get_wea",
    "<think>never ending",
    "",
    "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Oslo\"}}]",
];

fn prompts() -> Option<Vec<(String, ChatPrompt)>> {
    let folder = shared::file("oracle/templates")?;
    let model = shared::model("models/llm/stories260K-f32.gguf")?;
    let record = serde_json::json!({ "messages": [{ "role": "user", "content": "Weather? get_weather tells." }], "tools": [{ "type": "function",
        "function": { "name": "get_weather", "description": "Weather of a city", "parameters": { "type": "object",
            "properties": { "city": { "type": "string" } }, "required": ["city"] } } }] });
    let mut prompts =
        vec![("mullama-tiny".to_owned(), shared::tiny().chat_template().unwrap().render(&request(&record)).unwrap())];
    for name in [
        "Qwen-Qwen3-0.6B",
        "NousResearch-Hermes-3-Llama-3.1-8B-tool_use",
        "mistralai-Mistral-Nemo-Instruct-2407",
        "openai-gpt-oss-120b",
        "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
        "meta-llama-Llama-3.1-8B-Instruct",
    ] {
        let source = std::fs::read_to_string(folder.join(format!("{name}.jinja"))).unwrap();
        let template = ChatTemplate::with_source(&model, &source).unwrap();
        prompts.push((name.to_owned(), template.render(&request(&record)).unwrap()));
    }
    Some(prompts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// There are no records of parses: the rule is that an answer in any pieces is parsed as the whole.
    #[test]
    fn an_answer_in_any_pieces_is_parsed_as_the_whole(cuts in prop::collection::vec(1_usize..9, 0..60), mangle in 0_usize..40) {
        let Some(prompts) = prompts() else { return Ok(()) };
        for (name, prompt) in &prompts {
            for answer in ANSWERS {
                let mut answer = answer.to_owned();
                if let Some((at, _)) = answer.char_indices().nth(mangle) {
                    answer.remove(at); // most of these are broken
                }
                in_pieces(name, prompt, &answer, &cuts)?;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn anything_in_any_pieces_is_parsed_as_the_whole(
        answer in "(<think>|</think>|<tool_call>|</tool_call>|\\[TOOL_CALLS\\]|\\{\"name\": \"get_weather\", \"arguments\": |\\{\"city\": \"x\"\\}|[a-zé😀{}\": \\n]{0,6}){0,10}",
        cuts in prop::collection::vec(1_usize..9, 0..40),
    ) {
        let Some(prompts) = prompts() else { return Ok(()) };
        for (name, prompt) in &prompts {
            in_pieces(name, prompt, &answer, &cuts)?;
        }
    }
}

fn in_pieces(name: &str, prompt: &ChatPrompt, answer: &str, cuts: &[usize]) -> Result<(), TestCaseError> {
    let whole = prompt.parser().unwrap().parse(answer);
    let mut parser = prompt.parser().unwrap();
    let mut deltas = Vec::new();
    let mut characters = answer.chars();
    for cut in cuts {
        let piece: String = characters.by_ref().take(*cut).collect();
        deltas.extend(parser.push(&piece).unwrap());
    }
    deltas.extend(parser.push(characters.as_str()).unwrap());
    let last = parser.finish();
    let (last, message) = match (whole, last) {
        (Ok(whole), Ok((last, message))) => {
            prop_assert_eq!(without_ids(&message), without_ids(&whole), "{}: {:?}", name, answer);
            (last, message)
        }
        (Err(_), Err(_)) => return Ok(()),
        (whole, pieces) => return Err(TestCaseError::fail(format!("{name}: {answer:?}: {whole:?} but {pieces:?}"))),
    };
    deltas.extend(last);
    // The deltas add up to the message.
    let (mut content, mut reasoning, mut calls) = (String::new(), String::new(), Vec::<(String, String)>::new());
    for delta in deltas {
        match delta {
            ChatDelta::Content(more) => content.push_str(&more),
            ChatDelta::ReasoningContent(more) => reasoning.push_str(&more),
            ChatDelta::ToolCall(call) => {
                if let Some(name) = call.name {
                    prop_assert_eq!(call.index, calls.len());
                    prop_assert!(call.id.is_some());
                    calls.push((name, String::new()));
                }
                calls[call.index].1.push_str(&call.arguments);
            }
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        }
    }
    let expected = message.tool_calls.iter().map(|call| (call.function.name.clone(), call.function.arguments.clone()));
    prop_assert_eq!(&content, &message.text(), "{}: {:?}", name, answer);
    prop_assert_eq!(reasoning, message.reasoning_content.clone().unwrap_or_default(), "{}: {:?}", name, answer);
    prop_assert_eq!(calls, expected.collect::<Vec<_>>(), "{}: {:?}", name, answer);
    Ok(())
}

fn without_ids(message: &ChatMessage) -> ChatMessage {
    let mut message = message.clone();
    message.tool_calls.iter_mut().for_each(|call| call.id.clear());
    message
}

#[test]
fn thoughts_are_told_apart_or_left_in_place() {
    let Some(folder) = shared::file("oracle/templates") else { return };
    let model = shared::tiny();
    let source = std::fs::read_to_string(folder.join("Qwen-Qwen3-0.6B.jinja")).unwrap();
    let template = ChatTemplate::with_source(&model, &source).unwrap();
    let answer = "<think>\nfour\n</think>\n\nIt is 4.";
    let mut request = ChatRequest::new([ChatMessage::user("2 + 2?")]);
    let prompt = template.render(&request).unwrap();
    assert!(prompt.supports_thinking());
    let message = prompt.parser().unwrap().parse(answer).unwrap();
    assert_eq!(
        (message.text().trim(), message.reasoning_content.as_deref().map(str::trim)),
        ("It is 4.", Some("four"))
    );
    request.reasoning_format = ReasoningFormat::None;
    let message = template.render(&request).unwrap().parser().unwrap().parse(answer).unwrap();
    assert!(message.text().contains("<think>") && message.reasoning_content.is_none(), "{message:?}");
    request.enable_thinking = false;
    assert!(template.render(&request).unwrap().text().contains("</think>"));
}

/// A model that thinks until it is told to answer: its template opens its thoughts.
fn thinking() -> Option<(Model, ChatTemplate)> {
    let folder = shared::file("oracle/templates")?;
    let model = shared::tiny();
    let source = std::fs::read_to_string(folder.join("deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja")).unwrap();
    let template = ChatTemplate::with_source(&model, &source).unwrap();
    Some((model, template))
}

/// So many greedy tokens, none of which ends the answer.
fn greedy(tokens: u32) -> GenerationParams {
    let sampling = SamplingParams { ignore_eos: true, ..SamplingParams::greedy() };
    GenerationParams { sampling, ..GenerationParams::greedy(tokens) }
}

#[test]
fn a_budget_of_thoughts_holds_for_greedy_answers_too() {
    let Some((model, template)) = thinking() else { return };
    let ask = |reasoning_budget| {
        let request = ChatRequest { reasoning_budget, ..ChatRequest::new([ChatMessage::user("Hi")]) };
        let prompt = template.render(&request).unwrap();
        let mut context = model.context().flash_attention(FlashAttention::Off).build().unwrap();
        context.generate(&prompt, &greedy(40)).unwrap().text().unwrap()
    };
    let free = ask(None);
    assert!(!free.contains("</think>"), "{free}");
    let held = ask(Some(5));
    let (thought, _) = held.split_once("</think>").unwrap();
    assert!(free.starts_with(thought) && !thought.is_empty() && thought.len() < free.len() / 2, "{held}");
}

#[test]
fn thoughts_are_ended_from_elsewhere_where_that_was_asked_for() {
    let Some((model, template)) = thinking() else { return };
    let mut params = EngineParams::default();
    params.context.flash_attention = FlashAttention::Off;
    let engine = Engine::builder(&model).params(params).start().unwrap();
    let ask = |reasoning_control| {
        let request = ChatRequest { reasoning_control, ..ChatRequest::new([ChatMessage::user("Hi")]) };
        let prompt = template.render(&request).unwrap();
        let request = GenerationRequest::new(prompt).params(greedy(80)).event_buffer(1);
        let mut stream = engine.submit(request).unwrap();
        let handle = stream.cancel_handle();
        let mut text = String::new();
        for count in 0.. {
            // The engine is a few tokens ahead of its reader, far fewer than are left.
            if count == 5 {
                handle.end_reasoning();
            }
            match stream.next().unwrap().unwrap() {
                TokenEvent::Token { text: more, .. } | TokenEvent::Text { text: more } => text.push_str(&more),
                TokenEvent::Done(_) => break,
                other => panic!("{other:?}"),
            }
        }
        text
    };
    let free = ask(false);
    assert!(!free.contains("</think>"), "{free}");
    let ended = ask(true);
    let (thought, _) = ended.split_once("</think>").unwrap();
    assert!(free.starts_with(thought) && !thought.is_empty() && thought.len() < free.len(), "{ended}");
}

#[test]
fn a_tool_call_can_be_demanded_and_forbidden() {
    let model = shared::tiny();
    let template = model.chat_template().unwrap();
    let weather = Tool {
        name: "get_weather".to_owned(),
        description: "Get the weather for a city".to_owned(),
        parameters: serde_json::json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] }),
    };
    let ask = |tool_choice| {
        let request = ChatRequest {
            tools: vec![weather.clone()],
            tool_choice,
            ..ChatRequest::new([ChatMessage::user("What is the weather in Paris?")])
        };
        let prompt = template.render(&request).unwrap();
        let mut context = model.context().flash_attention(FlashAttention::Off).build().unwrap();
        let answer = context.generate(&prompt, &GenerationParams::greedy(100)).unwrap().text().unwrap();
        prompt.parser().unwrap().parse(&answer).unwrap()
    };
    let must = ask(ToolChoice::Required);
    assert_eq!(must.tool_calls.len(), 1, "{must:?}");
    assert_eq!(must.tool_calls[0].function.name, "get_weather");
    let must_not = ask(ToolChoice::None);
    assert!(must_not.tool_calls.is_empty() && !must_not.text().is_empty(), "{must_not:?}");
}

#[test]
fn a_schema_may_be_the_callers_own_grammar_for_a_conversation() {
    let model = shared::tiny();
    let prompt = model
        .chat_template()
        .unwrap()
        .render(&ChatRequest::new([ChatMessage::user("Make JSON with name Anna and age 7.")]))
        .unwrap();
    let schema = serde_json::json!({ "type": "object", "properties": { "name": { "type": "string" }, "age": { "type": "integer" } }, "required": ["name", "age"] });
    let mut params = GenerationParams::greedy(40);
    params.sampling.grammar = Some(mullama_core::Grammar::json_schema(&schema).unwrap());
    let answer = model.context().build().unwrap().generate(&prompt, &params).unwrap().text().unwrap();
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap(), serde_json::json!({ "name": "Anna", "age": 7 }));
}

#[test]
fn a_continued_answer_is_what_comes_after_its_beginning() {
    let model = shared::tiny();
    let template = model.chat_template().unwrap();
    let request = ChatRequest {
        continue_final_message: true,
        ..ChatRequest::new([ChatMessage::user("Where is Rome?"), ChatMessage::assistant("Rome is in")])
    };
    let prompt = template.render(&request).unwrap();
    assert!(prompt.text().ends_with("Rome is in"), "{}", prompt.text());
    let rest = " Italy. Rome is in Europe.";
    assert_eq!(prompt.parser().unwrap().parse(rest).unwrap().text(), rest);
    for size in [1, 4, 100] {
        let mut parser = prompt.parser().unwrap();
        let mut told = String::new();
        let mut add = |deltas: Vec<ChatDelta>| {
            for delta in deltas {
                match delta {
                    ChatDelta::Content(text) => told.push_str(&text),
                    other => panic!("{other:?}"),
                }
            }
        };
        for piece in rest.as_bytes().chunks(size) {
            add(parser.push(str::from_utf8(piece).unwrap()).unwrap());
        }
        let cut = parser.fork().finish_cut().unwrap().1;
        let (deltas, message) = parser.finish().unwrap();
        add(deltas);
        assert_eq!((told.as_str(), message.text().as_str(), cut.text().as_str()), (rest, rest, rest));
    }
    // What a model says after its own beginning is the same as in one piece: the tokens are.
    let answer =
        model.context().build().unwrap().generate(&prompt, &GenerationParams::greedy(8)).unwrap().text().unwrap();
    let message = prompt.parser().unwrap().parse(&answer).unwrap();
    assert_eq!(message.text(), answer);
}
