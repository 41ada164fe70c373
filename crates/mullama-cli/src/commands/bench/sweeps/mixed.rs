//! Short requests and running streams, while long prompts are computed.

use std::ops::ControlFlow;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::Stream;
use super::clients::Watch;
use crate::commands::bench::Running;
use crate::commands::bench::load::{first, join, milliseconds, spawn};
use crate::commands::bench::measure::{self, Metric, Metrics};
use crate::commands::bench::random::Random;
use crate::commands::bench::report::{Chart, Point, Sweep};
use crate::commands::bench::side::{OWN_NAME, Request, Seen, Side};
use crate::commands::bench::words::{tokens, words};
use crate::error::Result;

pub(super) fn run(bench: &Running<'_>) -> Result<Sweep> {
    let sizes = &bench.sizes;
    let title = format!(
        "{RUNNING} running streams; {} prompts of {} tokens, and one of {} tokens every {} ms meanwhile",
        sizes.long_prompts,
        sizes.long_prompt_tokens,
        sizes.short_prompt_tokens,
        sizes.short_every.as_millis()
    );
    let charts = vec![
        Chart::bars("Short requests: time to first token, median", "ms", Metric::FirstMedian).target(FIRST_TARGET),
        Chart::bars("Running streams: between tokens, p95", "ms", Metric::GapP95).target(GAP_TARGET),
    ];
    let mut sweep = Sweep::new("mixed", title, "load", charts);
    let mut point = Point::new("mixed");
    // Room for all: otherwise the long prompts wait until the running streams end.
    let all = u32::try_from(RUNNING).unwrap_or(u32::MAX).saturating_add(sizes.long_prompts).saturating_add(2);
    let local = bench.setup.start_as(OWN_NAME, |params| params.sequences = params.sequences.max(all.min(64)))?;
    bench.pairs(sweep.name, |pair, counts| {
        let prompts = Prompts::new(bench, pair)?;
        for side in bench.sides(&local) {
            bench.settle();
            let metrics = once(bench, side, &prompts)?;
            if counts {
                point.push(side.name(), metrics);
            }
        }
        Ok(())
    })?;
    point.sum_up();
    if let Some(server) = &bench.server {
        point.ratio(Metric::FirstMedian, OWN_NAME, server.name());
        point.ratio(Metric::GapP95, OWN_NAME, server.name());
    }
    let own = point.sides.iter().find(|runs| runs.side == OWN_NAME).map(|runs| runs.median.clone()).unwrap_or_default();
    sweep.points.push(point);
    let value = |metric| own.get(metric).unwrap_or(f64::INFINITY);
    sweep.check("ms to the first token of short requests, median,", value(Metric::FirstMedian), FIRST_TARGET);
    sweep.check("ms between tokens of the running streams, p95,", value(Metric::GapP95), GAP_TARGET);
    Ok(sweep)
}

/// What is sent in one run.
struct Prompts {
    running: Vec<Request>,
    long: Vec<Request>,
    /// For the prompts of the short ones, which are made as they are sent.
    seeds: [u64; 3],
}

impl Prompts {
    fn new(bench: &Running<'_>, pair: u64) -> Result<Self> {
        let sizes = &bench.sizes;
        let tokenizer = bench.setup.model.tokenizer();
        let seeds = [sizes.seed, Stream::Mixed as u64, pair];
        let mut random = Random::new(&seeds);
        let prompt = words(sizes.prompt_words, &mut random);
        let running =
            (0..RUNNING).map(|number| Request { prompt: format!("{number} {prompt}"), tokens: bench.long_answer() });
        let running = running.collect();
        let long = (0..sizes.long_prompts).map(|_| {
            let prompt = tokens(sizes.long_prompt_tokens, &mut random, &tokenizer)?;
            Ok(Request { prompt, tokens: ANSWER })
        });
        Ok(Self { running, long: long.collect::<Result<_>>()?, seeds })
    }
}

