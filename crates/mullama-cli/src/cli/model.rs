//! Flags about how a model is loaded and how its context is made.

use std::path::PathBuf;

use clap::Args;
use mullama_core::{ContextParams, FlashAttention, KvType, LoraSpec, ModelParams};

use super::one_of;

/// How a model is loaded.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct LoadArgs {
    /// Layers to put on GPUs; -1 means all [default: -1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) gpu_layers: Option<i32>,
    /// Devices to use, as `mullama devices` names them [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) devices: Vec<String>,
    /// Read the file instead of mapping it into memory
    #[arg(long)]
    pub(crate) no_mmap: bool,
    /// Keep the weights from being swapped out
    #[arg(long)]
    pub(crate) mlock: bool,
    /// A LoRA adapter; may be repeated [default scale: 1]
    #[arg(long, value_name = "PATH[=SCALE]", value_parser = lora)]
    pub(crate) lora: Vec<LoraSpec>,
}

impl LoadArgs {
    pub(crate) fn params(&self) -> ModelParams {
        let default = ModelParams::default();
        ModelParams {
            gpu_layers: self.gpu_layers.unwrap_or(default.gpu_layers),
            devices: self.devices.clone(),
            mmap: !self.no_mmap,
            mlock: self.mlock,
            lora: self.lora.clone(),
            ..default
        }
    }
}

/// How a context is made.
#[derive(Debug, Args)]
#[command(next_help_heading = "Context")]
pub(crate) struct ContextArgs {
    /// Tokens that prompt and answer may have together [default: as trained, at most 8192]
    #[arg(long, visible_alias = "context-length", value_name = "TOKENS")]
    pub(crate) ctx_size: Option<u32>,
    /// Tokens of a prompt computed in one call [default: 2048]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) batch_size: Option<u32>,
    /// Tokens of a prompt computed at once [default: 512]
    #[arg(long, value_name = "TOKENS")]
    pub(crate) ubatch_size: Option<u32>,
    /// CPU threads [default: as many as cores]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<u32>,
    /// CPU threads while the prompt is computed [default: as --threads]
    #[arg(long, value_name = "N")]
    pub(crate) threads_batch: Option<u32>,
    /// Flash attention [default: auto]
    #[arg(long, value_name = "WHEN", value_parser = one_of::<FlashAttention>(&["auto", "on", "off"]))]
    pub(crate) flash_attn: Option<FlashAttention>,
    /// Number format of the keys [default: f16]
    #[arg(long, value_name = "TYPE", value_parser = one_of::<KvType>(KV_TYPES))]
    pub(crate) cache_type_k: Option<KvType>,
    /// Number format of the values; quantized ones need flash attention [default: f16]
    #[arg(long, value_name = "TYPE", value_parser = one_of::<KvType>(KV_TYPES))]
    pub(crate) cache_type_v: Option<KvType>,
}

impl ContextArgs {
    pub(crate) fn params(&self) -> ContextParams {
        let default = ContextParams::default();
        let threads = self.threads.unwrap_or(default.threads);
        ContextParams {
            length: self.ctx_size.unwrap_or(default.length),
            batch: self.batch_size.unwrap_or(default.batch),
            micro_batch: self.ubatch_size.unwrap_or(default.micro_batch),
            threads,
            threads_batch: self.threads_batch.unwrap_or(threads),
            flash_attention: self.flash_attn.unwrap_or(default.flash_attention),
            kv_type_k: self.cache_type_k.unwrap_or(default.kv_type_k),
            kv_type_v: self.cache_type_v.unwrap_or(default.kv_type_v),
            ..default
        }
    }
}

/// `PATH` or `PATH=SCALE`; a path may itself have a `=`.
fn lora(text: &str) -> Result<LoraSpec, String> {
    let (path, scale) = match text.rsplit_once('=') {
        Some((path, number)) => match number.parse() {
            Ok(scale) => (path, scale),
            Err(_) => (text, 1.0),
        },
        None => (text, 1.0),
    };
    if path.is_empty() {
        return Err("there is no path".to_owned());
    }
    Ok(LoraSpec { path: PathBuf::from(path), scale })
}

const KV_TYPES: &[&str] = &["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_may_have_a_scale() {
        let read = |text| lora(text).map(|spec| (spec.path.display().to_string(), spec.scale));
        assert_eq!(read("a.gguf"), Ok(("a.gguf".to_owned(), 1.0)));
        assert_eq!(read("a=b.gguf"), Ok(("a=b.gguf".to_owned(), 1.0)));
        assert_eq!(read("a.gguf=-0.5"), Ok(("a.gguf".to_owned(), -0.5)));
        assert!(read("=1").is_err());
    }

    #[test]
    fn every_number_format_has_its_name() {
        for name in KV_TYPES {
            let kind: KvType = serde_json::from_value((*name).into()).unwrap();
            assert_eq!(serde_json::to_value(kind).unwrap(), *name);
        }
    }
}
