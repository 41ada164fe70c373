//! Embeddings and rankings: a thread and a context of their own, made when first asked for.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use futures_core::Stream as _;

use super::params::EngineParams;
use crate::context::ContextParams;
use crate::embed::{EmbedInput, Embedder, Embedding};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::prepare::STACK;
use crate::rerank::{RerankScore, Reranker};

/// A result that is being computed. Block on it with [`Pending::wait`], or await it. Dropping it takes the request back, if
/// it has not been begun.
#[derive(Debug)]
pub struct Pending<T>(Pin<Box<async_channel::Receiver<Result<T>>>>);

impl<T> Pending<T> {
    /// Blocks until the result is there.
    ///
    /// # Errors
    /// Those of what was asked for; [`Error::EngineStopped`].
    pub fn wait(self) -> Result<T> {
        self.0.recv_blocking().unwrap_or_else(|_| Err(stopped()))
    }
}

impl<T> Future for Pending<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll_next(context).map(|result| result.unwrap_or_else(|| Err(stopped())))
    }
}

pub(super) type Reply<T> = async_channel::Sender<Result<T>>;

/// What is asked for.
#[derive(Debug)]
pub(super) enum Work {
    Embed { texts: Vec<EmbedInput>, reply: Reply<Vec<Embedding>> },
    Rerank { query: String, documents: Vec<String>, reply: Reply<Vec<RerankScore>> },
}

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Pooled {
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Idle,
    Open(SyncSender<Work>),
    Closed,
}

impl Pooled {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State::Idle) }
    }

    pub(super) fn submit<T>(
        &self,
        model: &Model,
        params: &EngineParams,
        work: impl FnOnce(Reply<T>) -> Work,
    ) -> Result<Pending<T>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Idle) {
            *state = State::Open(start(model, params)?);
        }
        let State::Open(sender) = &*state else { return Err(stopped()) };
        let (reply, receiver) = async_channel::bounded(1);
        sender.try_send(work(reply)).map_err(|error| match error {
            TrySendError::Full(_) => Error::Overloaded { capacity: params.queue as usize, retry_after: RETRY },
            TrySendError::Disconnected(_) => stopped(),
        })?;
        Ok(Pending(Box::pin(receiver)))
    }

    /// Takes no more; what waits is still computed.
    pub(super) fn close(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = State::Closed;
    }
}

fn start(model: &Model, params: &EngineParams) -> Result<SyncSender<Work>> {
    let (sender, receiver) = sync_channel(params.queue as usize);
    let worker = Worker { model: model.clone(), params: params.context.clone(), embedder: None, reranker: None };
    let thread = thread::Builder::new().name("mullama-pooled".to_owned()).stack_size(STACK);
    thread.spawn(move || worker.run(&receiver)).map_err(Error::Thread)?;
    Ok(sender)
}

struct Worker {
    model: Model,
    params: ContextParams,
    embedder: Option<Embedder>,
    reranker: Option<Reranker>,
}

impl Worker {
    fn run(mut self, inbox: &Receiver<Work>) {
        let mut next = inbox.recv().ok();
        while let Some(work) = next.take() {
            match work {
                Work::Embed { texts, reply } => {
                    // Those that came meanwhile go along: a batch costs little more than one text.
                    let mut all = vec![(texts, reply)];
                    let mut count = all[0].0.len();
                    while count < TOGETHER {
                        match inbox.try_recv() {
                            Ok(Work::Embed { texts, reply }) => {
                                count += texts.len();
                                all.push((texts, reply));
                            }
                            Ok(other) => {
                                next = Some(other);
                                break;
                            }
                            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                        }
                    }
                    all.retain(|(_, reply)| !reply.is_closed());
                    self.embed(all);
                }
                Work::Rerank { query, documents, reply } => {
                    if !reply.is_closed() {
                        let scores = self.reranker().and_then(|reranker| reranker.rerank(&query, &documents));
                        answer(&reply, scores);
                    }
                }
            }
            if next.is_none() {
                next = inbox.recv().ok();
            }
        }
    }

    fn embed(&mut self, requests: Vec<(Vec<EmbedInput>, Reply<Vec<Embedding>>)>) {
        if requests.len() > 1 {
            let texts: Vec<EmbedInput> = requests.iter().flat_map(|(texts, _)| texts).cloned().collect();
            if let Ok(vectors) = self.embedder().and_then(|embedder| embedder.embed_inputs(&texts)) {
                let mut vectors = vectors.into_iter();
                for (texts, reply) in &requests {
                    answer(reply, Ok(vectors.by_ref().take(texts.len()).collect()));
                }
                return;
            }
            // One of them cannot be: each alone, so that it alone is told.
        }
        for (texts, reply) in requests {
            let vectors = self.embedder().and_then(|embedder| embedder.embed_inputs(&texts));
            answer(&reply, vectors);
        }
    }

    fn embedder(&mut self) -> Result<&mut Embedder> {
        match self.embedder {
            Some(ref mut embedder) => Ok(embedder),
            None => Ok(self.embedder.insert(self.model.embedder().params(self.params.clone()).build()?)),
        }
    }

    fn reranker(&mut self) -> Result<&mut Reranker> {
        match self.reranker {
            Some(ref mut reranker) => Ok(reranker),
            None => Ok(self.reranker.insert(Reranker::with_params(&self.model, &self.params)?)),
        }
    }
}

fn answer<T>(reply: &Reply<T>, result: Result<T>) {
    // A reader that has gone is no error.
    let _ = reply.try_send(result);
}

fn stopped() -> Error {
    Error::EngineStopped { reason: "it was shut down".to_owned() }
}

/// Texts that are computed together.
const TOGETHER: usize = 256;
const RETRY: Duration = Duration::from_millis(200);
