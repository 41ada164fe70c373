//! Flags about how a model is loaded and how its context is made.

use std::path::PathBuf;

use clap::Args;
use mullama_core::{
    ContextParams, FlashAttention, KvOverride, KvOverrideValue, KvType, LoraSpec, ModelParams, SplitMode,
};

use super::number::{count, float, signed};
use super::one_of;

/// How a model is loaded.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct LoadArgs {
    /// Layers to put on GPUs; -1 means all [default: -1]
    #[arg(long, value_name = "N", value_parser = signed(), allow_hyphen_values = true)]
    pub(crate) gpu_layers: Option<i32>,
    /// Devices to use, as `mullama devices` names them [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) devices: Vec<String>,
    /// How several GPUs share the model: one holds all, layers, rows, or tensors [default: layer]
    #[arg(long, value_name = "HOW", value_parser = one_of::<SplitMode>(&["none", "layer", "row", "tensor"]))]
    pub(crate) split_mode: Option<SplitMode>,
    /// The GPU that holds the model with --split-mode none [default: 0]
    #[arg(long, value_name = "N", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) main_gpu: Option<u32>,
    /// Shares of the model for each GPU, in any unit: 3,1 [default: by free memory]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = float(), allow_hyphen_values = true)]
    pub(crate) tensor_split: Vec<f32>,
    /// Read the file instead of mapping it into memory
    #[arg(long)]
    pub(crate) no_mmap: bool,
    /// Keep the weights from being swapped out
    #[arg(long)]
    pub(crate) mlock: bool,
    /// Look for invalid numbers in the weights; reads them all
    #[arg(long)]
    pub(crate) check_tensors: bool,
    /// A metadata value to use instead of the file's; TYPE is int, float, bool or str; may be repeated
    #[arg(long, visible_alias = "kv-overrides", value_name = "KEY=TYPE:VALUE", value_parser = kv_override)]
    pub(crate) kv_override: Vec<KvOverride>,
    /// A LoRA adapter; may be repeated [default scale: 1]
    #[arg(long, value_name = "PATH[=SCALE]", value_parser = lora)]
    pub(crate) lora: Vec<LoraSpec>,
}

impl LoadArgs {
    /// What is given, over what the configuration says.
    pub(crate) fn params(&self, base: ModelParams) -> ModelParams {
        ModelParams {
            gpu_layers: self.gpu_layers.unwrap_or(base.gpu_layers),
            devices: if self.devices.is_empty() { base.devices } else { self.devices.clone() },
            mmap: base.mmap && !self.no_mmap,
            mlock: base.mlock || self.mlock,
            split_mode: self.split_mode.unwrap_or(base.split_mode),
            main_gpu: self.main_gpu.unwrap_or(base.main_gpu),
            tensor_split: if self.tensor_split.is_empty() { base.tensor_split } else { self.tensor_split.clone() },
            check_tensors: base.check_tensors || self.check_tensors,
            kv_overrides: if self.kv_override.is_empty() { base.kv_overrides } else { self.kv_override.clone() },
            lora: if self.lora.is_empty() { base.lora } else { self.lora.clone() },
            ..base
        }
    }
}

/// How many tokens and threads; commands to which the numbers mean something else tell it in other words.
#[derive(Debug, Args)]
pub(crate) struct SizeArgs {
    /// Tokens that prompt and answer may have together [default: as trained, at most 8192]
    #[arg(long, visible_aliases = ["length", "context-length", "n-ctx"], value_name = "TOKENS", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) ctx_size: Option<u32>,
    /// CPU threads [default: one for models under 32 MiB, else as many as cores, at most 16]
    #[arg(long, value_name = "N", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) threads: Option<u32>,
}

/// How a context is made.
#[derive(Debug, Args)]
#[command(next_help_heading = "Context")]
pub(crate) struct ContextArgs {
    #[command(flatten)]
    pub(crate) size: SizeArgs,
    /// Tokens of a prompt computed in one call [default: 2048]
    #[arg(long, visible_alias = "batch", value_name = "TOKENS", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) batch_size: Option<u32>,
    /// Tokens of a prompt computed at once [default: 512]
    #[arg(long, visible_alias = "micro-batch", value_name = "TOKENS", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) ubatch_size: Option<u32>,
    /// CPU threads while the prompt is computed [default: as --threads if given, else one for models under 32 MiB, else
    /// as many as cores]
    #[arg(long, value_name = "N", value_parser = count(), allow_hyphen_values = true)]
    pub(crate) threads_batch: Option<u32>,
    /// Flash attention [default: auto]
    #[arg(long, visible_alias = "flash-attention", value_name = "WHEN", value_parser = one_of::<FlashAttention>(&["auto", "on", "off"]))]
    pub(crate) flash_attn: Option<FlashAttention>,
    /// Number format of the keys [default: f16]
    #[arg(long, visible_alias = "kv-type-k", value_name = "TYPE", value_parser = one_of::<KvType>(KV_TYPES))]
    pub(crate) cache_type_k: Option<KvType>,
    /// Number format of the values; quantized ones need flash attention [default: f16]
    #[arg(long, visible_alias = "kv-type-v", value_name = "TYPE", value_parser = one_of::<KvType>(KV_TYPES))]
    pub(crate) cache_type_v: Option<KvType>,
    /// Leave keys and values in main memory, not on the GPU
    #[arg(long, visible_alias = "no-offload-kv")]
    pub(crate) no_kv_offload: bool,
    /// Base frequency of the rotary positions [default: the model's]
    #[arg(long, value_name = "X", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) rope_freq_base: Option<f32>,
    /// Scale of the rotary positions [default: the model's]
    #[arg(long, value_name = "X", value_parser = float(), allow_hyphen_values = true)]
    pub(crate) rope_freq_scale: Option<f32>,
}