fn once(bench: &Running<'_>, side: &dyn Side, prompts: &Prompts) -> Result<Metrics> {
    let (sizes, tokenizer) = (&bench.sizes, bench.setup.model.tokenizer());
    let (running, long) = (Watch::default(), Watch::default());
    let mut random = Random::new(&prompts.seeds);
    let (gaps, first, time) = thread::scope(|scope| {
        // Whatever happens below, the streams must end: the scope waits for them.
        let _ending = running.ending();
        let streams: Vec<_> = prompts
            .running
            .iter()
            .map(|request| spawn(scope, || running.client(|| running.keep_asking(side, request, 2))))
            .collect::<Result<_>>()?;
        running.wait(RUNNING);
        let start = Instant::now();
        let prefills: Vec<_> = prompts
            .long
            .iter()
            .map(|request| spawn(scope, || long.client(|| until_first(side, request, &long))))
            .collect::<Result<_>>()?;
        let mut shorts: Vec<ScopedJoinHandle<'_, Result<Seen>>> = Vec::new();
        loop {
            // A side that cannot keep up must not be buried.
            if shorts.iter().filter(|short| !short.is_finished()).count() < MOST_SHORTS {
                let prompt = tokens(sizes.short_prompt_tokens, &mut random, &tokenizer)?;
                let request = Request { prompt, tokens: ANSWER };
                shorts.push(spawn(scope, move || side.ask(&request, &mut |_| ControlFlow::Continue(())))?);
            }
            thread::sleep(sizes.short_every);
            if long.is_ready(prompts.long.len()) || running.is_over() || start.elapsed() > LONGEST {
                break;
            }
        }
        let end = Instant::now();
        running.end();
        prefills.into_iter().try_for_each(join)?;
        let first = shorts.into_iter().map(|short| join(short).map(|seen| first(&seen)));
        let first = first.collect::<Result<Vec<f64>>>()?;
        let streams = streams.into_iter().map(join).collect::<Result<Vec<_>>>()?;
        Ok::<_, crate::error::Error>((gaps(&streams, start, end), first, end - start))
    })?;
    Ok(Metrics::default()
        .with(Metric::FirstMedian, measure::percentile(&first, 0.50))
        .with(Metric::FirstP95, measure::percentile(&first, 0.95))
        .with(Metric::GapMedian, measure::percentile(&gaps, 0.50))
        .with(Metric::GapP95, measure::percentile(&gaps, 0.95))
        .with(Metric::ShortRequests, first.len() as f64)
        .with(Metric::PrefillTime, time.as_secs_f64()))
}

/// Ready with its first text.
fn until_first(side: &dyn Side, request: &Request, watch: &Watch) -> Result<()> {
    let mut told = false;
    side.ask(request, &mut |_| {
        if !std::mem::replace(&mut told, true) {
            watch.ready();
        }
        ControlFlow::Continue(())
    })?;
    // An answer without any text is over, too.
    if !told {
        watch.ready();
    }
    Ok(())
}

/// The gaps of the running streams, in ms, that are not wholly before the start or after the end.
fn gaps(streams: &[Vec<Vec<Instant>>], start: Instant, end: Instant) -> Vec<f64> {
    let pairs = streams.iter().flatten().flat_map(|texts| texts.windows(2));
    pairs.filter(|pair| pair[1] > start && pair[0] < end).map(|pair| milliseconds(pair[1] - pair[0])).collect()
}

const RUNNING: usize = 2;
/// Tokens of the short requests' answers, and of the long prompts'.
const ANSWER: u32 = 4;
/// Short requests under way at most.
const MOST_SHORTS: usize = 32;
/// For so long short requests are sent at most; then the long prompts have the side for themselves.
const LONGEST: Duration = Duration::from_secs(120);
/// In ms.
const FIRST_TARGET: f64 = 100.0;
const GAP_TARGET: f64 = 60.0;
