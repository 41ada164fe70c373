//! One typed configuration: defaults, file, environment, flags.
//!
//! **Nothing is in it yet.** It has its place in the workspace and its dependencies; its types come with the part of the
//! work that fills it. What is planned:
//!
//! - `MullamaConfig` with the sections of the crates that own the knobs;
//! - validation that names the key and the file, and hot reload.
#![forbid(unsafe_code)]
