//! Generation: where it ends, what it keeps, how it is stopped.

use std::time::{Duration, Instant};

use mullama_core::{
    Context, EncodeOptions, Error, FinishReason, GenerationParams, KvType, Model, SamplingParams, Summary, TokenEvent,
    TokenId,
};

use crate::shared;

const PROMPT: &str = "Once upon a time";

fn stories() -> Option<Model> {
    shared::model("models/llm/stories260K-f32.gguf")
}

fn run(context: &mut Context, params: &GenerationParams) -> (String, Summary) {
    context.generate(PROMPT, params).unwrap().complete().unwrap()
}

#[test]
fn the_same_seed_gives_the_same_text_and_another_another() {
    let Some(model) = stories() else { return };
    let mut context = model.context().length(256).build().unwrap();
    let with = |seed| GenerationParams {
        max_tokens: Some(60),
        cache_prompt: false,
        sampling: SamplingParams { seed, temperature: 1.2, ..Default::default() },
        ..Default::default()
    };
    let (first, summary) = run(&mut context, &with(Some(7)));
    assert_eq!(summary.seed, Some(7));
    assert_eq!(run(&mut context, &with(Some(7))).0, first);
    assert_ne!(run(&mut context, &with(Some(8))).0, first);
    // A seed that was drawn is told, and gives the text again.
    let (drawn, summary) = run(&mut context, &with(None));
    assert_eq!(run(&mut context, &with(summary.seed)).0, drawn);
}

#[test]
fn a_kept_prefix_gives_the_same_text() {
    let Some(model) = stories() else { return };
    let mut context = model.context().length(256).build().unwrap();
    let params = GenerationParams::greedy(30);
    let (fresh, summary) = run(&mut context, &params);
    assert_eq!((summary.usage.cached_tokens, summary.usage.prompt_tokens), (0, 5));
    let (again, summary) = run(&mut context, &params);
    assert_eq!((again, summary.usage.cached_tokens, summary.timings.prompt_n), (fresh.clone(), 4, 1));
    // What was generated is a prefix for what continues it.
    let longer = context.generate(&format!("{PROMPT}{fresh}"), &params).unwrap().complete().unwrap();
    assert!(longer.1.usage.cached_tokens > 20, "{:?}", longer.1);
    // And another prompt in between does no harm.
    context.generate("The big dog", &params).unwrap().text().unwrap();
    assert_eq!(run(&mut context, &params).0, fresh);
}

#[test]
fn the_end_of_the_context_ends_or_shifts() {
    let Some(model) = shared::model("models/llm/babyllama-tok361-q8_0.gguf") else { return };
    let mut context = model.context().length(64).build().unwrap();
    let endless = GenerationParams {
        sampling: SamplingParams { ignore_eos: true, ..SamplingParams::greedy() },
        ..Default::default()
    };
    let (_, summary) = run(&mut context, &endless);
    assert_eq!(summary.finish_reason, FinishReason::Length);
    // All 64 positions are used, and one token more is known.
    assert_eq!(summary.usage.total_tokens, 65);
    let shifting = GenerationParams { context_shift: true, max_tokens: Some(200), keep: 4, ..endless };
    let (text, summary) = run(&mut context, &shifting);
    assert_eq!((summary.finish_reason, summary.usage.completion_tokens), (FinishReason::Length, 200));
    assert!(text.len() >= 150, "{text:?}");
    assert!(context.tokens().len() <= 64);
}

#[test]
fn prompts_that_do_not_fit_are_refused_with_both_numbers() {
    let Some(model) = stories() else { return };
    let mut context = model.context().length(32).build().unwrap();
    let error = context.generate(&"word ".repeat(100), &GenerationParams::default()).unwrap_err();
    assert!(matches!(error, Error::PromptTooLong { got: 101.., exact: true, limit: 32 }), "{error}");
    let error = context.generate(&[] as &[TokenId], &GenerationParams::default()).unwrap_err();
    assert!(matches!(error, Error::EmptyPrompt), "{error}");
    let error = context.generate(&[TokenId(1), TokenId(512)][..], &GenerationParams::default()).unwrap_err();
    assert!(matches!(error, Error::UnknownToken { id: 512, n_vocab: 512, name: "prompt" }), "{error}");
    let full = context.eval(&[TokenId(1); 33]).unwrap_err();
    assert!(matches!(full, Error::ContextFull { limit: 32 }), "{full}");
    assert!(matches!(context.eval(&[TokenId(-1)]), Err(Error::UnknownToken { .. })));
    // An exact fit gives one token.
    context.clear();
    let exact = vec![TokenId(1); 32];
    let (_, summary) = context.generate(&exact, &GenerationParams::greedy(10)).unwrap().complete().unwrap();
    assert_eq!((summary.finish_reason, summary.usage.completion_tokens), (FinishReason::Length, 1));
}

