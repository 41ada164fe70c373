//! Many requests on one model: the same answers as one after the other, whatever else is computed meanwhile.

use std::time::{Duration, Instant};

use mullama_core::{
    ChatMessage, ChatRequest, Engine, EngineParams, Error, FinishReason, FlashAttention, GenerationParams,
    GenerationRequest, KvLayout, Model, Priority, SamplingParams, Speculation, TokenEvent,
};

use crate::shared;

mod recurrent;

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

/// Its activations are quantized before each product, and a row's numbers then do not depend on the rows beside it (those
/// of the f32 model do); without flash attention, whose kernels differ with the size of the batch.
fn stories() -> Option<Model> {
    shared::model("models/llm/stories260K-q8_0.gguf")
}

/// One thread and no flash attention: see [`stories`].
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

/// Tokens of texts with one pool of cells: these lie in another order than alone, softmax sums in theirs, and a longer text
/// may show it. That nothing else is mixed up the scripted tests of the schedule show, for texts of any length.
const UNIFIED: u32 = 12;

fn request(prompt: &str, params: &GenerationParams) -> GenerationRequest {
    GenerationRequest::new(prompt).params(params.clone()).event_buffer(1_024)
}

fn endless(max_tokens: u32) -> GenerationParams {
    GenerationParams {
        sampling: SamplingParams { ignore_eos: true, ..SamplingParams::greedy() },
        ..GenerationParams::greedy(max_tokens)
    }
}

/// Waits until `holds`, for as long as no healthy machine needs.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what} does not come true");
        std::thread::sleep(Duration::from_millis(2));
    }
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
    let prompts = prompts();
    for (layout, tokens) in [(KvLayout::PerSequence, 40), (KvLayout::Unified, UNIFIED)] {
        let params = GenerationParams::greedy(tokens);
        let expected: Vec<_> = prompts.iter().map(|prompt| alone(&model, prompt, &params)).collect();
        let engine = start(&model, exact(layout));
        // Twice: the second time nearly all of each prompt is cached. Then without the cache.
        for cache_prompt in [true, true, false] {
            let params = GenerationParams { cache_prompt, ..params.clone() };
            let streams: Vec<_> =
                prompts.iter().map(|prompt| engine.submit(request(prompt, &params)).unwrap()).collect();
            let texts: Vec<_> = streams.into_iter().map(|stream| stream.text().unwrap()).collect();
            assert_eq!(texts, expected, "{layout:?}, cache {cache_prompt}");
        }
        let stats = engine.stats();
        assert!(stats.prompt_tokens_cached > stats.prompt_tokens / 3, "{stats:?}");
        assert!(stats.mean_batch() > 2.0, "{stats:?}");
    }
}

#[test]
fn guesses_change_nothing_but_the_number_of_steps() {
    let Some(model) = stories() else { return };
    let draft = shared::model("models/llm/stories260K-f32.gguf").unwrap();
    let lookup = Speculation::PromptLookup { ngram: 2, tokens: 6 };
    for (layout, tokens) in [(KvLayout::PerSequence, 120), (KvLayout::Unified, UNIFIED)] {
        let params = endless(tokens);
        let expected: Vec<_> = BEGINNINGS.iter().map(|prompt| alone(&model, prompt, &params)).collect();
        for speculation in [Some(lookup), None] {
            let engine = Engine::builder(&model).params(exact(layout));
            let engine = match speculation {
                Some(speculation) => engine.speculation(speculation),
                None => engine.draft(&draft, 6),
            };
            let engine = engine.start().unwrap();
            let streams: Vec<_> =
                BEGINNINGS.iter().map(|prompt| engine.submit(request(prompt, &params)).unwrap()).collect();
            let texts: Vec<_> = streams.into_iter().map(|stream| stream.text().unwrap()).collect();
            assert_eq!(texts, expected, "{layout:?} {speculation:?}");
            let stats = engine.stats();
            if layout == KvLayout::PerSequence {
                assert!(stats.accepted_draft_tokens > 20 && stats.acceptance() > 0.1, "{speculation:?}: {stats:?}");
            }
            assert!(stats.accepted_draft_tokens <= stats.drafted_tokens);
        }
    }
    let other = shared::tiny();
    let error = Engine::builder(&model).draft(&other, 4).start().unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
}