impl SizeArgs {
    /// What is given, over what the configuration says.
    pub(crate) fn params(&self, base: &ContextParams) -> ContextParams {
        let threads = self.threads.unwrap_or(base.threads);
        ContextParams {
            length: self.ctx_size.unwrap_or(base.length),
            threads,
            // Without a number of their own, those for prompts are as many.
            threads_batch: if base.threads_batch > 0 { base.threads_batch } else { threads },
            ..base.clone()
        }
    }
}

impl ContextArgs {
    /// What is given, over what the configuration says.
    pub(crate) fn params(&self, base: &ContextParams) -> ContextParams {
        let base = self.size.params(base);
        ContextParams {
            batch: self.batch_size.unwrap_or(base.batch),
            micro_batch: self.ubatch_size.unwrap_or(base.micro_batch),
            threads_batch: self.threads_batch.unwrap_or(base.threads_batch),
            flash_attention: self.flash_attn.unwrap_or(base.flash_attention),
            kv_type_k: self.cache_type_k.unwrap_or(base.kv_type_k),
            kv_type_v: self.cache_type_v.unwrap_or(base.kv_type_v),
            offload_kv: base.offload_kv && !self.no_kv_offload,
            rope_freq_base: self.rope_freq_base.unwrap_or(base.rope_freq_base),
            rope_freq_scale: self.rope_freq_scale.unwrap_or(base.rope_freq_scale),
            ..base
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

/// `KEY=TYPE:VALUE`, as llama.cpp writes it.
fn kv_override(text: &str) -> Result<KvOverride, String> {
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or("must be KEY=TYPE:VALUE")?;
    let (kind, value) = value.split_once(':').ok_or("must be KEY=TYPE:VALUE")?;
    let value = match kind {
        "int" => value.parse().map(KvOverrideValue::Int).map_err(|_| "VALUE must be a whole number")?,
        "float" => value.parse().map(KvOverrideValue::Float).map_err(|_| "VALUE must be a number")?,
        "bool" => value.parse().map(KvOverrideValue::Bool).map_err(|_| "VALUE must be true or false")?,
        "str" => KvOverrideValue::Str(value.to_owned()),
        _ => return Err("TYPE must be int, float, bool or str".to_owned()),
    };
    Ok(KvOverride { key: key.to_owned(), value })
}

const KV_TYPES: &[&str] = &["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_for_prompts_are_those_for_text_unless_somebody_says_otherwise() {
        let threads = |flag, configured| {
            let size = SizeArgs { ctx_size: None, threads: flag };
            let params =
                size.params(&ContextParams { threads: 4, threads_batch: configured, ..ContextParams::default() });
            (params.threads, params.threads_batch)
        };
        assert_eq!([threads(None, 0), threads(Some(2), 0), threads(Some(2), 8)], [(4, 4), (2, 2), (2, 8)]);
    }

    #[test]
    fn an_adapter_may_have_a_scale() {
        let read = |text| lora(text).map(|spec| (spec.path.display().to_string(), spec.scale));
        assert_eq!(read("a.gguf"), Ok(("a.gguf".to_owned(), 1.0)));
        assert_eq!(read("a=b.gguf"), Ok(("a=b.gguf".to_owned(), 1.0)));
        assert_eq!(read("a.gguf=-0.5"), Ok(("a.gguf".to_owned(), -0.5)));
        assert!(read("=1").is_err());
    }

    #[test]
    fn an_override_has_a_key_a_type_and_a_value() {
        let read = |text| kv_override(text).map(|read| (read.key, read.value));
        let expect = |key: &str, value| Ok((key.to_owned(), value));
        assert_eq!(read("a.b=int:-3"), expect("a.b", KvOverrideValue::Int(-3)));
        assert_eq!(read("a=float:1e4"), expect("a", KvOverrideValue::Float(1e4)));
        assert_eq!(read("a=bool:true"), expect("a", KvOverrideValue::Bool(true)));
        assert_eq!(read("a=str:x=y:z"), expect("a", KvOverrideValue::Str("x=y:z".to_owned())));
        for wrong in ["a", "a=1", "=int:1", "a=int:1.5", "a=bool:yes", "a=text:x"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_number_format_has_its_name() {
        for name in KV_TYPES {
            let kind: KvType = serde_json::from_value((*name).into()).unwrap();
            assert_eq!(serde_json::to_value(kind).unwrap(), *name);
        }
    }
}
