//! The feature list's snippet on configuration: as a literal, and with the builders.
//!
//! `cargo run --release -p mullama-examples --example configuration [MODEL.gguf]`
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::str_to_string, reason = "an example; the words of the snippet")]

use mullama::PerformanceConfig;
use mullama::{ContextConfig, ModelConfig, MullamaConfig};
use mullama::{GenerationParams, Model};

fn main() -> anyhow::Result<()> {
    let (path, _temporary) = mullama_examples::model_file()?;
    let path = path.to_str().ok_or_else(|| anyhow::anyhow!("the path is not valid UTF-8"))?;

    let config = MullamaConfig {
        model: ModelConfig { path: path.to_string(), gpu_layers: 40, context_size: 8192, ..Default::default() },
        context: ContextConfig { n_ctx: 8192, n_batch: 2048, n_threads: 12, flash_attn: true, ..Default::default() },
        ..Default::default()
    };
    let params = config.context_params(&config.model);
    println!("{} tokens, {} threads", params.length, params.threads);

    // Or use builder pattern
    let config = MullamaConfig::new()
        .model(ModelConfig::new().path(path).gpu_layers(40))
        .performance(PerformanceConfig::new().enable_monitoring(true))
        .build()?;

    // What it says is what a model is loaded with.
    let model = Model::builder(&config.model.path).params(config.model.params()?).load()?;
    let mut context = model.context().params(config.context_params(&config.model)).build()?;
    let prompt =
        model.chat_template()?.render(&mullama::ChatRequest::new([mullama::ChatMessage::user("What is 3 + 4?")]))?;
    println!("{}", context.generate(&prompt, &GenerationParams::greedy(32))?.text()?);
    Ok(())
}
