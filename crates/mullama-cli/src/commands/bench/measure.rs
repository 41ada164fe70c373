//! Figures: what they are called, in which unit, and what the middle of many is.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    Throughput,
    FirstMedian,
    FirstP95,
    GapMedian,
    GapP95,
    PromptTokens,
    CachedTokens,
    ShortRequests,
    PrefillTime,
    Acceptance,
    ReaderPauses,
}

/// Figures of one run, in the order in which they are told.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Metrics(Vec<(Metric, f64)>);

impl Metric {
    /// Its name in the JSON report.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Throughput => "tokens_per_second",
            Self::FirstMedian => "ttft_p50_ms",
            Self::FirstP95 => "ttft_p95_ms",
            Self::GapMedian => "inter_token_p50_ms",
            Self::GapP95 => "inter_token_p95_ms",
            Self::PromptTokens => "prompt_tokens",
            Self::CachedTokens => "cached_tokens",
            Self::ShortRequests => "short_requests",
            Self::PrefillTime => "prefill_s",
            Self::Acceptance => "acceptance",
            Self::ReaderPauses => "reader_pauses",
        }
    }

    /// Its name for people, with its unit.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Throughput => "tokens/s",
            Self::FirstMedian => "ttft p50 ms",
            Self::FirstP95 => "ttft p95 ms",
            Self::GapMedian => "gap p50 ms",
            Self::GapP95 => "gap p95 ms",
            Self::PromptTokens => "prompt tokens",
            Self::CachedTokens => "cached",
            Self::ShortRequests => "short requests",
            Self::PrefillTime => "prefill s",
            Self::Acceptance => "acceptance",
            Self::ReaderPauses => "pauses",
        }
    }

    /// A value of it for people.
    pub(super) fn text(self, value: f64) -> String {
        match self {
            Self::PromptTokens | Self::CachedTokens | Self::ShortRequests | Self::ReaderPauses => format!("{value:.0}"),
            Self::Acceptance => format!("{value:.2}"),
            _ => format!("{value:.1}"),
        }
    }
}

impl Metrics {
    pub(super) fn with(mut self, metric: Metric, value: f64) -> Self {
        self.0.push((metric, value));
        self
    }

    pub(super) fn get(&self, metric: Metric) -> Option<f64> {
        self.0.iter().find(|(one, _)| *one == metric).map(|(_, value)| *value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Metric, f64)> {
        self.0.iter().copied()
    }

    /// The median of each figure over runs that have the same.
    pub(super) fn medians(runs: &[Self]) -> Self {
        let Some(first) = runs.first() else { return Self::default() };
        let of = |metric| median(&runs.iter().filter_map(|run| run.get(metric)).collect::<Vec<_>>());
        Self(first.iter().map(|(metric, _)| (metric, of(metric))).collect())
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (metric, value) in self.iter() {
            map.serialize_entry(metric.key(), &rounded(value))?;
        }
        map.end()
    }
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

/// The value below which this share of all is; 0 of none.
pub(super) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index of a list, rounded down")]
    let index = (share * values.len() as f64) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

/// To a millionth: what is behind it is noise, and long to read.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles_are_values_of_the_list() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        let hundred: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert_eq!(percentile(&hundred, 0.5), 50.0);
        assert_eq!(percentile(&hundred, 0.95), 95.0);
        assert_eq!((percentile(&[7.0], 0.95), percentile(&[], 0.5), median(&[])), (7.0, 0.0, 0.0));
    }

    #[test]
    fn the_median_of_runs_is_taken_figure_by_figure() {
        let run = |rate, gap| Metrics::default().with(Metric::Throughput, rate).with(Metric::GapP95, gap);
        let medians = Metrics::medians(&[run(1.0, 30.0), run(2.0, 10.0), run(3.0, 20.0)]);
        assert_eq!(medians, run(2.0, 20.0));
        let json = serde_json::to_string(&medians).unwrap();
        assert_eq!(json, r#"{"tokens_per_second":2.0,"inter_token_p95_ms":20.0}"#);
    }
}
