//! The sections.

mod context;
mod conversion;
mod engine;
mod generation;
mod logging;
mod model;
mod performance;
mod sampling;
mod serve;

pub use context::ContextConfig;
pub(crate) use conversion::CONVERSION;
pub use engine::{EngineConfig, SpeculationConfig, SpeculationKind};
pub use generation::GenerationConfig;
pub use logging::{LogFormat, LogLevel, LoggingConfig};
pub use model::ModelConfig;
pub use performance::PerformanceConfig;
pub(crate) use sampling::SAMPLING;
pub use serve::{AuthConfig, CorsConfig, EmbeddingsConfig, HttpConfig, LimitsConfig, ServeConfig, TlsConfig};
