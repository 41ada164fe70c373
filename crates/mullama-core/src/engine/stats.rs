//! What an engine has done and how it stands, in numbers that are read without disturbing it.

mod histogram;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use histogram::{Amounts, Durations};
pub use histogram::{HistogramBucket, HistogramSnapshot};

/// The numbers of an engine since its start, as they were when read.
///
/// Counters only rise. Each number is read by itself: between two of them the engine may have gone on by one step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct EngineStats {
    /// Requests that were handed in, the rejected ones included.
    pub requests_submitted: u64,
    /// Requests that were refused because the queue was full.
    pub requests_rejected: u64,
    /// Requests that the model or a stop string ended.
    pub requests_finished_stop: u64,
    /// Requests that reached `max_tokens` or the end of the context.
    pub requests_finished_length: u64,
    /// Requests whose caller gave up.
    pub requests_finished_cancelled: u64,
    /// Requests whose time was over.
    pub requests_finished_timeout: u64,
    /// Requests that ended with an error.
    pub requests_finished_failed: u64,
    /// Times that a running sequence was set back to make room.
    pub preemptions: u64,
    /// Prompt tokens of all requests admitted, in tokens.
    pub prompt_tokens: u64,
    /// Of these, tokens taken from the cache.
    pub prompt_tokens_cached: u64,
    /// Prompt tokens that were computed, in tokens; those computed anew after a preemption included.
    pub prompt_tokens_computed: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// Tokens that a draft proposed.
    pub drafted_tokens: u64,
    /// Of these, tokens that the model accepted.
    pub accepted_draft_tokens: u64,
    /// Decode calls: batches that were computed.
    pub decode_calls: u64,
    /// Tokens in all these batches together.
    pub batch_tokens: u64,
    /// Times that a sequence got what another one held: a common prefix, or all of it to be beside its neighbours.
    pub cache_copies: u64,
    /// Cached prefixes that were given up for room.
    pub cache_evictions: u64,
    /// Sequences whose state was saved to host memory.
    pub host_saves: u64,
    /// Sequences whose state was taken back from host memory.
    pub host_restores: u64,
    /// Times that the oldest part of a full context was cut away.
    pub context_shifts: u64,
    /// Times that a sequence waited because its reader was slow.
    pub reader_stalls: u64,

    /// Requests that wait, now.
    pub queue_depth: u64,
    /// Prompt tokens of the requests that wait, now.
    pub queued_tokens: u64,
    /// Sequences that are computed, now.
    pub sequences_running: u64,
    /// Sequences that wait for their reader or for room, now.
    pub sequences_paused: u64,
    /// Cells of the KV cache in use, in tokens, now.
    pub kv_tokens_used: u64,
    /// Cells of the KV cache, in tokens.
    pub kv_tokens_capacity: u64,
    /// Tokens that the context holds, those of finished requests included; shared ones counted once.
    pub kv_tokens_held: u64,
    /// Host memory that saved sequences take, in bytes, now.
    pub host_bytes_used: u64,
    /// Threads of a call with one token, now.
    pub threads: u64,
    /// Threads of a call with more tokens, now.
    pub threads_batch: u64,

    /// From submission to admission, in seconds, for each request admitted.
    pub queue_wait: HistogramSnapshot,
    /// From admission to the first token, in seconds, for each request.
    pub prefill: HistogramSnapshot,
    /// From submission to the first token, in seconds, for each request.
    pub time_to_first_token: HistogramSnapshot,
    /// Between two tokens of a request, in seconds.
    pub inter_token: HistogramSnapshot,
    /// A decode call, in seconds.
    pub step: HistogramSnapshot,
    /// Sampling for all sequences of one step, in seconds.
    pub sampling: HistogramSnapshot,
    /// Tokens in a batch, for each decode call.
    pub batch_fill: HistogramSnapshot,
    /// Tokens generated per second, for each finished request, its prompt's time left out.
    pub tokens_per_second: HistogramSnapshot,
}

impl EngineStats {
    /// The share of prompt tokens that came from the cache, 0 to 1; 0 before the first prompt.
    #[must_use]
    pub fn cache_hit_ratio(&self) -> f64 {
        ratio(self.prompt_tokens_cached, self.prompt_tokens).min(1.0)
    }

    /// The share of the KV cache in use, 0 to 1; 0 where there is none.
    #[must_use]
    pub fn kv_use(&self) -> f64 {
        ratio(self.kv_tokens_used, self.kv_tokens_capacity).min(1.0)
    }

    /// Tokens per batch; 0 before the first.
    #[must_use]
    pub fn mean_batch(&self) -> f64 {
        ratio(self.batch_tokens, self.decode_calls)
    }

    /// The share of drafted tokens that was accepted, 0 to 1; 0 where nothing was drafted.
    #[must_use]
    pub fn acceptance(&self) -> f64 {
        ratio(self.accepted_draft_tokens, self.drafted_tokens).min(1.0)
    }
}

