//! Many files at once.

mod plan;
mod report;
mod stop;

use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::audio::AudioConverter;
use crate::config::ConversionConfig;
use crate::error::{Error, Result};
use crate::file;
use crate::image;
use crate::job::guarded;

pub use self::plan::{BatchJob, TargetFormat};
pub use self::report::{BatchReport, ConversionProgress, FileOutcome, FileReport, FileResult};
pub use self::stop::StopButton;

/// Converts many files, one on each thread.
///
/// A file that fails does not hold up the others: each has its own result. Targets appear when they are whole, so a batch
/// that was stopped, or whose process died, can be run again with [`resume`](Self::resume).
///
/// Memory: each thread holds what one conversion needs: some MiB for sound, several times the decoded picture for pictures.
///
/// ```
/// use mullama_convert::{BatchConverter, BatchJob, ConversionConfig, FileOutcome, StopButton};
///
/// # fn main() -> mullama_convert::Result<()> {
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = |name: &str| folder.path().join(name);
/// # for name in ["a.bmp", "b.bmp"] { image::RgbImage::new(8, 8).save(path(name)).expect("a picture"); }
/// let batch = BatchConverter::new("png".parse()?, ConversionConfig::new()).resume(true);
/// let jobs = batch.plan([path("a.bmp"), path("b.bmp"), path("none.bmp")], &path("out"));
/// let report = batch.run(&jobs, &StopButton::new(), |progress| println!("{} of {}", progress.files, progress.of))?;
/// assert_eq!((report.converted, report.failed), (2, 1));
/// assert!(matches!(report.files[2].outcome, FileOutcome::Failed { .. }));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct BatchConverter {
    target: TargetFormat,
    config: ConversionConfig,
    threads: Option<NonZeroUsize>,
    resume: bool,
}

impl BatchConverter {
    /// A batch into this format: one file for each of the machine's cores at a time, nothing skipped.
    pub const fn new(target: TargetFormat, config: ConversionConfig) -> Self {
        Self { target, config, threads: None, resume: false }
    }

    /// Files at a time. Default: the number of cores.
    pub const fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Whether a file is skipped whose target is there, not older than the file itself, and begins as its format does. It is
    /// not looked into any further: made with another configuration it stays as it is. Default: no.
    pub const fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// The format that all become.
    #[must_use]
    pub const fn target(&self) -> TargetFormat {
        self.target
    }

    /// Converts all, and returns when all have ended.
    ///
    /// `progress` is called on the threads that work, one at a time: after each file, and within long ones about ten times a
    /// second. `stop` ends the batch soon: what is under way is given up, what was not begun stays so.
    ///
    /// It deletes what killed conversions have left in the folders of the targets: files called `.mullama-`, six letters and
    /// `.partial` that nobody has written to for 24 hours and that no process holds locked.
    ///
    /// # Errors
    /// [`Error::Stream`] if the system gives no threads. What goes wrong with a file is in its result.
    pub fn run(
        &self,
        jobs: &[BatchJob],
        stop: &StopButton,
        progress: impl Fn(&ConversionProgress<'_>) + Sync,
    ) -> Result<BatchReport> {
        let start = Instant::now();
        let threads = self.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.min(jobs.len().max(1)))
            .thread_name(|index| format!("convert-{index}"))
            .build()
            .map_err(|error| Error::Stream { action: "start threads for", source: io::Error::other(error) })?;
        let watch = Watch::new(jobs, start, &progress);
        let clashes = plan::clashes(jobs);
        // What an earlier run of this batch left when it was killed lies in the same folders.
        plan::folders(jobs).into_iter().for_each(file::remove_stale);
        let one = |(index, job): (usize, &BatchJob)| {
            let result = self.one(job, clashes.get(&index).copied(), stop, &watch);
            watch.ended(job, &result);
            result
        };
        // `with_max_len`: files differ in length, so each is a task of its own.
        let files = pool.install(|| jobs.par_iter().enumerate().with_max_len(1).map(one).collect());
        Ok(BatchReport::new(files, start.elapsed()))
    }

