//! Tool calls: the model asks, the program answers, the model goes on.
//!
//! `cargo run --release -p mullama-examples --example tools [MODEL.gguf]`
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example")]

use mullama::{ChatMessage, ChatRequest, GenerationParams, Tool};
use serde_json::json;

fn main() -> anyhow::Result<()> {
    let model = mullama_examples::model()?;
    let template = model.chat_template()?;
    let mut context = model.context().build()?;
    let weather = Tool {
        name: "get_weather".to_owned(),
        description: "Get the weather for a city".to_owned(),
        parameters: json!({ "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] }),
    };
    let mut request =
        ChatRequest { tools: vec![weather], ..ChatRequest::new([ChatMessage::user("What is the weather in Paris?")]) };
    loop {
        let prompt = template.render(&request)?;
        let answer = context.generate(&prompt, &GenerationParams::greedy(100))?.text()?;
        let message = prompt.parser()?.parse(&answer)?;
        request.messages.push(message.clone());
        if message.tool_calls.is_empty() {
            println!("{}", message.text());
            return Ok(());
        }
        for call in &message.tool_calls {
            println!("the model calls {}({})", call.function.name, call.function.arguments);
            // A program would look it up; arguments come from a model, so they are parsed with care.
            let arguments: serde_json::Value = serde_json::from_str(&call.function.arguments)?;
            let result = json!({ "city": arguments["city"], "weather": "sunny", "temperature": 21 });
            request.messages.push(ChatMessage::tool(&call.id, result.to_string()));
        }
    }
}
