//! Guessing tokens ahead, on a text that repeats.

use mullama_core::Speculation;

use super::Stream;
use crate::commands::bench::Running;
use crate::commands::bench::load;
use crate::commands::bench::measure::{Metric, Metrics};
use crate::commands::bench::random::Random;
use crate::commands::bench::report::{Chart, Point, Sweep};
use crate::commands::bench::side::Request;
use crate::commands::bench::words::words;
use crate::error::Result;

pub(super) fn run(bench: &Running<'_>) -> Result<Sweep> {
    let sizes = &bench.sizes;
    let title = format!("one stream of {} tokens, after {REPEATS} times the same words", sizes.single_tokens);
    let charts = vec![
        Chart::bars("Throughput", "tokens/s", Metric::Throughput),
        Chart::bars("Guesses that were right", "of all", Metric::Acceptance),
    ];
    let mut sweep = Sweep::new("speculation", title, "streams", charts);
    let mut point = Point::new("1");
    let mut different = 0.0;
    bench.pairs(sweep.name, |pair, counts| {
        let request = request(bench, pair);
        let mut texts = Vec::new();
        for (name, speculation) in CASES {
            bench.settle();
            let local = bench.setup.start_as(name, |params| {
                params.sequences = 1;
                params.speculation = speculation;
            })?;
            let run = load::run(&local, std::slice::from_ref(&request), 1)?;
            let mut metrics = Metrics::default().with(Metric::Throughput, run.tokens_per_second());
            if !matches!(speculation, Speculation::Off) {
                metrics = metrics.with(Metric::Acceptance, local.engine.stats().acceptance());
            }
            texts.extend(run.seen.into_iter().map(|seen| seen.text));
            if counts {
                point.push(name, metrics);
            }
        }
        if texts.windows(2).any(|pair| pair[0] != pair[1]) {
            different += 1.0;
        }
        Ok(())
    })?;
    point.sum_up();
    point.ratio(Metric::Throughput, CASES[1].0, CASES[0].0);
    sweep.points.push(point);
    sweep.check("pairs whose texts differ,", different, 0.0);
    Ok(sweep)
}

fn request(bench: &Running<'_>, pair: u64) -> Request {
    let mut random = Random::new(&[bench.sizes.seed, Stream::Speculation as u64, pair]);
    let part = words(bench.sizes.prompt_words.div_ceil(2), &mut random);
    Request { prompt: [part.as_str(); REPEATS].join(" "), tokens: bench.sizes.single_tokens }
}

const REPEATS: usize = 6;
const CASES: [(&str, Speculation); 2] =
    [("off", Speculation::Off), ("prompt lookup", Speculation::PromptLookup { ngram: 3, tokens: 8 })];
