//! The backend's numbers under our names.

use mullama_async::{BackendModel, BackendStats, ModelState};
use mullama_core::{EngineStats, HistogramSnapshot};

use super::text::{Bounds, Counts, Kind, Label, Scale, Text};

/// How the models are.
pub(super) fn models(text: &mut Text, models: &[BackendModel]) {
    let name = "mullama_model_state";
    text.family(name, Kind::Gauge, "1, for the state in which a model is.");
    for model in models {
        text.sample(name, &[("model", &model.name), ("state", state(&model.state))], 1_u64);
    }
    let name = "mullama_model_load";
    text.family(name, Kind::Gauge, "Requests of a model that wait and run.");
    for model in models {
        text.sample(name, &[("model", &model.name)], model.load as u64);
    }
    let name = "mullama_engine_restarts_total";
    text.family(name, Kind::Counter, "Times that the engine of a model died and was started again.");
    for model in models {
        text.sample(name, &[("model", &model.name)], model.restarts);
    }
    let name = "mullama_model_memory_bytes";
    text.family(name, Kind::Gauge, "What a model takes in memory, as far as known.");
    for model in models {
        text.sample(name, &[("model", &model.name)], model.memory_bytes);
    }
}

/// What the engines have done.
pub(super) fn engines(text: &mut Text, stats: &[BackendStats]) {
    let numbers: Vec<String> = stats.iter().map(|one| one.engine.to_string()).collect();
    let engines = || {
        stats.iter().zip(&numbers).map(|(one, number)| {
            let labels: [Label<'_>; 2] = [("model", &one.model), ("engine", number)];
            (labels, &one.stats)
        })
    };
    let name = "mullama_requests_finished_total";
    text.family(name, Kind::Counter, "Requests that ended, by reason.");
    for ([model, engine], stats) in engines() {
        for (reason, count) in finished(stats) {
            text.sample(name, &[model, engine, ("reason", reason)], count);
        }
    }
    for (kind, rows) in [(Kind::Counter, COUNTERS), (Kind::Gauge, GAUGES)] {
        for (name, help, value) in rows {
            text.family(name, kind, help);
            for (labels, stats) in engines() {
                text.sample(name, &labels, value(stats));
            }
        }
    }
    for (name, help, bounds, snapshot) in HISTOGRAMS {
        text.family(name, Kind::Histogram, help);
        for (labels, stats) in engines() {
            histogram(text, name, &labels, *bounds, &[snapshot(stats)]);
        }
    }
}

/// Histograms of several engines added up.
pub(super) fn histogram(
    text: &mut Text,
    name: &str,
    labels: &[Label<'_>],
    bounds: Bounds,
    snapshots: &[&HistogramSnapshot],
) {
    let counts = Counts {
        bounds,
        below: |power| snapshots.iter().map(|snapshot| snapshot.below(bounds.value(power))).sum(),
        count: snapshots.iter().map(|snapshot| snapshot.count).sum(),
        // Not `sum()`, which begins at -0.
        sum: snapshots.iter().fold(0.0, |sum, snapshot| sum + snapshot.sum),
    };
    text.histogram(name, labels, &counts);
}

/// Why requests ended, and how many for each reason.
pub(super) fn finished(stats: &EngineStats) -> [(&'static str, u64); 5] {
    [
        ("stop", stats.requests_finished_stop),
        ("length", stats.requests_finished_length),
        ("cancelled", stats.requests_finished_cancelled),
        ("timeout", stats.requests_finished_timeout),
        ("failed", stats.requests_finished_failed),
    ]
}

fn state(state: &ModelState) -> &'static str {
    match state {
        ModelState::Unloaded => "unloaded",
        ModelState::Loading => "loading",
        ModelState::Ready => "ready",
        ModelState::Unloading => "unloading",
        ModelState::Failed { .. } => "failed",
        _ => "unknown",
    }
}

/// Name, meaning, and where it comes from.
type Row = (&'static str, &'static str, fn(&EngineStats) -> u64);
type HistogramRow = (&'static str, &'static str, Bounds, fn(&EngineStats) -> &HistogramSnapshot);

const COUNTERS: &[Row] = &[
    ("mullama_requests_submitted_total", "Requests handed in, the rejected ones included.", |s| s.requests_submitted),
    ("mullama_requests_rejected_total", "Requests refused because the queue was full.", |s| s.requests_rejected),
    ("mullama_preemptions_total", "Times that a running sequence was set back to make room.", |s| s.preemptions),
    ("mullama_prompt_tokens_total", "Prompt tokens of all requests admitted.", |s| s.prompt_tokens),
    ("mullama_prompt_tokens_cached_total", "Prompt tokens taken from the cache.", |s| s.prompt_tokens_cached),
    ("mullama_prompt_tokens_computed_total", "Prompt tokens that were computed.", |s| s.prompt_tokens_computed),
    ("mullama_generated_tokens_total", "Tokens generated.", |s| s.generated_tokens),
    ("mullama_drafted_tokens_total", "Tokens that a draft proposed.", |s| s.drafted_tokens),
    ("mullama_accepted_draft_tokens_total", "Drafted tokens that the model accepted.", |s| s.accepted_draft_tokens),
    ("mullama_decode_calls_total", "Batches that were computed.", |s| s.decode_calls),
    ("mullama_batch_tokens_total", "Tokens in all batches.", |s| s.batch_tokens),
    ("mullama_cache_hits_total", "Times that cached cells were shared with a new sequence.", |s| s.cache_copies),
    ("mullama_cache_evictions_total", "Cached prefixes that were given up for room.", |s| s.cache_evictions),
    ("mullama_host_saves_total", "Sequences saved to host memory.", |s| s.host_saves),
    ("mullama_host_restores_total", "Sequences taken back from host memory.", |s| s.host_restores),
    ("mullama_context_shifts_total", "Times that the oldest part of a full context was cut away.", |s| {
        s.context_shifts
    }),
    ("mullama_reader_stalls_total", "Times that a sequence waited for a slow reader.", |s| s.reader_stalls),
];

const GAUGES: &[Row] = &[
    ("mullama_queue_depth", "Requests that wait.", |s| s.queue_depth),
    ("mullama_queued_tokens", "Prompt tokens of the requests that wait.", |s| s.queued_tokens),
    ("mullama_sequences_running", "Sequences that are computed.", |s| s.sequences_running),
    ("mullama_sequences_paused", "Sequences that wait for their reader or for room.", |s| s.sequences_paused),
    ("mullama_kv_tokens_used", "Cells of the KV cache in use.", |s| s.kv_tokens_used),
    ("mullama_kv_tokens_held", "Cells that hold tokens, those of finished requests included.", |s| s.kv_tokens_held),
    ("mullama_kv_tokens_capacity", "Cells of the KV cache.", |s| s.kv_tokens_capacity),
    ("mullama_host_bytes_used", "Host memory that saved sequences take.", |s| s.host_bytes_used),
    ("mullama_threads", "Threads of a call with one token.", |s| s.threads),
    ("mullama_threads_batch", "Threads of a call with more tokens.", |s| s.threads_batch),
];

/// 66 µs to 4.3 s.
pub(super) const SHORT: Bounds = Bounds { scale: Scale::Time, first: 16, last: 32 };
/// 1 ms to 275 s.
pub(super) const LONG: Bounds = Bounds { scale: Scale::Time, first: 20, last: 38 };

const HISTOGRAMS: &[HistogramRow] = &[
    ("mullama_queue_wait_seconds", "From submission to admission.", LONG, |s| &s.queue_wait),
    ("mullama_prefill_seconds", "From admission to the first token.", LONG, |s| &s.prefill),
    ("mullama_time_to_first_token_seconds", "From submission to the first token.", LONG, |s| &s.time_to_first_token),
    ("mullama_inter_token_seconds", "Between two tokens of a request.", SHORT, |s| &s.inter_token),
    ("mullama_step_seconds", "A decode call.", SHORT, |s| &s.step),
    (
        "mullama_sampling_seconds",
        "Sampling for all sequences of one step.",
        Bounds { scale: Scale::Time, first: 12, last: 26 },
        |s| &s.sampling,
    ),
    ("mullama_batch_fill_tokens", "Tokens in a batch.", Bounds { scale: Scale::Whole, first: 1, last: 13 }, |s| {
        &s.batch_fill
    }),
    (
        "mullama_request_tokens_per_second",
        "Tokens generated per second, for each finished request, its prompt's time left out.",
        Bounds { scale: Scale::Rate, first: 0, last: 13 },
        |s| &s.tokens_per_second,
    ),
];
