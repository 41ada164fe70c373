//! `run` and `tokenize` on the embedded model.

use crate::{mullama, with_input};

const WHO: &str = "I am a tiny demo model of mullama.\n";

#[test]
fn one_argument_is_a_prompt_for_the_embedded_model() {
    let answer = mullama(&["run", "Who are you?"]);
    assert!(
        answer.err.starts_with("no MODEL given: using the embedded demonstration model mullama-tiny"),
        "{answer:?}"
    );
    assert_eq!((answer.err.lines().count(), answer.ok().as_str()), (1, WHO));
    let quiet = mullama(&["run", "--quiet", "Who are you?"]);
    assert_eq!((quiet.err.as_str(), quiet.out.as_str()), ("", WHO));
}

#[test]
fn the_prompt_comes_from_standard_input_without_arguments() {
    assert_eq!(with_input(&["run"], b"Who are you?\n").ok(), WHO);
    assert_eq!(with_input(&["run", "-"], b"Who are you?").ok(), WHO);
}

#[test]
fn json_has_all_that_a_script_wants() {
    let json = mullama(&["run", "--json", "--top-logprobs", "2", "Who are you?"]).json();
    assert_eq!(json["model"], "mullama-tiny");
    assert_eq!(json["text"], WHO.trim());
    assert_eq!(json["message"], serde_json::json!({ "role": "assistant", "content": WHO.trim() }));
    assert_eq!(json["finish_reason"], "stop");
    assert_eq!(json["usage"]["prompt_tokens"], 12);
    assert_eq!(json["usage"]["completion_tokens"], json["timings"]["predicted_n"]);
    for rate in ["prompt_n", "prompt_ms", "prompt_per_second", "predicted_ms", "predicted_per_second"] {
        assert!(json["timings"][rate].as_f64().unwrap() > 0.0, "{rate}");
    }
    let tokens = json["tokens"].as_array().unwrap();
    assert_eq!(tokens[0], 975);
    assert_eq!(json["logprobs"].as_array().unwrap().len(), tokens.len());
    assert_eq!(json["logprobs"][0]["top_logprobs"].as_array().unwrap().len(), 2);
    assert!(mullama(&["run", "--json", "hi"]).json().get("logprobs").is_none());
}

#[test]
fn json_stays_json_whatever_the_text() {
    let json = mullama(&["run", "--json", "Repeat: \"\\\u{1b}\u{0001}\u{2028} 😀"]).json();
    assert!(json["text"].is_string());
    let cut = mullama(&["run", "--json", "--max-tokens", "3", "Repeat: 😀😀"]).json();
    assert_eq!(cut["finish_reason"], "length");
}

const WEATHER: &str = r#"{"name": "get_weather", "description": "Get the weather", "parameters":
    {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}"#;

