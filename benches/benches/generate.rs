//! How fast is text? Tokens per second of generation and of prompts, on the project's own model.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a bench fails where it unwraps")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mullama_core::{GenerationParams, Model, SamplingParams, TokenId};

fn model() -> Model {
    Model::from_bytes(mullama_demo_models::CHAT).load().unwrap()
}

fn generation(criterion: &mut Criterion) {
    let model = model();
    let mut context = model.context().length(1_024).threads(1).build().unwrap();
    let mut group = criterion.benchmark_group("generate 64 tokens");
    group.throughput(Throughput::Elements(64));
    let greedy = GenerationParams {
        sampling: SamplingParams { ignore_eos: true, ..SamplingParams::greedy() },
        ..GenerationParams::greedy(64)
    };
    let chain = GenerationParams {
        sampling: SamplingParams { seed: Some(1), ignore_eos: true, ..Default::default() },
        ..greedy.clone()
    };
    for (name, params) in [("greedy", greedy), ("default chain", chain)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| context.generate("Once upon a time", &params).unwrap().text().unwrap());
        });
    }
}

fn prompts(criterion: &mut Criterion) {
    let model = model();
    let mut context = model.context().length(2_048).threads(1).build().unwrap();
    let mut group = criterion.benchmark_group("compute a prompt");
    for tokens in [16_usize, 128, 1_024] {
        group.throughput(Throughput::Elements(tokens as u64));
        let prompt = vec![TokenId(300); tokens];
        group.bench_with_input(BenchmarkId::from_parameter(tokens), &prompt, |bencher, prompt| {
            bencher.iter(|| {
                context.clear();
                context.eval(prompt).unwrap();
            });
        });
    }
}

criterion_group!(benches, generation, prompts);
criterion_main!(benches);
