//! Prompts that begin with the same words, and prompts as long that have nothing in common.

use super::Stream;
use crate::commands::bench::Running;
use crate::commands::bench::load::{self, Run};
use crate::commands::bench::measure::Metric;
use crate::commands::bench::random::Random;
use crate::commands::bench::report::{Chart, Point, Ratio, Sweep};
use crate::commands::bench::side::{OWN_NAME, Request, Side};
use crate::commands::bench::words::words;
use crate::error::Result;

/// One of the two workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Shared,
    Unshared,
}

pub(super) fn run(bench: &Running<'_>, shared: bool, unshared: bool) -> Result<Sweep> {
    let cases: Vec<Case> = [(shared, Case::Shared), (unshared, Case::Unshared)]
        .into_iter()
        .filter(|(wanted, _)| *wanted)
        .map(|(_, case)| case)
        .collect();
    let name = if shared { "shared-prefix" } else { "unshared" };
    let charts = vec![
        Chart::bars("Throughput", "tokens/s", Metric::Throughput),
        Chart::bars("Prompt tokens taken from the cache", "tokens", Metric::CachedTokens),
    ];
    let mut sweep = Sweep::new(name, title(bench), "prompts", charts);
    sweep.points = cases.iter().map(|case| Point::new(case.label(bench))).collect();
    bench.pairs(sweep.name, |pair, counts| {
        for (case, point) in cases.iter().zip(&mut sweep.points) {
            let requests = case.requests(bench, pair);
            bench.settle();
            // An engine that has seen no prompt yet.
            let local = bench.setup.start()?;
            let own = load_on(bench, &local, &requests)?;
            drop(local);
            if counts {
                point.push(OWN_NAME, own.rates_and_cache());
            }
            if let Some(server) = &bench.server {
                server.forget()?;
                bench.settle();
                let run = load_on(bench, server, &requests)?;
                if counts {
                    point.push(server.name(), run.rates_and_cache());
                }
            }
        }
        Ok(())
    })?;
    for point in &mut sweep.points {
        point.sum_up();
        if let Some(server) = &bench.server {
            point.ratio(Metric::Throughput, OWN_NAME, server.name());
        }
    }
    if let [shared, unshared] = &mut sweep.points[..] {
        let sides: Vec<String> = shared.sides.iter().map(|runs| runs.side.clone()).collect();
        for side in sides {
            let of = (format!("{side}, shared"), shared.values(&side, Metric::Throughput));
            let over = (format!("{side}, unshared"), unshared.values(&side, Metric::Throughput));
            shared.ratios.extend(Ratio::new(Metric::Throughput, (&of.0, &of.1), (&over.0, &over.1)));
        }
    }
    Ok(sweep)
}

/// The requests of a workload, as many at a time as the sizes say.
pub(super) fn load_on(bench: &Running<'_>, side: &dyn Side, requests: &[Request]) -> Result<Run> {
    load::run(side, requests, bench.sizes.prefix_at_once as usize)
}

pub(super) fn title(bench: &Running<'_>) -> String {
    let sizes = &bench.sizes;
    format!(
        "{} requests, {} at a time, prompts of {} words, {} tokens each",
        sizes.prefix_requests,
        sizes.prefix_at_once,
        sizes.shared_words + sizes.own_words,
        sizes.prefix_answer_tokens
    )
}

impl Case {
    pub(super) fn label(self, bench: &Running<'_>) -> String {
        let (shared, own) = self.words(bench);
        format!("{shared} shared + {own} own")
    }

    /// The requests of a pair: the same for both sides, and in no other pair.
    pub(super) fn requests(self, bench: &Running<'_>, pair: u64) -> Vec<Request> {
        let sizes = &bench.sizes;
        let (shared, own) = self.words(bench);
        let seeds = [sizes.seed, Stream::Prefix as u64, self as u64, pair];
        let mut random = Random::new(&seeds);
        let prefix = words(shared, &mut random);
        let request = |_| {
            let prompt = format!("{prefix} {}", words(own, &mut random));
            Request { prompt: prompt.trim_start().to_owned(), tokens: sizes.prefix_answer_tokens }
        };
        (0..sizes.prefix_requests).map(request).collect()
    }

    fn words(self, bench: &Running<'_>) -> (u32, u32) {
        let sizes = &bench.sizes;
        match self {
            Self::Shared => (sizes.shared_words, sizes.own_words),
            Self::Unshared => (0, sizes.shared_words + sizes.own_words),
        }
    }
}
