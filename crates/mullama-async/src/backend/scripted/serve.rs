//! The calls of a scripted backend.

use std::sync::Arc;
use std::time::Duration;

use mullama_core::{ChatRequest, EmbedInput, Embedding, EncodeOptions, Error as CoreError, TokenId};
use tokio::time::Instant;

use super::answer::{Answer, Plan};
use super::model::Model;
use super::{Script, ScriptedBackend, text};
use crate::backend::{
    BackendFuture, BackendModel, BackendRequest, BackendStats, BackendStream, InferenceBackend, RenderedPrompt,
    RerankOutput,
};
use crate::error::{Error, Result};

impl ScriptedBackend {
    /// The model, when it is up.
    async fn enter(&self, name: &str) -> Result<Arc<Model>> {
        let model = self.find(name)?;
        model.enter().await?;
        Ok(model)
    }

    /// As [`Self::enter`], and what the script says to work.
    async fn work(&self, name: &str) -> Result<Arc<Model>> {
        let model = self.enter(name).await?;
        match model.script() {
            Script::Refuse(error) => Err(error()),
            Script::Overloaded => Err(overloaded(&model)),
            Script::Hang => std::future::pending().await,
            _ => Ok(model),
        }
    }

    async fn generate(&self, name: &str, request: BackendRequest) -> Result<BackendStream> {
        let model = self.find(name)?;
        model.hand_in(&request);
        model.enter().await?;
        let plan = match model.script() {
            Script::Refuse(error) => return Err(error()),
            script => Plan::of(script).ok_or_else(|| overloaded(&model))?,
        };
        request.params.validate()?;
        if request.adapters.as_ref().is_some_and(|adapters| !adapters.is_empty()) {
            return Err(no_adapters());
        }
        let prompt_tokens = text::prompt_tokens(&request.prompt);
        if prompt_tokens > Self::CONTEXT {
            return Err(CoreError::PromptTooLong {
                got: prompt_tokens as usize,
                exact: true,
                limit: Self::CONTEXT as usize,
            }
            .into());
        }
        let control = model.begin(prompt_tokens)?;
        let answer = Answer::new(model, Arc::clone(&control), plan, &request);
        Ok(BackendStream::new(prompt_tokens, answer, control))
    }
}

impl InferenceBackend for ScriptedBackend {
    fn submit<'a>(&'a self, model: &'a str, request: BackendRequest) -> BackendFuture<'a, Result<BackendStream>> {
        Box::pin(self.generate(model, request))
    }

    fn tokenize<'a>(
        &'a self,
        model: &'a str,
        text: String,
        _options: EncodeOptions,
    ) -> BackendFuture<'a, Result<Vec<TokenId>>> {
        Box::pin(async move { self.enter(model).await.map(|_| text::tokenize(&text)) })
    }

    fn pieces<'a>(&'a self, model: &'a str, tokens: Vec<TokenId>) -> BackendFuture<'a, Result<Vec<Vec<u8>>>> {
        Box::pin(async move {
            let script = self.enter(model).await?.script();
            tokens.into_iter().map(|token| text::piece(&script, token).map(String::into_bytes)).collect()
        })
    }

    fn detokenize<'a>(&'a self, model: &'a str, tokens: Vec<TokenId>) -> BackendFuture<'a, Result<String>> {
        Box::pin(async move {
            let script = self.enter(model).await?.script();
            tokens.into_iter().map(|token| text::piece(&script, token)).collect()
        })
    }

    fn apply_template<'a>(
        &'a self,
        model: &'a str,
        request: Box<ChatRequest>,
    ) -> BackendFuture<'a, Result<RenderedPrompt>> {
        Box::pin(async move {
            self.enter(model).await?;
            let text = text::render(&request);
            let tokens = text::count(&text);
            Ok(RenderedPrompt::new(text, tokens))
        })
    }

    fn embed<'a>(&'a self, model: &'a str, texts: Vec<EmbedInput>) -> BackendFuture<'a, Result<Vec<Embedding>>> {
        Box::pin(async move {
            self.work(model).await?;
            Ok(texts.iter().map(text::embed).collect())
        })
    }

    fn rerank<'a>(
        &'a self,
        model: &'a str,
        query: String,
        documents: Vec<String>,
    ) -> BackendFuture<'a, Result<RerankOutput>> {
        Box::pin(async move {
            self.work(model).await?;
            Ok(text::rank(&query, &documents))
        })
    }

    fn resolve(&self, asked: Option<&str>) -> Option<String> {
        match asked {
            Some(name) => self.find(name).ok().map(|model| model.name.clone()),
            None => self.all().first().map(|model| model.name.clone()),
        }
    }

    fn models(&self) -> Vec<BackendModel> {
        self.all().iter().map(|model| model.describe()).collect()
    }

    fn stats(&self) -> Vec<BackendStats> {
        let one = |model: &Arc<Model>| {
            model.stats().map(|stats| BackendStats { model: model.name.clone(), engine: 0, stats })
        };
        self.all().iter().filter_map(one).collect()
    }

    fn load<'a>(&'a self, model: &'a str) -> BackendFuture<'a, Result<()>> {
        Box::pin(async move {
            self.enter(model).await?.load();
            Ok(())
        })
    }

    fn unload<'a>(&'a self, model: &'a str, deadline: Duration) -> BackendFuture<'a, Result<bool>> {
        Box::pin(async move {
            let model = self.find(model)?;
            let in_time = model.drain(until(deadline)).await;
            model.unload();
            Ok(in_time)
        })
    }

    fn set_adapters<'a>(&'a self, model: &'a str, scales: Vec<(usize, f32)>) -> BackendFuture<'a, Result<()>> {
        Box::pin(async move {
            self.enter(model).await?;
            if scales.is_empty() { Ok(()) } else { Err(no_adapters()) }
        })
    }

    fn shutdown(&self, deadline: Duration) -> BackendFuture<'_, bool> {
        Box::pin(async move {
            let models = self.all();
            models.iter().for_each(|model| model.close());
            let deadline = until(deadline);
            let mut in_time = true;
            for model in models {
                in_time &= model.drain(deadline).await;
            }
            in_time
        })
    }
}

fn overloaded(model: &Model) -> Error {
    model.reject();
    CoreError::Overloaded { capacity: 0, retry_after: Duration::from_secs(1) }.into()
}

fn no_adapters() -> Error {
    Error::parameter("lora", "given", "none: the model was loaded without adapters")
}

fn until(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now + Duration::from_secs(3_600))
}
