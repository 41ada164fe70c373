//! The files that a configuration names.

use std::fs;
use std::path::{Path, PathBuf};

use mullama_core::files::open;

use super::{Found, named};
use crate::config::MullamaConfig;
use crate::error::{Problem, Warning};
use crate::load::Loaded;

/// Files that cannot be read. Those of the command line are left to the command, which tells it in its own words.
pub(super) fn check(config: &MullamaConfig, found: &mut Found<'_>, in_force: Option<&MullamaConfig>) {
    let known = in_force.map(all).unwrap_or_default();
    for (path, file) in all(config) {
        let origin = (found.origin)(&path);
        if origin.is_flag() || found.knows(&path) || known.contains(&(path.clone(), file.clone())) {
            continue;
        }
        let keys = [API_KEY_FILE, ADMIN_KEY_FILE].contains(&path.as_str());
        let readable =
            if keys { taken_as_keys(&file) } else { open(&file).map(drop).map_err(|error| error.to_string()) };
        if let Err(reason) = readable {
            found.problems.push(Problem::file(path, origin, file, reason));
        }
    }
}

/// Files with secrets that others can read, or change.
pub(crate) fn permissions(loaded: &Loaded) -> Vec<Warning> {
    let server = &loaded.config().server;
    let named = [&server.auth.api_key_file, &server.auth.admin_key_file, &server.tls.key]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path);
    loaded.secret_files().chain(named).filter_map(exposed).collect()
}

#[cfg(unix)]
fn exposed(path: &Path) -> Option<Warning> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(path).ok()?;
    let mode = metadata.permissions().mode() & 0o7777;
    // Devices have other reasons.
    (metadata.is_file() && mode & 0o037 != 0).then(|| Warning::Exposed { path: path.to_owned(), mode })
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
        (API_KEY_FILE, &server.auth.api_key_file),
        (ADMIN_KEY_FILE, &server.auth.admin_key_file),
        ("server.tls.certificate", &server.tls.certificate),
        ("server.tls.key", &server.tls.key),
    ] {
        files.extend(file.iter().map(|file| (path.to_owned(), file.clone())));
    }
    files
}

/// As the server reads it.
fn taken_as_keys(path: &Path) -> Result<(), String> {
    mullama_web::check_key_file(path).map_err(|error| match error {
        mullama_web::Error::File { source, .. } => source.to_string(),
        error => error.to_string(),
    })
}

const API_KEY_FILE: &str = "server.auth.api_key_file";
const ADMIN_KEY_FILE: &str = "server.auth.admin_key_file";
