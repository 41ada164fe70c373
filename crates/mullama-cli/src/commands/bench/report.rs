//! What a bench found: every run, the medians, the ratios; for people and as JSON.

use mullama_core::{EngineParams, KvLayout, Model, system_info};
use serde::Serialize;

use super::measure::{self, Metric, Metrics};
use super::server::About;
use super::sizes::Sizes;
use crate::error::Result;
use crate::terminal::Output;

/// All of it.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    mullama: &'static str,
    note: Option<String>,
    machine: Machine,
    model: ModelInfo,
    engine: EngineInfo,
    against: Option<About>,
    workload: Sizes,
    pub(super) sweeps: Vec<Sweep>,
}

#[derive(Debug, Serialize)]
struct Machine {
    os: &'static str,
    architecture: &'static str,
    cores: usize,
    features: String,
}

#[derive(Debug, Serialize)]
struct ModelInfo {
    name: String,
    description: String,
    parameters: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct EngineInfo {
    threads: u32,
    threads_batch: u32,
    sequences: u32,
    kv_layout: KvLayout,
    length: u32,
}

/// What one sweep found.
#[derive(Debug, Serialize)]
pub(super) struct Sweep {
    pub(super) name: &'static str,
    pub(super) title: String,
    /// What the points' labels are.
    pub(super) axis: &'static str,
    pub(super) points: Vec<Point>,
    pub(super) checks: Vec<Check>,
    #[serde(skip)]
    pub(super) charts: Vec<Chart>,
}

/// The same load on every side.
#[derive(Debug, Serialize)]
pub(super) struct Point {
    pub(super) label: String,
    pub(super) sides: Vec<Runs>,
    pub(super) ratios: Vec<Ratio>,
}

/// The counted runs of one side.
#[derive(Debug, Serialize)]
pub(super) struct Runs {
    pub(super) side: String,
    pub(super) runs: Vec<Metrics>,
    pub(super) median: Metrics,
}

/// One side's figure over the other's, pair by pair.
#[derive(Debug, Serialize)]
pub(super) struct Ratio {
    of: String,
    over: String,
    metric: &'static str,
    pairs: Vec<f64>,
    pub(super) median: f64,
}

/// A figure and what it should be.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) what: String,
    pub(super) value: f64,
    pub(super) at_most: f64,
    pub(super) pass: bool,
}

/// How figures of a sweep are drawn.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) unit: &'static str,
    /// Each figure, and what its line is called beside the side's name.
    pub(super) metrics: Vec<(Metric, &'static str)>,
    /// Over many points: lines and not bars.
    pub(super) lines: bool,
    /// What it should not exceed.
    pub(super) target: Option<f64>,
}

impl Report {
    pub(super) fn new(name: String, model: &Model, params: &EngineParams, workload: Sizes) -> Self {
        let context = params.context.resolve(model).unwrap_or_else(|_| params.context.clone());
        Self {
            mullama: env!("CARGO_PKG_VERSION"),
            note: None,
            machine: Machine {
                os: std::env::consts::OS,
                architecture: std::env::consts::ARCH,
                cores: super::cores() as usize,
                features: system_info(),
            },
            model: ModelInfo {
                name,
                // llama.cpp names the size of models that it knows, of others `?B`; the parameters are told beside it.
                description: model.description().replace(" ?B", ""),
                parameters: model.parameter_count(),
                bytes: model.size(),
            },
            engine: EngineInfo {
                threads: context.threads,
                threads_batch: context.threads_batch,
                sequences: params.sequences,
                kv_layout: params.kv_layout,
                length: context.length,
            },
            against: None,
            workload,
            sweeps: Vec::new(),
        }
    }

    pub(super) fn with(mut self, against: Option<About>, note: Option<String>) -> Self {
        self.against = against;
        self.note = note;
        self
    }

    /// What was measured with what, in a line.
    pub(super) fn caption(&self) -> String {
        let EngineInfo { threads, sequences, length, .. } = self.engine;
        let layout = if self.engine.kv_layout == KvLayout::Unified { ", one memory" } else { "" };
        format!(
            "mullama {}, {} ({:.1} M parameters); cores: {}, threads: {threads}, sequences: {sequences} of {length} \
             tokens{layout}",
            self.mullama,
            self.model.description,
            self.model.parameters as f64 / 1e6,
            self.machine.cores,
        )
    }

    /// What stands below a picture.
    pub(super) fn legend(&self) -> String {
        let runs = self.workload.pairs;
        let spread =
            if runs > 1 { format!("; medians of {runs} runs, thin lines: least to largest") } else { String::new() };
        let note = self.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
        format!("{}{spread}{note}", self.caption())
    }

    /// The side that is measured against, in a line.
    pub(super) fn against(&self) -> Option<String> {
        let About { url, name, version, .. } = self.against.as_ref()?;
        let version = version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        Some(format!("against {name}{version} at {url}"))
    }
}

