//! Batches: in order, each with its own result, as if one after the other.

use std::ops::ControlFlow;

use mullama_core::{
    BatchGenerationConfig, EncodeOptions, EngineParams, Error, FlashAttention, GenerationParams, Model,
    ParallelProcessor, ThreadPoolConfig,
};

use crate::shared;

fn processor(model: &Model) -> ParallelProcessor {
    let mut engine = EngineParams { sequences: 4, queue: 4, ..Default::default() };
    engine.context.length = 512;
    engine.context.threads = 1;
    engine.context.threads_batch = 1;
    engine.context.flash_attention = FlashAttention::Off;
    let threads = ThreadPoolConfig::new().num_threads(3);
    ParallelProcessor::new(model).engine(engine).thread_pool(threads).build().unwrap()
}

#[test]
fn texts_come_in_order_and_one_failure_is_one_result() {
    let Some(model) = shared::model("models/llm/stories260K-q8_0.gguf") else { return };
    let processor = processor(&model);
    assert_eq!(processor.num_threads(), 3);
    let names = ["Tom", "Lily", "The dog", "A cat", "Mom", "The sun", "Tim", "Sue"];
    let mut prompts: Vec<String> = (0..40).map(|i| format!("{} and {}", names[i % 8], names[i / 8])).collect();
    prompts[7] = "word ".repeat(2_000);
    let config = BatchGenerationConfig { params: GenerationParams::greedy(16), ..Default::default() };
    let mut last = 0;
    let results = processor.batch_generate_with(&prompts, &config, |progress| {
        assert_eq!((progress.done, progress.total), (last + 1, 40));
        last = progress.done;
        ControlFlow::Continue(())
    });
    let results = results.unwrap();
    assert_eq!((results.len(), last), (40, 40));
    let mut context = model.context().length(512).threads(1).flash_attention(FlashAttention::Off).build().unwrap();
    for (index, (prompt, result)) in prompts.iter().zip(&results).enumerate() {
        if index == 7 {
            assert!(matches!(result, Err(Error::PromptTooLong { limit: 512, .. })), "{result:?}");
            continue;
        }
        let expected = context.generate(prompt, &config.params).unwrap().text().unwrap();
        assert_eq!(result.as_ref().unwrap().text, expected, "{prompt}");
    }
    // Stopped: what is done is kept.
    let stopped = processor
        .batch_generate_with(&prompts, &config, |progress| {
            if progress.done == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(stopped.iter().filter(|result| result.is_ok()).count() + 1, 5 + usize::from(stopped[7].is_ok()));
    assert!(stopped.iter().filter(|result| matches!(result, Err(Error::Cancelled))).count() >= 34);
}

#[test]
fn tokens_items_and_futures_come_in_order() {
    let model = shared::tiny();
    let processor = processor(&model);
    let texts: Vec<String> = (0..50).map(|i| format!("What is {i} + {i}?")).collect();
    let tokens = processor.batch_tokenize(&texts, EncodeOptions::default());
    let tokenizer = model.tokenizer();
    for (text, tokens) in texts.iter().zip(tokens) {
        assert_eq!(tokens.unwrap(), tokenizer.encode(text, EncodeOptions::default()).unwrap());
    }
    assert_eq!(processor.batch_map((0..100).collect(), |n: u32| n * n), (0..100).map(|n| n * n).collect::<Vec<_>>());
    let squares = processor.batch_process(0..20_u32, |n| async move { Ok::<_, Error>(n * n) });
    assert_eq!(block_on(squares).unwrap(), (0..20).map(|n| n * n).collect::<Vec<_>>());
    let failing = processor.batch_process(0..20_u32, |n| async move { if n == 13 { Err(n) } else { Ok(n) } });
    assert_eq!(block_on(failing), Err(13));
}

/// Futures that are always ready need no runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

#[test]
fn vectors_come_in_order_and_one_failure_is_one_result() {
    let Some(model) = shared::model("models/embed/all-MiniLM-L6-v2-q8_0.gguf") else { return };
    let processor = ParallelProcessor::new(&model).build().unwrap();
    let texts = ["The cat sits.".to_owned(), "word ".repeat(10_000), "Stocks fell.".to_owned()];
    let vectors = processor.batch_embed(&texts).unwrap();
    let alone = model.embedder().build().unwrap().embed(&["Stocks fell."]).unwrap().remove(0);
    assert!(matches!(vectors[1], Err(Error::PromptTooLong { .. })));
    let same: f32 = alone.vector.iter().zip(&vectors[2].as_ref().unwrap().vector).map(|(a, b)| a * b).sum();
    assert!(same > 0.999, "{same}");
    assert!(processor.batch_generate(&["x"], &BatchGenerationConfig::default()).is_err());
}
