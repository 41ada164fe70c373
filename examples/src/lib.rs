//! What the examples share: the model that they run on.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use anyhow::Result;
use mullama::Model;
use tempfile::TempPath;

/// The model named by the first argument; without one the project's own, from memory.
///
/// # Errors
/// When the model cannot be loaded.
pub fn model() -> Result<Model> {
    Ok(match std::env::args().nth(1) {
        Some(path) => Model::load(path)?,
        None => Model::from_bytes(mullama::demo_models::CHAT).load()?,
    })
}

/// The file named by the first argument; without one the project's own model in a temporary file, which goes with the
/// second value.
///
/// # Errors
/// When the file cannot be written.
pub fn model_file() -> Result<(PathBuf, Option<TempPath>)> {
    if let Some(path) = std::env::args().nth(1) {
        return Ok((path.into(), None));
    }
    let mut file = tempfile::Builder::new().suffix(".gguf").tempfile()?;
    std::io::Write::write_all(&mut file, mullama::demo_models::CHAT)?;
    let path = file.into_temp_path();
    Ok((path.to_path_buf(), Some(path)))
}
