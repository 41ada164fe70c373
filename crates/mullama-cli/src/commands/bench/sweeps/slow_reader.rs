//! Streams beside one whose reader stops: they must not wait for it.

use std::ops::ControlFlow;
use std::thread;
use std::time::Instant;

use super::Stream;
use super::clients::Watch;
use crate::commands::bench::Running;
use crate::commands::bench::load::{join, spawn};
use crate::commands::bench::measure::{Metric, Metrics};
use crate::commands::bench::random::Random;
use crate::commands::bench::report::{Chart, Point, Sweep};
use crate::commands::bench::side::{Local, Request, Side};
use crate::commands::bench::words::words;
use crate::error::Result;

pub(super) fn run(bench: &Running<'_>) -> Result<Sweep> {
    let title =
        format!("{STREAMS} streams, while the reader of a fourth stops for {} s", bench.sizes.stall.as_secs_f64());
    let charts = vec![Chart::bars("Throughput of the three", "tokens/s", Metric::Throughput)];
    let mut sweep = Sweep::new("slow-reader", title, "streams", charts);
    let mut point = Point::new("three");
    let mut stuck = 0.0;
    bench.pairs(sweep.name, |pair, counts| {
        for (name, slow) in [(ALONE, false), (BESIDE, true)] {
            bench.settle();
            let local = bench.setup.start_as(name, |params| {
                // Not ended for its slowness.
                params.reader_timeout_ms = None;
                params.sequences = params.sequences.max(4);
            })?;
            let (metrics, went_on) = once(bench, &local, pair, slow)?;
            if !went_on {
                stuck += 1.0;
            }
            if counts {
                point.push(name, metrics);
            }
        }
        Ok(())
    })?;
    point.sum_up();
    point.ratio(Metric::Throughput, BESIDE, ALONE);
    sweep.points.push(point);
    sweep.check("slow readers that got no more text when they went on,", stuck, 0.0);
    Ok(sweep)
}

/// The rate of the three while the fourth stands still, and whether that one went on afterwards.
fn once(bench: &Running<'_>, local: &Local, pair: u64, slow: bool) -> Result<(Metrics, bool)> {
    let requests: Vec<_> = (0..=STREAMS).map(|stream| request(bench, pair, stream)).collect();
    let watch = Watch::default();
    let (texts, time, after) = thread::scope(|scope| {
        // Whatever happens below, the streams must end: the scope waits for them.
        let _ending = watch.ending();
        let streams: Vec<_> = requests[..STREAMS]
            .iter()
            .map(|request| spawn(scope, || watch.client(|| watch.keep_asking(local, request, READ))))
            .collect::<Result<_>>()?;
        let fourth = match slow {
            true => Some(spawn(scope, || watch.client(|| read_slowly(local, &requests[STREAMS], &watch)))?),
            false => None,
        };
        watch.wait(STREAMS + usize::from(slow));
        let start = Instant::now();
        thread::sleep(bench.sizes.stall);
        let end = Instant::now();
        watch.end();
        let times = streams.into_iter().map(join).collect::<Result<Vec<_>>>()?;
        let within = times.iter().flatten().flatten().filter(|time| (start..end).contains(*time)).count();
        let after = fourth.map(join).transpose()?;
        Ok::<_, crate::error::Error>((within, end - start, after))
    })?;
    let metrics = Metrics::default()
        .with(Metric::Throughput, texts as f64 / time.as_secs_f64())
        .with(Metric::ReaderPauses, local.engine.stats().reader_stalls as f64);
    Ok((metrics, after.is_none_or(|texts| texts > 0)))
}

/// Reads a little, then nothing until it is over, then a little. How much it read at last.
fn read_slowly(local: &Local, request: &Request, watch: &Watch) -> Result<usize> {
    let (mut before, mut after) = (0, 0);
    local.ask(request, &mut |_| {
        before += 1;
        if before == READ {
            // Ready when the engine waits for it: until then it computes ahead, and takes its share.
            let mut told = false;
            while !watch.is_over() {
                if !told && local.engine.stats().sequences_paused > 0 {
                    told = true;
                    watch.ready();
                }
                thread::sleep(std::time::Duration::from_millis(2));
            }
        } else if before > READ {
            after += 1;
        }
        // More than the engine had computed ahead.
        if after > AHEAD { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(after)
}

fn request(bench: &Running<'_>, pair: u64, stream: usize) -> Request {
    let mut random = Random::new(&[bench.sizes.seed, Stream::SlowReader as u64, pair, stream as u64]);
    Request { prompt: words(bench.sizes.prompt_words, &mut random), tokens: bench.long_answer() }
}

const STREAMS: usize = 3;
/// Texts that a reader takes before anything is measured.
const READ: usize = 8;
/// Events that an engine keeps for a reader, and some more.
const AHEAD: usize = 80;
const ALONE: &str = "alone";
const BESIDE: &str = "beside a stopped reader";
