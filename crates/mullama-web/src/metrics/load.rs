//! The header `endpoint-load-metrics`: how much there is to do, for balancers that read Open Request Cost Aggregation.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;
use mullama_async::{BackendModel, BackendStats};

use crate::state::AppState;

/// The header as it was made last.
#[derive(Debug, Default)]
pub(super) struct Load(Mutex<Option<(Instant, HeaderValue)>>);

impl Load {
    pub(super) fn header(&self, state: &AppState) -> HeaderValue {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, header)) = &*last
            && at.elapsed() < FRESH
        {
            return header.clone();
        }
        let header = told(&state.backend().stats(), &state.backend().models());
        let header =
            HeaderValue::try_from(header).unwrap_or(HeaderValue::from_static("TEXT application_utilization=0"));
        *last = Some((Instant::now(), header.clone()));
        header
    }
}

/// `application_utilization`: requests that wait and run, by those that can be computed together; above 1 some wait.
fn told(stats: &[BackendStats], models: &[BackendModel]) -> String {
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let sum = |value: fn(&BackendStats) -> u64| stats.iter().map(value).sum::<u64>();
    let waiting = sum(|one| one.stats.queue_depth);
    let going = waiting + sum(|one| one.stats.sequences_running) + sum(|one| one.stats.sequences_paused);
    let sequences = |one: &BackendStats| {
        let info = models.iter().find(|model| model.name == one.model).and_then(|model| model.info.as_ref());
        info.map_or(0, |info| u64::from(info.sequences))
    };
    let together = stats.iter().map(sequences).sum();
    let cells = share(sum(|one| one.stats.kv_tokens_used), sum(|one| one.stats.kv_tokens_capacity));
    format!(
        "TEXT application_utilization={:.3}, named_metrics.kv_cache_utilization={:.3}, named_metrics.queue={waiting}",
        share(going, together),
        cells.min(1.0),
    )
}

const FRESH: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use mullama_async::{ModelInfo, ModelState};
    use mullama_core::EngineStats;

    use super::*;

    #[test]
    fn use_is_told_as_a_share_of_what_can_be_computed_together() {
        let mut numbers = EngineStats::default();
        numbers.queue_depth = 3;
        numbers.sequences_running = 2;
        numbers.sequences_paused = 1;
        numbers.kv_tokens_used = 256;
        numbers.kv_tokens_capacity = 1_024;
        let model = BackendModel {
            name: "m".to_owned(),
            aliases: Vec::new(),
            state: ModelState::Ready,
            load: 0,
            restarts: 0,
            memory_bytes: 0,
            created: 0,
            unloads_in_ms: None,
            info: Some(ModelInfo { sequences: 4, ..ModelInfo::default() }),
            adapters: Vec::new(),
        };
        let stats = [BackendStats { model: "m".to_owned(), engine: 0, stats: numbers }];
        let expected =
            "TEXT application_utilization=1.500, named_metrics.kv_cache_utilization=0.250, named_metrics.queue=3";
        assert_eq!(told(&stats, &[model]), expected);
        assert!(told(&[], &[]).starts_with("TEXT application_utilization=0.000, "));
    }
}
