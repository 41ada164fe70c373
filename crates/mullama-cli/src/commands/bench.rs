//! `mullama bench`: loads the engine as clients would, alone or in turn with a server, and tells what they saw.

mod gguf;
mod http;
mod load;
mod measure;
mod model;
mod random;
mod report;
mod server;
mod side;
mod sizes;
mod svg;
mod sweeps;
mod words;

use std::num::NonZero;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mullama_core::{EngineParams, Model, ModelParams};

use crate::cli::bench::Bench;
use crate::error::Result;
use crate::load::ModelSource;
use crate::terminal::{Output, Ui};
use report::Report;
use server::Server;
use side::{Local, Setup, Side};
use sizes::Sizes;

pub(crate) fn run(args: &Bench, ui: &Ui) -> Result<()> {
    if let Some(time) = args.burn {
        burn(time);
        return Ok(());
    }
    if let Some(path) = &args.make_model {
        return model::make(if args.quick { model::TINY } else { model::FULL }, path, ui);
    }
    let server = args.against.as_deref().map(|url| {
        let (name, restart) = (args.against_name.as_deref(), args.restart_cmd.as_deref());
        Server::find(url, name, restart)
    });
    let server = server.transpose()?;
    let sizes = Sizes::of(args, args.seed.unwrap_or_else(drawn_seed));
    let source = match &args.model {
        Some(path) => ModelSource::File(path.clone()),
        None if args.quick => ModelSource::Embedded,
        None => ModelSource::File(model::provide(args.model_out.as_ref(), ui)?),
    };
    let model = source.load(args.load.params(ModelParams::default()), ui)?;
    let params = params(args, &sizes, &model);

    let about = server.as_ref().map(|server| server.about.clone());
    let mut report = Report::new(source.name(), &model, &params, sizes.clone()).with(about, args.note.clone());
    let bench = Running {
        setup: Setup { model, params, priority: args.engine.priority.unwrap_or_default() },
        sizes,
        server,
        ui,
    };
    // A place that cannot be written is told before the work is done, not after.
    keep(&report, args)?;
    let mut heading = report.caption();
    heading.extend(report.against().map(|line| format!("\n{line}")));
    heading.extend(args.note.as_ref().map(|line| format!("\n{line}")));
    ui.print(&format!("{heading}\n"))?;
    let chosen = sweeps::chosen(&args.sweep, bench.server.is_some());
    if !args.quick {
        ui.notice(&format!(
            "{} sweeps with {} counted runs a side take minutes each: --sweep names some, --pairs takes fewer runs",
            chosen.len(),
            bench.sizes.pairs
        ));
    }
    for sweep in chosen {
        let found = sweeps::run(sweep, &bench)?;
        let mut output = Output::lock();
        found.print(&mut output)?;
        output.flush()?;
        if let Some(folder) = &args.svg {
            write(&folder.join(format!("{}.svg", found.name)), svg::draw(&found, &report.legend()).as_bytes())?;
        }
        report.sweeps.push(found);
        keep(&report, args)?;
    }
    Ok(())
}

/// A bench under way.
struct Running<'a> {
    setup: Setup,
    sizes: Sizes,
    server: Option<Server>,
    ui: &'a Ui,
}

impl Running<'_> {
    /// Calls `pair` with the number of each pair, and whether it counts: the first does not.
    fn pairs(&self, sweep: &'static str, mut pair: impl FnMut(u64, bool) -> Result<()>) -> Result<()> {
        let mut bar = self.ui.bar(sweep);
        let count = u64::from(self.sizes.pairs);
        for number in 0..=count {
            pair(number, number > 0)?;
            bar.set(number + 1, count + 1);
        }
        Ok(())
    }

    /// The engine, then the server if there is one.
    fn sides<'a>(&'a self, local: &'a Local) -> Vec<&'a dyn Side> {
        let server = self.server.as_ref().map(|server| server as &dyn Side);
        [Some(local as &dyn Side), server].into_iter().flatten().collect()
    }

    /// Lets the threads of the other side come to rest.
    fn settle(&self) {
        thread::sleep(self.sizes.settle);
    }

    /// Tokens of an answer that is to go on while others are measured.
    fn long_answer(&self) -> u32 {
        (self.setup.params.context.length / 2).max(1)
    }
}

fn params(args: &Bench, sizes: &Sizes, model: &Model) -> EngineParams {
    let mut params = EngineParams { queue: 1_024, ..Default::default() };
    params.sequences = args.engine.sequences.unwrap_or_else(|| sizes.at_once());
    params.kv_layout = args.engine.kv_layout.unwrap_or_default();
    params.context.flash_attention = args.engine.flash_attn.unwrap_or_default();
    params.thread_policy = args.engine.thread_policy.unwrap_or_default();
    params.context.threads = args.engine.size.threads.unwrap_or(0);
    params.context.threads_batch = params.context.threads;
    let longest = model.context_length().clamp(1, sizes.length);
    params.context.length = args.engine.size.ctx_size.filter(|length| *length > 0).unwrap_or(longest);
    params
}

/// Writes the report as far as it is there.
fn keep(report: &Report, args: &Bench) -> Result<()> {
    if let Some(folder) = &args.svg {
        std::fs::create_dir_all(folder).map_err(|source| file_error("make the folder", folder, source))?;
    }
    let Some(path) = &args.json else { return Ok(()) };
    let mut json = serde_json::to_vec_pretty(report)
        .map_err(|error| mullama_core::Error::Internal { what: format!("the report is no JSON: {error}") })?;
    json.push(b'\n');
    write(path, &json)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|source| file_error("write", path, source))
}

fn file_error(action: &'static str, path: &Path, source: std::io::Error) -> crate::error::Error {
    mullama_core::Error::File { action, path: path.to_owned(), source }.into()
}

fn cores() -> u32 {
    thread::available_parallelism().map(NonZero::get).ok().and_then(|count| u32::try_from(count).ok()).unwrap_or(1)
}

fn drawn_seed() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Small enough for every reader of JSON.
    (time.as_secs() << 20 | u64::from(time.subsec_micros())) & ((1 << 53) - 1)
}

/// Keeps a core busy, as another program would.
fn burn(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}
