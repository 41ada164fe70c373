//! Many requests on one engine, as streams on tokio.
//!
//! `cargo run --release -p mullama-examples --example stream [MODEL.gguf]`
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example")]

use mullama::{AsyncModel, ChatMessage, ChatRequest, GenerationParams, MullamaError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (path, _file) = mullama_examples::model_file()?;
    let (mut progress, loading) = AsyncModel::load_with_progress(path);
    while let Some(part) = progress.next().await {
        println!("loaded: {:.0} %", part * 100.0);
    }
    let model = loading.await?;
    // The engine computes both at the same time.
    let (first, second) = tokio::join!(ask(&model, "What is 7 + 8?"), ask(&model, "What is 3 + 4?"));
    println!("{}\n{}", first?, second?);
    Ok(())
}

async fn ask(model: &AsyncModel, question: &str) -> Result<String, MullamaError> {
    let request = ChatRequest::new([ChatMessage::user(question)]);
    let mut texts = model.chat(request, &GenerationParams::greedy(64)).await?.texts();
    let mut answer = String::new();
    while let Some(text) = texts.next().await {
        answer.push_str(&text?);
    }
    Ok(answer)
}
