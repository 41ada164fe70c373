//! LoRA adapters.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::ffi::LoraPtr;
use crate::gguf::Gguf;
use crate::model::{Shared, c_path, invalid};
use crate::prepare::on_own_thread;

/// An adapter, loaded for one model. Cheap to clone. Attach it with
/// [`Context::set_lora`](crate::Context::set_lora).
#[derive(Debug, Clone)]
pub struct Lora {
    pub(crate) ptr: Arc<LoraPtr>,
    path: Arc<PathBuf>,
    fingerprint: [u8; 32],
}

impl Lora {
    pub(crate) fn load(model: &Arc<Shared>, path: &Path) -> Result<Self> {
        let header = Gguf::open(path).map_err(|source| invalid(path, source))?;
        header.check_layout().map_err(|source| invalid(path, source))?;
        let refused = |reason: &str| Error::Lora { path: path.to_owned(), reason: reason.to_owned() };
        if header.get("general.type").and_then(|value| value.as_str()) != Some("adapter") {
            return Err(refused("the file is a model, not an adapter (general.type is not \"adapter\")"));
        }
        let ours = model.ptr.meta_value(c"general.architecture");
        if header.architecture() != ours.as_deref() {
            let (theirs, ours) = (header.architecture().unwrap_or("none"), ours.as_deref().unwrap_or("none"));
            return Err(refused(&format!("it is for the architecture {theirs}, the model is {ours}")));
        }
        let c = c_path(path)?;
        let loaded = on_own_thread("mullama-load", || LoraPtr::load(&model.ptr, &c))?;
        let ptr = loaded.map_err(|reason| refused(&reason))?;
        Ok(Self { ptr: Arc::new(ptr), path: Arc::new(path.to_owned()), fingerprint: header.fingerprint() })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// BLAKE3 of the file's header and length.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}
