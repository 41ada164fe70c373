//! The loader that makes real engines.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mullama_core::{Engine, EngineParams, Model};

use super::estimate::estimate;
use super::loader::Loader;
use crate::blocking;
use crate::error::Result;
use crate::model::{AsyncModel, ModelSource};

#[derive(Debug)]
pub(super) struct Native;

#[derive(Debug)]
pub(super) struct Spec {
    pub(super) source: ModelSource,
    pub(super) params: EngineParams,
    pub(super) replicas: u32,
}

impl Loader for Native {
    type Spec = Spec;
    type Engine = Engine;

    async fn estimate(&self, spec: Arc<Spec>) -> Result<u64> {
        blocking::run("reading a model's header", move || estimate(&spec.source, &spec.params, spec.replicas)).await?
    }

    async fn load(&self, spec: Arc<Spec>) -> Result<Vec<Engine>> {
        let model: Model = AsyncModel::source(spec.source.clone()).load().await?.into();
        let start = move || {
            let start = || Engine::builder(&model).params(spec.params.clone()).start();
            (0..spec.replicas).map(|_| start()).collect::<Result<_, _>>()
        };
        Ok(blocking::run("starting an engine", start).await??)
    }

    async fn replace(&self, ended: Engine) -> Result<Engine> {
        let start = move || Engine::builder(ended.model()).params(ended.params().clone()).start();
        Ok(blocking::run("starting an engine", start).await??)
    }

    async fn close(&self, engines: Vec<Engine>, deadline: Duration) -> bool {
        let end = move || {
            let until = Instant::now() + deadline;
            // Not `all`: every one of them is to be ended. What is dropped here, weights included, may take a while.
            let in_time = |engine: Engine| engine.shutdown(until.saturating_duration_since(Instant::now()));
            engines.into_iter().map(in_time).fold(true, |all, one| all & one)
        };
        blocking::run_to_end("ending an engine", end).await.unwrap_or(false)
    }

    fn is_open(engine: &Engine) -> bool {
        engine.is_open()
    }

    fn load_of(engine: &Engine) -> usize {
        engine.load()
    }
}
