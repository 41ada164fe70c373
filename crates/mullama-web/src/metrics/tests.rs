//! Tests.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use mullama_async::{Adapter, LocalBackend, ModelInfo, ModelState};
use mullama_core::{EngineParams, EngineStats, HistogramSnapshot};
use serde_json::json;

use super::*;
use crate::config::WebConfig;

const ODD: &str = "odd \"name\" \\ with\nlines, {braces}=é";

/// A name and labels.
type Key = (String, BTreeMap<String, String>);

/// A scrape, read as Prometheus reads it, but with no patience.
#[derive(Debug, Default)]
struct Scrape {
    kinds: HashMap<String, String>,
    samples: BTreeMap<Key, f64>,
}

impl Scrape {
    fn read(text: &str) -> Self {
        let mut scrape = Self::default();
        let (mut family, mut helped) = (String::new(), HashSet::new());
        assert!(text.ends_with('\n'));
        for line in text.split_terminator('\n') {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(is_name(name) && !help.is_empty() && helped.insert(name.to_owned()), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(helped.contains(name) && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(scrape.kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line} comes twice");
                name.clone_into(&mut family);
            } else {
                scrape.sample(line, &family);
            }
        }
        assert_eq!(helped.len(), scrape.kinds.len());
        scrape
    }

    fn sample(&mut self, line: &str, family: &str) {
        let end = line.find(['{', ' ']).unwrap();
        let (name, mut rest) = line.split_at(end);
        let mut labels = BTreeMap::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            loop {
                let (label, after) = rest.split_once("=\"").unwrap();
                assert!(is_name(label) && !label.contains(':'), "{line}");
                let (value, after) = unquote(after);
                assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
                match after.split_at(1) {
                    (",", after) => rest = after,
                    ("}", after) => {
                        rest = after;
                        break;
                    }
                    _ => panic!("{line}"),
                }
            }
        }
        let value = rest.strip_prefix(' ').unwrap();
        assert!(!value.contains(' '), "{line}");
        let value: f64 = value.replace("Inf", "inf").parse().unwrap();
        let kind = self.kinds.get(family).map(String::as_str);
        let expected: &[&str] = if kind == Some("histogram") { &["_bucket", "_sum", "_count"] } else { &[""] };
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("{line} stands in {family}"));
        assert!(expected.contains(&suffix) && (suffix == "_bucket") == labels.contains_key("le"), "{line}");
        assert!(kind != Some("counter") || (name.ends_with("_total") && value >= 0.0), "{line}");
        assert!(self.samples.insert((name.to_owned(), labels), value).is_none(), "{line} comes twice");
    }

    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let labels = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        *self.samples.get(&(name.to_owned(), labels)).unwrap_or_else(|| panic!("no {name}"))
    }

    /// All histograms: never falling, ending at +Inf with the count.
    fn check_histograms(&self) -> usize {
        let mut series: BTreeMap<Key, Vec<(f64, f64)>> = BTreeMap::new();
        for ((name, labels), value) in &self.samples {
            let Some(base) = name.strip_suffix("_bucket") else { continue };
            let mut labels = labels.clone();
            let bound = labels.remove("le").unwrap().replace("+Inf", "inf").parse().unwrap();
            series.entry((base.to_owned(), labels)).or_default().push((bound, *value));
        }
        for ((base, labels), buckets) in &mut series {
            buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
            assert!(buckets.is_sorted_by(|one, other| one.0 < other.0 && one.1 <= other.1), "{base} {buckets:?}");
            let last = buckets.last().unwrap();
            assert_eq!(*last, (f64::INFINITY, self.samples[&(format!("{base}_count"), labels.clone())]));
            assert!(self.samples[&(format!("{base}_sum"), labels.clone())] >= 0.0);
        }
        series.len()
    }
}

fn is_name(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.starts_with(first) && name.chars().all(|c| first(c) || c.is_ascii_digit())
}

fn unquote(text: &str) -> (String, &str) {
    let (mut value, mut chars) = (String::new(), text.char_indices());
    while let Some((index, c)) = chars.next() {
        match c {
            '"' => return (value, &text[index + 1..]),
            '\\' => value.push(match chars.next().unwrap().1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                c => panic!("\\{c}"),
            }),
            c => value.push(c),
        }
    }
    panic!("no end of {text}")
}

/// With `each` values in every bucket that an engine has.
fn full(unit: f64, each: u64) -> HistogramSnapshot {
    let bound = |index: u32| f64::from(4 + index % 4) * f64::from(index / 4).exp2() * 256.0 * unit;
    let bucket = |index: u32| json!({ "lower": bound(index), "upper": bound(index + 1), "count": each });
    let buckets: Vec<_> = (0..132).map(bucket).collect();
    serde_json::from_value(json!({ "buckets": buckets, "count": 132 * each, "sum": 12.5 })).unwrap()
}

