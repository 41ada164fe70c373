//! `mullama quantize`: a model in a smaller number format.

use std::path::{Path, PathBuf};
use std::time::Instant;

use mullama_core::{QuantizeParams, quantize};

use crate::cli::Quantize;
use crate::error::Result;
use crate::interrupt::Work;
use crate::load::ModelSource;
use crate::terminal::{Output, Ui, human_bytes};

pub(crate) fn run(args: &Quantize, ui: &Ui) -> Result<()> {
    let source = ModelSource::File(args.input.clone());
    let header = source.header()?;
    let parts = header.split_paths(&args.input).map_err(|fault| source.fault(fault))?;
    let params = QuantizeParams {
        threads: args.threads.unwrap_or(0),
        allow_requantize: args.allow_requantize,
        quantize_output_tensor: !args.leave_output_tensor,
        pure: args.pure,
        keep_split: args.keep_split,
    };
    let started = Instant::now();
    let mut bar = ui.bar("quantizing");
    let work = Work::Writing(half_written(&args.output));
    ui.interrupt.during(work, || {
        quantize(&args.input, &args.output, args.file_type, &params, |done, of| bar.set(done as u64, of as u64))
    })?;
    drop(bar);

    let written = if args.keep_split && parts.len() > 1 {
        split_names(&args.output, parts.len())
    } else {
        vec![args.output.clone()]
    };
    let (before, after) = (size(&parts), size(&written));
    let share = after as f64 / before.max(1) as f64 * 100.0;
    let mut output = Output::lock();
    output.line(&format!(
        "{}: {} -> {}: {} ({}, {share:.0} %) in {:.1} s",
        args.input.display(),
        human_bytes(before),
        args.output.display(),
        human_bytes(after),
        args.file_type,
        started.elapsed().as_secs_f64(),
    ))?;
    output.flush()
}

/// The file that `quantize` writes before it takes the output's name; Ctrl-C must not leave it behind.
fn half_written(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    output.with_file_name(name)
}

/// llama.cpp's names of a split output.
fn split_names(output: &Path, count: usize) -> Vec<PathBuf> {
    let name = output.file_name().unwrap_or_default().to_string_lossy().into_owned();
    (1..=count).map(|number| output.with_file_name(format!("{name}-{number:05}-of-{count:05}.gguf"))).collect()
}

fn size(files: &[PathBuf]) -> u64 {
    files.iter().map(|file| std::fs::metadata(file).map_or(0, |metadata| metadata.len())).sum()
}