impl Sweep {
    pub(super) fn new(name: &'static str, title: String, axis: &'static str, charts: Vec<Chart>) -> Self {
        Self { name, title, axis, points: Vec::new(), checks: Vec::new(), charts }
    }

    /// A figure that should be at most so much.
    pub(super) fn check(&mut self, what: impl Into<String>, value: f64, at_most: f64) {
        let value = measure::rounded(value);
        self.checks.push(Check { what: what.into(), value, at_most, pass: value <= at_most });
    }

    pub(super) fn print(&self, output: &mut Output) -> Result<()> {
        output.line(&format!("\n{}: {}", self.name, self.title))?;
        let mut metrics: Vec<Metric> = Vec::new();
        for (metric, _) in self.points.iter().flat_map(|point| &point.sides).flat_map(|runs| runs.median.iter()) {
            if !metrics.contains(&metric) {
                metrics.push(metric);
            }
        }
        let heading: Vec<&str> =
            [self.axis, "side"].into_iter().chain(metrics.iter().map(|metric| metric.heading())).collect();
        let mut rows = Vec::new();
        for point in &self.points {
            for (index, side) in point.sides.iter().enumerate() {
                let label = if index == 0 { point.label.clone() } else { String::new() };
                let text = |metric: &Metric| {
                    side.median.get(*metric).map_or_else(|| "-".to_owned(), |value| metric.text(value))
                };
                rows.push([label, side.side.clone()].into_iter().chain(metrics.iter().map(text)).collect::<Vec<_>>());
            }
        }
        let numbers: Vec<usize> = (2..heading.len()).collect();
        output.table(&heading, &numbers, &rows)?;
        for point in &self.points {
            for Ratio { of, over, metric, pairs, median } in &point.ratios {
                let (low, high) = range(pairs);
                let at = if self.points.len() > 1 { format!("{}: ", point.label) } else { String::new() };
                output.line(&format!("{at}{of} / {over}, {metric}: {median:.3} ({low:.3} to {high:.3})"))?;
            }
        }
        for Check { what, value, at_most, pass } in &self.checks {
            let verdict = if *pass { "pass" } else { "FAIL" };
            output.line(&format!("target: {what} at most {at_most}: {value:.1}, {verdict}"))?;
        }
        Ok(())
    }
}

impl Point {
    pub(super) fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), sides: Vec::new(), ratios: Vec::new() }
    }

    /// Adds a run of a side.
    pub(super) fn push(&mut self, side: &str, run: Metrics) {
        match self.sides.iter_mut().find(|runs| runs.side == side) {
            Some(runs) => runs.runs.push(run),
            None => self.sides.push(Runs { side: side.to_owned(), runs: vec![run], median: Metrics::default() }),
        }
    }

    /// Takes the medians, when all runs are there.
    pub(super) fn sum_up(&mut self) {
        self.sides.iter_mut().for_each(|runs| runs.median = Metrics::medians(&runs.runs));
    }

    /// The ratio of a figure between two sides, if both have it.
    pub(super) fn ratio(&mut self, metric: Metric, of: &str, over: &str) {
        let values = |side: &str| self.values(side, metric);
        if let Some(ratio) = Ratio::new(metric, (of, &values(of)), (over, &values(over))) {
            self.ratios.push(ratio);
        }
    }

    /// A figure of every run of a side.
    pub(super) fn values(&self, side: &str, metric: Metric) -> Vec<f64> {
        let runs = self.sides.iter().find(|runs| runs.side == side);
        runs.into_iter().flat_map(|runs| &runs.runs).filter_map(|run| run.get(metric)).collect()
    }
}

impl Ratio {
    pub(super) fn new(metric: Metric, of: (&str, &[f64]), over: (&str, &[f64])) -> Option<Self> {
        let both = of.1.iter().zip(over.1).filter(|(_, over)| **over > 0.0);
        let pairs: Vec<f64> = both.map(|(of, over)| measure::rounded(of / over)).collect();
        let median = measure::median(&pairs);
        let named = (of.0.to_owned(), over.0.to_owned());
        (!pairs.is_empty()).then_some(Self { of: named.0, over: named.1, metric: metric.key(), pairs, median })
    }
}

impl Chart {
    pub(super) fn bars(title: &'static str, unit: &'static str, metric: Metric) -> Self {
        Self { title, unit, metrics: vec![(metric, "")], lines: false, target: None }
    }

    pub(super) fn lines(title: &'static str, unit: &'static str, metrics: Vec<(Metric, &'static str)>) -> Self {
        Self { title, unit, metrics, lines: true, target: None }
    }

    pub(super) fn target(mut self, target: f64) -> Self {
        self.target = Some(target);
        self
    }
}

/// The least and the largest.
pub(super) fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)))
}
