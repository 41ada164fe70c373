//! The whole of it.

use mullama_convert::ConversionConfig;
use mullama_core::SamplingParams;

use crate::error::{Error, Problems, Result};
use crate::field::{Kind, section};
use crate::origin::Origin;
use crate::section::{
    CONVERSION, ContextConfig, EngineConfig, GenerationConfig, LoggingConfig, ModelConfig, PerformanceConfig, SAMPLING,
    ServeConfig,
};
use crate::validate;

section! {
    /// Everything that can be set. Plain data: write it as a literal, chain its setters, or let a
    /// [`Loader`](crate::Loader) put it together.
    pub struct MullamaConfig {
        /// The first model.
        model: ModelConfig = ModelConfig::default(), Kind::Section(ModelConfig::FIELDS), ReloadModel;
        /// Further models. A layer that has this list replaces that of the layers below.
        models: Vec<ModelConfig> = Vec::new(), Kind::Sections(ModelConfig::FIELDS), ReloadModel;
        /// The context of each model.
        context: ContextConfig = ContextConfig::default(), Kind::Section(ContextConfig::FIELDS), ReloadModel;
        /// What requests get that do not say otherwise: how long answers are.
        generation: GenerationConfig = GenerationConfig::default(), Kind::Section(GenerationConfig::FIELDS), NextRequest;
        /// What requests get that do not say otherwise: how tokens are chosen.
        sampling: SamplingParams = SamplingParams::default(), Kind::Section(SAMPLING), NextRequest;
        /// How requests share a model.
        engine: EngineConfig = EngineConfig::default(), Kind::Section(EngineConfig::FIELDS), ReloadModel;
        /// The HTTP server.
        server: ServeConfig = ServeConfig::default(), Kind::Section(ServeConfig::FIELDS), Restart;
        /// Sound and pictures into other formats.
        conversion: ConversionConfig = ConversionConfig::default(), Kind::Section(CONVERSION), Restart;
        /// What the server tells of itself.
        performance: PerformanceConfig = PerformanceConfig::default(), Kind::Section(PerformanceConfig::FIELDS), Live;
        /// The log.
        logging: LoggingConfig = LoggingConfig::default(), Kind::Section(LoggingConfig::FIELDS), Live;
    }
}

impl MullamaConfig {
    /// Checks it, files included, and gives it back.
    ///
    /// # Errors
    /// As [`MullamaConfig::validate`].
    pub fn build(self) -> Result<Self> {
        self.validate()?;
        Ok(self)
    }

    /// Checks every field against its range, the fields against each other, and that the files that are named can be read.
    ///
    /// # Errors
    /// [`Error::Invalid`], with everything that is wrong.
    pub fn validate(&self) -> Result<()> {
        let problems = validate::all(self, &|_| Origin::Code);
        if problems.is_empty() { Ok(()) } else { Err(Error::Invalid(Problems(problems))) }
    }

    /// All models: [`model`](Self::model) if it has a path, then [`models`](Self::models).
    pub fn catalogue(&self) -> impl Iterator<Item = &ModelConfig> {
        Some(&self.model).filter(|model| !model.path.is_empty()).into_iter().chain(&self.models)
    }
}
