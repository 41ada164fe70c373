//! `llama_model_quantize`.

use std::ffi::CStr;

use mullama_sys as sys;

use super::text::ErrorText;
use super::{EXCEPTION, capture_errors};

/// What [`quantize`] passes on.
pub(crate) struct RawQuantizeParams {
    pub(crate) file_type: sys::llama_ftype,
    pub(crate) threads: i32,
    pub(crate) allow_requantize: bool,
    pub(crate) quantize_output_tensor: bool,
    pub(crate) pure: bool,
    pub(crate) keep_split: bool,
    pub(crate) dry_run: bool,
}

pub(crate) fn quantize(input: &CStr, output: &CStr, params: &RawQuantizeParams) -> Result<(), String> {
    // SAFETY: no arguments, a plain struct comes back.
    let mut raw = unsafe { sys::llama_model_quantize_default_params() };
    raw.ftype = params.file_type;
    raw.nthread = params.threads;
    raw.allow_requantize = params.allow_requantize;
    raw.quantize_output_tensor = params.quantize_output_tensor;
    raw.pure_ = params.pure;
    raw.keep_split = params.keep_split;
    raw.dry_run = params.dry_run;
    let mut error = ErrorText::new();
    let (text, len) = error.parts();
    // SAFETY: both paths are terminated and live through the call, as does `raw`, whose pointers are null.
    let (status, logged) =
        capture_errors(|| unsafe { sys::mullama_quantize(input.as_ptr(), output.as_ptr(), &raw const raw, text, len) });
    match status {
        0 => Ok(()),
        EXCEPTION => Err(error.message()),
        _ => Err(error.or(logged, "llama.cpp gave no reason")),
    }
}