    /// As [`run`](Self::run), away from tokio's own threads.
    ///
    /// # Errors
    /// As [`run`](Self::run); [`Error::RuntimeGone`].
    ///
    /// # Cancel safety
    /// Dropping the future presses the button: the batch ends soon, targets are whole or not there.
    pub async fn run_async(
        &self,
        jobs: Vec<BatchJob>,
        stop: StopButton,
        progress: impl Fn(&ConversionProgress<'_>) + Send + Sync + 'static,
    ) -> Result<BatchReport> {
        let (batch, dropped) = (*self, stop.clone().press_on_drop());
        let done = tokio::task::spawn_blocking(move || batch.run(&jobs, &stop, progress)).await;
        dropped.disarm();
        done.map_err(|_| Error::RuntimeGone)?
    }

    fn one(&self, job: &BatchJob, clash: Option<&Path>, stop: &StopButton, watch: &Watch<'_>) -> FileResult {
        let outcome = if stop.is_pressed() {
            FileOutcome::Stopped
        } else if let Some(first) = clash {
            let error = Error::SameTarget { first: first.to_owned(), path: job.output.clone() };
            FileOutcome::Failed { error }
        } else if self.resume && is_done(job, self.target) {
            FileOutcome::Skipped
        } else {
            match guarded(|| "a file".to_owned(), || self.convert(job, stop, watch)) {
                Ok(report) => FileOutcome::Converted { report: Box::new(report) },
                Err(Error::Cancelled) => FileOutcome::Stopped,
                Err(error) => FileOutcome::Failed { error },
            }
        };
        FileResult { input: job.input.clone(), output: job.output.clone(), outcome }
    }

    fn convert(&self, job: &BatchJob, stop: &StopButton, watch: &Watch<'_>) -> Result<FileReport> {
        if let Some(folder) = job.output.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let failed = |source| Error::File { action: "create", path: folder.to_owned(), source };
            // Nothing is made for a file that is not there.
            fs::metadata(&job.input).map_err(|source| Error::File {
                action: "open",
                path: job.input.clone(),
                source,
            })?;
            fs::create_dir_all(folder).map_err(failed)?;
        }
        match self.target {
            TargetFormat::Image(_) => {
                let check = || if stop.is_pressed() { Err(Error::Cancelled) } else { Ok(()) };
                image::file_to_file(&job.input, &job.output, &self.config, &check).map(FileReport::Image)
            }
            TargetFormat::Audio(_) => {
                let mut seen = 0;
                let mut on = |progress: crate::audio::AudioProgress| {
                    let share = progress.of.filter(|of| *of > 0).map_or(0, |of| {
                        let share = u128::from(job.bytes) * u128::from(progress.frames.min(of)) / u128::from(of);
                        u64::try_from(share).unwrap_or(job.bytes)
                    });
                    watch.moved(share.saturating_sub(seen));
                    seen = seen.max(share);
                    if stop.is_pressed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                };
                let done = AudioConverter::new().convert_file_watched(&job.input, &job.output, &self.config, &mut on);
                // What was told ahead is taken back: the end of the file counts it whole.
                watch.taken_back(seen);
                done.map(FileReport::Audio)
            }
        }
    }
}

/// Whether the target is there, not older than its source, and begins like a file of its format.
fn is_done(job: &BatchJob, target: TargetFormat) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    let (Ok(input), Ok(output)) = (modified(&job.input), modified(&job.output)) else { return false };
    output >= input && file::head(&job.output).is_ok_and(|head| target.begins(&head))
}

/// How far all threads are.
struct Watch<'a> {
    start: Instant,
    of: usize,
    of_bytes: u64,
    files: AtomicUsize,
    failed: AtomicUsize,
    bytes: AtomicU64,
    /// Milliseconds since the start at which the caller was last told; the lock lets one thread tell at a time.
    told: std::sync::Mutex<u64>,
    tell: &'a (dyn Fn(&ConversionProgress<'_>) + Sync),
}

/// The least time between two calls within files.
const PACE: Duration = Duration::from_millis(100);

impl<'a> Watch<'a> {
    fn new(jobs: &[BatchJob], start: Instant, tell: &'a (dyn Fn(&ConversionProgress<'_>) + Sync)) -> Self {
        let of_bytes = jobs.iter().map(|job| job.bytes).sum();
        let (files, failed, bytes) = Default::default();
        Self { start, of: jobs.len(), of_bytes, files, failed, bytes, told: std::sync::Mutex::new(0), tell }
    }

    fn moved(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Somebody else is telling: this step is not worth waiting for.
        let Ok(mut told) = self.told.try_lock() else { return };
        if Duration::from_millis(now.saturating_sub(*told)) >= PACE {
            *told = now;
            (self.tell)(&self.progress(None));
        }
    }

    fn taken_back(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn ended(&self, job: &BatchJob, result: &FileResult) {
        self.bytes.fetch_add(job.bytes, Ordering::Relaxed);
        if matches!(result.outcome, FileOutcome::Failed { .. }) {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        let _told = self.told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Counted under the lock, so that callers see each number once and in order.
        self.files.fetch_add(1, Ordering::Relaxed);
        (self.tell)(&self.progress(Some(result)));
    }

    fn progress<'b>(&self, result: Option<&'b FileResult>) -> ConversionProgress<'b> {
        ConversionProgress {
            files: self.files.load(Ordering::Relaxed),
            of: self.of,
            failed: self.failed.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            of_bytes: self.of_bytes,
            elapsed: self.start.elapsed(),
            result,
        }
    }
}
