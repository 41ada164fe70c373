//! What this process can compute on.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::ffi;

/// A device that models can be put on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Device {
    /// The name to select it by ([`ModelParams::devices`](crate::ModelParams::devices)): "CPU", "CUDA0", ...
    pub name: String,
    /// The maker's name.
    pub description: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Bytes free now; the machine's memory for the CPU. 0 where the backend does not know.
    pub memory_free: u64,
    /// Bytes in all.
    pub memory_total: u64,
}

/// What kind of device it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeviceKind {
    /// The processor.
    Cpu,
    /// A GPU with memory of its own.
    Gpu,
    /// A GPU that shares the machine's memory.
    IntegratedGpu,
    /// A helper of the CPU backend (BLAS, AMX), which shares its memory.
    Accelerator,
    /// A device made of several others.
    Meta,
}

/// The devices of this build on this machine. Wraps `ggml_backend_dev_get`.
///
/// ```
/// assert!(mullama_core::devices().iter().any(|device| device.kind == mullama_core::DeviceKind::Cpu));
/// ```
#[must_use]
pub fn devices() -> Vec<Device> {
    ffi::init();
    (0..ffi::device_count())
        .filter_map(ffi::device_info)
        .map(|info| Device {
            name: info.name,
            description: info.description.trim().to_owned(),
            kind: match info.kind {
                0 => DeviceKind::Cpu,
                1 => DeviceKind::Gpu,
                2 => DeviceKind::IntegratedGpu,
                3 => DeviceKind::Accelerator,
                _ => DeviceKind::Meta,
            },
            memory_free: info.free as u64,
            memory_total: info.total as u64,
        })
        .collect()
}

/// llama.cpp's line about its backends and the CPU features that it was built for.
#[must_use]
pub fn system_info() -> String {
    // llama.cpp builds the line in a static buffer.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ffi::init();
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    ffi::system_info()
}
