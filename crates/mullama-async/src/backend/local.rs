//! The backend that computes in this process.

mod builder;
mod change;
mod known;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mullama_core::{
    ChatRequest, ChatTemplate, EmbedInput, Embedding, EncodeOptions, Engine, GenerationRequest, Model, RequestPrompt,
    TokenId,
};

use super::info::{BackendModel, BackendStats};
use super::request::{BackendPrompt, BackendRequest, RenderedPrompt, RerankOutput};
use super::{BackendFuture, BackendStream, InferenceBackend, answer};
use crate::blocking;
use crate::error::{Error, Result};
use crate::model::AsyncModel;
use crate::pool::{EnginePool, ModelState};
pub use builder::LocalBackendBuilder;
pub use change::{Draining, Place, Prepared};
use known::Known;

/// Engines in this process, as a backend. Cheap to clone.
///
/// What ends the process (a hostile model, a failing device) ends the server with it.
///
/// ```no_run
/// use mullama_async::LocalBackend;
/// use mullama_core::EngineParams;
///
/// # fn example() -> mullama_async::Result<()> {
/// let backend = LocalBackend::builder()
///     .model("small", "qwen-0.6b.gguf", EngineParams::default())
///     .alias("small", "gpt-4o-mini")
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct LocalBackend {
    inner: Arc<Inner>,
}

struct Inner {
    models: RwLock<Vec<Arc<Registered>>>,
    source: Source,
    /// What was found out about models that were loaded once, by their keys.
    known: Mutex<HashMap<String, Arc<Known>>>,
}

enum Source {
    Pool(EnginePool),
    /// A model that somebody else has loaded; its engine starts with the first request.
    One(AsyncModel),
}

#[derive(Clone)]
struct Registered {
    name: String,
    aliases: Vec<String>,
    created: u64,
    /// Its name in the pool: another one for each model that had this place.
    key: String,
}

impl LocalBackend {
    /// Starts to say which models there are.
    pub fn builder() -> LocalBackendBuilder {
        LocalBackendBuilder { models: Vec::new(), aliases: Vec::new(), keep_alive: None, max_memory_bytes: None }
    }

    /// One model that is loaded, under a name. Cannot fail: the engine starts with the first request.
    pub fn of_model(name: impl Into<String>, model: impl Into<AsyncModel>) -> Self {
        let (name, model) = (name.into(), model.into());
        let known = HashMap::from([(name.clone(), Arc::new(Known::of(model.model(), None)))]);
        let models = RwLock::new(vec![Arc::new(Registered::new(name))]);
        Self { inner: Arc::new(Inner { models, source: Source::One(model), known: Mutex::new(known) }) }
    }

