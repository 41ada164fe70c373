//! The same numbers under the names of vLLM, which balancers of the Gateway API Inference Extension read, and of
//! llama.cpp's server.

use std::time::{SystemTime, UNIX_EPOCH};

use mullama_async::{BackendModel, BackendStats, ModelState};
use mullama_core::{EngineStats, HistogramSnapshot};

use super::engines::{LONG, SHORT, finished, histogram};
use super::text::{Bounds, Kind, Text, Value};

pub(super) fn write(text: &mut Text, stats: &[BackendStats], models: &[BackendModel]) {
    vllm(text, stats, models);
    adapters(text, models);
    llama_cpp(text, stats);
}

/// A model with all its engines.
struct Served<'a> {
    name: &'a str,
    engines: Vec<&'a EngineStats>,
    /// Requests that wait and run, as the backend knows without its engines.
    load: u64,
}

impl Served<'_> {
    fn sum(&self, value: fn(&EngineStats) -> u64) -> u64 {
        self.engines.iter().map(|stats| value(stats)).sum()
    }

    /// A model that is not loaded has no engine that counts: its requests wait for the load.
    fn waiting(&self) -> u64 {
        if self.engines.is_empty() { self.load } else { self.sum(|s| s.queue_depth) }
    }

    fn kv_use(&self) -> f64 {
        let capacity = self.sum(|s| s.kv_tokens_capacity);
        if capacity == 0 { 0.0 } else { (self.sum(|s| s.kv_tokens_used) as f64 / capacity as f64).min(1.0) }
    }
}

fn vllm(text: &mut Text, stats: &[BackendStats], models: &[BackendModel]) {
    let served = |model: &'_ BackendModel| {
        stats.iter().filter(|one| one.model == model.name).map(|one| &one.stats).collect::<Vec<_>>()
    };
    let served: Vec<Served<'_>> = models
        .iter()
        .map(|model| Served { name: &model.name, engines: served(model), load: model.load as u64 })
        .collect();
    for (name, kind, help, value) in VLLM {
        text.family(name, *kind, help);
        for model in &served {
            text.sample(name, &[("model_name", model.name)], value(model));
        }
    }
    let name = "vllm:request_success_total";
    text.family(name, Kind::Counter, "Requests that ended well, by reason.");
    for model in &served {
        // The first two: what ended otherwise is not a success.
        for index in 0..2 {
            let reason = finished(&EngineStats::default())[index].0;
            let count: u64 = model.engines.iter().map(|stats| finished(stats)[index].1).sum();
            text.sample(name, &[("model_name", model.name), ("finished_reason", reason)], count);
        }
    }
    let name = "vllm:cache_config_info";
    text.family(name, Kind::Gauge, "1, with the size of the KV cache, told in blocks.");
    for model in &served {
        let blocks = (model.sum(|s| s.kv_tokens_capacity) / BLOCK).to_string();
        let labels = [("model_name", model.name), ("block_size", BLOCK_TEXT), ("num_gpu_blocks", &blocks)];
        text.sample(name, &labels, 1_u64);
    }
    for (name, help, bounds, snapshot) in VLLM_HISTOGRAMS {
        text.family(name, Kind::Histogram, help);
        for model in &served {
            let snapshots: Vec<_> = model.engines.iter().map(|stats| snapshot(stats)).collect();
            histogram(text, name, &[("model_name", model.name)], *bounds, &snapshots);
        }
    }
}