#[test]
fn dropping_and_cancelling_free_the_sequence() {
    let Some(model) = stories() else { return };
    let engine = start(&model, EngineParams { sequences: 2, ..exact(KvLayout::PerSequence) });
    let running = || engine.stats().sequences_running;
    let mut stream = engine.submit(request("Once", &endless(500))).unwrap();
    assert!(matches!(stream.next(), Some(Ok(TokenEvent::Token { .. }))));
    eventually("it runs", || running() == 1);
    drop(stream);
    eventually("the sequence is free", || running() == 0);
    let generated = engine.stats().generated_tokens;
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(engine.stats().generated_tokens, generated, "nothing is computed for it any more");
    // By a handle: what there is comes, then the end.
    let mut stream = engine.submit(request("Once", &endless(500))).unwrap();
    let cancel = stream.cancel_handle();
    stream.next().unwrap().unwrap();
    cancel.cancel();
    let (_, summary) = stream.complete().unwrap();
    assert_eq!(summary.finish_reason, FinishReason::Cancelled);
    // In the queue: never begun.
    let busy: Vec<_> = (0..2).map(|_| engine.submit(request("Once", &endless(400))).unwrap()).collect();
    let queued = engine.submit(request("Twice", &endless(10))).unwrap();
    eventually("both run", || running() == 2);
    queued.cancel_handle().cancel();
    let (text, summary) = queued.complete().unwrap();
    assert_eq!((text.as_str(), summary.finish_reason), ("", FinishReason::Cancelled));
    drop(busy);
    eventually("all are free", || running() == 0);
    assert_eq!(engine.stats().requests_finished_cancelled, 5);
}

#[test]
fn a_reader_that_sleeps_pauses_only_itself() {
    let Some(model) = stories() else { return };
    let engine = start(&model, EngineParams { sequences: 2, ..exact(KvLayout::PerSequence) });
    let params = endless(300);
    let expected = alone(&model, "Once", &params);
    let slow = engine.submit(request("Once", &params).event_buffer(4)).unwrap();
    eventually("it pauses", || engine.stats().sequences_paused == 1);
    let before = engine.stats().generated_tokens;
    assert!(before < 40, "{before} tokens for a reader that took none");
    // Others are served, also when they need its sequence: it is set back and goes on later.
    let others: Vec<_> = (0..3).map(|_| engine.submit(request("The big dog", &endless(60))).unwrap()).collect();
    let others: Vec<_> = others.into_iter().map(|stream| stream.text().unwrap()).collect();
    assert_eq!(others, vec![alone(&model, "The big dog", &endless(60)); 3]);
    assert_eq!(slow.text().unwrap(), expected);
    let stats = engine.stats();
    assert!(stats.preemptions >= 1 && stats.reader_stalls >= 1, "{stats:?}");
    // One that sleeps too long is told so.
    let patience = EngineParams { reader_timeout_ms: Some(100), ..exact(KvLayout::PerSequence) };
    let engine = start(&model, patience);
    let slow = engine.submit(request("Once", &params).event_buffer(4)).unwrap();
    eventually("it is ended", || engine.stats().requests_finished_failed == 1);
    let last = slow.last().unwrap();
    assert!(matches!(last, Err(Error::Timeout { .. })), "{last:?}");
}

#[test]
fn a_full_queue_refuses_at_once_and_deadlines_hold_in_it() {
    let Some(model) = stories() else { return };
    let engine = start(&model, EngineParams { sequences: 1, queue: 2, ..exact(KvLayout::PerSequence) });
    let mut busy = engine.submit(request("Once", &endless(480))).unwrap();
    busy.next().unwrap().unwrap();
    let timeout = GenerationParams { timeout_ms: Some(1), ..endless(480) };
    let late = engine.submit(request("Once", &timeout)).unwrap();
    let mut waiting = Vec::new();
    let error = loop {
        match engine.submit(request("Twice", &endless(2))) {
            Ok(stream) => waiting.push(stream),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Overloaded { capacity: 2, .. }), "{error}");
    assert!(waiting.len() <= 2 && engine.stats().requests_rejected == 1);
    let (text, summary) = late.complete().unwrap();
    assert_eq!(summary.finish_reason, FinishReason::Timeout);
    assert!(text.len() < 400);
    for stream in waiting {
        assert_eq!(stream.complete().unwrap().1.usage.completion_tokens, 2);
    }
    busy.last().unwrap().unwrap();
    assert_eq!(engine.load(), 0);
}

#[test]
fn interactive_requests_go_before_batch() {
    let Some(model) = stories() else { return };
    let engine = start(&model, EngineParams { sequences: 1, ..exact(KvLayout::PerSequence) });
    let params = endless(300);
    let mut batch = engine.submit(request("Once", &params).priority(Priority::Batch)).unwrap();
    let first = batch.next().unwrap().unwrap();
    let quick = engine.submit(request("The big dog", &endless(20))).unwrap();
    assert_eq!(quick.text().unwrap(), alone(&model, "The big dog", &endless(20)));
    assert!(engine.stats().preemptions >= 1);
    let TokenEvent::Token { text, .. } = first else { panic!("{first:?}") };
    assert_eq!(text + &batch.text().unwrap(), alone(&model, "Once", &params), "it goes on where it was");
}