    /// The model of this name, loaded if it has to be.
    ///
    /// # Errors
    /// Those of [`EnginePool::get`] and [`AsyncModel::engine`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn model(&self, name: &str) -> Result<AsyncModel> {
        self.lease(name).await.map(|(model, _)| model)
    }

    /// The same, with what is known of it.
    async fn lease(&self, name: &str) -> Result<(AsyncModel, Arc<Known>)> {
        let mut registered = self.registered(name)?;
        let model = loop {
            match &self.inner.source {
                Source::One(model) => break model.clone(),
                Source::Pool(pool) => match pool.get(&registered.key).await {
                    Ok(model) => break AsyncModel::from(model),
                    // Another one has taken its place meanwhile.
                    Err(Error::NoSuchModel { .. }) => {
                        let now = self.registered(name)?;
                        if now.key == registered.key {
                            return Err(Error::NoSuchModel { name: name.to_owned() });
                        }
                        registered = now;
                    }
                    Err(error) => return Err(error),
                },
            }
        };
        let known = self.inner.known().get(&registered.key).cloned();
        let known = match (known, &self.inner.source) {
            (Some(known), Source::Pool(_)) => known,
            // Before its engine is there the length of a context is not known.
            (_, Source::Pool(_) | Source::One(_)) => self.inner.learn(&registered.key, &model.engine().await?),
        };
        Ok((model, known))
    }

    fn registered(&self, name: &str) -> Result<Arc<Registered>> {
        let find = |model: &&Arc<Registered>| model.name == name || model.aliases.iter().any(|alias| alias == name);
        let found = self.inner.models().iter().find(find).cloned();
        found.ok_or_else(|| Error::NoSuchModel { name: name.to_owned() })
    }

    async fn generate(&self, name: &str, request: BackendRequest) -> Result<BackendStream> {
        let (model, known) = self.lease(name).await?;
        let BackendRequest { prompt, params, priority, adapters, cache_salt, event_buffer } = request;
        let prompt = match prompt {
            BackendPrompt::Text(text) => RequestPrompt::Text(text),
            BackendPrompt::Tokens(tokens) => RequestPrompt::Tokens(tokens),
            BackendPrompt::Chat(chat) => RequestPrompt::Messages(chat),
            BackendPrompt::Infill { prefix, suffix } => RequestPrompt::Tokens(infill(&model, prefix, suffix).await?),
        };
        let mut request = GenerationRequest::new(prompt).params(params).priority(priority);
        if let Some(adapters) = known.adapters(model.model(), adapters)? {
            request = request.lora(adapters);
        }
        if let Some(salt) = cache_salt {
            request = request.cache_salt(salt);
        }
        if let Some(events) = event_buffer {
            request = request.event_buffer(events);
        }
        answer::events(model.submit(request).await?)
    }

    async fn apply(&self, name: &str, request: Box<ChatRequest>) -> Result<RenderedPrompt> {
        let model = Model::from(self.model(name).await?);
        let render = move || {
            let template: ChatTemplate = model.chat_template()?;
            let prompt = template.render(&request)?;
            let options = EncodeOptions { add_special: true, parse_special: true };
            let tokens = model.tokenizer().encode(prompt.text(), options)?.len();
            let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
            Ok::<_, Error>(RenderedPrompt::new(prompt.text(), tokens))
        };
        blocking::run("rendering a conversation", render).await?
    }

    async fn rank(&self, name: &str, query: String, documents: Vec<String>) -> Result<RerankOutput> {
        let model = self.model(name).await?;
        let tokenizer = model.model().tokenizer();
        let (count_query, count_documents) = (query.clone(), documents.clone());
        let scores = model.rerank_async(query, documents).await?;
        let count = move || {
            let count = |text: &str| tokenizer.encode(text, EncodeOptions { add_special: false, parse_special: false });
            let query = count(&count_query)?.len() as u64;
            let documents = count_documents.iter().map(|text| Ok(count(text)?.len() as u64));
            let documents: u64 = documents.sum::<Result<u64, mullama_core::Error>>()?;
            Ok::<_, Error>(query * count_documents.len() as u64 + documents)
        };
        let tokens = blocking::run("counting tokens", count).await??;
        Ok(RerankOutput::new(scores, tokens))
    }

    fn describe(&self, model: &Registered) -> BackendModel {
        let known = self.inner.known().get(&model.key).cloned();
        let health = match &self.inner.source {
            Source::Pool(pool) => pool.health(&model.key),
            Source::One(_) => None,
        };
        let state = health.as_ref().map_or(ModelState::Ready, |health| health.state.clone());
        let load = match (&self.inner.source, &health) {
            (_, Some(health)) => health.load,
            (Source::One(model), None) => model.engine_now().map_or(0, |engine| engine.load()),
            (Source::Pool(_), None) => 0,
        };
        let size = known.as_ref().map_or(0, |known| known.info.size);
        let unloads_in = health.as_ref().and_then(|health| health.unloads_in);
        BackendModel {
            name: model.name.clone(),
            aliases: model.aliases.clone(),
            state,
            load,
            restarts: 0,
            memory_bytes: health.map_or(size, |health| health.memory_bytes),
            created: model.created,
            unloads_in_ms: unloads_in.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            adapters: known.as_ref().map(|known| known.list()).unwrap_or_default(),
            info: known.map(|known| known.info.clone()),
        }
    }
}

impl InferenceBackend for LocalBackend {
    fn submit<'a>(&'a self, model: &'a str, request: BackendRequest) -> BackendFuture<'a, Result<BackendStream>> {
        Box::pin(self.generate(model, request))
    }

