//! How much memory a model will take, from its header.

use std::path::Path;

use mullama_core::gguf::{Gguf, GgufError, GgufValue};
use mullama_core::{EngineParams, Error as CoreError, KvType, Model};

use crate::error::Result;
use crate::model::{ModelSource, Origin};

/// Bytes of the weights, and of the keys and values of `replicas` engines. Blocks on the disk.
pub(super) fn estimate(source: &ModelSource, params: &EngineParams, replicas: u32) -> Result<u64> {
    let (weights, shape) = match &source.origin {
        Origin::File(path) => {
            let header = Gguf::open(path).map_err(|error| unreadable(path, error))?;
            let parts = header.split_paths(path).map_err(|error| unreadable(path, error))?;
            let mut bytes = 0_u64;
            for part in parts {
                bytes = bytes.saturating_add(file_size(&part)?);
            }
            (bytes, Shape::of_header(&header))
        }
        Origin::Bytes(bytes) => {
            let bytes: &[u8] = (**bytes).as_ref();
            let header = Gguf::parse(bytes).map_err(|error| unreadable(Path::new("<memory>"), error))?;
            (bytes.len() as u64, Shape::of_header(&header))
        }
        Origin::Loaded(model) => (model.size(), Shape::of_model(model)),
    };
    let mut adapters = 0_u64;
    for adapter in &source.params.lora {
        adapters = adapters.saturating_add(file_size(&adapter.path)?);
    }
    let kv = shape.kv_bytes(params).saturating_mul(u64::from(replicas));
    Ok(weights.saturating_add(adapters).saturating_add(kv))
}

/// What the size of keys and values follows from.
#[derive(Debug, PartialEq)]
struct Shape {
    /// Heads of keys and values, summed over the layers.
    heads: u64,
    /// Numbers of a key of one head.
    key: u64,
    /// Numbers of a value of one head.
    value: u64,
    /// The context that the model was trained with.
    length: u64,
}

impl Shape {
    fn of_header(header: &Gguf) -> Self {
        let architecture = header.architecture().unwrap_or_default().to_owned();
        let entry = |key: &str| header.get(&format!("{architecture}.{key}"));
        let number = |key: &str| entry(key).and_then(GgufValue::as_u64);
        let layers = number("block_count").unwrap_or(0);
        // One number for all layers, or one for each.
        let list = |key: &str| -> Option<(u64, u64)> {
            let value = entry(key)?;
            match value.as_array() {
                Some(array) => {
                    let each = (0..array.len()).filter_map(|index| array.get(index)?.as_u64());
                    Some(each.fold((0, 0), |(sum, most), one| (sum.saturating_add(one), one.max(most))))
                }
                None => value.as_u64().map(|one| (one.saturating_mul(layers), one)),
            }
        };
        let heads = list("attention.head_count").unwrap_or((0, 0));
        let (kv_heads, _) = list("attention.head_count_kv").unwrap_or(heads);
        let width = number("embedding_length").unwrap_or(0).checked_div(heads.1).unwrap_or(0);
        Self {
            heads: kv_heads,
            key: number("attention.key_length").unwrap_or(width),
            value: number("attention.value_length").unwrap_or(width),
            length: number("context_length").unwrap_or(0),
        }
    }

    fn of_model(model: &Model) -> Self {
        let architecture = model.metadata_value("general.architecture").unwrap_or_default();
        let number = |key: &str| model.metadata_value(&format!("{architecture}.{key}"))?.parse().ok();
        let (heads, kv_heads) = model.head_counts();
        let width = model.embedding_length().checked_div(heads).unwrap_or(0).into();
        Self {
            heads: u64::from(kv_heads).saturating_mul(model.layer_count().into()),
            key: number("attention.key_length").unwrap_or(width),
            value: number("attention.value_length").unwrap_or(width),
            length: model.context_length().into(),
        }
    }

    fn kv_bytes(&self, params: &EngineParams) -> u64 {
        let context = &params.context;
        let length = match context.length {
            0 => self.length.clamp(1, DEFAULT_LENGTH),
            length => length.into(),
        };
        let cells = match params.kv_capacity {
            0 => length.saturating_mul(params.sequences.into()),
            cells => cells.into(),
        };
        let row = |numbers: u64, kind: KvType| self.heads.saturating_mul(numbers).saturating_mul(bits(kind)) / 8;
        cells.saturating_mul(row(self.key, context.kv_type_k).saturating_add(row(self.value, context.kv_type_v)))
    }
}

/// Bits of a number in this format, rounded up.
fn bits(kind: KvType) -> u64 {
    match kind {
        KvType::F16 | KvType::Bf16 => 16,
        KvType::Q8_0 => 9,
        KvType::Q5_1 | KvType::Q5_0 => 6,
        KvType::Q4_1 | KvType::Q4_0 | KvType::Iq4Nl => 5,
        _ => 32,
    }
}

fn file_size(path: &Path) -> Result<u64> {
    let metadata = std::fs::metadata(path);
    let metadata = metadata.map_err(|source| CoreError::File { action: "open", path: path.to_owned(), source })?;
    Ok(metadata.len())
}

fn unreadable(path: &Path, source: GgufError) -> CoreError {
    let path = path.to_owned();
    match source {
        GgufError::Io(source) => CoreError::File { action: "open", path, source },
        source => CoreError::InvalidModel { path, source },
    }
}

/// Core's own limit where no length is given.
const DEFAULT_LENGTH: u64 = 8_192;

#[cfg(test)]
mod tests {
    use super::*;

    fn demo(params: &EngineParams, replicas: u32) -> u64 {
        estimate(&ModelSource::bytes(mullama_demo_models::CHAT), params, replicas).unwrap()
    }

    #[test]
    fn keys_and_values_are_as_large_as_llama_cpp_makes_them() {
        let header = Gguf::parse(mullama_demo_models::CHAT).unwrap();
        let shape = Shape::of_header(&header);
        let model = Model::from_bytes(mullama_demo_models::CHAT).load().unwrap();
        assert_eq!(shape, Shape::of_model(&model));
        let mut params = EngineParams { sequences: 3, ..Default::default() };
        params.context.length = 256;
        let state = model.context().length(256).build().unwrap();
        drop(state);
        let expected = 3 * 256 * shape.heads * (shape.key + shape.value) * 2;
        assert_eq!(shape.kv_bytes(&params), expected);
        let size = mullama_demo_models::CHAT.len() as u64;
        assert_eq!((demo(&params, 1), demo(&params, 2)), (size + expected, size + 2 * expected));
        params.context.kv_type_k = KvType::F32;
        params.context.kv_type_v = KvType::F32;
        assert_eq!(demo(&params, 1), size + 2 * expected);
    }

    #[test]
    fn a_missing_file_is_not_found() {
        let error = estimate(&ModelSource::path("/no/such/model.gguf"), &EngineParams::default(), 1).unwrap_err();
        assert_eq!(error.kind(), mullama_core::ErrorKind::NotFound);
    }
}
