//! `mullama convert`: files of sound and pictures into other formats.

mod inputs;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mullama::convert::{
    AudioFormatType, BatchConverter, BatchReport, ConversionConfig, ConversionProgress, Damaged, FileOutcome,
    FileResult, ImageFormatType, Resize, StopButton, TargetFormat, WebpMode,
};

use crate::cli::convert::Convert;
use crate::error::{Error, Result};
use crate::interrupt::Work;
use crate::settings;
use crate::terminal::{Output, Ui, human_bytes};

pub(crate) fn run(args: &Convert, ui: &Ui) -> Result<()> {
    let mut batch = BatchConverter::new(args.to, config(args)?).resume(args.resume);
    if let Some(threads) = args.threads() {
        batch = batch.threads(threads);
    }
    let jobs = inputs::jobs(args, &batch)?;
    let bar = Bar::new(ui);
    let stop = StopButton::new();
    let tell = |progress: &ConversionProgress<'_>| {
        bar.set(progress);
        if let Some(result) = progress.result {
            bar.during_silence(|| tell_file(result, ui));
        }
    };
    let report = ui.interrupt.during(Work::Polled, || {
        std::thread::scope(|scope| {
            let worker = std::thread::Builder::new()
                .name("convert".to_owned())
                .spawn_scoped(scope, || batch.run(&jobs, &stop, tell))
                .map_err(|source| Error::usage(format!("the system gives no thread: {source}"), ""))?;
            while !worker.is_finished() {
                if ui.interrupt.pressed() {
                    stop.press();
                }
                std::thread::sleep(GLANCE);
            }
            let done = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            done.map_err(Error::Convert)
        })
    })?;
    drop(bar);
    let mut output = Output::lock();
    if args.json {
        output.json(&report)?;
    } else {
        output.line(&summary(&report))?;
    }
    output.flush()?;
    verdict(report)
}

/// What the flags ask for, over the configuration.
fn config(args: &Convert) -> Result<ConversionConfig> {
    if let Some(flag) = meaningless(args) {
        return Err(Error::usage(format!("{flag} says nothing about {}", args.to), ""));
    }
    let mut config = settings::conversion(&args.config)?;
    // A quality that is meant for all pictures makes none lossy: only that of a flag does.
    if args.to == TargetFormat::Image(ImageFormatType::WEBP)
        && config.image.webp == WebpMode::Auto
        && !args.picture.lossy
    {
        config.image.quality = None;
    }
    if args.force {
        config = config.overwrite(true);
    }
    if args.accept_damaged {
        config = config.damaged(Damaged::Accept);
    }
    config.metadata = args.metadata.unwrap_or(config.metadata);
    let (sound, picture) = (&args.sound, &args.picture);
    let audio = &mut config.audio;
    audio.sample_rate = sound.rate.or(audio.sample_rate);
    audio.channels = sound.channels.or(audio.channels);
    audio.bits = sound.bits.map(Into::into).or(audio.bits);
    audio.bitrate = sound.bitrate.or(audio.bitrate);
    audio.loudness = sound.loudness.or(audio.loudness);
    match (args.to, args.quality) {
        (_, None) => {}
        (TargetFormat::Audio(_), quality) => config.audio.quality = quality,
        (_, Some(quality)) => config.image.quality = Some(percent(quality)?),
    }
    if picture.width.is_some() || picture.height.is_some() {
        let (width, height, fit) = (picture.width, picture.height, picture.fit.unwrap_or_default());
        config.image.resize = Some(Resize { width, height, fit, ..Resize::default() });
    } else if picture.fit.is_some() {
        return Err(Error::usage(
            "--fit says how a picture fits into a size, but there is none",
            "give --width or --height",
        ));
    }
    config.image.webp = match (picture.lossless, picture.lossy) {
        (true, _) => WebpMode::Lossless,
        (_, true) => WebpMode::Lossy,
        _ => config.image.webp,
    };
    config.image.effort = picture.effort.unwrap_or(config.image.effort);
    config.image.background = picture.background.unwrap_or(config.image.background);
    Ok(config)
}