    fn tokenize<'a>(
        &'a self,
        model: &'a str,
        text: String,
        options: EncodeOptions,
    ) -> BackendFuture<'a, Result<Vec<TokenId>>> {
        Box::pin(async move {
            let tokenizer = self.model(model).await?.model().tokenizer();
            Ok(blocking::run("tokenizing a text", move || tokenizer.encode(&text, options)).await??)
        })
    }

    fn pieces<'a>(&'a self, model: &'a str, tokens: Vec<TokenId>) -> BackendFuture<'a, Result<Vec<Vec<u8>>>> {
        Box::pin(async move {
            let tokenizer = self.model(model).await?.model().tokenizer();
            let pieces = move || tokens.iter().map(|token| tokenizer.piece(*token, true)).collect::<Result<_, _>>();
            Ok(blocking::run("detokenizing", pieces).await??)
        })
    }

    fn detokenize<'a>(&'a self, model: &'a str, tokens: Vec<TokenId>) -> BackendFuture<'a, Result<String>> {
        Box::pin(async move {
            let tokenizer = self.model(model).await?.model().tokenizer();
            Ok(blocking::run("detokenizing", move || tokenizer.decode_special(&tokens)).await??)
        })
    }

    fn apply_template<'a>(
        &'a self,
        model: &'a str,
        request: Box<ChatRequest>,
    ) -> BackendFuture<'a, Result<RenderedPrompt>> {
        Box::pin(self.apply(model, request))
    }

    fn embed<'a>(&'a self, model: &'a str, texts: Vec<EmbedInput>) -> BackendFuture<'a, Result<Vec<Embedding>>> {
        Box::pin(async move { self.model(model).await?.embed_async(texts).await })
    }

    fn rerank<'a>(
        &'a self,
        model: &'a str,
        query: String,
        documents: Vec<String>,
    ) -> BackendFuture<'a, Result<RerankOutput>> {
        Box::pin(self.rank(model, query, documents))
    }

    fn resolve(&self, asked: Option<&str>) -> Option<String> {
        let found = match asked {
            Some(name) => self.registered(name).ok(),
            None => self.inner.models().first().cloned(),
        };
        found.map(|model| model.name.clone())
    }

    fn models(&self) -> Vec<BackendModel> {
        self.inner.models().iter().map(|model| self.describe(model)).collect()
    }

    fn stats(&self) -> Vec<BackendStats> {
        let models = self.inner.models();
        let engines = match &self.inner.source {
            // Those that are on their way out are left out: they have the names of others.
            Source::Pool(pool) => {
                let name = |key: &str| models.iter().find(|model| model.key == key).map(|model| model.name.clone());
                let engines = pool.engines().into_iter();
                engines.filter_map(|(key, number, engine)| Some((name(&key)?, number, engine))).collect()
            }
            Source::One(model) => {
                let name = models.first().map(|model| model.name.clone()).unwrap_or_default();
                model.engine_now().map(|engine| (name, 0, engine)).into_iter().collect::<Vec<_>>()
            }
        };
        engines
            .into_iter()
            .map(|(model, engine, running)| BackendStats { model, engine, stats: running.stats() })
            .collect()
    }

    fn load<'a>(&'a self, model: &'a str) -> BackendFuture<'a, Result<()>> {
        Box::pin(async move { self.model(model).await.map(drop) })
    }

    fn unload<'a>(&'a self, model: &'a str, deadline: Duration) -> BackendFuture<'a, Result<bool>> {
        Box::pin(async move {
            let key = &self.registered(model)?.key;
            match &self.inner.source {
                Source::Pool(pool) => pool.unload(key, deadline).await,
                Source::One(_) => Err(mullama_core::Error::Unsupported {
                    what: "unloading this model",
                    reason: "it was loaded by the program around the server, which alone can let it go",
                }
                .into()),
            }
        })
    }

    fn set_adapters<'a>(&'a self, model: &'a str, scales: Vec<(usize, f32)>) -> BackendFuture<'a, Result<()>> {
        Box::pin(async move {
            let (loaded, known) = self.lease(model).await?;
            // What cannot be used is told now, not with the next request.
            known.adapters(loaded.model(), Some(scales.clone()))?;
            known.set(&scales);
            Ok(())
        })
    }

    fn shutdown(&self, deadline: Duration) -> BackendFuture<'_, bool> {
        Box::pin(async move {
            match &self.inner.source {
                Source::Pool(pool) => pool.shutdown(deadline).await,
                Source::One(model) => model.shutdown(deadline).await.unwrap_or(false),
            }
        })
    }
}

impl fmt::Debug for LocalBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.inner.models().iter().map(|model| model.name.clone()).collect();
        f.debug_struct("LocalBackend").field("models", &names).finish_non_exhaustive()
    }
}

impl Registered {
    fn new(name: String) -> Self {
        Self { key: name.clone(), name, aliases: Vec::new(), created: now() }
    }
}

impl Inner {
    /// Those of this moment.
    fn models(&self) -> Vec<Arc<Registered>> {
        self.models.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, key: &str, engine: &Engine) -> Arc<Known> {
        let mut known = self.known();
        match known.get(key).filter(|known| known.info.sequences > 0) {
            Some(known) => Arc::clone(known),
            None => {
                let new = Arc::new(Known::of(engine.model(), Some(engine.params())));
                known.insert(key.to_owned(), Arc::clone(&new));
                new
            }
        }
    }
}

/// The tokens of a prompt for filling in the middle, as llama.cpp's server makes them: prefix, suffix, middle.
async fn infill(model: &AsyncModel, prefix: String, suffix: String) -> Result<Vec<TokenId>> {
    let tokenizer = model.model().tokenizer();
    let (Some(before), Some(behind), Some(gap)) =
        (tokenizer.fim_prefix(), tokenizer.fim_suffix(), tokenizer.fim_middle())
    else {
        let reason = "its vocabulary has no tokens for filling in the middle";
        return Err(mullama_core::Error::Unsupported { what: "a suffix with this model", reason }.into());
    };
    let encode = move || {
        let plain = EncodeOptions { add_special: false, parse_special: false };
        let mut tokens: Vec<TokenId> = Vec::new();
        if tokenizer.adds_bos() {
            tokens.extend(tokenizer.bos());
        }
        tokens.push(before);
        tokens.extend(tokenizer.encode(&prefix, plain)?);
        tokens.push(behind);
        tokens.extend(tokenizer.encode(&suffix, plain)?);
        tokens.push(gap);
        Ok::<_, Error>(tokens)
    };
    blocking::run("tokenizing a text", encode).await?
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
