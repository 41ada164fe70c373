//! What the examples share: the model that they run on.
#![forbid(unsafe_code)]

use anyhow::Result;
use mullama::Model;

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
