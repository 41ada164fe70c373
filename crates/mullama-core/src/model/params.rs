//! How a model is loaded.

use std::ffi::CString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::chat::check_source;
use crate::error::{Error, Result};
use crate::ffi::RawKvOverride;
use crate::gguf::{Gguf, GgufValue};

/// How a model is loaded. Plain data; [`ModelBuilder`](crate::ModelBuilder) is the ordinary way to set it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelParams {
    /// Layers to put on GPUs; -1 (default) means all. Has no effect in a build without a GPU backend. `n_gpu_layers`.
    pub gpu_layers: i32,
    /// How several GPUs share the model. Default: by layers. `split_mode`.
    pub split_mode: SplitMode,
    /// The GPU that holds the model when it is not split. Default 0. `main_gpu`.
    pub main_gpu: u32,
    /// Shares of the model for each GPU, in any unit; empty (default): by free memory. `tensor_split`.
    pub tensor_split: Vec<f32>,
    /// Names of the devices to use ([`devices()`](crate::devices)); empty (default): all. `devices`.
    pub devices: Vec<String>,
    /// Map the file into memory instead of reading it: faster to load, and shared between processes. Default true.
    /// A mapped file must not be changed in place while the model lives: replace it by renaming. `load_mode`.
    pub mmap: bool,
    /// Keep the weights from being swapped out. Default false. `load_mode`.
    pub mlock: bool,
    /// Load the vocabulary only: enough to tokenize and to render chats. Default false. `vocab_only`.
    pub vocab_only: bool,
    /// Look for invalid numbers in the weights; reads them all. Default false. `check_tensors`.
    pub check_tensors: bool,
    /// Metadata values to use instead of the file's. `kv_overrides`.
    pub kv_overrides: Vec<KvOverride>,
    /// Adapters that every context of this model starts with.
    pub lora: Vec<LoraSpec>,
    /// A chat template (Jinja) to use instead of the file's; up to 256 KiB. Default: the file's. A template is a program:
    /// take it from people whom you trust. llama.cpp's `--chat-template-file`.
    pub chat_template: Option<String>,
}

impl Default for ModelParams {
    fn default() -> Self {
        Self {
            gpu_layers: -1,
            split_mode: SplitMode::Layer,
            main_gpu: 0,
            tensor_split: Vec::new(),
            devices: Vec::new(),
            mmap: true,
            mlock: false,
            vocab_only: false,
            check_tensors: false,
            kv_overrides: Vec::new(),
            lora: Vec::new(),
            chat_template: None,
        }
    }
}

/// How several GPUs share a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SplitMode {
    /// One GPU holds it all.
    None,
    /// Whole layers on each.
    #[default]
    Layer,
    /// Rows of each matrix on each.
    Row,
    /// Tensor parallel, where the backend can.
    Tensor,
}

/// A metadata value to use instead of the file's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KvOverride {
    /// The key, at most 127 bytes: "tokenizer.ggml.add_bos_token", ...
    pub key: String,
    /// The value; its type must be the key's.
    pub value: KvOverrideValue,
}

/// The value of a [`KvOverride`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KvOverrideValue {
    /// An integer.
    Int(i64),
    /// A number.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Text of at most 127 bytes.
    Str(String),
}

/// An adapter and how strongly it is applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraSpec {
    /// A GGUF file made by llama.cpp's `convert_lora_to_gguf.py`.
    pub path: PathBuf,
    /// 1.0 as it was trained, 0.0 off; -100.0..=100.0.
    pub scale: f32,
}

impl ModelParams {
    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] names the field that is out of range.
    pub fn validate(&self) -> Result<()> {
        if self.gpu_layers < -1 {
            return Err(Error::parameter("gpu_layers", self.gpu_layers, "-1 (all) or more"));
        }
        if self.main_gpu > 1_023 {
            return Err(Error::parameter("main_gpu", self.main_gpu, "a device index, 0..=1023"));
        }
        if self.tensor_split.len() > 128 || self.tensor_split.iter().any(|share| !share.is_finite() || *share < 0.0) {
            let given = format!("{:?}", self.tensor_split);
            return Err(Error::parameter("tensor_split", given, "at most 128 shares, each 0 or more"));
        }
        for adapter in &self.lora {
            check_scale(adapter.scale)?;
        }
        self.chat_template.as_deref().map_or(Ok(()), check_source)?;
        self.raw_overrides().map(drop)
    }

    /// What the overrides make of a file's metadata: they must pass the same checks.
    pub(super) fn apply_overrides(&self, header: &mut Gguf) {
        for KvOverride { key, value } in &self.kv_overrides {
            let value = match value {
                KvOverrideValue::Int(value) => GgufValue::I64(*value),
                KvOverrideValue::Float(value) => GgufValue::F64(*value),
                KvOverrideValue::Bool(value) => GgufValue::Bool(*value),
                KvOverrideValue::Str(value) => GgufValue::String(value.clone()),
            };
            header.set(key, value);
        }
    }

    pub(super) fn raw_overrides(&self) -> Result<Vec<RawKvOverride>> {
        self.kv_overrides.iter().map(KvOverride::raw).collect()
    }

    pub(super) fn raw_split_mode(&self) -> i32 {
        match self.split_mode {
            SplitMode::None => 0,
            SplitMode::Layer => 1,
            SplitMode::Row => 2,
            SplitMode::Tensor => 3,
        }
    }
}

pub(crate) fn check_scale(scale: f32) -> Result<()> {
    if scale.is_finite() && scale.abs() <= 100.0 {
        return Ok(());
    }
    Err(Error::parameter("lora", scale, "scales in -100..=100"))
}

impl KvOverride {
    fn raw(&self) -> Result<RawKvOverride> {
        let key = short(&self.key).filter(|key| !key.is_empty());
        let key =
            key.ok_or_else(|| Error::parameter("kv_overrides", &self.key, "keys of 1 to 127 bytes without NUL"))?;
        Ok(match &self.value {
            KvOverrideValue::Int(value) => RawKvOverride::Int(key, *value),
            KvOverrideValue::Float(value) => RawKvOverride::Float(key, *value),
            KvOverrideValue::Bool(value) => RawKvOverride::Bool(key, *value),
            KvOverrideValue::Str(value) => {
                let text = short(value)
                    .ok_or_else(|| Error::parameter("kv_overrides", value, "texts of at most 127 bytes without NUL"))?;
                RawKvOverride::Str(key, text)
            }
        })
    }
}

fn short(text: &str) -> Option<CString> {
    (text.len() <= 127).then(|| CString::new(text).ok()).flatten()
}
