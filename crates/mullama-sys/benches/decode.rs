//! What mullama costs over llama.cpp: `Context::generate` against a plain `llama_decode` loop on the same linked
//! library, interleaved in one run.
//!
//! `cargo bench -p mullama-sys --bench decode -- [MODEL.gguf] [--pairs N] [--tokens N]`; without a model the project's
//! own. Prints microseconds per token and the ratio of each pair, and the medians. `--test` runs one short pair.

use std::ffi::CString;
use std::time::{Duration, Instant};

use mullama_core::{FlashAttention, GenerationParams, Model, SamplingParams, TokenEvent, TokenId};
use mullama_sys as sys;

const PROMPT: [i32; 5] = [1, 5, 9, 13, 17];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after =
        |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1)?.parse().ok());
    let smoke = arguments.iter().any(|argument| argument == "--test");
    let (pairs, tokens) =
        if smoke { (1, 16) } else { (after("--pairs").unwrap_or(7), after("--tokens").unwrap_or(128)) };
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../mullama-demo-models/models/mullama-tiny-q8_0.gguf");
    let path = arguments.iter().find(|argument| argument.ends_with(".gguf")).map_or(own, String::as_str);
    let threads = after("--threads").unwrap_or(1);

    let mut plain = Plain::new(path, i32::try_from(threads).unwrap());
    let model = Model::load(path).unwrap();
    println!(
        "{} ({} parameters), {threads} thread(s), {tokens} tokens a run, {pairs} pair(s)",
        model.description(),
        model.parameter_count()
    );
    let greedy = GenerationParams {
        max_tokens: Some(u32::try_from(tokens).unwrap()),
        cache_prompt: false,
        sampling: SamplingParams { ignore_eos: false, ..SamplingParams::greedy() },
        ..Default::default()
    };
    let sampled =
        GenerationParams { sampling: SamplingParams { seed: Some(1), ..Default::default() }, ..greedy.clone() };
    for (name, params) in [("greedy", greedy), ("default sampling chain", sampled)] {
        compare(name, pairs, &mut plain, &model, &params);
    }
}

fn compare(name: &str, pairs: usize, plain: &mut Plain, model: &Model, params: &GenerationParams) {
    let threads = u32::try_from(plain.threads).unwrap();
    let mut context =
        model.context().length(1_024).threads(threads).flash_attention(FlashAttention::Auto).build().unwrap();
    let (mut ratios, mut beyond) = (Vec::new(), Vec::new());
    // The first pair touches the weights and is not counted.
    for pair in 0..=pairs {
        let [limit, decode, mine] = run_pair(plain, &mut context, params);
        if pair > 0 {
            ratios.push(mine / limit);
            beyond.push(mine - decode);
            println!(
                "  {name}: plain loop {limit:.2} us/token (decode alone {decode:.2}), Context {mine:.2} us/token, ratio {:.4}",
                mine / limit
            );
        }
    }
    println!(
        "{name}: median ratio {:.4}, median beyond the decode call {:.2} us/token",
        median(&mut ratios),
        median(&mut beyond)
    );
}

/// Both sides token by token in turn, so that what else the machine does meets both alike. Median times of a token: the
/// plain loop, its `llama_decode` alone, and `Generation::next`.
fn run_pair(plain: &mut Plain, context: &mut mullama_core::Context, params: &GenerationParams) -> [f64; 3] {
    let prompt = PROMPT.map(TokenId);
    let (mut limits, mut decodes, mut mine) = (Vec::new(), Vec::new(), Vec::new());
    plain.start();
    let mut generation = context.generate(&prompt[..], params).unwrap();
    assert!(matches!(generation.next(), Some(Ok(TokenEvent::Token { .. }))), "the prompt and the first token");
    loop {
        let (limit, decode) = plain.step();
        let started = Instant::now();
        let event = generation.next().unwrap().unwrap();
        let took = started.elapsed();
        let TokenEvent::Token { .. } = event else { break };
        limits.push(micros(limit));
        decodes.push(micros(decode));
        mine.push(micros(took));
    }
    [median(&mut limits), median(&mut decodes), median(&mut mine)]
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The limit: llama.cpp with nothing around it but the choice of the largest logit.
struct Plain {
    context: *mut sys::llama_context,
    n_vocab: usize,
    threads: i32,
    token: i32,
}

impl Plain {
    fn new(path: &str, threads: i32) -> Self {
        unsafe extern "C" fn silent(_: sys::ggml_log_level, _: *const std::ffi::c_char, _: *mut std::ffi::c_void) {}
        let path = CString::new(path).unwrap();
        // SAFETY: a bench of its own process: paths and parameters are valid, pointers are checked, all lives to the end.
        unsafe {
            sys::llama_log_set(Some(silent), std::ptr::null_mut());
            sys::llama_backend_init();
            let model = sys::llama_model_load_from_file(path.as_ptr(), sys::llama_model_default_params());
            assert!(!model.is_null(), "cannot load {path:?}");
            let mut params = sys::llama_context_default_params();
            params.n_ctx = 1_024;
            params.n_threads = threads;
            params.n_threads_batch = threads;
            let context = sys::llama_init_from_model(model, params);
            assert!(!context.is_null());
            let pool = sys::mullama_threadpool_new(threads, 50);
            sys::llama_attach_threadpool(context, pool.cast(), pool.cast());
            let n_vocab = sys::llama_vocab_n_tokens(sys::llama_model_get_vocab(model));
            Self { context, n_vocab: usize::try_from(n_vocab).unwrap(), threads, token: 0 }
        }
    }

    fn start(&mut self) {
        let mut prompt = PROMPT;
        // SAFETY: the context is live; the batch points to a local that outlives the call.
        unsafe {
            sys::llama_memory_clear(sys::llama_get_memory(self.context), false);
            assert_eq!(sys::llama_decode(self.context, sys::llama_batch_get_one(prompt.as_mut_ptr(), 5)), 0);
            self.token = self.largest();
        }
    }

    /// Wall time of one token, and of its `llama_decode` alone.
    fn step(&mut self) -> (Duration, Duration) {
        let started = Instant::now();
        // SAFETY: as above; the row that `largest` reads has just been computed.
        unsafe {
            assert_eq!(sys::llama_decode(self.context, sys::llama_batch_get_one(&raw mut self.token, 1)), 0);
            let decoding = started.elapsed();
            self.token = self.largest();
            (started.elapsed(), decoding)
        }
    }

    unsafe fn largest(&self) -> i32 {
        // SAFETY: the caller has just decoded with logits for the last row, which has n_vocab numbers.
        let row = unsafe { std::slice::from_raw_parts(sys::llama_get_logits_ith(self.context, -1), self.n_vocab) };
        let mut best = 0;
        for (index, value) in row.iter().enumerate() {
            if *value > row[best] {
                best = index;
            }
        }
        i32::try_from(best).unwrap()
    }
}
