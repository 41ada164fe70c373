//! Several models under names, within a bound of memory.
//!
//! `cargo run --release -p mullama-examples --example pool [MODEL.gguf]`
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example")]

use std::time::Duration;

use mullama::{ChatMessage, ChatRequest, EngineParams, EnginePool, GenerationParams};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let (path, _file) = mullama_examples::model_file()?;
    let alone = EnginePool::builder().register("alone", &path, EngineParams::default(), 1).build()?;
    alone.load("alone").await?;
    let size = alone.list()[0].memory_bytes;
    alone.shutdown(Duration::from_secs(1)).await;

    // Room for one and a half: the second model takes the place of the first, once nobody has that.
    let pool = EnginePool::builder()
        .max_memory_bytes(size * 3 / 2)
        .keep_alive(Duration::from_secs(300))
        .register("first", &path, EngineParams::default(), 1)
        .register("second", &path, EngineParams::default(), 1)
        .build()?;
    for name in ["first", "second"] {
        let engine = pool.get(name).await?;
        let question = ChatRequest::new([ChatMessage::user("What is 7 + 8?")]);
        let answer = engine.chat(question, &GenerationParams::greedy(32)).await?.text().await?;
        println!("{name} says: {answer}");
    }
    for model in pool.list() {
        println!("{}: {:?}, {} bytes", model.name, model.state, model.memory_bytes);
    }
    anyhow::ensure!(pool.shutdown(Duration::from_secs(5)).await, "requests were cut");
    Ok(())
}
