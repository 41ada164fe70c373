//! Many requests on one model: continuous batching.

mod builder;
mod cores;
mod decoder;
mod deliver;
mod guess;
mod pace;
mod params;
mod pooled;
mod prefix;
mod queue;
mod request;
mod run;
mod schedule;
mod service;
mod slots;
mod stats;
mod threads;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

pub use builder::EngineBuilder;
pub use deliver::{CancelHandle, GenerationStream};
pub use params::{EngineParams, KvLayout, Speculation};
pub use pooled::Pending;
pub use queue::Priority;
pub use request::{GenerationRequest, RequestPrompt};
pub use stats::{EngineStats, HistogramBucket, HistogramSnapshot};
pub use threads::ThreadPolicy;

use crate::chat::{ChatPrompt, ChatRequest, ChatTemplate};
use crate::embed::{EmbedInput, Embedding};
use crate::error::{Error, Result};
use crate::generate::{GenerationParams, Prompt, Writer};
use crate::model::Model;
use crate::rerank::RerankScore;
use crate::tokenizer::Tokenizer;
use deliver::Outlet;
use pooled::Pooled;
use queue::{Place, Places};
use request::{Adapters, Job, Progress};
use service::ServiceTime;
use stats::Recorder;

/// Computes the requests of many callers together on one model. Cheap to clone; all clones are the same engine.
///
/// One thread owns one llama.cpp context and computes, step by step, one batch of what all running requests need: a token
/// for each, and pieces of the prompts of new ones. Prefixes that were computed for one request serve all others. The
/// thread ends when the last clone is dropped and the requests that it has are done.
///
/// ```no_run
/// use mullama_core::{GenerationParams, GenerationRequest, Model, TokenEvent};
///
/// let engine = Model::load("model.gguf")?.engine().sequences(8).start()?;
/// let one = engine.submit("Once upon a time")?;
/// let two = engine.submit(GenerationRequest::new("The sea").params(GenerationParams::greedy(32)))?;
/// for event in one {
///     if let TokenEvent::Token { text, .. } = event? {
///         print!("{text}");
///     }
/// }
/// println!("{}", two.text()?);
/// # Ok::<(), mullama_core::Error>(())
/// ```
///
/// # What may differ
///
/// The same seed and the same composition of batches give the same tokens. Who else is computed at the same time changes
/// the composition, and with it the last bits of the numbers: where two tokens are almost equally likely, the other may
/// come.
#[derive(Debug, Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    handle: Arc<Handle>,
}

/// Ends the engine's thread when the last clone goes.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    model: Model,
    params: EngineParams,
    /// Those that the model was loaded with.
    adapters: Arc<Adapters>,
    /// Made when it is first needed.
    template: OnceLock<ChatTemplate>,
    /// Tokens that a request may have; `None` where the model does not generate.
    length: Option<usize>,
    pooled: Pooled,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.wake();
    }
}

/// What the handles, the streams and the engine's thread have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    inbox: Mutex<Inbox>,
    ended: Condvar,
    thread: OnceLock<Thread>,
    places: Places,
    stats: Arc<Recorder>,
    service: Arc<ServiceTime>,
    /// No new requests; the thread ends when it has none.
    closing: AtomicBool,
    /// All requests end now.
    cutting: AtomicBool,
    /// Read by llama.cpp while it computes on the CPU.
    abort: Arc<AtomicBool>,
    ids: AtomicU64,
}

#[derive(Debug, Default)]
struct Inbox {
    jobs: Vec<Job<Tokenizer>>,
    /// Why the thread has ended, when it has.
    over: Option<String>,
}

/// A request that needs only a place.
#[derive(Debug)]
pub(crate) struct Prepared {
    job: Job<Tokenizer>,
    stream: GenerationStream,
}

#[cfg(feature = "parallel")]
impl Prepared {
    pub(crate) fn tokens(&self) -> &[crate::TokenId] {
        &self.job.tokens
    }
}

impl Shared {
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn inbox(&self) -> std::sync::MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The error of a request to an engine that has ended.
    pub(crate) fn stopped(&self) -> Error {
        let reason = self.inbox().over.clone();
        Error::EngineStopped { reason: reason.unwrap_or_else(|| "it was shut down".to_owned()) }
    }
}

impl Engine {
    /// Starts to say how an engine on this model is to be made.
    pub fn builder(model: impl Into<Model>) -> EngineBuilder {
        EngineBuilder { model: model.into(), params: EngineParams::default(), draft: None }
    }

