//! A token stream as a backend's events: conversations are read while they come.

use std::sync::Arc;

use futures_core::Stream;
use futures_util::future::FutureExt as _;
use futures_util::stream;
use mullama_core::{CancelHandle, ChatParser, Error as CoreError, FinishReason, Summary, TokenEvent};

use super::{BackendEvent, BackendStream, BackendSummary, GenerationControl, TokenDelta};
use crate::blocking;
use crate::error::Result;
use crate::stream::TokenStream;

/// The events of a token stream.
pub(super) fn events(tokens: TokenStream) -> Result<BackendStream> {
    let control = Arc::new(Control(tokens.cancel_handle()));
    let prompt_tokens = tokens.prompt_tokens();
    let reader = match tokens.chat() {
        Some(chat) => Reader::Parsed(Box::new(chat.parser()?)),
        None => Reader::None,
    };
    let answer = Answer { tokens, reader };
    Ok(BackendStream::new(prompt_tokens, stream_of(answer), control))
}

fn stream_of(answer: Answer) -> impl Stream<Item = Result<BackendEvent>> + Send {
    stream::unfold(Some(answer), |answer| async {
        let mut answer = answer?;
        match answer.next().await {
            Ok(event @ BackendEvent::Tokens(_)) => Some((Ok(event), Some(answer))),
            last => Some((last, None)),
        }
    })
}

#[derive(Debug)]
struct Control(CancelHandle);

impl GenerationControl for Control {
    fn stop(&self) {
        self.0.cancel();
    }

    fn end_reasoning(&self) {
        self.0.end_reasoning();
    }
}

struct Answer {
    tokens: TokenStream,
    reader: Reader,
}

/// How text becomes deltas.
enum Reader {
    /// It does not.
    None,
    /// By the template's parser.
    Parsed(Box<ChatParser>),
}

impl Answer {
    async fn next(&mut self) -> Result<BackendEvent> {
        let mut delta = TokenDelta::default();
        let mut event = self.tokens.next().await;
        let mut done = None;
        // What is there already goes along: a reader that is behind catches up, and the parser runs once for all of it.
        for _ in 0..TOGETHER {
            match event.transpose()? {
                Some(TokenEvent::Token { token, text, logprobs }) => {
                    delta.tokens.push(token);
                    delta.text.push_str(&text);
                    delta.logprobs.extend(logprobs);
                }
                Some(TokenEvent::Text { text }) => delta.text.push_str(&text),
                Some(TokenEvent::Done(summary)) => {
                    done = Some(summary);
                    break;
                }
                Some(_) => {}
                None => {
                    let what = "a generation ended without a summary".to_owned();
                    return Err(CoreError::Internal { what }.into());
                }
            }
            match self.tokens.next().now_or_never() {
                Some(more) => event = more,
                None => break,
            }
        }
        match done {
            None => {
                self.read(&mut delta).await?;
                Ok(BackendEvent::Tokens(delta))
            }
            Some(summary) => self.end(summary, delta).await,
        }
    }

    async fn read(&mut self, delta: &mut TokenDelta) -> Result<()> {
        if delta.text.is_empty() {
            return Ok(());
        }
        match &mut self.reader {
            Reader::None => Ok(()),
            Reader::Parsed(parser) if parser.answer().len() + delta.text.len() <= SHORT => {
                delta.deltas = parser.push(&delta.text)?;
                Ok(())
            }
            // It parses the whole answer again: too much for a thread of the runtime.
            Reader::Parsed(_) => {
                let Reader::Parsed(mut parser) = std::mem::replace(&mut self.reader, Reader::None) else {
                    return Ok(());
                };
                let text = delta.text.clone();
                let (parser, deltas) = blocking::run("parsing an answer", move || {
                    let deltas = parser.push(&text);
                    (parser, deltas)
                })
                .await?;
                self.reader = Reader::Parsed(parser);
                delta.deltas = deltas?;
                Ok(())
            }
        }
    }

    async fn end(&mut self, mut summary: Summary, mut last: TokenDelta) -> Result<BackendEvent> {
        let whole = matches!(summary.finish_reason, FinishReason::Stop | FinishReason::ToolCalls);
        let (mut message, mut unparsed) = (None, None);
        match std::mem::replace(&mut self.reader, Reader::None) {
            Reader::None => {}
            Reader::Parsed(mut parser) => {
                let text = last.text.clone();
                let (deltas, end, reason) = blocking::run("parsing an answer", move || {
                    let deltas = parser.push(&text)?;
                    match whole.then(|| parser.fork().finish()) {
                        Some(Ok(end)) => Ok((deltas, end, None)),
                        Some(Err(CoreError::ChatParse { reason })) => {
                            parser.finish_cut().map(|end| (deltas, end, Some(reason)))
                        }
                        Some(Err(other)) => Err(other),
                        None => parser.finish_cut().map(|end| (deltas, end, None)),
                    }
                })
                .await??;
                unparsed = reason;
                last.deltas = deltas;
                last.deltas.extend(end.0);
                message = Some(end.1);
            }
        }
        if whole && message.as_ref().is_some_and(|message| !message.tool_calls.is_empty()) {
            summary.finish_reason = FinishReason::ToolCalls;
        }
        Ok(BackendEvent::Done(Box::new(BackendSummary { summary, last, message, unparsed })))
    }
}

/// Events that go along with one, at most.
const TOGETHER: usize = 32;
/// Bytes of an answer that are parsed in some ten microseconds.
const SHORT: usize = 1 << 10;
