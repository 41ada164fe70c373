//! Which files the arguments of `convert` mean.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use mullama::convert::{BatchConverter, BatchJob};
use walkdir::WalkDir;

use crate::cli::convert::Convert;
use crate::error::{Error, Result};

/// Folders within folders beyond this are not looked into: a loop of mounts, most likely.
const MAX_DEPTH: usize = 64;

/// A job for each file, in the order of the arguments and of names within folders.
pub(super) fn jobs(args: &Convert, batch: &BatchConverter) -> Result<Vec<BatchJob>> {
    let mut found = Found { args, batch, seen: HashSet::new(), jobs: Vec::new() };
    for input in &args.inputs {
        let text = input.to_str().filter(|text| text.contains(['*', '?', '[']));
        match (text, input.symlink_metadata()) {
            (Some(pattern), Err(_)) => found.pattern(pattern)?,
            _ if input.is_dir() => found.folder(input)?,
            // One that is missing fails as a file of the batch, beside the others.
            _ => found.file(input, Path::new(input.file_name().unwrap_or_default())),
        }
    }
    if found.jobs.is_empty() {
        let hint = if args.recursive { "" } else { "--recursive looks into folders within folders too" };
        return Err(Error::usage(format!("there is no file that can become {}", args.to), hint));
    }
    Ok(found.jobs)
}

struct Found<'a> {
    args: &'a Convert,
    batch: &'a BatchConverter,
    seen: HashSet<PathBuf>,
    jobs: Vec<BatchJob>,
}

impl Found<'_> {
    /// Takes a file; `relative` is where its result goes within `--out`.
    fn file(&mut self, input: &Path, relative: &Path) {
        if self.seen.insert(input.to_owned()) {
            let output = self.args.out.as_ref().map_or_else(|| input.to_owned(), |out| out.join(relative));
            self.jobs.push(self.batch.job(input, output));
        }
    }

    /// Takes a file that was not named: it must look like one that can be converted, and not be its own result.
    fn candidate(&mut self, input: &Path, relative: &Path) {
        let own = self.args.out.is_none() && self.batch.job(input, input).output == input;
        if self.args.to.takes(input) && !own {
            self.file(input, relative);
        }
    }

    fn folder(&mut self, folder: &Path) -> Result<()> {
        let depth = if self.args.recursive { MAX_DEPTH } else { 1 };
        // Results of an earlier run are no sources.
        let out = self.args.out.as_ref().and_then(|out| out.canonicalize().ok());
        let entries = WalkDir::new(folder).max_depth(depth).sort_by_file_name().into_iter().filter_entry(|entry| {
            let is_out = out.is_some() && entry.depth() > 0 && entry.path().canonicalize().ok() == out;
            !is_out
        });
        for entry in entries {
            let entry = entry.map_err(|error| {
                let path = error.path().unwrap_or(folder).display().to_string();
                Error::usage(format!("cannot look into `{path}`: {error}"), "")
            })?;
            if entry.path().is_file() {
                let relative = entry.path().strip_prefix(folder).unwrap_or(entry.path());
                self.candidate(entry.path(), relative);
            }
        }
        Ok(())
    }

    fn pattern(&mut self, pattern: &str) -> Result<()> {
        let wrong = |error: glob::PatternError| Error::usage(format!("`{pattern}` is no pattern: {error}"), "");
        let before = self.jobs.len();
        for path in glob::glob(pattern).map_err(wrong)?.flatten() {
            if path.is_dir() && self.args.recursive {
                self.folder(&path)?;
            } else if path.is_file() {
                self.candidate(&path, Path::new(path.file_name().unwrap_or_default()));
            }
        }
        if self.jobs.len() == before {
            return Err(Error::usage(
                format!("no file that can become {} is called like `{pattern}`", self.args.to),
                "",
            ));
        }
        Ok(())
    }
}
