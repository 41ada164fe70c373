//! A conversation: the model's template, memory across turns, the kept prefix.
//!
//! `cargo run --release -p mullama-examples --example chat [MODEL.gguf]`
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example")]

use mullama::{ChatMessage, ChatRequest, GenerationParams};

fn main() -> anyhow::Result<()> {
    let model = mullama_examples::model()?;
    let template = model.chat_template()?;
    let mut context = model.context().build()?;
    let mut request = ChatRequest::default();
    for line in ["My name is Anna.", "What is 3 + 4?", "What is my name?"] {
        request.messages.push(ChatMessage::user(line));
        let prompt = template.render(&request)?;
        let (answer, summary) = context.generate(&prompt, &GenerationParams::greedy(100))?.complete()?;
        let message = prompt.parser()?.parse(&answer)?;
        println!(
            "> {line}\n{} ({} of {} prompt tokens were kept)",
            message.text(),
            summary.usage.cached_tokens,
            summary.usage.prompt_tokens
        );
        request.messages.push(message);
    }
    Ok(())
}
