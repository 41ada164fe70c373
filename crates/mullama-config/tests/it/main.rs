//! Configurations as programs and their users have them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod layers;
mod merge;
mod messages;
mod reload;
mod secrets;
mod table;

use std::path::PathBuf;

use mullama_config::{Error, Loaded, Loader};
use tempfile::TempDir;

/// A folder with files.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// Loads one file.
pub(crate) fn load(name: &str, text: &str) -> Result<Loaded, Error> {
    let files = Files::new();
    Loader::new().file(files.write(name, text)).load()
}

/// The problems of a file as lines, without its folder.
pub(crate) fn told(name: &str, text: &str) -> Vec<String> {
    let files = Files::new();
    let error = Loader::new().file(files.write(name, text)).load().unwrap_err();
    let folder = format!("{}/", files.0.path().display());
    error.problems().iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
}
