//! Which models are served, under which names, and how.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mullama::config::Loaded;
use mullama::{ConfigError, LocalBackend, ModelConfig, ModelSource as AsyncSource, MullamaConfig};
use mullama_core::{EngineParams, ModelParams};

use super::settings::divide;
use crate::cli::serve::Serve;
use crate::error::{Error, Result};
use crate::load::ModelSource;

/// A model with its names, the first of which is what the server calls it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Served {
    pub(super) source: ModelSource,
    /// How it is loaded.
    pub(super) model: ModelConfig,
    pub(super) names: Vec<String>,
    pub(super) does: Does,
}

/// What a model is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    Text,
    Vectors,
    Ranking,
}

impl Served {
    pub(super) fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }
}

/// The models of the configuration; without one the embedded. Their headers are read, so that a wrong path is told before
/// anything starts.
pub(super) fn chosen(config: &MullamaConfig) -> Result<Vec<Served>> {
    let mut models: Vec<&ModelConfig> = config.catalogue().collect();
    if models.is_empty() {
        models.push(&config.model);
    }
    let mut served: Vec<Served> = Vec::with_capacity(models.len());
    for model in models {
        let source = source(model);
        let does = purpose(&source)?;
        let name = if model.name.is_empty() { stem(&source) } else { model.name.clone() };
        let aliases = model.aliases.iter().filter(|alias| **alias != name).cloned();
        let names: Vec<String> = std::iter::once(name.clone()).chain(aliases).collect();
        let known = served.iter().flat_map(|other| &other.names);
        if let Some(twice) = known.into_iter().find(|known| names.contains(known)) {
            let problem = format!("two models would be called `{twice}`");
            return Err(Error::usage(
                problem,
                "--alias gives the first model another name; others are called as their files",
            ));
        }
        served.push(Served { source, names, does, model: model.clone() });
    }
    // Where no other model has it, the first one's own name stays beside those that it is given.
    let taken = |name: &String| served.iter().any(|model| model.names.contains(name));
    if let Some(own) = served.first().map(|first| stem(&first.source)).filter(|own| !taken(own)) {
        served[0].names.push(own);
    }
    Ok(served)
}

/// Can it be one of those that are served? Reads its header.
pub(super) fn look_at(model: &ModelConfig) -> Result<()> {
    purpose(&source(model)).map(drop)
}

fn source(model: &ModelConfig) -> ModelSource {
    if model.path.is_empty() { ModelSource::Embedded } else { ModelSource::File(PathBuf::from(&model.path)) }
}

/// A model with all that it is loaded with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Planned {
    pub(super) names: Vec<String>,
    source: ModelSource,
    load: ModelParams,
    engine: EngineParams,
}

impl Planned {
    pub(super) fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    pub(super) fn aliases(&self) -> impl Iterator<Item = &String> {
        self.names.iter().skip(1)
    }

    /// The same under other names.
    pub(super) fn called(self, names: Vec<String>) -> Self {
        Self { names, ..self }
    }

    /// Is it the same but for its names?
    pub(super) fn is_loaded_as(&self, other: &Self) -> bool {
        (&self.source, &self.load, &self.engine) == (&other.source, &other.load, &other.engine)
    }

    /// Where it is, and how it is loaded.
    pub(super) fn source(&self) -> Result<AsyncSource> {
        let source = match &self.source {
            ModelSource::Embedded => AsyncSource::bytes(crate::load::embedded()?),
            ModelSource::File(path) => AsyncSource::path(path),
        };
        Ok(source.params(self.load.clone()))
    }

    pub(super) fn engine(&self) -> EngineParams {
        self.engine.clone()
    }
}

/// How the models are loaded. Reads their chat templates.
pub(super) fn planned(loaded: &Loaded, served: &[Served]) -> Result<Vec<Planned>> {
    let plan = |served: &Served| {
        let load = served.model.params().map_err(|error| unreadable(error, &served.model))?;
        load.validate()?;
        let mut engine = loaded.config().engine_params(&served.model);
        divide(loaded, &mut engine)?;
        engine.validate()?;
        Ok(Planned { names: served.names.clone(), source: served.source.clone(), load, engine })
    };
    served.iter().map(plan).collect()
}

/// Whoever computes. Nothing is loaded.
pub(super) fn backend(config: &MullamaConfig, planned: &[Planned]) -> Result<Arc<LocalBackend>> {
    let keep_alive = config.engine.keep_alive_ms.map(Duration::from_millis);
    let mut builder = LocalBackend::builder().keep_alive(keep_alive);
    if let Some(bytes) = config.engine.max_memory_bytes {
        builder = builder.max_memory_bytes(bytes);
    }
    for model in planned {
        builder = builder.model(model.name(), model.source()?, model.engine());
        for alias in model.aliases() {
            builder = builder.alias(model.name(), alias);
        }
    }
    Ok(Arc::new(builder.build()?))
}

/// A chat template that is gone, in the words of other files.
fn unreadable(error: ConfigError, model: &ModelConfig) -> Error {
    match (error, &model.chat_template_file) {
        (ConfigError::File { source, path }, Some(_)) => {
            mullama_core::Error::File { action: "read", path, source }.into()
        }
        (error, _) => error.into(),
    }
}

/// What a model is called without a name: its file, without folder and `.gguf`.
fn stem(source: &ModelSource) -> String {
    match source {
        ModelSource::Embedded => source.name(),
        ModelSource::File(path) => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// What the header says that a model is made for.
fn purpose(source: &ModelSource) -> Result<Does> {
    let header = source.header()?;
    let architecture = header.architecture().unwrap_or_default();
    if architecture == "clip" {
        return Err(source.no_language_model());
    }
    let pooling = header.get(&format!("{architecture}.pooling_type")).and_then(mullama_core::gguf::GgufValue::as_u64);
    Ok(match pooling {
        None | Some(0) => Does::Text,
        Some(4) => Does::Ranking,
        Some(_) => Does::Vectors,
    })
}

/// A flag that asks for what no model does is no silent wish.
pub(super) fn check_purposes(args: &Serve, served: &[Served]) -> Result<()> {
    let one = |what: fn(Does) -> bool| served.iter().any(|model| what(model.does));
    if args.engine.reranking && !one(|does| does == Does::Ranking) {
        let hint = "give a .gguf file made for ranking, or leave --reranking out";
        return Err(Error::usage("--reranking is given, but no model ranks", hint));
    }
    if args.engine.embeddings && !one(|does| does != Does::Ranking) {
        let hint = "give a .gguf file made for embeddings, or leave --embeddings out";
        return Err(Error::usage("--embeddings is given, but no model makes vectors", hint));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
