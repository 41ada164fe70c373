//! Answers as Rust types.
//!
//! `cargo run --release -p mullama-examples --example typed [MODEL.gguf]`
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example")]

use mullama::{AsyncModel, ChatMessage, ChatRequest, GenerationParams};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Person {
    name: String,
    #[schemars(range(max = 150))]
    age: u8,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let model = AsyncModel::from(mullama_examples::model()?);
    let question = ChatRequest::new([ChatMessage::user("Make JSON with name Anna and age 7.")]);
    let person: Person = model.generate_as(question, &GenerationParams::greedy(100)).await?;
    println!("{} is {}", person.name, person.age);
    Ok(())
}
