//! Answers that follow a JSON schema, whatever the model would rather say.
//!
//! `cargo run --release -p mullama-examples --example json_schema [MODEL.gguf]`
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example")]

use mullama::{ChatMessage, ChatRequest, GenerationParams, ResponseFormat};
use serde_json::json;

fn main() -> anyhow::Result<()> {
    let model = mullama_examples::model()?;
    let schema = json!({
        "type": "object",
        "properties": { "name": { "type": "string" }, "age": { "type": "integer", "minimum": 0, "maximum": 150 } },
        "required": ["name", "age"],
        "additionalProperties": false
    });
    let request = ChatRequest {
        response_format: ResponseFormat::JsonSchema { schema },
        ..ChatRequest::new([ChatMessage::user("Make JSON with name Anna and age 7.")])
    };
    let prompt = model.chat_template()?.render(&request)?;
    let answer = model.context().build()?.generate(&prompt, &GenerationParams::greedy(100))?.text()?;
    let person: serde_json::Value = serde_json::from_str(&answer)?;
    println!("{} is {}", person["name"], person["age"]);
    Ok(())
}
