//! Text from a model, as it comes.
//!
//! `cargo run --release -p mullama-examples --example text [MODEL.gguf]`
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example")]

use std::io::Write;

use mullama::{GenerationParams, TokenEvent};

fn main() -> anyhow::Result<()> {
    let model = mullama_examples::model()?;
    let mut context = model.context().length(2_048).build()?;
    for event in context.generate("Once upon a time", &GenerationParams::greedy(64))? {
        match event? {
            TokenEvent::Token { text, .. } => {
                print!("{text}");
                std::io::stdout().flush()?;
            }
            TokenEvent::Done(summary) => {
                println!("\n({} tokens, {})", summary.usage.completion_tokens, summary.finish_reason);
            }
            _ => {}
        }
    }
    Ok(())
}
