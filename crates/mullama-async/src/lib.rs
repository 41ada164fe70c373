//! Async inference: the layer between `mullama-core` and everything that serves many callers.
//!
//! **Nothing is in it yet.** It has its place in the workspace and its dependencies; its types come with the part of the
//! work that fills it. What is planned:
//!
//! - `AsyncModel`, `AsyncContext`, `TokenStream`: models and generations on tokio;
//! - `InferenceBackend`: the trait that servers see, implemented in process and by a script for tests;
//! - `EnginePool`, `MullamaRuntime`, `TaskManager`: several models, worker threads, shutdown.
#![forbid(unsafe_code)]
