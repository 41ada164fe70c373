//! LoRA adapters, made here: a change of known size to one matrix.

use std::path::{Path, PathBuf};

use mullama_core::{Error, ErrorKind, GenerationParams, Model, TokenId};

use crate::gguf_writer::{Meta, Tensor, write};
use crate::{shared, tokenizing::assert_kind};

const MODEL: &str = "models/llm/stories260K-f32.gguf";

/// An adapter of rank 1 for the output of the first layer's feed-forward net: W + scale * alpha / rank * b a.
pub(crate) fn adapter(folder: &Path, name: &str, architecture: &str, width: usize) -> PathBuf {
    let path = folder.join(name);
    let metadata = [
        ("general.type", Meta::Str("adapter")),
        ("general.architecture", Meta::Str(architecture)),
        ("adapter.type", Meta::Str("lora")),
        ("adapter.lora.alpha", Meta::F32(1.0)),
        ("general.alignment", Meta::U32(32)),
    ];
    let a = Tensor {
        name: "blk.0.attn_output.weight.lora_a".to_owned(),
        dimensions: vec![width as u64, 1],
        numbers: vec![0.3; width],
    };
    let numbers = (0..width).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    let b = Tensor { name: "blk.0.attn_output.weight.lora_b".to_owned(), dimensions: vec![1, width as u64], numbers };
    write(&path, &metadata, &[a, b]);
    path
}

fn logits(model: &Model, lora: &[(mullama_core::Lora, f32)]) -> Vec<f32> {
    let mut context = model.context().length(64).threads(1).build().unwrap();
    context.set_lora(lora).unwrap();
    context.eval(&[TokenId(1), TokenId(400), TokenId(300)]).unwrap();
    context.logits().unwrap().to_vec()
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn an_adapter_changes_the_text_by_its_scale_and_goes_without_a_trace() {
    let Some(model) = shared::model(MODEL) else { return };
    let folder = tempfile::tempdir().unwrap();
    let lora = model.load_lora(adapter(folder.path(), "lora.gguf", "llama", 64)).unwrap();
    let plain = logits(&model, &[]);
    assert!(distance(&plain, &logits(&model, &[(lora.clone(), 0.0)])) < 1e-4);
    let (half, full) = (logits(&model, &[(lora.clone(), 0.5)]), logits(&model, &[(lora.clone(), 1.0)]));
    assert!(distance(&plain, &half) > 0.05 && distance(&half, &full) > 0.05);
    // Twice at half the scale is once at the whole.
    let again = model.load_lora(lora.path()).unwrap();
    let twice = logits(&model, &[(lora.clone(), 0.5), (again, 0.5)]);
    assert!(distance(&twice, &full) < 1e-2, "{}", distance(&twice, &full));

    // At run time: attach, detach; what was computed before is not reused.
    let mut context = model.context().length(128).threads(1).build().unwrap();
    let params = GenerationParams::greedy(20);
    let text =
        |context: &mut mullama_core::Context| context.generate("Once upon a time", &params).unwrap().text().unwrap();
    let before = text(&mut context);
    context.set_lora(&[(lora.clone(), 1.0)]).unwrap();
    let state = context.save_state();
    let with = text(&mut context);
    assert_ne!(with, before);
    context.set_lora(&[]).unwrap();
    assert_eq!(text(&mut context), before);
    assert!(state.is_err() || matches!(context.load_state(&state.unwrap()), Err(Error::State { .. })));

    // Named at load time: every context has it.
    let loaded = Model::builder(shared::file(MODEL).unwrap()).lora(lora.path(), 1.0).load().unwrap();
    assert_eq!(text(&mut loaded.context().length(128).threads(1).build().unwrap()), with);
}

#[test]
fn an_adapter_may_be_dropped_while_a_context_uses_it() {
    let Some(model) = shared::model(MODEL) else { return };
    let folder = tempfile::tempdir().unwrap();
    let lora = model.load_lora(adapter(folder.path(), "lora.gguf", "llama", 64)).unwrap();
    let mut context = model.context().length(64).build().unwrap();
    context.set_lora(&[(lora, 1.0)]).unwrap();
    drop(model);
    assert!(context.generate("Once", &GenerationParams::greedy(5)).unwrap().text().is_ok());
}

#[test]
fn adapters_load_while_contexts_compute() {
    let Some(model) = shared::model(MODEL) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = adapter(folder.path(), "lora.gguf", "llama", 64);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..50 {
                model.load_lora(&path).unwrap();
            }
        });
        let mut context = model.context().length(256).threads(1).build().unwrap();
        let first = context.generate("Once upon a time", &GenerationParams::greedy(50)).unwrap().text().unwrap();
        for _ in 0..5 {
            assert_eq!(
                context.generate("Once upon a time", &GenerationParams::greedy(50)).unwrap().text().unwrap(),
                first
            );
        }
    });
}

#[test]
fn what_is_no_adapter_for_this_model_is_refused() {
    let Some(model) = shared::model(MODEL) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    assert_kind(&model.load_lora(path.join("none.gguf")).unwrap_err(), ErrorKind::NotFound);
    std::fs::write(path.join("text.gguf"), "no model").unwrap();
    assert!(matches!(model.load_lora(path.join("text.gguf")), Err(Error::InvalidModel { .. })));
    assert!(matches!(model.load_lora(shared::file(MODEL).unwrap()), Err(Error::Lora { .. })));
    for (name, architecture, width) in [("other", "qwen2", 64), ("wide", "llama", 128)] {
        let error = model.load_lora(adapter(path, name, architecture, width)).unwrap_err();
        assert!(matches!(error, Error::Lora { .. }), "{name}: {error}");
    }
    let good = model.load_lora(adapter(path, "good", "llama", 64)).unwrap();
    let mut context = model.context().length(64).build().unwrap();
    for scale in [f32::NAN, f32::INFINITY, 1e9] {
        assert!(matches!(context.set_lora(&[(good.clone(), scale)]), Err(Error::InvalidParameter { .. })));
    }
    let mut foreign = shared::tiny().context().length(64).build().unwrap();
    assert!(matches!(foreign.set_lora(&[(good, 1.0)]), Err(Error::InvalidParameter { .. })));
}