fn numbers(scale: u64) -> EngineStats {
    let mut stats = EngineStats::default();
    stats.requests_finished_stop = 7 * scale;
    stats.prompt_tokens = 1_000 * scale;
    stats.prompt_tokens_cached = 400 * scale;
    stats.prompt_tokens_computed = 600 * scale;
    stats.generated_tokens = 50 * scale;
    stats.queue_depth = 3 * scale;
    stats.sequences_running = 2 * scale;
    stats.kv_tokens_used = 256;
    stats.kv_tokens_capacity = 1_024;
    for histogram in [
        &mut stats.queue_wait,
        &mut stats.prefill,
        &mut stats.time_to_first_token,
        &mut stats.inter_token,
        &mut stats.step,
        &mut stats.sampling,
    ] {
        *histogram = full(1e-9, scale);
    }
    (stats.batch_fill, stats.tokens_per_second) = (full(1.0 / 1_024.0, scale), full(1.0 / 1_024.0, scale));
    stats
}

fn model(name: &str, state: ModelState, adapters: &[&str]) -> BackendModel {
    let adapters = adapters.iter().enumerate();
    BackendModel {
        name: name.to_owned(),
        aliases: Vec::new(),
        state,
        load: 4,
        restarts: 2,
        memory_bytes: 1 << 40,
        created: 0,
        unloads_in_ms: None,
        info: Some(ModelInfo { sequences: 4, ..ModelInfo::default() }),
        adapters: adapters.map(|(id, &name)| Adapter { id, name: name.to_owned(), scale: 1.0 }).collect(),
    }
}

fn state(aliases: bool) -> AppState {
    let backend = LocalBackend::builder().model("m", "missing.gguf", EngineParams::default()).build().unwrap();
    let config = WebConfig { metrics_aliases: aliases, ..WebConfig::default() };
    let state = AppState::with_backend(Arc::new(backend), config).unwrap();
    for (status, ms) in [(200, 3), (200, 40_000), (429, 0)] {
        state.metrics().began();
        let (route, outcome, time) = ("/v1/{*rest}", Outcome::Complete, Duration::from_millis(ms));
        state.metrics().finished(&Finished { route, method: "POST", status, outcome, time, bytes: 10 });
    }
    state.metrics().error("rate_limit_error", Some("server_overloaded"));
    state.metrics().first_token(ODD, Duration::from_millis(70));
    state
}

fn engines() -> (Vec<BackendStats>, Vec<BackendModel>) {
    let engine = |model: &str, engine: usize| {
        let scale = engine as u64 + 1;
        BackendStats { model: model.to_owned(), engine, stats: numbers(scale) }
    };
    let models = vec![
        model(ODD, ModelState::Ready, &["one", "two"]),
        model("m", ModelState::Unloaded, &[]),
        model("failed", ModelState::Failed { reason: "a secret path".to_owned() }, &["three"]),
    ];
    (vec![engine(ODD, 0), engine(ODD, 1), engine("failed", 0)], models)
}

