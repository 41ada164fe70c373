//! More and more streams at once.

use super::Stream;
use crate::commands::bench::Running;
use crate::commands::bench::load;
use crate::commands::bench::measure::Metric;
use crate::commands::bench::random::Random;
use crate::commands::bench::report::{Chart, Point, Sweep};
use crate::commands::bench::side::{OWN_NAME, Request};
use crate::commands::bench::words::words;
use crate::error::Result;

pub(super) fn run(bench: &Running<'_>) -> Result<Sweep> {
    let sizes = &bench.sizes;
    let title = format!("prompts of {} words, {} tokens each", sizes.prompt_words, sizes.answer_tokens);
    let mut sweep = Sweep::new("concurrency", title, "streams", charts());
    sweep.points = sizes.streams.iter().map(|streams| Point::new(streams.to_string())).collect();
    let local = bench.setup.start()?;
    bench.pairs(sweep.name, |pair, counts| {
        for (point, streams) in sweep.points.iter_mut().zip(&sizes.streams) {
            let requests: Vec<_> =
                (0..*streams).map(|client| request(bench, [pair, (*streams).into(), client.into()])).collect();
            for side in bench.sides(&local) {
                bench.settle();
                let run = load::run(side, &requests, requests.len())?;
                if counts {
                    point.push(side.name(), run.rates_and_times());
                }
            }
        }
        Ok(())
    })?;
    for point in &mut sweep.points {
        point.sum_up();
        if let Some(server) = &bench.server {
            for metric in [Metric::Throughput, Metric::FirstMedian, Metric::GapMedian] {
                point.ratio(metric, OWN_NAME, &server.about.name);
            }
        }
    }
    Ok(sweep)
}

fn request(bench: &Running<'_>, [pair, streams, client]: [u64; 3]) -> Request {
    let mut random = Random::new(&[bench.sizes.seed, Stream::Concurrency as u64, pair, streams, client]);
    Request { prompt: words(bench.sizes.prompt_words, &mut random), tokens: bench.sizes.answer_tokens }
}

fn charts() -> Vec<Chart> {
    vec![
        Chart::lines("Throughput", "tokens/s", vec![(Metric::Throughput, "")]),
        Chart::lines("Time to first token", "ms", vec![(Metric::FirstMedian, "p50"), (Metric::FirstP95, "p95")]),
        Chart::lines("Between tokens", "ms", vec![(Metric::GapMedian, "p50"), (Metric::GapP95, "p95")]),
    ]
}
