//! Where the tests' models lie.

use std::path::{Path, PathBuf};

use mullama_core::Model;

/// The folder beside the checkout, or `None`, said aloud, on a machine that does not have it.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("NOT RUN: ../shared with the models and records is not on this machine");
    None
}

/// A file of that folder.
pub(crate) fn file(path: &str) -> Option<PathBuf> {
    let file = folder()?.join(path);
    assert!(file.exists(), "{} is missing", file.display());
    Some(file)
}

/// A model of that folder.
pub(crate) fn model(path: &str) -> Option<Model> {
    Some(Model::load(file(path)?).unwrap())
}

/// A record of that folder.
pub(crate) fn json(path: &str) -> Option<serde_json::Value> {
    Some(serde_json::from_slice(&std::fs::read(file(path)?).unwrap()).unwrap())
}

/// The project's own chat model; it is part of the project, so it is always there.
pub(crate) fn tiny() -> Model {
    Model::load(tiny_path()).unwrap()
}

pub(crate) fn tiny_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../mullama-demo-models/models/mullama-tiny-q8_0.gguf")
}
