//! Loads that do not block: a thread for each.

use std::fmt;
use std::future::poll_fn;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread;

use futures_core::Stream;
use mullama_core::{EngineParams, Error as CoreError, ModelParams};
use tokio::sync::oneshot;

use super::AsyncModel;
use super::source::ModelSource;
use crate::error::{Error, Result};

/// How a model is to be loaded. Made by [`AsyncModel::builder`] and [`AsyncModel::from_bytes`]; ends with
/// [`AsyncModelBuilder::load`].
#[derive(Debug, Clone)]
#[must_use]
pub struct AsyncModelBuilder {
    source: ModelSource,
    engine: EngineParams,
}

impl AsyncModelBuilder {
    pub(super) fn new(source: ModelSource) -> Self {
        Self { source, engine: EngineParams::default() }
    }

    /// Replaces all parameters of the model.
    pub fn params(mut self, params: ModelParams) -> Self {
        self.source.params = params;
        self
    }

    /// [`ModelParams::gpu_layers`].
    pub fn gpu_layers(mut self, layers: i32) -> Self {
        self.source.params.gpu_layers = layers;
        self
    }

    /// How the model's engine is made, when it is first needed. Default: [`EngineParams::default`].
    pub fn engine_params(mut self, params: EngineParams) -> Self {
        self.engine = params;
        self
    }

    /// Begins to load, on a thread of its own; the future waits for the end.
    pub fn load(self) -> Loading {
        self.begin(|_| {})
    }

    /// Begins to load, and tells how far it is.
    ///
    /// ```no_run
    /// use mullama_async::AsyncModel;
    ///
    /// # async fn example() -> mullama_async::Result<()> {
    /// let (mut progress, loading) = AsyncModel::builder("model.gguf").load_with_progress();
    /// while let Some(part) = progress.next().await {
    ///     println!("{:.0} %", part * 100.0);
    /// }
    /// let model = loading.await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn load_with_progress(self) -> (LoadProgress, Loading) {
        let (sender, receiver) = async_channel::bounded(1);
        let loading = self.begin(move |part| {
            // The newest number takes the place of one that was not read; nobody may be there to read it.
            let _ = sender.force_send(part);
        });
        (LoadProgress(Box::pin(receiver)), loading)
    }

    fn begin(self, mut tell: impl FnMut(f32) + Send + 'static) -> Loading {
        let (answer, receiver) = oneshot::channel();
        let body = move || {
            let Self { source, engine } = self;
            let mut progress = |part| {
                // Nobody waits for the model any more.
                if answer.is_closed() {
                    return ControlFlow::Break(());
                }
                tell(part);
                ControlFlow::Continue(())
            };
            if progress(0.0).is_break() {
                return;
            }
            let model = source.load(progress);
            // Before the model is handed over: who reads the progress to its end then finds the model.
            drop(tell);
            let _ = answer.send(model.map(|model| AsyncModel::new(model, engine)));
        };
        let thread = thread::Builder::new().name("mullama-loading".to_owned()).spawn(body);
        Loading { answer: receiver, refused: thread.err().map(CoreError::Thread) }
    }
}

/// A load that goes on on its own thread; the future gives the model.
///
/// The thread is no part of a runtime: a runtime that ends does not wait for it.
///
/// # Errors
/// Those of core's [`ModelBuilder::load`](mullama_core::ModelBuilder::load); [`Error::Panicked`].
///
/// # Cancel safety
/// Dropping it cancels the load: llama.cpp stops at the next tensor.
#[must_use = "dropping it cancels the load"]
pub struct Loading {
    answer: oneshot::Receiver<Result<AsyncModel, CoreError>>,
    refused: Option<CoreError>,
}

impl Future for Loading {
    type Output = Result<AsyncModel>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(error) = self.refused.take() {
            return Poll::Ready(Err(error.into()));
        }
        Pin::new(&mut self.answer).poll(context).map(|answer| match answer {
            Ok(loaded) => Ok(loaded?),
            Err(_) => {
                Err(Error::Panicked { task: "loading a model".to_owned(), message: "its thread ended".to_owned() })
            }
        })
    }
}

impl fmt::Debug for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading").finish_non_exhaustive()
    }
}

/// How far a load is: numbers from 0 to 1, as a [`Stream`] that ends with the load. A slow reader gets the newest number.
#[derive(Debug)]
pub struct LoadProgress(Pin<Box<async_channel::Receiver<f32>>>);

impl LoadProgress {
    /// The next number; `None` when the load has ended, well or not.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn next(&mut self) -> Option<f32> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for LoadProgress {
    type Item = f32;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<f32>> {
        self.0.as_mut().poll_next(context)
    }
}
