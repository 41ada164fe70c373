//! The only unsafe code of this crate: one file per C object, safe functions out.
//!
//! No policy and no defaults here. Each function states what C requires (a `debug_assert` or an early return) and gives
//! back a status or a message; the modules above decide what that means.

mod batch;
mod chat;
mod context;
mod device;
mod log;
mod lora;
mod model;
mod quantize;
mod sampler;
mod text;
mod threadpool;

pub(crate) use batch::Batch;
pub(crate) use chat::{ChatParserPtr, ChatTemplatesPtr};
pub(crate) use context::{ContextPtr, RawContextParams};
pub(crate) use device::{device_count, device_info, system_info};
pub(crate) use log::{capture_errors, install as install_log, with_info};
pub(crate) use lora::LoraPtr;
pub(crate) use model::{LoadSource, ModelPtr, RawKvOverride, RawModelParams};
pub(crate) use quantize::{RawQuantizeParams, quantize};
pub(crate) use sampler::{SampleError, SamplerPtr, json_schema_to_grammar};
pub(crate) use threadpool::ThreadPoolPtr;

/// Sets llama.cpp up, once for the process: its logs go to `tracing`, its backends are found.
pub(crate) fn init() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        install_log();
        // SAFETY: no arguments; called once, before any other call of llama.cpp in this process.
        unsafe { mullama_sys::mullama_init() };
        // SAFETY: no arguments; finds plug-in backends, does nothing more in a static build.
        unsafe { mullama_sys::ggml_backend_load_all() };
        // SAFETY: no arguments; called once.
        unsafe { mullama_sys::llama_backend_init() };
    });
}

/// The status that the shim's functions return when C++ threw.
pub(crate) const EXCEPTION: i32 = mullama_sys::MULLAMA_EXCEPTION;