#[test]
fn adapters_are_kept_apart() {
    let Some(model) = stories() else { return };
    let folder = tempfile::tempdir().unwrap();
    let lora = model.load_lora(crate::adapters::adapter(folder.path(), "lora.gguf", "llama", 64)).unwrap();
    let params = GenerationParams::greedy(40);
    let with = |scale: f32| {
        let context = model.context().length(512).threads(1).flash_attention(FlashAttention::Off);
        let mut context = context.build().unwrap();
        context.set_lora(&[(lora.clone(), scale)]).unwrap();
        context.generate("Once upon a time", &params).unwrap().text().unwrap()
    };
    let (plain, half, full) = (alone(&model, "Once upon a time", &params), with(0.5), with(1.0));
    assert!(plain != half && half != full);
    let engine = start(&model, exact(KvLayout::PerSequence));
    for _ in 0..2 {
        let streams: Vec<_> = [None, Some(0.5), Some(1.0), None, Some(0.5)]
            .map(|scale| {
                let request = request("Once upon a time", &params);
                let request = match scale {
                    Some(scale) => request.lora([(lora.clone(), scale)]),
                    None => request,
                };
                engine.submit(request).unwrap()
            })
            .into();
        let texts: Vec<_> = streams.into_iter().map(|stream| stream.text().unwrap()).collect();
        assert_eq!(texts, [&plain, &half, &full, &plain, &half].map(String::clone));
    }
    let other = shared::tiny();
    let error = start(&other, EngineParams::default()).submit(GenerationRequest::new("x").lora([(lora, 1.0)]));
    assert!(matches!(error, Err(Error::InvalidParameter { name: "lora", .. })));
}

#[test]
fn short_cells_set_requests_back_without_changing_them() {
    let Some(model) = stories() else { return };
    let params = endless(40);
    let expected: Vec<_> = BEGINNINGS.iter().map(|prompt| alone(&model, prompt, &params)).collect();
    let shape = EngineParams { kv_capacity: 256, ..exact(KvLayout::Unified) };
    let engine = start(&model, shape);
    let streams: Vec<_> = BEGINNINGS.iter().map(|prompt| engine.submit(request(prompt, &params)).unwrap()).collect();
    let texts: Vec<_> = streams.into_iter().map(|stream| stream.text().unwrap()).collect();
    assert_eq!(texts, expected);
    let stats = engine.stats();
    assert!(stats.preemptions > 0 && stats.host_saves > 0, "{stats:?}");
}

#[test]
fn the_end_of_the_context_ends_or_shifts_as_the_request_says() {
    let Some(model) = shared::model("models/llm/babyllama-tok361-q8_0.gguf") else { return };
    let mut params = exact(KvLayout::PerSequence);
    params.context.length = 64;
    let engine = start(&model, params);
    let shifting = GenerationParams { context_shift: true, keep: 4, ..endless(200) };
    let one = engine.submit(request("Once upon a time", &shifting)).unwrap();
    let two = engine.submit(request("Once upon a time", &endless(200))).unwrap();
    let (_, one) = one.complete().unwrap();
    let (_, two) = two.complete().unwrap();
    assert_eq!((one.finish_reason, one.usage.completion_tokens), (FinishReason::Length, 200));
    assert_eq!((two.finish_reason, two.usage.total_tokens), (FinishReason::Length, 65));
    assert!(engine.stats().context_shifts > 2);
    let long = engine.submit(GenerationRequest::new("word ".repeat(100))).unwrap_err();
    assert!(matches!(long, Error::PromptTooLong { limit: 64, .. }), "{long}");
}

#[test]
fn a_prefix_that_left_the_context_comes_back_from_host_memory() {
    let Some(model) = stories() else { return };
    let engine = start(&model, EngineParams { sequences: 1, ..exact(KvLayout::PerSequence) });
    let prompts = prompts();
    let long = &prompts[8..10];
    let params = GenerationParams::greedy(10);
    let complete = |prompt: &str| engine.submit(request(prompt, &params)).unwrap().complete().unwrap();
    let (first, summary) = complete(&long[0]);
    assert_eq!(summary.usage.cached_tokens, 0);
    // Others take the only sequence.
    complete("Tom and his mom went to the shop. They wanted to buy a new ball, and a big red kite, and some bread.");
    let (again, summary) = complete(&long[0]);
    assert_eq!(again, first);
    assert!(summary.usage.cached_tokens > 60, "{summary:?}");
    let stats = engine.stats();
    assert!(stats.host_restores >= 1 && stats.host_bytes_used > 0, "{stats:?}");
    // Another salt shares nothing.
    let salted = engine.submit(request(&long[0], &params).cache_salt("else")).unwrap().complete().unwrap();
    assert_eq!((salted.0, salted.1.usage.cached_tokens), (first, 0));
}