#[test]
fn small_batches_give_the_same_text() {
    let Some(model) = stories() else { return };
    let prompt = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day";
    let text = |batch, micro_batch| {
        let mut context = model.context().length(256).batch(batch).micro_batch(micro_batch).threads(1).build().unwrap();
        context.generate(prompt, &GenerationParams::greedy(20)).unwrap().text().unwrap()
    };
    let whole = text(2_048, 512);
    for (batch, micro) in [(1, 1), (7, 3), (16, 16), (65_536, 65_536)] {
        assert_eq!(text(batch, micro), whole, "{batch} {micro}");
    }
}

#[test]
fn cancelling_frees_the_caller_during_prompt_and_text() {
    let Some(model) = stories() else { return };
    let mut context = model.context().length(512).build().unwrap();
    let mut seen = 0;
    let mut generation = context.generate(PROMPT, &GenerationParams::greedy(400)).unwrap();
    let cancel = generation.cancel_token();
    let summary = loop {
        match generation.next().unwrap().unwrap() {
            TokenEvent::Token { .. } => seen += 1,
            TokenEvent::Done(summary) => break summary,
            _ => {}
        }
        if seen == 3 {
            cancel.cancel();
        }
    };
    assert_eq!((summary.finish_reason, seen), (FinishReason::Cancelled, 3));
    assert!(generation.next().is_none());
    drop(generation);
    // The next one is not affected.
    let (text, summary) = run(&mut context, &GenerationParams::greedy(10));
    assert_eq!((summary.finish_reason, text.is_empty()), (FinishReason::Length, false));

    // During a prompt, from another thread: C looks at the flag between the nodes of a graph.
    let long: Vec<_> = std::iter::repeat_n(TokenId(300), 16_000).collect();
    let mut context = model.context().length(16_384).build().unwrap();
    let cancel = context.cancel_token();
    let started = Instant::now();
    let mut generation = context.generate(&long, &GenerationParams::greedy(10)).unwrap();
    let (_, summary) = std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            cancel.cancel();
        });
        match generation.next().unwrap().unwrap() {
            TokenEvent::Done(summary) => (generation.next().is_none(), summary),
            other => panic!("{other:?} instead of a cancelled prompt"),
        }
    });
    drop(generation);
    let took = started.elapsed();
    assert_eq!((summary.finish_reason, summary.usage.completion_tokens), (FinishReason::Cancelled, 0), "{took:?}");
    assert!(context.tokens().len() < 16_000);
    run(&mut context, &GenerationParams::greedy(5));
}

#[test]
fn a_deadline_ends_with_what_there_is() {
    let Some(model) = stories() else { return };
    let mut context = model.context().length(16_384).build().unwrap();
    let params = GenerationParams {
        timeout_ms: Some(50),
        context_shift: true,
        sampling: SamplingParams { ignore_eos: true, ..SamplingParams::greedy() },
        ..Default::default()
    };
    let (text, summary) = run(&mut context, &params);
    assert_eq!(summary.finish_reason, FinishReason::Timeout);
    assert!(!text.is_empty());
    let over = GenerationParams { timeout_ms: Some(0), ..params };
    assert_eq!(run(&mut context, &over).1.usage.completion_tokens, 0);
}