    /// Hands a request in. Blocks while its prompt is tokenized and its sampler is built (microseconds; longer for long
    /// texts and grammars, up to the deadlines of [`Tokenizer::encode`](crate::Tokenizer::encode) and
    /// [`Grammar`](crate::Grammar)), not while it is computed.
    ///
    /// # Errors
    /// [`Error::Overloaded`] at once when as many requests wait as may; [`Error::EngineStopped`];
    /// [`Error::PromptTooLong`]; [`Error::Unsupported`] for models that do not generate; and those of
    /// [`Context::generate`](crate::Context::generate) and [`ChatTemplate::render`].
    pub fn submit(&self, request: impl Into<GenerationRequest>) -> Result<GenerationStream> {
        let place = self.place()?;
        self.hand_in(self.prepare(request.into())?, place)
    }

    /// A place in the queue.
    pub(crate) fn place(&self) -> Result<Place> {
        let shared = &self.shared;
        if self.handle.length.is_none() {
            let reason = "it embeds or ranks texts";
            return Err(Error::Unsupported { what: "generation with this model", reason });
        }
        if shared.closing.load(Ordering::Acquire) {
            return Err(shared.stopped());
        }
        shared.places.take().ok_or_else(|| {
            shared.stats.requests_rejected.add(1);
            Error::Overloaded { capacity: shared.places.capacity(), retry_after: self.retry_after() }
        })
    }

    /// All of a request that can be done before its turn: renders, tokenizes, builds the sampler.
    pub(crate) fn prepare(&self, request: GenerationRequest) -> Result<Prepared> {
        let submitted = Instant::now();
        let GenerationRequest { prompt, params, priority, lora, cache_salt, event_buffer } = request;
        let buffer = event_buffer.unwrap_or(self.params().event_buffer);
        if !(1..=1 << 16).contains(&buffer) {
            return Err(Error::parameter("event_buffer", buffer, "1..=65,536 events"));
        }
        let adapters = self.adapters(lora)?;
        let key = adapters.key(cache_salt.as_deref());
        let chat = match prompt {
            RequestPrompt::Messages(ref request) => Some(Box::new(self.render(request)?)),
            RequestPrompt::Chat(ref chat) => Some(chat.clone()),
            _ => None,
        };
        let source = match (&prompt, chat.as_deref()) {
            (RequestPrompt::Text(text), _) => Prompt::Text(text),
            (RequestPrompt::Tokens(tokens), _) => Prompt::Tokens(tokens),
            (_, Some(chat)) => Prompt::Chat(chat),
            (_, None) => return Err(Error::Internal { what: "a conversation was not rendered".to_owned() }),
        };
        let (tokens, writer) = Writer::prepare(self.model(), &source, &params, self.handle.length.unwrap_or(0))?;
        let (outlet, inlet) = Outlet::new(buffer as usize);
        let id = self.shared.ids.fetch_add(1, Ordering::Relaxed) + 1;
        let handle = inlet.handle(Arc::clone(&self.shared), writer.thought_enough());
        let stream = GenerationStream::new(inlet, handle, id, tokens.len(), chat);
        let job = Job {
            id,
            prompt: tokens.len(),
            tokens,
            writer,
            adapters,
            key,
            priority,
            cache: params.cache_prompt,
            context_shift: params.context_shift,
            keep: params.keep as usize + usize::from(self.model().tokenizer().adds_bos()),
            submitted,
            deadline: params.timeout_ms.map(|ms| submitted + Duration::from_millis(ms)),
            outlet,
            place: None,
            progress: Progress::default(),
        };
        Ok(Prepared { job, stream })
    }

    /// Puts a request into the queue.
    pub(crate) fn hand_in(&self, prepared: Prepared, place: Place) -> Result<GenerationStream> {
        let Prepared { mut job, stream } = prepared;
        job.place = Some(place);
        let shared = &self.shared;
        let mut inbox = shared.inbox();
        if inbox.over.is_some() {
            drop(inbox);
            return Err(shared.stopped());
        }
        inbox.jobs.push(job);
        drop(inbox);
        shared.stats.requests_submitted.add(1);
        shared.wake();
        Ok(stream)
    }

    /// Submits a prompt with parameters, and blocks until its text is there.
    ///
    /// # Errors
    /// Those of [`Engine::submit`] and of the generation.
    pub fn generate(&self, prompt: impl Into<RequestPrompt>, params: &GenerationParams) -> Result<String> {
        self.submit(GenerationRequest::new(prompt).params(params.clone()))?.text()
    }

