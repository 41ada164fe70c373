//! One typed configuration: defaults, files, environment, flags; checked as a whole, and read again while the program runs.
//!
//! ```
//! use mullama_config::{ContextConfig, MullamaConfig, PerformanceConfig};
//!
//! let literal = MullamaConfig {
//!     context: ContextConfig { n_ctx: 8192, n_batch: 2048, flash_attn: true, ..Default::default() },
//!     ..Default::default()
//! };
//! let built = MullamaConfig::new()
//!     .context(ContextConfig::new().n_ctx(8192_u32))
//!     .performance(PerformanceConfig::new().enable_monitoring(true))
//!     .build()?;
//! assert_eq!(literal, built);
//! # Ok::<(), mullama_config::Error>(())
//! ```
//!
//! # What is where
//!
//! | you want | take |
//! |---|---|
//! | all of it in one value | [`MullamaConfig`] |
//! | files, environment and flags over the defaults | [`Loader`], [`Loaded`] |
//! | what is wrong, all at once | [`Error::Invalid`], [`Problem`], [`Origin`] |
//! | what there is to set, and when a change takes effect | [`fields`], [`FieldInfo`], [`Apply`] |
//! | a JSON schema for editors, a commented file to begin with | [`schema`], [`template`] |
//! | the same, read again when its files change | [`ConfigWatcher`], [`Change`] |
//! | keys that are never printed | [`Secret`] |
//!
//! # Where a knob is defined
//!
//! Each field stands once, with its range and its default; checks, schema, commented file and the table of changes follow
//! from that. The sections have the names of the file; into the parameters of the crates that do the work they are turned
//! by [`MullamaConfig::engine_params`], [`MullamaConfig::web_config`] and the like, which name every field, so that none can be
//! forgotten. `sampling` is core's own [`SamplingParams`](mullama_core::SamplingParams).
//!
//! # What it does not do
//!
//! It starts nothing: whoever takes a [`MullamaConfig`] does. Sections of parts that are not there yet (WebSockets, audio,
//! vision, clusters) come with them.
#![forbid(unsafe_code)]

mod config;
mod convert;
mod error;
mod field;
mod file;
mod layer;
mod load;
mod origin;
mod reload;
mod render;
mod schema;
mod secret;
mod section;
mod suggest;
mod template;
mod tree;
mod validate;

pub use config::MullamaConfig;
pub use error::{Error, Fault, Problem, Problems, Result, Warning};
pub use field::{Apply, FieldInfo, fields};
pub use load::{Entry, Loaded, Loader};
pub use origin::Origin;
pub use reload::{Change, ConfigWatcher, ReloadStats};
pub use schema::schema;
pub use secret::Secret;
pub use section::{
    AuthConfig, ContextConfig, CorsConfig, EmbeddingsConfig, EngineConfig, GenerationConfig, HttpConfig, LimitsConfig,
    LogFormat, LogLevel, LoggingConfig, ModelConfig, PerformanceConfig, ServeConfig, SpeculationConfig,
    SpeculationKind, TlsConfig,
};
pub use template::template;