#[test]
fn every_line_is_what_prometheus_reads() {
    let (stats, models) = engines();
    let text = write(&state(true), &stats, &models);
    assert!(!text.contains("secret"));
    let scrape = Scrape::read(&text);
    // Eight of each of three engines, three of each of three models, one route, one first token.
    assert_eq!(scrape.check_histograms(), 8 * 3 + 3 * 3 + 2);

    let [one, two] = [[("model", ODD), ("engine", "0")], [("model", ODD), ("engine", "1")]];
    assert_eq!(scrape.value("mullama_prompt_tokens_total", &one), 1_000.0);
    assert_eq!(scrape.value("mullama_prompt_tokens_total", &two), 2_000.0);
    assert_eq!(scrape.value("mullama_requests_finished_total", &[one[0], one[1], ("reason", "stop")]), 7.0);
    assert_eq!(scrape.value("mullama_step_seconds_count", &two), 264.0);
    assert_eq!(scrape.value("mullama_model_state", &[("model", "failed"), ("state", "failed")]), 1.0);
    let post = [("route", "/v1/{*rest}"), ("method", "POST"), ("status", "200"), ("outcome", "complete")];
    assert_eq!(scrape.value("mullama_http_requests_total", &post), 2.0);
    assert_eq!(scrape.value("mullama_http_requests_in_flight", &[]), 0.0);
    let first = [("model", ODD), ("le", "0.067108864")];
    assert_eq!(scrape.value("mullama_http_time_to_first_token_seconds_bucket", &first), 0.0);
    let first = [("model", ODD), ("le", "0.134217728")];
    assert_eq!(scrape.value("mullama_http_time_to_first_token_seconds_bucket", &first), 1.0);

    let odd = [("model_name", ODD)];
    assert_eq!(scrape.value("vllm:num_requests_waiting", &odd), 9.0);
    assert_eq!(scrape.value("vllm:num_requests_running", &odd), 6.0);
    assert_eq!(scrape.value("vllm:kv_cache_usage_perc", &odd), 0.25);
    assert_eq!(scrape.value("vllm:num_requests_waiting", &[("model_name", "m")]), 4.0);
    assert_eq!(scrape.value("vllm:cache_config_info", &[odd[0], ("block_size", "32"), ("num_gpu_blocks", "64")]), 1.0);
    assert_eq!(scrape.value("vllm:time_to_first_token_seconds_count", &odd), 396.0);
    let lora = [("max_lora", "3"), ("running_lora_adapters", "one,two"), ("waiting_lora_adapters", "")];
    assert!(scrape.value("vllm:lora_requests_info", &lora) > 1.7e9);

    assert_eq!(scrape.value("llamacpp:tokens_predicted_total", &[]), 200.0);
    assert_eq!(scrape.value("llamacpp:requests_deferred", &[]), 12.0);
    assert_eq!(scrape.value("llamacpp:prompt_seconds_total", &[]), 37.5);
    assert_eq!(scrape.value("llamacpp:prompt_tokens_seconds", &[]), 2_400.0 / 37.5);
    assert_eq!(scrape.value("llamacpp:kv_cache_usage_ratio", &[]), 0.25);
    #[cfg(target_os = "linux")]
    assert!(scrape.value("process_resident_memory_bytes", &[]) > 1e5);
}

#[test]
fn a_server_that_has_done_nothing_has_numbers() {
    let text = write(&state(true), &[], &[]);
    let scrape = Scrape::read(&text);
    assert_eq!(scrape.value("llamacpp:predicted_tokens_seconds", &[]), 0.0);
    assert!(!text.contains(" -0\n") && !text.contains("NaN"), "{text}");
}

#[test]
fn names_of_others_can_be_left_out() {
    let (stats, models) = engines();
    let state = state(false);
    let text = write(&state, &stats, &models);
    assert!(!text.contains("vllm:") && !text.contains("llamacpp:") && text.contains("mullama_queue_depth"));
    assert_eq!(state.metrics().load(&state), None);
}

#[test]
fn buckets_have_the_counts_of_the_engine() {
    let (stats, models) = engines();
    let scrape = Scrape::read(&write(&state(false), &stats, &models));
    let below = |name: &str, le: &str| scrape.value(name, &[("model", ODD), ("engine", "0"), ("le", le)]);
    // Four buckets to each doubling from 2^10 ns, one value in each.
    assert_eq!(below("mullama_step_seconds_bucket", "0.000065536"), 24.0);
    assert_eq!(below("mullama_step_seconds_bucket", "4.294967296"), 88.0);
    // From an amount of 1.
    assert_eq!(below("mullama_batch_fill_tokens_bucket", "1"), 4.0);
    assert_eq!(below("mullama_batch_fill_tokens_bucket", "511"), 36.0);
    assert_eq!(below("mullama_request_tokens_per_second_bucket", "1"), 0.0);
    assert_eq!(below("mullama_request_tokens_per_second_bucket", "64"), 24.0);
}

#[test]
fn a_scrape_takes_less_than_a_millisecond() {
    let (state, (stats, models)) = (state(true), engines());
    let best = (0..50).map(|_| {
        let started = Instant::now();
        assert!(write(&state, &stats, &models).len() > 10_000);
        started.elapsed()
    });
    let limit = if cfg!(debug_assertions) { Duration::from_millis(20) } else { Duration::from_millis(1) };
    let best = best.min().unwrap();
    assert!(best < limit, "{best:?}");
}

#[tokio::test]
async fn metrics_can_be_switched_off() {
    let response = metrics(State(state(true))).await;
    assert_eq!(response.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    let backend = LocalBackend::builder().model("m", "missing.gguf", EngineParams::default()).build().unwrap();
    let config = WebConfig { metrics: false, ..WebConfig::default() };
    let response = metrics(State(AppState::with_backend(Arc::new(backend), config).unwrap())).await;
    assert_eq!(response.status(), http::StatusCode::NOT_FOUND);
}
