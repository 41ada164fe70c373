//! A model whose state cannot be cut: a small Mamba with made weights.

use std::path::{Path, PathBuf};

use mullama_core::{Context, GenerationParams, Model, SamplingParams};

use super::{exact, start};
use crate::gguf_writer::{Meta, Tensor, write_with_vocabulary};
use crate::shared;

const WIDTH: usize = 64;
const INNER: usize = 128;
const STATE: usize = 16;
const RANK: usize = 4;
const CONV: usize = 4;
const VOCABULARY: usize = 512;

/// Numbers that look random, around 0.
fn numbers(count: usize, seed: usize, scale: f32) -> Vec<f32> {
    let mut state = u32::try_from(seed * 7_919 + 1).unwrap();
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f32::from(u16::try_from(state >> 16).unwrap()) / 32_768.0 - 1.0
    };
    (0..count).map(|_| next() * scale).collect()
}

fn mamba(folder: &Path) -> Option<PathBuf> {
    let vocabulary = shared::file("models/llm/stories260K-f32.gguf")?;
    let path = folder.join("mamba.gguf");
    let number = |n: usize| Meta::U32(u32::try_from(n).unwrap());
    let metadata = [
        ("general.architecture", Meta::Str("mamba")),
        ("mamba.context_length", number(1_024)),
        ("mamba.embedding_length", number(WIDTH)),
        ("mamba.feed_forward_length", number(0)),
        ("mamba.attention.head_count", number(0)),
        ("mamba.block_count", number(2)),
        ("mamba.ssm.conv_kernel", number(CONV)),
        ("mamba.ssm.inner_size", number(INNER)),
        ("mamba.ssm.state_size", number(STATE)),
        ("mamba.ssm.time_step_rank", number(RANK)),
        ("mamba.attention.layer_norm_rms_epsilon", Meta::F32(1e-5)),
    ];
    let mut tensors = Vec::new();
    let mut add = |name: String, sides: &[usize], scale: f32| {
        let count = sides.iter().product();
        let dimensions = sides.iter().map(|side| *side as u64).collect();
        let numbers = if scale == 0.0 { vec![1.0; count] } else { numbers(count, tensors.len() + 1, scale) };
        tensors.push(Tensor { name, dimensions, numbers });
    };
    add("token_embd.weight".to_owned(), &[WIDTH, VOCABULARY], 1.0);
    add("output_norm.weight".to_owned(), &[WIDTH], 0.0);
    add("output.weight".to_owned(), &[WIDTH, VOCABULARY], 0.5);
    for layer in 0..2 {
        let name = |part: &str| format!("blk.{layer}.{part}");
        add(name("attn_norm.weight"), &[WIDTH], 0.0);
        add(name("ssm_in.weight"), &[WIDTH, 2 * INNER], 0.3);
        add(name("ssm_conv1d.weight"), &[CONV, INNER], 0.5);
        add(name("ssm_conv1d.bias"), &[INNER], 0.1);
        add(name("ssm_x.weight"), &[INNER, RANK + 2 * STATE], 0.3);
        add(name("ssm_dt.weight"), &[RANK, INNER], 0.3);
        add(name("ssm_dt.bias"), &[INNER], 0.1);
        add(name("ssm_a"), &[STATE, INNER], 0.5);
        add(name("ssm_d"), &[INNER], 0.5);
        add(name("ssm_out.weight"), &[INNER, WIDTH], 0.3);
    }
    for tensor in tensors.iter_mut().filter(|tensor| tensor.name.ends_with("ssm_a")) {
        // The state must fade.
        tensor.numbers.iter_mut().for_each(|number| *number = -number.abs() - 0.1);
    }
    write_with_vocabulary(&vocabulary, &path, &metadata, &tensors);
    Some(path)
}

#[test]
fn a_state_that_cannot_be_cut_gives_the_same_text_and_is_kept_where_requests_part() {
    let folder = tempfile::tempdir().unwrap();
    let Some(path) = mamba(folder.path()) else { return };
    let model = Model::load(path).unwrap();
    assert!(model.is_recurrent());
    let params = GenerationParams {
        sampling: SamplingParams { ignore_eos: true, ..SamplingParams::greedy() },
        ..GenerationParams::greedy(24)
    };
    let beginning = "Once upon a time there was a little girl named Lily. She loved to play outside. ".repeat(2);
    let prompts: Vec<_> = ["One day", "The dog", "Her mom", "It was"].map(|end| format!("{beginning}{end}")).into();
    let alone = |prompt: &String| {
        let mut context: Context = model.context().length(512).threads(1).build().unwrap();
        context.generate(prompt, &params).unwrap().text().unwrap()
    };
    let expected: Vec<_> = prompts.iter().map(alone).collect();
    assert!(expected.iter().any(|text| *text != expected[0]), "the model tells prompts apart");
    for layout in [mullama_core::KvLayout::PerSequence, mullama_core::KvLayout::Unified] {
        let engine = start(&model, exact(layout));
        let cached: Vec<_> = prompts
            .iter()
            .zip(&expected)
            .map(|(prompt, expected)| {
                let (text, summary) = engine.submit(super::request(prompt, &params)).unwrap().complete().unwrap();
                assert_eq!(text, *expected, "{layout:?}");
                summary.usage.cached_tokens
            })
            .collect();
        // The second finds a beginning that it cannot take, and leaves a state there for those that follow.
        assert_eq!(cached[..2], [0, 0], "{layout:?}");
        assert!(cached[2] > 50 && cached[3] > 50, "{layout:?}: {cached:?}");
        // Together, and a prompt that goes on from an answer.
        let streams: Vec<_> =
            prompts.iter().map(|prompt| engine.submit(super::request(prompt, &params)).unwrap()).collect();
        let texts: Vec<_> = streams.into_iter().map(|stream| stream.text().unwrap()).collect();
        assert_eq!(texts, expected, "{layout:?}");
    }
}
