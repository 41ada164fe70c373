//! The feature list's snippet 1, Async/Await Support.
//!
//! `cargo run --release -p mullama-examples --example async_await [MODEL.gguf]`
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example")]

use mullama::{AsyncContext, AsyncModel, ChatMessage, ChatRequest, GenerationParams};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (path, _file) = mullama_examples::model_file()?;

    let model = AsyncModel::load(path).await?;
    let mut context = AsyncContext::new(model.clone()).await?;
    let tokens = model.tokenize_async("Hello world", true).await?;

    let question = ChatRequest::new([ChatMessage::user("What is 3 + 4?")]);
    let answer = context.text(question, &GenerationParams::greedy(32)).await?;
    println!("{} tokens; {answer}", tokens.len());
    Ok(())
}