/// One series for all models, since readers look only at the newest: the adapters that are in memory.
fn adapters(text: &mut Text, models: &[BackendModel]) {
    let names = |ready: bool| {
        let of = |model: &&BackendModel| matches!(model.state, ModelState::Ready) == ready;
        let names = models.iter().filter(of).flat_map(|model| &model.adapters).map(|adapter| adapter.name.as_str());
        names.collect::<Vec<_>>()
    };
    let (running, others) = (names(true), names(false));
    let all = running.len() + others.len();
    if all == 0 {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let (most, running) = (all.to_string(), running.join(","));
    let name = "vllm:lora_requests_info";
    text.family(name, Kind::Gauge, "Now, in seconds since 1970, with the adapters in memory.");
    let labels = [("max_lora", most.as_str()), ("running_lora_adapters", &running), ("waiting_lora_adapters", "")];
    text.sample(name, &labels, now);
}

/// All engines added up: llama.cpp's server has one model.
fn llama_cpp(text: &mut Text, stats: &[BackendStats]) {
    let all = Served { name: "", engines: stats.iter().map(|one| &one.stats).collect(), load: 0 };
    for (name, kind, help, value) in LLAMA_CPP {
        text.family(name, *kind, help);
        text.sample(name, &[], value(&all));
    }
}

fn seconds(served: &Served<'_>, snapshot: fn(&EngineStats) -> &HistogramSnapshot) -> f64 {
    // Not `sum()`, which begins at -0.
    served.engines.iter().fold(0.0, |sum, stats| sum + snapshot(stats).sum)
}

fn rate(tokens: u64, seconds: f64) -> Value {
    Value::Real(if seconds > 0.0 { tokens as f64 / seconds } else { 0.0 })
}

type Row = (&'static str, Kind, &'static str, fn(&Served<'_>) -> Value);
type HistogramRow = (&'static str, &'static str, Bounds, fn(&EngineStats) -> &HistogramSnapshot);

const VLLM: &[Row] = &[
    ("vllm:num_requests_waiting", Kind::Gauge, "Requests that wait.", |m| m.waiting().into()),
    ("vllm:num_requests_running", Kind::Gauge, "Requests that are computed.", |m| {
        m.sum(|s| s.sequences_running + s.sequences_paused).into()
    }),
    ("vllm:kv_cache_usage_perc", Kind::Gauge, "The share of the KV cache in use, 0 to 1.", |m| m.kv_use().into()),
    ("vllm:gpu_cache_usage_perc", Kind::Gauge, "The same under its older name.", |m| m.kv_use().into()),
    ("vllm:num_preemptions_total", Kind::Counter, "Times that a request was set back.", |m| {
        m.sum(|s| s.preemptions).into()
    }),
    ("vllm:prompt_tokens_total", Kind::Counter, "Prompt tokens.", |m| m.sum(|s| s.prompt_tokens).into()),
    ("vllm:generation_tokens_total", Kind::Counter, "Tokens generated.", |m| m.sum(|s| s.generated_tokens).into()),
    ("vllm:prefix_cache_queries_total", Kind::Counter, "Prompt tokens looked up in the cache.", |m| {
        m.sum(|s| s.prompt_tokens).into()
    }),
    ("vllm:prefix_cache_hits_total", Kind::Counter, "Prompt tokens found in the cache.", |m| {
        m.sum(|s| s.prompt_tokens_cached).into()
    }),
];

const VLLM_HISTOGRAMS: &[HistogramRow] = &[
    ("vllm:time_to_first_token_seconds", "From submission to the first token.", LONG, |s| &s.time_to_first_token),
    ("vllm:inter_token_latency_seconds", "Between two tokens of a request.", SHORT, |s| &s.inter_token),
    ("vllm:request_queue_time_seconds", "From submission to admission.", LONG, |s| &s.queue_wait),
];

const LLAMA_CPP: &[Row] = &[
    ("llamacpp:requests_processing", Kind::Gauge, "Requests that are computed.", |all| {
        all.sum(|s| s.sequences_running + s.sequences_paused).into()
    }),
    ("llamacpp:requests_deferred", Kind::Gauge, "Requests that wait.", |all| all.sum(|s| s.queue_depth).into()),
    ("llamacpp:prompt_tokens_total", Kind::Counter, "Prompt tokens that were computed.", |all| {
        all.sum(|s| s.prompt_tokens_computed).into()
    }),
    ("llamacpp:prompt_tokens_cached_total", Kind::Counter, "Prompt tokens taken from the cache.", |all| {
        all.sum(|s| s.prompt_tokens_cached).into()
    }),
    ("llamacpp:prompt_seconds_total", Kind::Counter, "Time that prompts took, of all requests.", |all| {
        seconds(all, |s| &s.prefill).into()
    }),
    ("llamacpp:tokens_predicted_total", Kind::Counter, "Tokens generated.", |all| {
        all.sum(|s| s.generated_tokens).into()
    }),
    ("llamacpp:tokens_predicted_seconds_total", Kind::Counter, "Time that answers took, of all requests.", |all| {
        seconds(all, |s| &s.inter_token).into()
    }),
    ("llamacpp:n_decode_total", Kind::Counter, "Batches that were computed.", |all| all.sum(|s| s.decode_calls).into()),
    ("llamacpp:kv_cache_usage_ratio", Kind::Gauge, "The share of the KV cache in use, 0 to 1.", |all| {
        all.kv_use().into()
    }),
    ("llamacpp:prompt_tokens_seconds", Kind::Gauge, "Prompt tokens per second, since the start.", |all| {
        rate(all.sum(|s| s.prompt_tokens_computed), seconds(all, |s| &s.prefill))
    }),
    ("llamacpp:predicted_tokens_seconds", Kind::Gauge, "Tokens generated per second, since the start.", |all| {
        rate(all.sum(|s| s.generated_tokens), seconds(all, |s| &s.inter_token))
    }),
];

/// Tokens. We have no blocks; whoever hashes prompts by blocks uses this length.
const BLOCK: u64 = 32;
const BLOCK_TEXT: &str = "32";
