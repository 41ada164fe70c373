//! Generations as streams.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_core::stream::FusedStream;
use mullama_core::{
    CancelHandle, ChatMessage, ChatPrompt, Error as CoreError, FinishReason, GenerationStream, Summary, TokenEvent,
};
use tokio::task::coop;

use crate::blocking;
use crate::error::Result;

/// The events of one request, as a [`Stream`]. Made by [`AsyncModel::generate`](crate::AsyncModel::generate) and its like,
/// or from core's [`GenerationStream`].
///
/// Back-pressure is the engine's own: a reader that takes nothing is at most
/// [`event_buffer`](mullama_core::GenerationRequest::event_buffer) events behind; then its sequence pauses, and only its.
/// After the last event, [`TokenEvent::Done`] or an error, the stream gives `None`, however often it is asked.
///
/// **Dropping it cancels the request**: the engine stops computing it with its next step. It needs no runtime to be
/// polled; on tokio it takes part in the cooperative budget, so that a fast model does not starve the other tasks.
///
/// ```no_run
/// use mullama_async::AsyncModel;
/// use mullama_core::{GenerationParams, TokenEvent};
///
/// # async fn example() -> mullama_async::Result<()> {
/// let model = AsyncModel::load("model.gguf").await?;
/// let mut stream = model.generate("Once upon a time", &GenerationParams::greedy(64)).await?;
/// while let Some(event) = stream.next().await {
///     if let TokenEvent::Token { text, .. } = event? {
///         print!("{text}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping the stream cancels the request"]
pub struct TokenStream {
    inner: GenerationStream,
    over: bool,
    /// What must not go while the request is computed.
    _keep: Option<Keep>,
}

/// Something to hold on to.
pub(crate) type Keep = Arc<dyn Any + Send + Sync>;

impl TokenStream {
    pub(crate) fn keeping(inner: GenerationStream, keep: Option<Keep>) -> Self {
        Self { inner, over: false, _keep: keep }
    }

    /// The next event; `None` after the last.
    ///
    /// # Cancel safety
    /// Cancel safe: no event is lost.
    pub async fn next(&mut self) -> Option<Result<TokenEvent>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Waits for the end and returns the text.
    ///
    /// # Errors
    /// Those of the request; the text up to then is lost, so take the events where it matters.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request.
    pub async fn text(self) -> Result<String> {
        self.complete().await.map(|(text, _)| text)
    }

    /// Waits for the end and returns the text and what it took.
    ///
    /// # Errors
    /// As [`TokenStream::text`].
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request.
    pub async fn complete(mut self) -> Result<(String, Summary)> {
        self.read().await
    }

    /// Waits for the end and reads the answer as the model's template writes it: thoughts and tool calls apart. Where
    /// tools are called, the summary's reason is [`FinishReason::ToolCalls`]. The answer to a prompt that is no
    /// conversation is a message with its text.
    ///
    /// # Errors
    /// As [`TokenStream::text`]; [`ChatParse`](CoreError::ChatParse) when the answer does not have the template's form.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request.
    pub async fn message(mut self) -> Result<(ChatMessage, Summary)> {
        let (text, mut summary) = self.read().await?;
        let Some(chat) = self.inner.chat().cloned() else { return Ok((ChatMessage::assistant(text), summary)) };
        let message = parse(chat, text).await?;
        if summary.finish_reason == FinishReason::Stop && !message.tool_calls.is_empty() {
            summary.finish_reason = FinishReason::ToolCalls;
        }
        Ok((message, summary))
    }

    /// Only the texts, none of them empty.
    pub fn texts(self) -> TextStream {
        TextStream(self)
    }

    /// Stops the request from elsewhere: the stream then ends with [`FinishReason::Cancelled`].
    #[must_use]
    pub fn cancel_handle(&self) -> CancelHandle {
        self.inner.cancel_handle()
    }

    /// The request's number in its engine, from 1.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.inner.id()
    }

    /// Tokens of the prompt.
    #[must_use]
    pub fn prompt_tokens(&self) -> u32 {
        self.inner.prompt_tokens()
    }

    /// The rendered conversation, where the request was one: its parser reads the answer.
    #[must_use]
    pub fn chat(&self) -> Option<&ChatPrompt> {
        self.inner.chat()
    }

    async fn read(&mut self) -> Result<(String, Summary)> {
        let mut whole = String::new();
        while let Some(event) = self.next().await {
            match event? {
                TokenEvent::Token { text, .. } | TokenEvent::Text { text } => whole.push_str(&text),
                TokenEvent::Done(summary) => return Ok((whole, summary)),
                _ => {}
            }
        }
        Err(CoreError::Internal { what: "a generation ended without a summary".to_owned() }.into())
    }
}

/// Reads an answer on a thread that may block.
pub(crate) async fn parse(chat: ChatPrompt, answer: String) -> Result<ChatMessage> {
    Ok(blocking::run("parsing an answer", move || chat.parser()?.parse(&answer)).await??)
}

impl From<GenerationStream> for TokenStream {
    fn from(inner: GenerationStream) -> Self {
        Self::keeping(inner, None)
    }
}

impl Stream for TokenStream {
    type Item = Result<TokenEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let budget = ready!(coop::poll_proceed(context));
        let event = ready!(self.inner.poll_event(context));
        budget.made_progress();
        self.over = matches!(event, None | Some(Err(_) | Ok(TokenEvent::Done(_))));
        Poll::Ready(event.map(|event| event.map_err(Into::into)))
    }
}

impl FusedStream for TokenStream {
    fn is_terminated(&self) -> bool {
        self.over
    }
}

impl fmt::Debug for TokenStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenStream").field("id", &self.id()).field("over", &self.over).finish_non_exhaustive()
    }
}

/// The texts of a request, as a [`Stream`]. Made by [`TokenStream::texts`]; dropping it cancels the request.
#[derive(Debug)]
#[must_use = "dropping the stream cancels the request"]
pub struct TextStream(TokenStream);

impl TextStream {
    /// The next piece of text; `None` at the end.
    ///
    /// # Cancel safety
    /// Cancel safe: no text is lost.
    pub async fn next(&mut self) -> Option<Result<String>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for TextStream {
    type Item = Result<String>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.0).poll_next(context)) {
                Some(Ok(TokenEvent::Token { text, .. } | TokenEvent::Text { text })) if !text.is_empty() => {
                    return Poll::Ready(Some(Ok(text)));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl FusedStream for TextStream {
    fn is_terminated(&self) -> bool {
        self.0.is_terminated()
    }
}
