//! Answers as Rust types.

use std::any::type_name;

use mullama_core::{GenerationParams, Grammar, RequestPrompt, ResponseFormat};
use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;

use crate::blocking;
use crate::context::AsyncContext;
use crate::error::{Error, Result};
use crate::model::AsyncModel;
use crate::stream::{TokenStream, parse};

impl AsyncModel {
    /// Generates a value: the schema of `T` becomes the grammar of the answer, so that the model can write nothing else.
    ///
    /// The prompt should still say what is wanted: a grammar gives the form, not the sense. A conversation gets the schema
    /// as its response format.
    ///
    /// ```no_run
    /// use mullama_async::AsyncModel;
    /// use mullama_core::{ChatMessage, ChatRequest, GenerationParams};
    ///
    /// #[derive(serde::Deserialize, schemars::JsonSchema)]
    /// struct Person {
    ///     name: String,
    ///     age: u8,
    /// }
    ///
    /// # async fn example() -> mullama_async::Result<()> {
    /// let model = AsyncModel::load("model.gguf").await?;
    /// let question = ChatRequest::new([ChatMessage::user("Make JSON with name Anna and age 7.")]);
    /// let person: Person = model.generate_as(question, &GenerationParams::greedy(100)).await?;
    /// println!("{} is {}", person.name, person.age);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Answer`] with the text, where that is no `T`: mostly because it was cut by `max_tokens`, or because `T`
    /// refuses what its schema allows; [`Grammar`](mullama_core::Error::Grammar) for a schema that is no grammar; those
    /// of [`AsyncModel::submit`] and of the generation.
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request.
    pub async fn generate_as<T: JsonSchema + DeserializeOwned>(
        &self,
        prompt: impl Into<RequestPrompt>,
        params: &GenerationParams,
    ) -> Result<T> {
        let (prompt, params) = shaped::<T>(prompt.into(), params.clone()).await?;
        read(self.generate(prompt, &params).await?).await
    }
}

impl AsyncContext {
    /// Generates a value: as [`AsyncModel::generate_as`].
    ///
    /// # Errors
    /// As [`AsyncModel::generate_as`].
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request.
    pub async fn generate_as<T: JsonSchema + DeserializeOwned>(
        &mut self,
        prompt: impl Into<RequestPrompt>,
        params: &GenerationParams,
    ) -> Result<T> {
        let (prompt, params) = shaped::<T>(prompt.into(), params.clone()).await?;
        read(self.generate(prompt, &params).await?).await
    }
}

/// The same request, with an answer of the form of `T`.
async fn shaped<T: JsonSchema>(
    mut prompt: RequestPrompt,
    mut params: GenerationParams,
) -> Result<(RequestPrompt, GenerationParams)> {
    let schema = schema_for!(T).to_value();
    if let RequestPrompt::Messages(conversation) = &mut prompt {
        conversation.response_format = ResponseFormat::JsonSchema { schema };
    } else {
        let grammar = move || Grammar::json_schema(&schema);
        params.sampling.grammar = Some(blocking::run("deriving a grammar", grammar).await??);
    }
    Ok((prompt, params))
}

async fn read<T: DeserializeOwned>(stream: TokenStream) -> Result<T> {
    let chat = stream.chat().cloned();
    let (text, summary) = stream.complete().await?;
    let content = match chat {
        // What is cut or empty cannot always be parsed as a message; then its text says what is wrong.
        Some(chat) => parse(chat, text.clone()).await.map_or_else(|_| text.clone(), |message| message.text()),
        None => text.clone(),
    };
    serde_json::from_str(&content).map_err(|source| Error::Answer {
        wanted: type_name::<T>(),
        text,
        finish_reason: summary.finish_reason,
        source,
    })
}
