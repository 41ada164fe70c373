//! Bounds of the estimates, names of the numbers, and a reader beside the writer.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use proptest::prelude::*;

use super::*;

/// The value of rank `ceil(q * n)`, at least the first.
fn exact(sorted: &[u64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil().max(1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank of a small sample")]
    let index = rank as usize - 1;
    sorted[index.min(sorted.len() - 1)] as f64
}

/// Values of all magnitudes, not most of them at the upper end.
fn magnitudes(bits: u32) -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec((0..bits, any::<u64>()).prop_map(|(bits, value)| value & ((2 << bits) - 1)), 1..300)
}

proptest! {
    #[test]
    fn quantiles_of_durations_keep_their_bound(mut nanos in magnitudes(42), q in 0.0..=1.0_f64) {
        let histogram = Durations::default();
        nanos.iter().for_each(|nanos| histogram.record(Duration::from_nanos(*nanos)));
        nanos.sort_unstable();
        let (exact, estimate) = (exact(&nanos, q) * 1e-9, histogram.snapshot().quantile(q).unwrap());
        prop_assert!(
            (exact * 0.7999..=exact * 1.2501).contains(&estimate) || (exact - estimate).abs() <= 1.0241e-6,
            "{} for {}", estimate, exact
        );
    }

    #[test]
    fn quantiles_of_amounts_keep_their_bound(mut values in magnitudes(32), q in 0.0..=1.0_f64) {
        let histogram = Amounts::default();
        values.iter().for_each(|value| histogram.record_value(*value));
        values.sort_unstable();
        let (exact, estimate) = (exact(&values, q), histogram.snapshot().quantile(q).unwrap());
        prop_assert!(
            (exact * 0.7999..=exact * 1.2501).contains(&estimate) || (exact == 0.0 && estimate <= 1.0),
            "{} for {}", estimate, exact
        );
    }

    #[test]
    fn mean_and_count_are_exact_and_quantiles_rise(nanos in magnitudes(40)) {
        let histogram = Durations::default();
        nanos.iter().for_each(|nanos| histogram.record(Duration::from_nanos(*nanos)));
        let snapshot = histogram.snapshot();
        prop_assert_eq!(snapshot.count, nanos.len() as u64);
        prop_assert_eq!(snapshot.below(f64::MAX), snapshot.count);
        let sum = nanos.iter().sum::<u64>() as f64 * 1e-9;
        prop_assert!((snapshot.sum - sum).abs() <= sum * 1e-12);
        prop_assert_eq!(snapshot.mean().unwrap(), snapshot.sum / snapshot.count as f64);
        let quantiles: Vec<f64> = (0..=20).map(|n| snapshot.quantile(f64::from(n) / 20.0).unwrap()).collect();
        prop_assert!(quantiles.is_sorted());
    }
}

#[test]
fn an_empty_histogram_has_no_quantile() {
    let snapshot = Durations::default().snapshot();
    assert_eq!((snapshot.quantile(0.5), snapshot.mean()), (None, None));
    let one = Durations::default();
    one.record(Duration::from_secs(1));
    assert_eq!(one.snapshot().quantile(f64::NAN), None);
}

#[test]
fn outliers_land_in_the_highest_bucket_and_do_not_wrap_the_sum() {
    let histogram = Durations::default();
    histogram.record(Duration::MAX);
    histogram.record(Duration::from_millis(1));
    let snapshot = histogram.snapshot();
    assert_eq!(snapshot.count, 2);
    assert!(snapshot.sum > 8_000.0 && snapshot.sum < 10_000.0, "{}", snapshot.sum);
    assert!(snapshot.quantile(1.0).unwrap().is_finite());
}

#[test]
fn ratios_are_of_the_right_numbers_and_zero_without_them() {
    let recorder = Recorder::default();
    let empty = recorder.snapshot();
    assert_eq!(empty, EngineStats::default());
    assert_eq!((empty.cache_hit_ratio(), empty.kv_use(), empty.mean_batch(), empty.acceptance()), (0.0, 0.0, 0.0, 0.0));

    recorder.prompt_tokens.add(200);
    recorder.prompt_tokens_cached.add(50);
    recorder.kv_tokens_used.set(30);
    recorder.kv_tokens_capacity.set(40);
    recorder.drafted_tokens.add(10);
    recorder.accepted_draft_tokens.add(4);
    recorder.decoded(8, Duration::from_millis(5));
    recorder.decoded(1, Duration::from_millis(3));
    let stats = recorder.snapshot();
    assert_eq!(stats.cache_hit_ratio(), 0.25);
    assert_eq!(stats.kv_use(), 0.75);
    assert_eq!(stats.acceptance(), 0.4);
    assert_eq!(stats.mean_batch(), 4.5);
    assert_eq!((stats.step.count, stats.batch_fill.sum), (2, 9.0));
    assert!((stats.step.sum - 0.008).abs() < 1e-12);
}

#[test]
fn json_holds_every_number_under_its_name_and_old_json_is_read() {
    let recorder = Recorder::default();
    recorder.decoded(3, Duration::from_millis(7));
    recorder.threads.set(2);
    let stats = recorder.snapshot();
    let json = serde_json::to_value(&stats).unwrap();
    assert_eq!(json["threads"], 2);
    assert_eq!(json["batch_fill"]["buckets"][0]["count"], 1);
    let back: EngineStats = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(back, stats);

    let partial: EngineStats = serde_json::from_str(r#"{"decode_calls": 5}"#).unwrap();
    assert_eq!(partial, EngineStats { decode_calls: 5, ..EngineStats::default() });
}

/// Notes a different number in each counter and gauge, and looks for it under the field's name.
macro_rules! check_each {
    ($write:ident: $($field:ident)*) => {{
        let recorder = Recorder::default();
        let mut number = 0;
        $(number += 1; recorder.$field.$write(number);)*
        let stats = recorder.snapshot();
        let mut number = 0;
        $(number += 1; assert_eq!(stats.$field, number, stringify!($field));)*
        number
    }};
}

#[test]
fn each_number_reaches_the_field_of_its_name() {
    let counters = check_each!(add: requests_submitted requests_rejected requests_finished_stop
        requests_finished_length requests_finished_cancelled requests_finished_timeout requests_finished_failed
        preemptions prompt_tokens prompt_tokens_cached prompt_tokens_computed generated_tokens drafted_tokens
        accepted_draft_tokens decode_calls batch_tokens cache_copies cache_evictions host_saves host_restores
        context_shifts reader_stalls);
    let gauges = check_each!(set: queue_depth queued_tokens sequences_running sequences_paused kv_tokens_used
        kv_tokens_held kv_tokens_capacity host_bytes_used threads threads_batch);
    let json = serde_json::to_value(EngineStats::default()).unwrap();
    let numbers = json.as_object().unwrap().values().filter(|value| value.is_u64()).count();
    assert_eq!(counters + gauges, numbers as u64);
}

#[test]
fn each_histogram_reaches_the_field_of_its_name() {
    let recorder = Recorder::default();
    let times = [
        &recorder.queue_wait,
        &recorder.prefill,
        &recorder.time_to_first_token,
        &recorder.inter_token,
        &recorder.step,
        &recorder.sampling,
    ];
    times.iter().zip(1..).for_each(|(histogram, seconds)| histogram.record(Duration::from_secs(seconds)));
    recorder.batch_fill.record_value(7);
    recorder.tokens_per_second.record_rate(16, Duration::from_secs(2));
    let stats = recorder.snapshot();
    let all = [
        stats.queue_wait,
        stats.prefill,
        stats.time_to_first_token,
        stats.inter_token,
        stats.step,
        stats.sampling,
        stats.batch_fill,
        stats.tokens_per_second,
    ];
    assert_eq!(all.map(|histogram| histogram.sum.round()), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
}

#[test]
fn readers_see_numbers_that_only_rise_and_lose_none() {
    let recorder = Arc::new(Recorder::default());
    let done = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        let (reader, over) = (Arc::clone(&recorder), Arc::clone(&done));
        let reading = thread::Builder::new().name("test-reader".to_owned()).spawn_scoped(scope, move || {
            let mut last = 0;
            while !over.load(Ordering::Relaxed) {
                let stats = reader.snapshot();
                assert!(stats.step.count >= last);
                last = stats.step.count;
                assert_eq!(stats.step.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), stats.step.count);
            }
        });
        for n in 0..50_000_u64 {
            recorder.decoded(n % 64, Duration::from_micros(n));
        }
        done.store(true, Ordering::Relaxed);
        reading.unwrap().join().unwrap();
    });
    let stats = recorder.snapshot();
    assert_eq!((stats.decode_calls, stats.step.count, stats.batch_fill.count), (50_000, 50_000, 50_000));
}
