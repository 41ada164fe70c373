//! What the configuration says for a command with one model: files and environment. Flags go over it.

use mullama::ModelConfig;
use mullama::config::{Loaded, Loader, Origin};
use mullama::convert::ConversionConfig;
use mullama_core::{ContextParams, GenerationParams, ModelParams};

use crate::cli::{ConfigArgs, GenerateArgs};
use crate::error::{Error, Result};
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
    /// `sections`: those that the command takes.
    pub(crate) fn read(args: &ConfigArgs, named: ModelSource, sections: &'static [&'static str]) -> Result<Self> {
        let mut loader = loader(args).only(sections);
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

    /// The context without flags; 0 threads for prompts: as many as for text.
    pub(crate) fn context_base(&self) -> ContextParams {
        let config = self.loaded.config();
        ContextParams { threads_batch: config.context.n_threads_batch, ..config.context_params(&self.model) }
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

    /// A length that the model cannot have, by the name of who has said it.
    pub(crate) fn explain(&self, error: mullama_core::Error, flag_given: bool) -> Error {
        let field = if self.loaded.config().context.n_ctx > 0 { "context.n_ctx" } else { "model.context_size" };
        match error {
            mullama_core::Error::InvalidParameter { name: "length", value, expected } if !flag_given => {
                let origin = self.loaded.origin(field);
                Error::usage(
                    format!("{field} ({origin}) is {value}, but must be {expected}"),
                    "--ctx-size goes over it",
                )
            }
            error => error.into(),
        }
    }
}

/// How files are converted without flags.
pub(crate) fn conversion(args: &ConfigArgs) -> Result<ConversionConfig> {
    Ok(loader(args).only(&["conversion"]).load()?.config().conversion)
}

fn loader(args: &ConfigArgs) -> Loader {
    let loader = Loader::standard().skip_denied();
    match &args.config {
        Some(file) => loader.file(file),
        None => loader,
    }
}

/// What commands take that generate text.
pub(crate) const GENERATION: &[&str] = &["model", "models", "context", "generation", "sampling"];
/// What commands take that make vectors.
pub(crate) const VECTORS: &[&str] = &["model", "context"];
/// What commands take that look at tokens.
pub(crate) const TOKENS: &[&str] = &["model", "models"];
