//! Why batches go through one engine: texts per second with it, and with a context for each thread.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a bench fails where it unwraps")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mullama_core::{
    BatchGenerationConfig, EngineParams, GenerationParams, Model, ParallelProcessor, SamplingParams, ThreadPoolConfig,
};

const TEXTS: usize = 32;

fn batches(criterion: &mut Criterion) {
    // `MODEL=model.gguf cargo bench ... --bench parallel` for one of your own.
    let model = match std::env::var_os("MODEL") {
        Some(path) => Model::load(path).unwrap(),
        None => Model::from_bytes(mullama_demo_models::CHAT).load().unwrap(),
    };
    let cores = std::thread::available_parallelism().unwrap().get();
    let beginning = "You are a helpful assistant. Answer shortly and to the point. ".repeat(8);
    let prompts: Vec<String> = (0..TEXTS).map(|i| format!("{beginning}What is {i} + {i}?")).collect();
    let params = GenerationParams {
        sampling: SamplingParams { ignore_eos: true, ..SamplingParams::greedy() },
        ..GenerationParams::greedy(32)
    };
    let mut group = criterion.benchmark_group("32 texts of 32 tokens with a common beginning");
    group.throughput(Throughput::Elements(TEXTS as u64)).sample_size(10);

    let mut engine = EngineParams { sequences: 16, ..Default::default() };
    engine.context.length = 1_024;
    let config = BatchGenerationConfig { params: params.clone(), ..Default::default() };
    let processor = ParallelProcessor::new(&model).engine(engine).thread_pool(ThreadPoolConfig::new()).build().unwrap();
    group.bench_function("one engine", |bencher| {
        bencher.iter(|| {
            for result in processor.batch_generate(&prompts, &config).unwrap() {
                result.unwrap();
            }
        });
    });
    drop(processor);

    let mut contexts: Vec<_> = (0..cores).map(|_| model.context().length(1_024).threads(1).build().unwrap()).collect();
    group.bench_function("a context for each core", |bencher| {
        bencher.iter(|| {
            std::thread::scope(|scope| {
                for (context, prompts) in contexts.iter_mut().zip(prompts.chunks(TEXTS.div_ceil(cores))) {
                    let params = &params;
                    scope.spawn(move || {
                        for prompt in prompts {
                            context.generate(prompt, params).unwrap().text().unwrap();
                        }
                    });
                }
            });
        });
    });
    group.finish();
}

criterion_group!(parallel, batches);
criterion_main!(parallel);
