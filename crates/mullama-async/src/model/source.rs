//! Where a model comes from, and how it is loaded.

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use mullama_core::{Model, ModelParams};

/// Where a model comes from, and the parameters that it is loaded with. Cheap to clone, so that it can be loaded again.
///
/// ```
/// use mullama_async::ModelSource;
/// use mullama_core::ModelParams;
///
/// let file = ModelSource::path("qwen.gguf").params(ModelParams { gpu_layers: 99, ..Default::default() });
/// let same = ModelSource::from("qwen.gguf"); // with default parameters
/// # let _ = (file, same);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct ModelSource {
    pub(crate) origin: Origin,
    pub(crate) params: ModelParams,
}

#[derive(Clone)]
pub(crate) enum Origin {
    File(PathBuf),
    Bytes(Arc<dyn AsRef<[u8]> + Send + Sync>),
    Loaded(Model),
}

impl ModelSource {
    /// A file; the first one of a split model stands for all.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self { origin: Origin::File(path.into()), params: ModelParams::default() }
    }

    /// A model in memory. llama.cpp copies the bytes when it loads them.
    pub fn bytes(bytes: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self { origin: Origin::Bytes(Arc::new(bytes)), params: ModelParams::default() }
    }

    /// A model that is loaded: it is used as it is. Its weights stay in memory as long as somebody else has it.
    pub fn loaded(model: impl Into<Model>) -> Self {
        Self { origin: Origin::Loaded(model.into()), params: ModelParams::default() }
    }

    /// Replaces all parameters. They mean nothing to a model that is loaded.
    pub fn params(mut self, params: ModelParams) -> Self {
        self.params = params;
        self
    }

    /// Loads, on this thread. Blocks.
    pub(crate) fn load(
        self,
        progress: impl FnMut(f32) -> ControlFlow<()> + Send,
    ) -> Result<Model, mullama_core::Error> {
        match self.origin {
            Origin::File(path) => Model::builder(path).params(self.params).progress(progress).load(),
            Origin::Bytes(bytes) => Model::from_bytes((*bytes).as_ref()).params(self.params).progress(progress).load(),
            Origin::Loaded(model) => Ok(model),
        }
    }
}

impl<P: Into<PathBuf>> From<P> for ModelSource {
    fn from(path: P) -> Self {
        Self::path(path)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Bytes(_) => f.write_str("<memory>"),
            Self::Loaded(model) => model.path().fmt(f),
        }
    }
}
