//! What the engine costs over llama.cpp: N streams through `Engine` against a plain loop that calls `llama_decode` with
//! a row for each of N sequences, on the same linked library, in turn in one run.
//!
//! `cargo bench -p mullama-sys --bench engine -- [MODEL.gguf] [--pairs N] [--tokens N] [--threads N] [--unified]`;
//! without a model the project's own. Prints tokens per second of both and the ratio of each pair, and the medians.
//! `--test` runs one short pair.
//!
//! Each pair loads the weights anew for both sides, in turn one or the other first: where they come to lie in memory makes
//! more of a difference (seen: 15 % for the life of a load) than what is measured here.

use std::ffi::CString;
use std::time::{Duration, Instant};

use mullama_core::{
    Engine, EngineParams, GenerationParams, GenerationRequest, KvLayout, Model, SamplingParams, ThreadPolicy, TokenId,
};
use mullama_sys as sys;

const PROMPT: usize = 8;
const LENGTH: u32 = 1_024;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after =
        |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1)?.parse().ok());
    let smoke = arguments.iter().any(|argument| argument == "--test");
    let (pairs, tokens) =
        if smoke { (1, 8) } else { (after("--pairs").unwrap_or(7), after("--tokens").unwrap_or(128)) };
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../mullama-demo-models/models/mullama-tiny-q8_0.gguf");
    let path = arguments.iter().find(|argument| argument.ends_with(".gguf")).map_or(own, String::as_str);
    let threads: u32 = u32::try_from(after("--threads").unwrap_or(1)).unwrap();
    let unified = arguments.iter().any(|argument| argument == "--unified");
    let cells = if unified { "shared" } else { "own" };
    println!("{path}, {threads} thread(s), {tokens} tokens a stream, {pairs} pair(s), {cells} cells");
    for streams in [1, 4, 16] {
        let mut ratios: Vec<f64> =
            (0..pairs).map(|pair| compare(path, (streams, tokens), (threads, unified), pair)).collect();
        ratios.sort_by(f64::total_cmp);
        println!("{streams:>2} streams: median ratio {:.4}", ratios[ratios.len() / 2]);
    }
}

/// Loads both sides, warms them up, and runs each twice in turn.
fn compare(path: &str, (streams, tokens): (usize, usize), (threads, unified): (u32, bool), pair: usize) -> f64 {
    let mine = || engine(&Model::load(path).unwrap(), streams, threads, unified);
    let (mut plain, engine) = if pair.is_multiple_of(2) {
        let plain = Plain::new(path, streams, threads, unified);
        (plain, mine())
    } else {
        let engine = mine();
        (Plain::new(path, streams, threads, unified), engine)
    };
    plain.run(4);
    run(&engine, streams, 4);
    let mut times = [Duration::ZERO; 2];
    for _ in 0..2 {
        // The other side's threads spin for a moment after its last step.
        std::thread::sleep(Duration::from_millis(300));
        times[0] += plain.run(tokens);
        std::thread::sleep(Duration::from_millis(300));
        times[1] += run(&engine, streams, tokens);
    }
    let rate = |time: Duration| (2 * streams * tokens) as f64 / time.as_secs_f64();
    let ratio = times[0].as_secs_f64() / times[1].as_secs_f64();
    println!(
        "  {streams:>2} streams: plain loop {:.0} tokens/s, Engine {:.0}, ratio {ratio:.4}",
        rate(times[0]),
        rate(times[1])
    );
    ratio
}

/// Different from the beginning, so that nothing is shared.
fn prompt(stream: usize, n_vocab: usize) -> Vec<i32> {
    let token = |at: usize| i32::try_from(3 + (stream * 7_919 + at * 104_729) % (n_vocab - 3)).unwrap();
    (0..PROMPT).map(token).collect()
}

fn engine(model: &Model, streams: usize, threads: u32, unified: bool) -> Engine {
    let mut params = EngineParams {
        sequences: u32::try_from(streams).unwrap(),
        kv_layout: if unified { KvLayout::Unified } else { KvLayout::PerSequence },
        thread_policy: ThreadPolicy::Fixed,
        ..Default::default()
    };
    params.context.length = LENGTH;
    params.context.threads = threads;
    params.context.threads_batch = threads;
    Engine::builder(model).params(params).start().unwrap()
}

fn run(engine: &Engine, streams: usize, tokens: usize) -> Duration {
    let params = GenerationParams {
        max_tokens: Some(u32::try_from(tokens).unwrap()),
        cache_prompt: false,
        sampling: SamplingParams { ignore_eos: true, ..SamplingParams::greedy() },
        ..Default::default()
    };
    let n_vocab = engine.model().tokenizer().vocabulary_size();
    let prompts: Vec<Vec<TokenId>> =
        (0..streams).map(|stream| prompt(stream, n_vocab).into_iter().map(TokenId).collect()).collect();
    let start = Instant::now();
    let request = |prompt| GenerationRequest::new(prompt).params(params.clone()).event_buffer(1_024);
    let streams: Vec<_> = prompts.into_iter().map(|prompt| engine.submit(request(prompt)).unwrap()).collect();
    for stream in streams {
        let (_, summary) = stream.complete().unwrap();
        assert_eq!(summary.usage.completion_tokens as usize, tokens);
    }
    start.elapsed()
}

