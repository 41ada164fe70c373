//! The feature list's snippet 4, Parallel Processing.
//!
//! `cargo run --release -p mullama-examples --example parallel [MODEL.gguf]`
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example")]

use mullama::{BatchGenerationConfig, ParallelProcessor};
use mullama::{GenerationParams, ThreadPoolConfig};

fn main() -> anyhow::Result<()> {
    let model = mullama_examples::model()?;
    let prompts = ["The sun", "The sea", "A dog"];
    let config = BatchGenerationConfig { params: GenerationParams::greedy(8), ..Default::default() };

    let processor = ParallelProcessor::new(model).thread_pool(ThreadPoolConfig::new().num_threads(6)).build()?;

    let batch_results = processor.batch_generate(&prompts, &config)?;
    for (prompt, result) in prompts.iter().zip(batch_results) {
        let output = result?;
        println!("{prompt}: {:?} ({} tokens)", output.text, output.summary.usage.completion_tokens);
    }
    Ok(())
}
