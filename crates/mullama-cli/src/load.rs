//! Which model is meant, and how it comes into memory.

use std::ops::ControlFlow;
use std::path::PathBuf;

use mullama_core::gguf::{Gguf, GgufError};
use mullama_core::{Model, ModelBuilder, ModelParams};

use crate::error::{Error, Result};
use crate::interrupt::Work;
use crate::terminal::Ui;

/// The program's own model, if it was built with it.
#[cfg(feature = "demo-models")]
const EMBEDDED: Option<&[u8]> = Some(mullama_demo_models::CHAT);
#[cfg(not(feature = "demo-models"))]
const EMBEDDED: Option<&[u8]> = None;

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ModelSource {
    /// In the program.
    Embedded,
    /// In a file.
    File(PathBuf),
}

impl ModelSource {
    /// The file of that name, or without one the embedded model.
    pub(crate) fn from_argument(path: Option<&PathBuf>) -> Self {
        path.map_or(Self::Embedded, |path| Self::File(path.clone()))
    }

    /// The name in the program's output.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Embedded => "mullama-tiny".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Loads the model. A bar shows how far it is, Ctrl-C stops it.
    pub(crate) fn load(&self, params: ModelParams, ui: &Ui) -> Result<Model> {
        self.announce(ui);
        let mut bar = ui.bar("loading");
        let interrupt = ui.interrupt.clone();
        let builder = self.builder()?.params(params).progress(move |done| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0..=1000")]
            bar.set((done.clamp(0.0, 1.0) * 1e3) as u64, 1_000);
            if interrupt.pressed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        ui.interrupt.during(Work::Polled, || builder.load()).map_err(|error| self.explain(error))
    }

    /// Why it was not loaded, where llama.cpp does not know.
    fn explain(&self, error: mullama_core::Error) -> Error {
        let tower = matches!(error, mullama_core::Error::LoadModel { .. })
            && self.header().is_ok_and(|header| header.architecture() == Some("clip"));
        if tower { self.no_language_model() } else { error.into() }
    }

    /// That it is a picture tower.
    pub(crate) fn no_language_model(&self) -> Error {
        let problem = format!("`{}` is a picture tower and not a language model", self.name());
        Error::usage(problem, "give the .gguf file of the language model that the tower (mmproj) belongs to")
    }

    /// Reads the header alone.
    pub(crate) fn header(&self) -> Result<Gguf> {
        let header = match self {
            Self::Embedded => Gguf::parse(embedded()?),
            Self::File(path) => Gguf::open(path),
        };
        Ok(header.map_err(|source| self.fault(source))?)
    }

    /// A fault of this model's file, as the inference crate tells it.
    pub(crate) fn fault(&self, source: GgufError) -> mullama_core::Error {
        let path = PathBuf::from(self.name());
        match source {
            GgufError::Io(source) => mullama_core::Error::File { action: "open", path, source },
            source => mullama_core::Error::InvalidModel { path, source },
        }
    }

    /// Says that the embedded model answers, lest anybody take it for a real one.
    pub(crate) fn announce(&self, ui: &Ui) {
        if *self == Self::Embedded && EMBEDDED.is_some() {
            ui.notice(
                "no MODEL given: using the embedded demonstration model mullama-tiny (3.2 M parameters: greetings, \
                 sums up to 20, colours, JSON, tool calls)",
            );
        }
    }

    fn builder(&self) -> Result<ModelBuilder<'static>> {
        Ok(match self {
            Self::Embedded => Model::from_bytes(embedded()?),
            Self::File(path) => Model::builder(path),
        })
    }
}

/// The bytes of the embedded model.
pub(crate) fn embedded() -> Result<&'static [u8]> {
    Ok(EMBEDDED.ok_or(mullama_core::Error::Unsupported {
        what: "running without a MODEL",
        reason: "this program was built without the feature `demo-models`; give the path of a GGUF file",
    })?)
}
