//! What does a request cost before its first token? Tokenizing, rendering, grammars, parsing.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a bench fails where it unwraps")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mullama_core::{ChatMessage, ChatRequest, EncodeOptions, Grammar, Model};
use serde_json::json;

fn model() -> Model {
    Model::from_bytes(mullama_demo_models::CHAT).load().unwrap()
}

fn tokenizing(criterion: &mut Criterion) {
    let tokenizer = model().tokenizer();
    let mut group = criterion.benchmark_group("tokenize");
    for words in [10, 100, 1_000] {
        let text = "a large purple star at the bottom ".repeat(words / 7 + 1);
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(text.len()), &text, |bencher, text| {
            bencher.iter(|| tokenizer.encode(text, EncodeOptions::default()).unwrap());
        });
    }
}

fn chat(criterion: &mut Criterion) {
    let model = model();
    let template = model.chat_template().unwrap();
    let request = ChatRequest::new([ChatMessage::system("Be brief."), ChatMessage::user("What is 7 + 8?")]);
    criterion.bench_function("render a conversation", |bencher| bencher.iter(|| template.render(&request).unwrap()));
    let prompt = template.render(&request).unwrap();
    criterion.bench_function("parse an answer", |bencher| {
        bencher.iter(|| prompt.parser().unwrap().parse("7 + 8 = 15.").unwrap());
    });
    let schema =
        json!({ "type": "object", "properties": { "name": { "type": "string" }, "age": { "type": "integer" } } });
    criterion.bench_function("schema to grammar", |bencher| bencher.iter(|| Grammar::json_schema(&schema).unwrap()));
}

criterion_group!(benches, tokenizing, chat);
criterion_main!(benches);