/// The limit: llama.cpp with nothing around it but the choice of the largest logit of each row.
struct Plain {
    model: *mut sys::llama_model,
    context: *mut sys::llama_context,
    pool: *mut sys::ggml_threadpool,
    batch: sys::llama_batch,
    n_vocab: usize,
    streams: usize,
}

impl Plain {
    fn new(path: &str, streams: usize, threads: u32, unified: bool) -> Self {
        unsafe extern "C" fn silent(_: sys::ggml_log_level, _: *const std::ffi::c_char, _: *mut std::ffi::c_void) {}
        let path = CString::new(path).unwrap();
        let threads = i32::try_from(threads).unwrap();
        let sequences = u32::try_from(streams).unwrap();
        // SAFETY: a bench of its own process: paths and parameters are valid, pointers are checked, all lives to the end.
        unsafe {
            sys::llama_log_set(Some(silent), std::ptr::null_mut());
            sys::llama_backend_init();
            let model = sys::llama_model_load_from_file(path.as_ptr(), sys::llama_model_default_params());
            assert!(!model.is_null(), "cannot load {path:?}");
            let mut params = sys::llama_context_default_params();
            params.n_ctx = LENGTH * sequences;
            params.n_seq_max = sequences;
            params.kv_unified = unified;
            params.n_threads = threads;
            params.n_threads_batch = threads;
            let context = sys::llama_init_from_model(model, params);
            assert!(!context.is_null());
            let pool = sys::mullama_threadpool_new(threads, 50);
            sys::llama_attach_threadpool(context, pool.cast(), pool.cast());
            let n_vocab = sys::llama_vocab_n_tokens(sys::llama_model_get_vocab(model));
            let batch = sys::llama_batch_init(2_048, 0, 1);
            Self { model, context, pool, batch, n_vocab: usize::try_from(n_vocab).unwrap(), streams }
        }
    }

    fn run(&mut self, tokens: usize) -> Duration {
        let start = Instant::now();
        // SAFETY: the context is live.
        unsafe { sys::llama_memory_clear(sys::llama_get_memory(self.context), false) };
        let mut last = Vec::with_capacity(self.streams);
        self.batch.n_tokens = 0;
        for stream in 0..self.streams {
            let prompt = prompt(stream, self.n_vocab);
            for (at, token) in prompt.iter().enumerate() {
                self.push(*token, at, stream, at + 1 == PROMPT);
            }
            last.push(self.batch.n_tokens - 1);
        }
        for step in 0..tokens {
            // SAFETY: context and batch are live, the batch is within n_batch.
            assert_eq!(unsafe { sys::llama_decode(self.context, self.batch) }, 0);
            let chosen: Vec<i32> = last.iter().map(|row| self.largest(*row)).collect();
            self.batch.n_tokens = 0;
            for (stream, token) in chosen.into_iter().enumerate() {
                last[stream] = self.batch.n_tokens;
                self.push(token, PROMPT + step, stream, true);
            }
        }
        start.elapsed()
    }

    fn push(&mut self, token: i32, position: usize, stream: usize, output: bool) {
        let at = usize::try_from(self.batch.n_tokens).unwrap();
        assert!(at < 2_048);
        // SAFETY: the batch was made for 2,048 tokens of one sequence each, and `at` is below that.
        unsafe {
            *self.batch.token.add(at) = token;
            *self.batch.pos.add(at) = i32::try_from(position).unwrap();
            *self.batch.n_seq_id.add(at) = 1;
            **self.batch.seq_id.add(at) = i32::try_from(stream).unwrap();
            *self.batch.logits.add(at) = i8::from(output);
        }
        self.batch.n_tokens += 1;
    }

    fn largest(&self, row: i32) -> i32 {
        // SAFETY: the row was asked for in the batch that has just been decoded; it has n_vocab numbers.
        let row = unsafe { std::slice::from_raw_parts(sys::llama_get_logits_ith(self.context, row), self.n_vocab) };
        let mut best = 0;
        for (index, value) in row.iter().enumerate() {
            if *value > row[best] {
                best = index;
            }
        }
        i32::try_from(best).unwrap()
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // SAFETY: all were made in `new` and are not used again; the context goes before what it points to.
        unsafe {
            sys::llama_batch_free(self.batch);
            sys::llama_free(self.context);
            sys::mullama_threadpool_free(self.pool);
            sys::llama_model_free(self.model);
        }
    }
}
