//! The model of the tests, and how it is asked.

use std::time::{Duration, Instant};

use mullama_async::AsyncModel;
use mullama_core::{ChatMessage, ChatRequest, EngineParams, GenerationParams};
use mullama_demo_models::CHAT;

/// One thread each: the machine of the tests may have few.
pub(crate) fn params() -> EngineParams {
    let mut params = EngineParams { sequences: 4, host_cache_bytes: 0, ..Default::default() };
    params.context.length = 512;
    params.context.threads = 1;
    params.context.threads_batch = 1;
    params
}

pub(crate) async fn model() -> AsyncModel {
    AsyncModel::from_bytes(CHAT).engine_params(params()).load().await.unwrap()
}

pub(crate) fn question(text: &str) -> ChatRequest {
    ChatRequest::new([ChatMessage::user(text)])
}

/// A long answer, whatever the model would rather do: nothing ends it before `tokens`.
pub(crate) fn long(tokens: u32) -> GenerationParams {
    let mut params = GenerationParams::greedy(tokens);
    params.sampling.ignore_eos = true;
    params
}

/// Waits for something that another thread does.
pub(crate) async fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
