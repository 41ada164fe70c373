//! The inference crate on real models: against what llama.cpp itself answered, and against input that kills it.
//!
//! The models and records lie beside the checkout, in `../shared`. Where that folder is absent the tests that need it
//! say so and end; where it is there, a missing file is a failure.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]
#![expect(clippy::panic, reason = "a test fails where it panics")]
#![expect(clippy::print_stderr, reason = "tests say what did not run")]

mod abort_matrix;
mod adapters;
mod bad_files;
mod chat;
mod chat_refusals;
mod context;
mod embeddings;
mod engine;
mod exit;
mod gguf_writer;
mod oracle;
#[cfg(feature = "parallel")]
mod parallel;
mod quantizing;
mod shared;
mod tokenizing;
