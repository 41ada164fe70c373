//! The files that a configuration names.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{Found, named};
use crate::config::MullamaConfig;
use crate::error::{Problem, Warning};
use crate::load::Loaded;

/// Files that cannot be read. Those of the command line are left to the command, which tells it in its own words.
pub(super) fn check(config: &MullamaConfig, found: &mut Found<'_>) {
    for (path, file) in all(config) {
        let origin = (found.origin)(&path);
        if origin.is_flag() || found.knows(&path) {
            continue;
        }
        if let Err(reason) = readable(&file) {
            found.problems.push(Problem::file(path, origin, file, reason));
        }
    }
}

/// Files with secrets that others can read, or change.
pub(crate) fn permissions(loaded: &Loaded) -> Vec<Warning> {
    let server = &loaded.config().server;
    let named = [&server.auth.api_key_file, &server.tls.key].into_iter().flatten().map(PathBuf::as_path);
    loaded.secret_files().chain(named).filter_map(exposed).collect()
}

#[cfg(unix)]
fn exposed(path: &Path) -> Option<Warning> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o037 != 0).then(|| Warning::Exposed { path: path.to_owned(), mode })
}

#[cfg(not(unix))]
fn exposed(_path: &Path) -> Option<Warning> {
    None
}

/// All files with the fields that name them.
fn all(config: &MullamaConfig) -> Vec<(String, PathBuf)> {
    let mut files = Vec::new();
    for (table, model) in named(config) {
        if !model.path.is_empty() {
            files.push((format!("{table}.path"), PathBuf::from(&model.path)));
        }
        for (at, adapter) in model.lora.iter().enumerate() {
            files.push((format!("{table}.lora[{at}].path"), adapter.path.clone()));
        }
        if let Some(file) = &model.chat_template_file {
            files.push((format!("{table}.chat_template_file"), file.clone()));
        }
    }
    let server = &config.server;
    for (path, file) in [
        ("server.auth.api_key_file", &server.auth.api_key_file),
        ("server.tls.certificate", &server.tls.certificate),
        ("server.tls.key", &server.tls.key),
    ] {
        files.extend(file.iter().map(|file| (path.to_owned(), file.clone())));
    }
    files
}

fn readable(path: &Path) -> Result<(), String> {
    File::open(path).map_err(|error| error.to_string())?;
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err("it is a folder".to_owned()),
        _ => Ok(()),
    }
}
