//! One caller on a model's engine.

use mullama_core::{GenerationParams, GenerationRequest, Lora, Priority, RequestPrompt, Summary};

use crate::error::Result;
use crate::model::AsyncModel;
use crate::stream::TokenStream;

/// One caller's way to a model's engine, with what all requests of this caller have in common. Cheap.
///
/// The engine keeps what it has computed: where a prompt begins like an earlier one, as each turn of a conversation does,
/// only the rest is computed. Contexts share such prefixes with one another unless they are [private](Self::private).
///
/// ```no_run
/// use mullama_async::{AsyncContext, AsyncModel};
/// use mullama_core::{ChatMessage, ChatRequest, GenerationParams};
///
/// # async fn example() -> mullama_async::Result<()> {
/// let model = AsyncModel::load("model.gguf").await?;
/// let mut context = AsyncContext::new(model).await?;
/// let mut messages = vec![ChatMessage::user("My name is Anna.")];
/// let (answer, _) = context.generate(ChatRequest::new(messages.clone()), &GenerationParams::default()).await?.message().await?;
/// messages.extend([answer, ChatMessage::user("What is my name?")]);
/// // Only the question is computed.
/// println!("{}", context.text(ChatRequest::new(messages), &GenerationParams::default()).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct AsyncContext {
    model: AsyncModel,
    priority: Priority,
    salt: Option<String>,
    lora: Option<Vec<(Lora, f32)>>,
    event_buffer: Option<u32>,
}

impl AsyncContext {
    /// A context on the model's engine, which is started if it has to be.
    ///
    /// # Errors
    /// Those of [`AsyncModel::engine`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn new(model: impl Into<AsyncModel>) -> Result<Self> {
        let model = model.into();
        model.engine().await?;
        Ok(Self { model, priority: Priority::default(), salt: None, lora: None, event_buffer: None })
    }

    /// Which requests go first: [`GenerationRequest::priority`].
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Prefixes are shared only with contexts of the same name: [`GenerationRequest::cache_salt`].
    #[must_use]
    pub fn private(mut self, name: impl Into<String>) -> Self {
        self.salt = Some(name.into());
        self
    }

    /// Adapters in the place of those that the model was loaded with: [`GenerationRequest::lora`].
    #[must_use]
    pub fn lora(mut self, adapters: impl Into<Vec<(Lora, f32)>>) -> Self {
        self.lora = Some(adapters.into());
        self
    }

    /// Events that a reader may be behind: [`GenerationRequest::event_buffer`].
    #[must_use]
    pub fn event_buffer(mut self, events: u32) -> Self {
        self.event_buffer = Some(events);
        self
    }

    /// Generates from a text, tokens or a conversation.
    ///
    /// # Errors
    /// As [`AsyncModel::submit`].
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request.
    pub async fn generate(
        &mut self,
        prompt: impl Into<RequestPrompt>,
        params: &GenerationParams,
    ) -> Result<TokenStream> {
        let request = self.request(prompt, params);
        self.model.submit(request).await
    }

    /// Generates, and waits for the text.
    ///
    /// # Errors
    /// As [`AsyncContext::generate`], and those of the generation.
    ///
    /// # Cancel safety
    /// As [`AsyncContext::generate`].
    pub async fn text(&mut self, prompt: impl Into<RequestPrompt>, params: &GenerationParams) -> Result<String> {
        self.generate(prompt, params).await?.text().await
    }

    /// Generates, and waits for the text and what it took.
    ///
    /// # Errors
    /// As [`AsyncContext::text`].
    ///
    /// # Cancel safety
    /// As [`AsyncContext::generate`].
    pub async fn complete(
        &mut self,
        prompt: impl Into<RequestPrompt>,
        params: &GenerationParams,
    ) -> Result<(String, Summary)> {
        self.generate(prompt, params).await?.complete().await
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &AsyncModel {
        &self.model
    }

    pub(crate) fn request(&self, prompt: impl Into<RequestPrompt>, params: &GenerationParams) -> GenerationRequest {
        let mut request = GenerationRequest::new(prompt).params(params.clone()).priority(self.priority);
        if let Some(salt) = &self.salt {
            request = request.cache_salt(salt);
        }
        if let Some(lora) = &self.lora {
            request = request.lora(lora.clone());
        }
        if let Some(events) = self.event_buffer {
            request = request.event_buffer(events);
        }
        request
    }
}