#[test]
fn conversations_grammars_and_log_probabilities_go_through() {
    let engine = start(&shared::tiny(), EngineParams::default());
    let ask = |question: &str| ChatRequest::new([ChatMessage::user(question)]);
    let one =
        engine.submit(GenerationRequest::new(ask("What is 7 + 8?")).params(GenerationParams::greedy(64))).unwrap();
    assert!(one.chat().is_some());
    let logprobs = GenerationParams { top_logprobs: Some(3), ..GenerationParams::greedy(64) };
    let two = engine.submit(GenerationRequest::new(ask("What is 2 + 2?")).params(logprobs)).unwrap();
    let grammar = mullama_core::Grammar::gbnf("root ::= \"yes\" | \"no\"").unwrap();
    let mut constrained = GenerationParams::greedy(8);
    constrained.sampling.grammar = Some(grammar);
    let three = engine.submit(GenerationRequest::new("Is it?").params(constrained)).unwrap();
    assert_eq!(one.text().unwrap(), "7 + 8 = 15.");
    for event in two {
        if let TokenEvent::Token { token, logprobs, .. } = event.unwrap() {
            let logprobs = logprobs.unwrap();
            assert_eq!((logprobs.token, logprobs.top_logprobs.len()), (token, 3));
        }
    }
    assert!(["yes", "no"].contains(&three.text().unwrap().as_str()));
    let params = GenerationParams { max_tokens: Some(0), ..Default::default() };
    let error = engine.submit(GenerationRequest::new("x").params(params)).unwrap_err();
    assert!(matches!(error, Error::InvalidParameter { name: "max_tokens", .. }), "{error}");
    assert_eq!(engine.load(), 0, "a refused request leaves no place taken");
}

#[test]
fn shutting_down_lets_requests_end_or_ends_them() {
    let Some(model) = stories() else { return };
    let engine = start(&model, exact(KvLayout::PerSequence));
    let stream = engine.submit(request("Once", &endless(100))).unwrap();
    assert!(engine.shutdown(Duration::from_secs(30)));
    assert_eq!(stream.complete().unwrap().1.usage.completion_tokens, 100);
    assert!(matches!(engine.submit("x"), Err(Error::EngineStopped { .. })));
    assert!(!engine.is_open());

    let engine = start(&model, EngineParams { sequences: 1, ..exact(KvLayout::PerSequence) });
    let streams: Vec<_> = (0..3).map(|_| engine.submit(request("Once", &endless(480))).unwrap()).collect();
    assert!(!engine.shutdown(Duration::ZERO));
    let reasons: Vec<_> = streams.into_iter().map(|stream| stream.complete().unwrap().1.finish_reason).collect();
    assert!(reasons.contains(&FinishReason::Cancelled), "{reasons:?}");

    // The last handle goes: what runs ends by itself.
    let engine = start(&model, exact(KvLayout::PerSequence));
    let stream = engine.submit(request("Once", &endless(100))).unwrap();
    drop(engine);
    assert_eq!(stream.complete().unwrap().1.usage.completion_tokens, 100);
}

#[test]
fn an_embedding_model_embeds_through_the_same_front() {
    let Some(model) = shared::model("models/embed/all-MiniLM-L6-v2-q8_0.gguf") else { return };
    let engine = Engine::builder(&model).start().unwrap();
    let error = engine.submit("x").unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    let texts = ["The cat sits on the mat.", "A feline rests on a rug.", "Stocks fell."];
    let pending: Vec<_> = texts.iter().map(|text| engine.embed([*text]).unwrap()).collect();
    let together: Vec<_> = pending.into_iter().map(|pending| pending.wait().unwrap().remove(0)).collect();
    let mut embedder = model.embedder().build().unwrap();
    for (text, embedding) in texts.iter().zip(&together) {
        let alone = embedder.embed(&[text]).unwrap().remove(0);
        let cosine: f32 = alone.vector.iter().zip(&embedding.vector).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.999, "{cosine}");
    }
    // One that is too long is its own failure.
    let long = engine.embed(["word ".repeat(10_000)]).unwrap();
    let fine = engine.embed(["word"]).unwrap();
    assert!(matches!(long.wait(), Err(Error::PromptTooLong { .. })));
    fine.wait().unwrap();
    assert!(engine.rerank("x", ["y"]).unwrap().wait().is_err());
}
