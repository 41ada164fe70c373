//! Many requests on one model: the same answers as one after the other, whatever else is computed meanwhile.

use std::time::{Duration, Instant};

use mullama_core::{
    ChatMessage, ChatRequest, Engine, EngineParams, Error, FinishReason, FlashAttention, GenerationParams,
    GenerationRequest, KvLayout, Model, Priority, SamplingParams, Speculation, Summary, TokenEvent,
};

use crate::shared;

const BEGINNINGS: [&str; 8] = [
    "Once upon a time",
    "The big dog",
    "Lily went to the park and",
    "One day, a little girl",
    "Tom and his mom",
    "There was a cat who",
    "The sun was",
    "A boy named Tim had a red ball. He liked to play with his ball. One day, he saw a",
];

fn stories() -> Option<Model> {
    shared::model("models/llm/stories260K-f32.gguf")
}

/// Without flash attention, whose kernels differ with the size of the batch, float order is the same for this model.
fn exact(layout: KvLayout) -> EngineParams {
    let mut params = EngineParams { sequences: 8, kv_layout: layout, ..Default::default() };
    params.context.length = 512;
    params.context.flash_attention = FlashAttention::Off;
    params.context.threads = 1;
    params.context.threads_batch = 1;
    params
}

fn start(model: &Model, params: EngineParams) -> Engine {
    Engine::builder(model).params(params).start().unwrap()
}

/// What one caller gets.
fn alone(model: &Model, prompt: &str, params: &GenerationParams) -> String {
    let context = model.context().length(512).threads(1).flash_attention(FlashAttention::Off);
    context.build().unwrap().generate(prompt, params).unwrap().text().unwrap()
}

fn prompts() -> Vec<String> {
    let long = "Once upon a time there was a little girl named Lily. She loved to play outside in the park. ";
    let shared = BEGINNINGS.iter().map(|beginning| format!("{}{beginning}", long.repeat(3)));
    BEGINNINGS.iter().map(|&beginning| beginning.to_owned()).chain(shared).collect()
}

#[test]
fn mixed_requests_give_what_each_gives_alone() {
    let Some(model) = stories() else { return };
    let params = GenerationParams::greedy(40);
    let prompts = prompts();
    let expected: Vec<_> = prompts.iter().map(|prompt| alone(&model, prompt, &params)).collect();
    for layout in [KvLayout::PerSequence, KvLayout::Unified] {
        let engine = start(&model, exact(layout));
        // Twice: the second time nearly all of each prompt is cached. Then without the cache.
        for cache_prompt in [true, true, false] {
            let params = GenerationParams { cache_prompt, ..params.clone() };
            let request = |prompt: &String| GenerationRequest::new(prompt).params(params.clone());
            let streams: Vec<_> = prompts.iter().map(|prompt| engine.submit(request(prompt)).unwrap()).collect();
            let texts: Vec<_> = streams.into_iter().map(|stream| stream.text().unwrap()).collect();
            assert_eq!(texts, expected, "{layout:?}, cache {cache_prompt}");
        }
        let stats = engine.stats();
        assert!(stats.prompt_tokens_cached > stats.prompt_tokens / 3, "{stats:?}");
        assert!(stats.mean_batch() > 2.0, "{stats:?}");
    }
}
