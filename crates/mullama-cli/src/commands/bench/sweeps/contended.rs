//! One stream beside a busy program: with threads that give way, and with threads that do not.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use mullama_core::{EngineParams, ThreadPolicy};

use super::Stream;
use crate::commands::bench::load;
use crate::commands::bench::measure::{Metric, Metrics};
use crate::commands::bench::random::Random;
use crate::commands::bench::report::{Chart, Point, Sweep};
use crate::commands::bench::side::Request;
use crate::commands::bench::words::words;
use crate::commands::bench::{Running, cores, file_error};
use crate::error::Result;

pub(super) fn run(bench: &Running<'_>) -> Result<Sweep> {
    let (sizes, cores) = (&bench.sizes, cores());
    let title = format!("one stream of {} tokens, {cores} threads on {cores} cores", sizes.contended_tokens);
    let charts = vec![Chart::bars("Throughput", "tokens/s", Metric::Throughput)];
    let mut sweep = Sweep::new("contended", title, "streams", charts);
    let mut point = Point::new("1");
    bench.pairs(sweep.name, |pair, counts| {
        let mut random = Random::new(&[sizes.seed, Stream::Contended as u64, pair]);
        let request = Request { prompt: words(sizes.prompt_words, &mut random), tokens: sizes.contended_tokens };
        for (name, policy, busy) in CASES {
            bench.settle();
            // A new engine: what it learned of the load in one case must not serve it in the next.
            let local = bench.setup.start_as(name, |params: &mut EngineParams| {
                params.sequences = 1;
                params.thread_policy = policy;
                params.context.threads = cores;
                params.context.threads_batch = cores;
            })?;
            let burner = busy.then(Burner::start).transpose()?;
            let run = load::run(&local, std::slice::from_ref(&request), 1)?;
            drop(burner);
            if counts {
                point.push(name, Metrics::default().with(Metric::Throughput, run.tokens_per_second()));
            }
        }
        Ok(())
    })?;
    point.sum_up();
    point.ratio(Metric::Throughput, CASES[1].0, CASES[0].0);
    point.ratio(Metric::Throughput, CASES[2].0, CASES[0].0);
    sweep.points.push(point);
    Ok(sweep)
}

/// This program, doing nothing on one core as hard as it can. Ends when it is dropped.
struct Burner(Child);

impl Burner {
    fn start() -> Result<Self> {
        let fault = |source| file_error("start", "mullama".as_ref(), source);
        let program = std::env::current_exe().map_err(fault)?;
        let mut command = Command::new(&program);
        command
            .args(["bench", "--burn", BURN_SECONDS])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let burner = Self(command.spawn().map_err(|source| file_error("start", &program, source))?);
        thread::sleep(UNTIL_BUSY);
        Ok(burner)
    }
}

impl Drop for Burner {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What it is called, how the engine chooses its threads, and whether another program is busy.
const CASES: [(&str, ThreadPolicy, bool); 3] = [
    ("free cores, adaptive", ThreadPolicy::Adaptive, false),
    ("one busy, adaptive", ThreadPolicy::Adaptive, true),
    ("one busy, all threads", ThreadPolicy::Fixed, true),
];
/// It does not outlive a bench that was killed by much.
const BURN_SECONDS: &str = "300";
const UNTIL_BUSY: Duration = Duration::from_millis(100);
