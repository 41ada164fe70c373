//! How a model comes into memory.

use std::ffi::CString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::{Inner, KvOverride, KvOverrideValue, LoraSpec, Model, ModelParams, Shared};
use crate::error::{Error, Result};
use crate::ffi::{self, LoadSource, ModelPtr, RawModelParams};
use crate::gguf::{Gguf, GgufError};
use crate::lora::Lora;
use crate::prepare::{Preparer, on_own_thread};

/// How a model is to be loaded. Made by [`Model::builder`] and [`Model::from_bytes`]; ends with [`ModelBuilder::load`].
#[must_use]
pub struct ModelBuilder<'a> {
    source: Source<'a>,
    params: ModelParams,
    progress: Option<Box<dyn FnMut(f32) -> ControlFlow<()> + Send + 'a>>,
}

impl std::fmt::Debug for ModelBuilder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelBuilder").field("params", &self.params).finish_non_exhaustive()
    }
}

pub(super) enum Source<'a> {
    Path(PathBuf),
    Bytes(&'a [u8]),
}

impl<'a> ModelBuilder<'a> {
    pub(super) fn new(source: Source<'a>) -> Self {
        Self { source, params: ModelParams::default(), progress: None }
    }

    /// Replaces all parameters.
    pub fn params(mut self, params: ModelParams) -> Self {
        self.params = params;
        self
    }

    /// [`ModelParams::gpu_layers`].
    pub fn gpu_layers(mut self, layers: i32) -> Self {
        self.params.gpu_layers = layers;
        self
    }

    /// [`ModelParams::devices`].
    pub fn devices(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.params.devices = names.into_iter().map(Into::into).collect();
        self
    }

    /// [`ModelParams::mmap`].
    pub fn mmap(mut self, on: bool) -> Self {
        self.params.mmap = on;
        self
    }

    /// [`ModelParams::mlock`].
    pub fn mlock(mut self, on: bool) -> Self {
        self.params.mlock = on;
        self
    }

    /// [`ModelParams::vocab_only`].
    pub fn vocab_only(mut self, on: bool) -> Self {
        self.params.vocab_only = on;
        self
    }

    /// Adds an adapter to [`ModelParams::lora`].
    pub fn lora(mut self, path: impl Into<PathBuf>, scale: f32) -> Self {
        self.params.lora.push(LoraSpec { path: path.into(), scale });
        self
    }

    /// Adds an override to [`ModelParams::kv_overrides`].
    pub fn kv_override(mut self, key: impl Into<String>, value: KvOverrideValue) -> Self {
        self.params.kv_overrides.push(KvOverride { key: key.into(), value });
        self
    }

    /// [`ModelParams::chat_template`].
    pub fn chat_template(mut self, source: impl Into<String>) -> Self {
        self.params.chat_template = Some(source.into());
        self
    }

    /// Is told how far the load is (0.0..=1.0), on the thread that loads; `Break` cancels it.
    pub fn progress(mut self, call: impl FnMut(f32) -> ControlFlow<()> + Send + 'a) -> Self {
        self.progress = Some(Box::new(call));
        self
    }

    /// Loads. Blocks; the work is done on a thread of its own with a large stack. The file's header is read and checked
    /// first, because llama.cpp aborts the process on some that are broken.
    ///
    /// # Errors
    /// [`Error::File`] when the file cannot be opened, [`Error::InvalidModel`] when its header is broken or its tensors
    /// are cut off, [`Error::InvalidParameter`], [`Error::LoadModel`] when llama.cpp refuses it, [`Error::Cancelled`]
    /// when the progress callback said so, [`Error::Lora`], [`Error::ChatTemplate`] when a template that was given cannot
    /// be read.
    pub fn load(mut self) -> Result<Model> {
        ffi::init();
        self.params.validate()?;
        let mut cancelled = false;
        let mut progress = self.progress.take().map(|mut call| {
            let cancelled = &mut cancelled;
            move |done| {
                let flow = call(done);
                *cancelled = flow.is_break();
                flow
            }
        });
        let loaded = on_own_thread("mullama-load", || {
            load_shared(&self.source, &self.params, progress.as_mut().map(|call| call as _))
        })?;
        drop(progress);
        let shared = match loaded {
            Err(_) if cancelled => return Err(Error::Cancelled),
            other => Arc::new(other?),
        };
        let adapters = self.params.lora.iter();
        let lora = adapters.map(|spec| Ok((Lora::load(&shared, &spec.path)?, spec.scale))).collect::<Result<_>>()?;
        let model = Model { inner: Arc::new(Inner { lora, shared }) };
        if self.params.chat_template.is_some() {
            // What is wrong with it is told here, not at the first conversation.
            model.chat_template()?;
        }
        Ok(model)
    }
}