/// A flag that the target has no use for: whoever gives it expects something else.
fn meaningless(args: &Convert) -> Option<&'static str> {
    use AudioFormatType::{AAC, FLAC, M4A, MP3, OGG, OPUS, WAV};
    let sound = match args.to {
        TargetFormat::Audio(format) => Some(format),
        _ => None,
    };
    let picture = match args.to {
        TargetFormat::Image(format) => Some(format),
        _ => None,
    };
    let lossy = matches!(picture, Some(ImageFormatType::JPEG | ImageFormatType::WEBP));
    let webp = picture == Some(ImageFormatType::WEBP);
    let (asked, told) = (&args.sound, &args.picture);
    let flags = [
        ("--rate", asked.rate.is_some(), sound.is_some()),
        ("--channels", asked.channels.is_some(), sound.is_some()),
        ("--loudness", asked.loudness.is_some(), sound.is_some()),
        ("--bits", asked.bits.is_some(), matches!(sound, Some(WAV | FLAC))),
        ("--bitrate", asked.bitrate.is_some(), matches!(sound, Some(MP3 | AAC | M4A | OPUS))),
        ("--quality", args.quality.is_some(), sound == Some(OGG) || lossy),
        ("--width", told.width.is_some(), picture.is_some()),
        ("--height", told.height.is_some(), picture.is_some()),
        ("--fit", told.fit.is_some(), picture.is_some()),
        ("--effort", told.effort.is_some(), picture.is_some_and(|format| format != ImageFormatType::BMP)),
        ("--lossless", told.lossless, webp),
        ("--lossy", told.lossy, webp),
        ("--background", told.background.is_some(), picture == Some(ImageFormatType::JPEG)),
    ];
    flags.into_iter().find(|(_, given, useful)| *given && !useful).map(|(flag, ..)| flag)
}

/// The quality of pictures: a whole number.
fn percent(quality: f32) -> Result<u8> {
    (1..=100).find(|whole| (f32::from(*whole) - quality).abs() < f32::EPSILON).ok_or_else(|| {
        Error::usage(format!("--quality is {quality}, but must be a whole number from 1 to 100 for pictures"), "")
    })
}

/// What went wrong with a file, or is worth knowing about it.
fn tell_file(result: &FileResult, ui: &Ui) {
    let name = result.input.display();
    match &result.outcome {
        FileOutcome::Converted { report } => {
            report.warnings().iter().for_each(|warning| ui.notice(&format!("note: {name}: {warning}")));
        }
        FileOutcome::Failed { error } => {
            let flag = remedy(error).map_or(String::new(), |flag| format!(" ({flag})"));
            ui.say(&format!("failed: {name}: {}{flag}", crate::error::chain(error)));
        }
        _ => {}
    }
}

/// The flag with which it would not have failed.
fn remedy(error: &mullama::convert::Error) -> Option<&'static str> {
    use mullama::convert::Error;
    match error {
        Error::OutputExists { .. } => Some("--force"),
        Error::Truncated { .. }
        | Error::TruncatedImage { .. }
        | Error::Corrupt { .. }
        | Error::NonFiniteSamples { .. } => Some("--accept-damaged"),
        _ => None,
    }
}

fn summary(report: &BatchReport) -> String {
    let read: u64 = report
        .files
        .iter()
        .filter(|file| matches!(file.outcome, FileOutcome::Converted { .. }))
        .map(|file| std::fs::metadata(&file.input).map_or(0, |metadata| metadata.len()))
        .sum();
    let written: u64 = report
        .files
        .iter()
        .map(|file| if let FileOutcome::Converted { report } = &file.outcome { report.bytes() } else { 0 })
        .sum();
    let mut text = format!("{} converted", report.converted);
    for (count, what) in [(report.skipped, "skipped"), (report.failed, "failed"), (report.stopped, "not done")] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    let seconds = report.elapsed.as_secs_f64();
    format!("{text}: {} -> {} in {seconds:.1} s", human_bytes(read), human_bytes(written))
}

/// Whether the program succeeded.
fn verdict(report: BatchReport) -> Result<()> {
    let (of, stopped) = (report.files.len(), report.stopped);
    let mut failures = report.files.into_iter().filter_map(|file| match file.outcome {
        FileOutcome::Failed { error } => Some(error),
        _ => None,
    });
    match failures.next() {
        Some(first) => Err(Error::Files { failed: report.failed, of, kind: first.kind() }),
        None if stopped > 0 => Err(Error::Stopped { files: stopped }),
        None => Ok(()),
    }
}

/// A bar with the rate and the time that is left, drawn only when the work takes a while.
struct Bar(Option<ProgressBar>);

impl Bar {
    fn new(ui: &Ui) -> Self {
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {percent:>3} % {binary_bytes_per_sec}, {eta} left");
        Self(ui.shows_bars().then(|| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "))
        }))
    }

    fn set(&self, progress: &ConversionProgress<'_>) {
        let Some(bar) = self.0.as_ref().filter(|_| progress.elapsed >= PATIENCE) else { return };
        let failed = if progress.failed > 0 { format!(", {} failed", progress.failed) } else { String::new() };
        bar.set_length(progress.of_bytes);
        bar.set_position(progress.bytes);
        bar.set_message(format!("{}/{} files{failed}", progress.files, progress.of));
        // Each change draws the bar: it is shown once it has all of them.
        if bar.is_hidden() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Writes lines without the bar in between.
    fn during_silence(&self, write: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// How often Ctrl-C is looked for.
const GLANCE: Duration = Duration::from_millis(20);
/// Work that takes less needs no bar.
const PATIENCE: Duration = Duration::from_millis(300);
