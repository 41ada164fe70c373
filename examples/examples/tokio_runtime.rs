//! The feature list's snippet 3, Tokio Runtime Integration.
//!
//! `cargo run --release -p mullama-examples --example tokio_runtime [MODEL.gguf]`
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example")]

use std::time::Duration;

use mullama::{AsyncModel, ChatMessage, ChatRequest, GenerationParams, MullamaError};
use mullama::{MullamaRuntime, TaskManager};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let model = AsyncModel::from(mullama_examples::model()?);
    let runtime = run(&model).await?;
    let report = tokio::task::spawn_blocking(move || runtime.shutdown(Duration::from_secs(5))).await?;
    anyhow::ensure!(report.cut == 0, "{report:?}");
    Ok(())
}

async fn run(model: &AsyncModel) -> Result<MullamaRuntime, MullamaError> {
    let runtime = MullamaRuntime::new().worker_threads(8).max_blocking_threads(16).build()?;

    let mut task_manager = TaskManager::new(&runtime);
    task_manager.spawn_generation_worker().await?;

    let question = ChatRequest::new([ChatMessage::user("What is 3 + 4?")]);
    let (answer, _) = task_manager.generate(model, question, &GenerationParams::greedy(32))?.await??;
    println!("{answer}");
    Ok(runtime)
}