#[test]
fn a_saved_state_goes_on_elsewhere_and_a_damaged_one_does_not() {
    let Some(model) = stories() else { return };
    let params = GenerationParams::greedy(30);
    let build = || model.context().length(256).threads(1).build().unwrap();
    let mut context = build();
    let tokens = model.tokenizer().encode(PROMPT, EncodeOptions::default()).unwrap();
    let (whole, _) = context.generate(&tokens, &params).unwrap().complete().unwrap();
    let state = context.save_state().unwrap();
    let held = context.tokens().to_vec();

    let mut other = build();
    other.load_state(&state).unwrap();
    assert_eq!(other.tokens(), held);
    assert!(other.logits().is_none(), "a state has no logits");
    let (again, summary) = other.generate(&tokens, &params).unwrap().complete().unwrap();
    assert_eq!((again, summary.usage.cached_tokens), (whole.clone(), 4));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.bin");
    context.save_state_file(&file).unwrap();
    other.load_state_file(&file).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(matches!(other.load_state_file(folder.path().join("none")), Err(Error::File { .. })));

    for at in [0, 20, 60, state.len() / 2, state.len() - 1] {
        let mut damaged = state.clone();
        damaged[at] ^= 4;
        assert!(matches!(other.load_state(&damaged), Err(Error::State { .. })), "byte {at}");
    }
    for length in [0, 10, 40, state.len() - 1] {
        assert!(matches!(other.load_state(&state[..length]), Err(Error::State { .. })), "{length} bytes");
    }
    // Another length, another number format, another model.
    for mut foreign in [
        model.context().length(512).build().unwrap(),
        model.context().length(256).kv_type(KvType::F32).build().unwrap(),
        shared::tiny().context().length(256).build().unwrap(),
    ] {
        assert!(matches!(foreign.load_state(&state), Err(Error::State { .. })));
    }
    assert_eq!(run(&mut other, &params).0, whole);
}

#[test]
fn threads_change_and_counters_count() {
    let Some(model) = stories() else { return };
    let mut context = model.context().length(128).threads(1).build().unwrap();
    let (text, _) = run(&mut context, &GenerationParams::greedy(10));
    assert!(context.set_threads(2, 2).is_ok() && context.set_threads(100_000, 1).is_err());
    assert_eq!((context.params().threads, context.params().threads_batch), (2, 2));
    let perf = context.perf();
    // The first of the ten comes with the prompt.
    assert_eq!((perf.prompt_tokens, perf.generated_tokens), (5, 9));
    assert!(perf.generation_time > Duration::ZERO);
    context.reset_perf();
    assert!(context.perf().generated_tokens <= 1); // llama.cpp divides by it, and so never tells 0
    assert_eq!(run(&mut context, &GenerationParams { cache_prompt: false, ..GenerationParams::greedy(10) }).0, text);
}

#[test]
fn callers_may_choose_tokens_themselves() {
    let Some(model) = stories() else { return };
    let mut context = model.context().length(64).build().unwrap();
    let (text, _) = run(&mut context, &GenerationParams::greedy(8));
    let tokenizer = model.tokenizer();
    context.clear();
    assert!(context.logits().is_none());
    context.eval(&tokenizer.encode(PROMPT, EncodeOptions::default()).unwrap()).unwrap();
    let mut chosen = Vec::new();
    for _ in 0..8 {
        let logits = context.logits().unwrap();
        let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        let token = TokenId(best.try_into().unwrap());
        chosen.extend(tokenizer.piece(token, false).unwrap());
        context.eval(&[token]).unwrap();
    }
    assert_eq!(String::from_utf8(chosen).unwrap(), text);
}

#[test]
fn two_contexts_of_one_model_run_on_two_threads() {
    let Some(model) = stories() else { return };
    let (alone, _) = run(&mut model.context().length(128).threads(1).build().unwrap(), &GenerationParams::greedy(40));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let (model, alone) = (model.clone(), &alone);
            scope.spawn(move || {
                for _ in 0..5 {
                    let mut context = model.context().length(128).threads(1).build().unwrap();
                    assert_eq!(run(&mut context, &GenerationParams::greedy(40)).0, *alone);
                }
            });
        }
    });
}

#[test]
fn a_context_moves_between_threads_and_outlives_the_callers_model() {
    let Some(model) = stories() else { return };
    let mut context = model.context().length(64).build().unwrap();
    drop(model);
    let text = std::thread::scope(|scope| {
        scope.spawn(move || run(&mut context, &GenerationParams::greedy(5)).0).join().unwrap()
    });
    assert!(!text.is_empty());
}