/// Where the engine notes its numbers. Shared by `Arc`; every write is one or two relaxed atomic additions, no read
/// takes a lock.
///
/// What each field means: the field of that name in [`EngineStats`].
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) requests_submitted: Counter,
    pub(crate) requests_rejected: Counter,
    pub(crate) requests_finished_stop: Counter,
    pub(crate) requests_finished_length: Counter,
    pub(crate) requests_finished_cancelled: Counter,
    pub(crate) requests_finished_timeout: Counter,
    pub(crate) requests_finished_failed: Counter,
    pub(crate) preemptions: Counter,
    pub(crate) prompt_tokens: Counter,
    pub(crate) prompt_tokens_cached: Counter,
    pub(crate) prompt_tokens_computed: Counter,
    pub(crate) generated_tokens: Counter,
    pub(crate) drafted_tokens: Counter,
    pub(crate) accepted_draft_tokens: Counter,
    pub(crate) decode_calls: Counter,
    pub(crate) batch_tokens: Counter,
    pub(crate) cache_copies: Counter,
    pub(crate) cache_evictions: Counter,
    pub(crate) host_saves: Counter,
    pub(crate) host_restores: Counter,
    pub(crate) context_shifts: Counter,
    pub(crate) reader_stalls: Counter,

    pub(crate) queue_depth: Gauge,
    pub(crate) queued_tokens: Gauge,
    pub(crate) sequences_running: Gauge,
    pub(crate) sequences_paused: Gauge,
    pub(crate) kv_tokens_used: Gauge,
    pub(crate) kv_tokens_capacity: Gauge,
    pub(crate) kv_tokens_held: Gauge,
    pub(crate) host_bytes_used: Gauge,
    pub(crate) threads: Gauge,
    pub(crate) threads_batch: Gauge,

    pub(crate) queue_wait: Durations,
    pub(crate) prefill: Durations,
    pub(crate) time_to_first_token: Durations,
    pub(crate) inter_token: Durations,
    pub(crate) step: Durations,
    pub(crate) sampling: Durations,
    pub(crate) batch_fill: Amounts,
    pub(crate) tokens_per_second: Amounts,
}

impl Recorder {
    /// Notes a decode call: `decode_calls`, `batch_tokens`, `batch_fill` and `step`.
    pub(crate) fn decoded(&self, tokens: u64, elapsed: Duration) {
        self.decode_calls.add(1);
        self.batch_tokens.add(tokens);
        self.batch_fill.record_value(tokens);
        self.step.record(elapsed);
    }

    /// Reads every number: about 1,100 atomic loads, and a vector for each histogram that is not empty.
    pub(crate) fn snapshot(&self) -> EngineStats {
        EngineStats {
            requests_submitted: self.requests_submitted.value(),
            requests_rejected: self.requests_rejected.value(),
            requests_finished_stop: self.requests_finished_stop.value(),
            requests_finished_length: self.requests_finished_length.value(),
            requests_finished_cancelled: self.requests_finished_cancelled.value(),
            requests_finished_timeout: self.requests_finished_timeout.value(),
            requests_finished_failed: self.requests_finished_failed.value(),
            preemptions: self.preemptions.value(),
            prompt_tokens: self.prompt_tokens.value(),
            prompt_tokens_cached: self.prompt_tokens_cached.value(),
            prompt_tokens_computed: self.prompt_tokens_computed.value(),
            generated_tokens: self.generated_tokens.value(),
            drafted_tokens: self.drafted_tokens.value(),
            accepted_draft_tokens: self.accepted_draft_tokens.value(),
            decode_calls: self.decode_calls.value(),
            batch_tokens: self.batch_tokens.value(),
            cache_copies: self.cache_copies.value(),
            cache_evictions: self.cache_evictions.value(),
            host_saves: self.host_saves.value(),
            host_restores: self.host_restores.value(),
            context_shifts: self.context_shifts.value(),
            reader_stalls: self.reader_stalls.value(),
            queue_depth: self.queue_depth.value(),
            queued_tokens: self.queued_tokens.value(),
            sequences_running: self.sequences_running.value(),
            sequences_paused: self.sequences_paused.value(),
            kv_tokens_used: self.kv_tokens_used.value(),
            kv_tokens_capacity: self.kv_tokens_capacity.value(),
            kv_tokens_held: self.kv_tokens_held.value(),
            host_bytes_used: self.host_bytes_used.value(),
            threads: self.threads.value(),
            threads_batch: self.threads_batch.value(),
            queue_wait: self.queue_wait.snapshot(),
            prefill: self.prefill.snapshot(),
            time_to_first_token: self.time_to_first_token.snapshot(),
            inter_token: self.inter_token.snapshot(),
            step: self.step.snapshot(),
            sampling: self.sampling.snapshot(),
            batch_fill: self.batch_fill.snapshot(),
            tokens_per_second: self.tokens_per_second.snapshot(),
        }
    }
}

/// A number that only rises.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number as it is now.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests;
