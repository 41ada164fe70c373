//! The C side of mullama: everything `unsafe extern` is here, nothing else is.
//!
//! - llama.cpp, ggml and libmtmd, as bound by [`llama-cpp-sys-2`](https://crates.io/crates/llama-cpp-sys-2), at one
//!   exact version;
//! - `mullama_*`: a C++ shim over the calls of llama.cpp that throw (an exception that left an `extern "C"` function
//!   would end the process) and over what llama.cpp offers in C++ only: its chat engine (`common/chat.h`) and its
//!   sampler (`common/sampling.h`). Their contracts stand in `shim/shim.h`;
//! - `cmake/one-ggml.cmake`, with which whisper.cpp is compiled against llama.cpp's ggml, so that one process holds one
//!   ggml.
//!
//! Only `mullama-core` depends on this crate. Use that one: it is safe.
#![allow(missing_docs, reason = "generated declarations; llama.h and shim.h document them")]
#![allow(clippy::all, clippy::pedantic, reason = "generated declarations")]
#![allow(unsafe_code, reason = "this crate is the C side")]
#![allow(non_camel_case_types, reason = "C's names")]
#![allow(non_upper_case_globals, reason = "C's names")]

pub use llama_cpp_sys_2::*;

include!(concat!(env!("OUT_DIR"), "/shim.rs"));

/// The CMake file that makes whisper.cpp use llama.cpp's ggml, for tools that set up projects outside this workspace.
pub const ONE_GGML_CMAKE: &str = include_str!("../cmake/one-ggml.cmake");
