//! What is known of a model that was loaded once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use mullama_core::{EngineParams, Lora, Model, TokenId};

use crate::backend::info::{Adapter, ModelInfo};
use crate::error::{Error, Result};

/// A model that was loaded once.
pub(super) struct Known {
    pub(super) info: ModelInfo,
    names: Vec<String>,
    /// What requests get that name no adapters.
    scales: Mutex<Vec<f32>>,
}

impl Known {
    pub(super) fn of(model: &Model, params: Option<&EngineParams>) -> Self {
        let name = |(lora, _): &(Lora, f32)| lora.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self {
            info: describe(model, params),
            names: model.lora().iter().map(name).collect(),
            scales: Mutex::new(model.lora().iter().map(|(_, scale)| *scale).collect()),
        }
    }

    fn scales(&self) -> MutexGuard<'_, Vec<f32>> {
        self.scales.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn list(&self) -> Vec<Adapter> {
        let scales = self.scales().clone();
        let pairs = self.names.iter().zip(scales).enumerate();
        pairs.map(|(id, (name, scale))| Adapter { id, name: name.clone(), scale }).collect()
    }

    pub(super) fn set(&self, scales: &[(usize, f32)]) {
        let wanted = |id: usize| scales.iter().rev().find(|(number, _)| *number == id).map_or(0.0, |(_, scale)| *scale);
        self.scales().iter_mut().enumerate().for_each(|(id, scale)| *scale = wanted(id));
    }

    /// What is to be computed with; `None`: as the model was loaded.
    pub(super) fn adapters(
        &self,
        model: &Model,
        wanted: Option<Vec<(usize, f32)>>,
    ) -> Result<Option<Vec<(Lora, f32)>>> {
        let loaded = model.lora();
        let wanted = match wanted {
            Some(wanted) => wanted,
            None => {
                let scales = self.scales();
                if scales.iter().zip(loaded).all(|(scale, (_, given))| scale == given) {
                    return Ok(None);
                }
                scales.iter().copied().enumerate().collect()
            }
        };
        let find = |(id, scale): (usize, f32)| match loaded.get(id) {
            Some((lora, _)) if scale.is_finite() => Ok((lora.clone(), scale)),
            Some(_) => Err(Error::parameter("lora", scale, "scales that are finite numbers")),
            None => Err(Error::parameter("lora", id, "numbers of adapters that the model was loaded with")),
        };
        let found = wanted.into_iter().map(find).collect::<Result<Vec<_>>>()?;
        Ok(Some(found.into_iter().filter(|(_, scale)| *scale != 0.0).collect()))
    }
}

fn describe(model: &Model, params: Option<&EngineParams>) -> ModelInfo {
    let tokenizer = model.tokenizer();
    let name = |token: Option<TokenId>| {
        let bytes = token.and_then(|token| tokenizer.piece(token, true).ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let pooling = model.metadata().into_iter().find(|(key, _)| key.ends_with(".pooling_type")).map(|(_, value)| value);
    let pooled = pooling.as_deref().is_some_and(|kind| kind != "0");
    ModelInfo {
        description: model.description(),
        architecture: model.metadata_value("general.architecture").unwrap_or_default(),
        file_type: model.file_type(),
        file: model.path().file_name().unwrap_or_default().to_string_lossy().into_owned(),
        parameters: model.parameter_count(),
        size: model.size(),
        vocabulary: tokenizer.vocabulary_size() as u64,
        context_trained: model.context_length(),
        context: params.map_or(0, |params| params.context.length),
        sequences: params.map_or(0, |params| params.sequences),
        embedding_length: model.embedding_length(),
        generates: model.has_decoder() && !model.has_encoder() && !pooled,
        ranks: pooling.as_deref() == Some("4"),
        chat_template: model.chat_template_source(),
        capabilities: model.chat_template().map(|template| template.capabilities().to_vec()).unwrap_or_default(),
        bos: name(tokenizer.bos()),
        eos: name(tokenizer.eos()),
        infills: tokenizer.fim_prefix().is_some()
            && tokenizer.fim_suffix().is_some()
            && tokenizer.fim_middle().is_some(),
        fingerprint: model.fingerprint().iter().take(8).map(|byte| format!("{byte:02x}")).collect(),
    }
}