    /// Vectors for texts, as [`Embedder::embed`](crate::Embedder::embed), in a context of its own that is made with the
    /// first call. Does not block: requests that come meanwhile are computed together.
    ///
    /// # Errors
    /// [`Error::Overloaded`], [`Error::EngineStopped`], [`Error::Thread`]. Those of the texts come with the result.
    pub fn embed(&self, texts: impl IntoIterator<Item = impl Into<EmbedInput>>) -> Result<Pending<Vec<Embedding>>> {
        let texts = texts.into_iter().map(Into::into).collect();
        self.handle.pooled.submit(&self.handle.model, &self.handle.params, |reply| pooled::Work::Embed { texts, reply })
    }

    /// Texts by how well they answer a question, best first, as [`Reranker::rerank`](crate::Reranker::rerank).
    ///
    /// # Errors
    /// As [`Engine::embed`].
    pub fn rerank(
        &self,
        query: impl Into<String>,
        documents: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Pending<Vec<RerankScore>>> {
        let (query, documents) = (query.into(), documents.into_iter().map(Into::into).collect());
        let work = |reply| pooled::Work::Rerank { query, documents, reply };
        self.handle.pooled.submit(&self.handle.model, &self.handle.params, work)
    }

    /// Stops taking requests, waits until those that it has are done, but no longer than `deadline`, then ends the rest
    /// with [`FinishReason::Cancelled`](crate::FinishReason::Cancelled). Blocks. True: all were done in time.
    #[expect(clippy::must_use_candidate, reason = "who only wants it to end need not ask how")]
    pub fn shutdown(&self, deadline: Duration) -> bool {
        let shared = &self.shared;
        shared.closing.store(true, Ordering::Release);
        self.handle.pooled.close();
        shared.wake();
        let done = self.wait(Some(deadline));
        if !done {
            shared.cutting.store(true, Ordering::Release);
            // On the CPU this also ends the batch that is being computed.
            shared.abort.store(true, Ordering::Release);
            shared.wake();
            self.wait(None);
        }
        done
    }

    fn wait(&self, deadline: Option<Duration>) -> bool {
        if self.handle.length.is_none() {
            return true;
        }
        let inbox = self.shared.inbox();
        let going = |inbox: &mut Inbox| inbox.over.is_none();
        match deadline {
            None => {
                let guard = self.shared.ended.wait_while(inbox, going).unwrap_or_else(PoisonError::into_inner);
                guard.over.is_some()
            }
            Some(limit) => {
                let outcome = self.shared.ended.wait_timeout_while(inbox, limit, going);
                outcome.unwrap_or_else(PoisonError::into_inner).0.over.is_some()
            }
        }
    }

    /// Does it take requests?
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.shared.closing.load(Ordering::Acquire) && self.shared.inbox().over.is_none()
    }

    /// What it has measured so far. Takes no lock that a request needs; a few microseconds.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        self.shared.stats.snapshot()
    }

    /// Requests that wait and run.
    #[must_use]
    pub fn load(&self) -> usize {
        let running = self.shared.stats.sequences_running.value();
        self.shared.places.taken().saturating_add(usize::try_from(running).unwrap_or(usize::MAX))
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.handle.model
    }

    /// The parameters in force; those of the context are resolved.
    #[must_use]
    pub fn params(&self) -> &EngineParams {
        &self.handle.params
    }

    fn adapters(&self, lora: Option<Vec<(crate::Lora, f32)>>) -> Result<Arc<Adapters>> {
        let Some(list) = lora else { return Ok(Arc::clone(&self.handle.adapters)) };
        for (adapter, scale) in &list {
            crate::model::check_scale(*scale)?;
            if !adapter.ptr.belongs_to(self.model().ptr()) {
                let path = adapter.path().display();
                return Err(Error::parameter("lora", path, "an adapter that was loaded for this model"));
            }
        }
        Ok(Arc::new(Adapters::new(list)))
    }

    fn render(&self, request: &ChatRequest) -> Result<ChatPrompt> {
        let template = &self.handle.template;
        let template = match template.get() {
            Some(template) => template,
            None => {
                let made = self.model().chat_template()?;
                template.get_or_init(|| made)
            }
        };
        template.render(request)
    }

    /// When a place in the queue is likely to be free: the time that a request takes, over those that run at once.
    fn retry_after(&self) -> Duration {
        let service = self.shared.service.mean();
        (service / self.params().sequences.max(1)).clamp(Duration::from_millis(50), Duration::from_secs(30))
    }
}