type Progress<'a> = &'a mut (dyn FnMut(f32) -> ControlFlow<()> + Send);

fn load_shared(source: &Source<'_>, params: &ModelParams, progress: Option<Progress<'_>>) -> Result<Shared> {
    let (path, header, paths) = match source {
        Source::Path(path) => {
            // Checks the other parts of a split model too.
            let header = Gguf::open_checked(path).map_err(|source| invalid(path, source))?;
            let files = header.split_paths(path).map_err(|source| invalid(path, source))?;
            let paths = files.iter().map(|file| c_path(file)).collect::<Result<Vec<_>>>()?;
            (path.clone(), header, paths)
        }
        Source::Bytes(bytes) => {
            let path = PathBuf::from("<memory>");
            let header = Gguf::parse(bytes).map_err(|source| invalid(&path, source))?;
            header.check().map_err(|source| invalid(&path, source))?;
            (path, header, Vec::new())
        }
    };
    let mut header = header;
    if !params.kv_overrides.is_empty() {
        params.apply_overrides(&mut header);
        header.check().map_err(|source| invalid(&path, source))?;
    }
    for fault in header.warnings() {
        tracing::warn!(model = %path.display(), "{fault}");
    }
    let devices = params
        .devices
        .iter()
        .map(|name| CString::new(name.as_str()).map_err(|_| Error::parameter("devices", name, "a device name")))
        .collect::<Result<Vec<_>>>()?;
    let raw = RawModelParams {
        devices: &devices,
        gpu_layers: params.gpu_layers,
        split_mode: params.raw_split_mode(),
        main_gpu: i32::try_from(params.main_gpu).unwrap_or(0),
        tensor_split: &params.tensor_split,
        mmap: params.mmap,
        mlock: params.mlock,
        vocab_only: params.vocab_only,
        check_tensors: params.check_tensors,
        kv_overrides: &params.raw_overrides()?,
    };
    let from = match source {
        Source::Path(_) => LoadSource::Files(&paths),
        Source::Bytes(bytes) => LoadSource::Bytes(bytes),
    };
    let ptr =
        ModelPtr::load(&from, &raw, progress).map_err(|reason| Error::LoadModel { path: path.clone(), reason })?;
    let n_vocab = ptr.n_vocab();
    Ok(Shared {
        ptr: Arc::new(ptr),
        preparer: Arc::new(Preparer::new()),
        tokenizing: Preparer::new(),
        n_vocab,
        path,
        fingerprint: header.fingerprint(),
        vocab_only: params.vocab_only,
        chat_template: params.chat_template.clone(),
        end_tokens: OnceLock::new(),
        vocabulary: OnceLock::new(),
        learned_positions: header.tensors().iter().any(|tensor| tensor.name == "position_embd.weight"),
    })
}

/// A header's error, as this crate's: what the system refused is a file error, the rest is the file's fault.
pub(crate) fn invalid(path: &Path, source: GgufError) -> Error {
    match source {
        GgufError::Io(source) => Error::File { action: "open", path: path.to_owned(), source },
        source => Error::InvalidModel { path: path.to_owned(), source },
    }
}

/// A path for C.
pub(crate) fn c_path(path: &Path) -> Result<CString> {
    #[cfg(unix)]
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()).to_vec();
    #[cfg(not(unix))]
    let bytes = path.to_str().map(|text| text.as_bytes().to_vec()).unwrap_or_else(|| vec![0]);
    CString::new(bytes).map_err(|_| Error::parameter("path", path.display(), "a path without NUL, valid for C"))
}
