//! What the server tells of itself.

use crate::field::{Kind, section};

section! {
    /// What the server tells of itself.
    pub struct PerformanceConfig {
        /// Serve `GET /metrics`. Default true.
        enable_monitoring: bool = true, Kind::Flag, Live;
        /// Serve `GET /slots`. Default true.
        slots: bool = true, Kind::Flag, Live;
        /// Metrics also under the names of vLLM and of llama.cpp's server. Default true.
        metrics_aliases: bool = true, Kind::Flag, Live;
    }
}