#[test]
fn a_tool_call_is_one_line_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tools.json");
    std::fs::write(&file, format!(r#"[{{"type": "function", "function": {WEATHER}}}]"#)).unwrap();
    let (file, prompt) = (file.to_str().unwrap(), "What is the weather in Paris?");
    let expected = r#"{"name":"get_weather","arguments":{"city":"Paris"}}"#;
    assert_eq!(mullama(&["run", "--tools", file, prompt]).ok().trim(), expected);
    assert_eq!(mullama(&["run", "--tools", &format!("[{WEATHER}]"), prompt]).ok().trim(), expected);

    let json = mullama(&["run", "--json", "--tools", file, prompt]).json();
    assert_eq!(json["finish_reason"], "tool_calls");
    let call = &json["message"]["tool_calls"][0];
    assert_eq!((&call["type"], &call["function"]["name"]), (&"function".into(), &"get_weather".into()));
    assert_eq!(call["function"]["arguments"], r#"{"city": "Paris"}"#);

    let cut = mullama(&["run", "--max-tokens", "12", "--tools", file, prompt]);
    assert!(cut.err.contains("the call of get_weather is not complete"), "{cut:?}");
    assert_eq!(cut.ok(), "");
}

#[test]
fn the_answer_takes_the_form_that_is_asked_for() {
    let schema = r#"{"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"], "additionalProperties": false}"#;
    let anna = serde_json::json!({ "name": "Anna", "age": 7 });
    assert_eq!(mullama(&["run", "--json-schema", schema, "Make JSON with name Anna and age 7."]).json(), anna);
    assert_eq!(mullama(&["run", "--json-object", "Make JSON with name Anna and age 7."]).json(), anna);
    for raw in [&["--raw"][..], &[]] {
        let args = [&["run", "--grammar", r#"root ::= "maybe" | "never""#, "Who are you?"], raw].concat();
        let answer = mullama(&args).ok();
        assert!(["maybe\n", "never\n"].contains(&answer.as_str()), "{args:?}: {answer:?}");
    }
}

#[test]
fn a_stop_text_ends_the_answer_and_is_not_part_of_it() {
    assert_eq!(mullama(&["run", "--stop", " 5", "Count to 20."]).ok(), "1, 2, 3, 4,\n");
    assert_eq!(mullama(&["run", "--json", "--stop", " 5", "Count to 20."]).json()["stop"], " 5");
}

#[test]
fn the_same_seed_gives_the_same_text() {
    let story = |seed: &str| {
        let args = [
            "run",
            "--json",
            "--temperature",
            "10",
            "--top-k",
            "0",
            "--top-p",
            "1",
            "--min-p",
            "0",
            "--max-tokens",
            "20",
            "--seed",
            seed,
            "Tell me a story.",
        ];
        mullama(&args).json()
    };
    let (one, again, other) = (story("7"), story("7"), story("8"));
    assert_eq!((&one["seed"], &one["tokens"]), (&7.into(), &again["tokens"]));
    assert_ne!(one["tokens"], other["tokens"]);
}

#[test]
fn negative_and_forbidding_numbers_are_read() {
    let flags = ["--top-n-sigma", "-1", "--repeat-last-n", "-1", "--gpu-layers", "-1", "--presence-penalty", "-0.5"];
    let args = [&["run", "--max-tokens", "2", "--mirostat", "2"], &flags[..], &["Who are you?"]].concat();
    mullama(&args).ok();
    let first = |bias: &[&str]| {
        let args = [&["run", "--json", "--max-tokens", "1", "Who are you?"], bias].concat();
        mullama(&args).json()["tokens"][0].clone()
    };
    assert_eq!(first(&[]), 975);
    assert_ne!(first(&["--logit-bias", "975=-inf"]), 975);
}

#[test]
fn tokens_go_to_text_and_back() {
    let text = "café 東京 😀  two spaces\tand a tab";
    let ids = mullama(&["tokenize", "--ids", text]).ok();
    assert_eq!(mullama(&["tokenize", "--decode", ids.trim()]).ok(), format!("{text}\n"));
    let json = with_input(&["tokenize", "--json"], text.as_bytes()).json();
    assert_eq!(json["count"], ids.split(' ').count());
    assert_eq!(with_input(&["tokenize", "--decode"], json["tokens"].to_string().as_bytes()).ok(), format!("{text}\n"));
    assert_eq!(mullama(&["tokenize", "--ids", "--parse-special", "<|im_end|>"]).ok(), "2\n");
    assert_ne!(mullama(&["tokenize", "--ids", "<|im_end|>"]).ok(), "2\n");
    // A letter of two bytes that the vocabulary does not have.
    let pieces = mullama(&["tokenize", "--json", "hé"]).json()["pieces"].clone();
    assert_eq!(pieces, serde_json::json!(["h", [0xc3], [0xa9]]));
    assert_eq!(mullama(&["tokenize", "hello"]).ok().lines().next(), Some("     267  \"he\""));
}

#[test]
fn timings_are_told_on_request() {
    let answer = mullama(&["run", "--quiet", "--timings", "Who are you?"]);
    assert!(
        answer.err.starts_with("prompt: 12 tokens (0 cached) in ") && answer.err.lines().count() == 1,
        "{answer:?}"
    );
}

#[test]
fn an_answer_that_outgrows_the_context_is_told_and_one_of_asked_length_is_not() {
    let told = |flags: &[&str]| mullama(&[&["run", "--ignore-eos"], flags, &["Count to 20."]].concat()).err;
    let full = told(&["--ctx-size", "64"]);
    assert!(full.contains("is full; --ctx-size makes it larger"), "{full}");
    let asked = told(&["--ctx-size", "64", "--max-tokens", "2"]);
    assert!(!asked.contains("is full"), "{asked}");
    assert!(!told(&["--ctx-size", "64", "--quiet"]).contains("is full"));
}

#[test]
fn llama_cpps_log_is_shown_where_it_is_asked_for() {
    assert!(mullama(&["run", "-v", "hi"]).err.contains("llama.cpp: llama_model_loader"));
    assert!(!mullama(&["run", "hi"]).err.contains("llama_model_loader"));
}

#[test]
fn a_chat_template_may_be_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bare.jinja");
    std::fs::write(&file, "{{ messages[0].content }}").unwrap();
    let file = file.to_str().unwrap();
    let count = |flags: &[&str]| {
        let args = [&["run", "--json", "--max-tokens", "1"], flags, &["Who are you?"]].concat();
        mullama(&args).json()["usage"]["prompt_tokens"].clone()
    };
    assert_eq!(count(&["--chat-template-file", file]), count(&["--raw"]));
    assert_ne!(count(&["--chat-template-file", file]), count(&[]));
    mullama(&["run", "--chat-template-file", "nosuch", "hi"]).fails(3, "cannot read `nosuch`");
}
