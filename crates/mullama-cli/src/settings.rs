//! What the configuration says for a command with one model: files and environment. Flags go over it.

use mullama::ModelConfig;
use mullama::config::{Loaded, Loader, Origin};
use mullama::convert::ConversionConfig;
use mullama_core::{ContextParams, GenerationParams, ModelParams};

use crate::cli::{ConfigArgs, GenerateArgs};
use crate::error::Result;
use crate::input::read_file;
use crate::load::ModelSource;

/// The model that is meant, and what is said of it and in general.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) source: ModelSource,
    model: ModelConfig,
    loaded: Loaded,
}

impl Settings {
    /// `named`: the model of the command line. Of another one's configuration only that counts which is about the machine.
    /// Without one it is the first of the configuration, and without that the embedded one.
    pub(crate) fn read(args: &ConfigArgs, named: ModelSource) -> Result<Self> {
        let mut loader = loader(args).only(SECTIONS);
        if named != ModelSource::Embedded {
            loader = loader.models_of_flags();
        }
        let loaded = loader.load()?;
        let config = loaded.config();
        let (model, source) = match config.catalogue().next() {
            Some(model) if named == ModelSource::Embedded => (model, ModelSource::File(model.path.clone().into())),
            _ => (&config.model, named),
        };
        Ok(Self { source, model: model.clone(), loaded })
    }

    /// How the model is loaded. Reads its chat template.
    pub(crate) fn model_params(&self, args: &GenerateArgs) -> Result<ModelParams> {
        let template = args.chat_template_file.as_ref().or(self.model.chat_template_file.as_ref());
        let chat_template = template.map(|path| read_file(path)).transpose()?;
        let params = ModelParams { chat_template, ..args.load.params(self.model_base()) };
        params.validate()?;
        Ok(params)
    }

    /// The same without flags, and without a template.
    pub(crate) fn model_base(&self) -> ModelParams {
        self.model.plain_params()
    }

    /// The context without flags.
    pub(crate) fn context_base(&self) -> ContextParams {
        self.loaded.config().context_params(&self.model)
    }

    /// The context of a model that makes vectors, without flags: how long conversations may be says nothing about it.
    pub(crate) fn vectors_base(&self) -> ContextParams {
        ContextParams { length: ContextParams::default().length, ..self.context_base() }
    }

    /// What is generated without flags. With the embedded model the temperature is 0 unless somebody says otherwise.
    pub(crate) fn generation_base(&self) -> GenerationParams {
        let mut params = self.loaded.config().generation_params();
        let said = self.loaded.origin("sampling.temperature") != Origin::Default;
        if self.source == ModelSource::Embedded && !said {
            params.sampling.temperature = 0.0;
        }
        params
    }
}

/// How files are converted without flags.
pub(crate) fn conversion(args: &ConfigArgs) -> Result<ConversionConfig> {
    Ok(loader(args).only(&["conversion"]).load()?.config().conversion)
}

fn loader(args: &ConfigArgs) -> Loader {
    match &args.config {
        Some(file) => Loader::standard().file(file),
        None => Loader::standard(),
    }
}

/// What the commands with a model use.
const SECTIONS: &[&str] = &["model", "models", "context", "generation", "sampling"];
