//! One answer: shown while it is generated, and kept.

use std::time::{Duration, Instant};

use mullama_core::{
    ChatDelta, ChatMessage, ChatParser, FinishReason, FunctionCall, Generation, GenerationParams, Summary, TokenEvent,
    TokenId, TokenLogprob, ToolCall,
};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::interrupt::Work;
use crate::terminal::{Output, Ui};

/// A complete answer, or what there was when it was stopped.
#[derive(Debug)]
pub(crate) struct Answer {
    /// What was generated, unparsed.
    pub(crate) text: String,
    pub(crate) tokens: Vec<TokenId>,
    pub(crate) logprobs: Vec<TokenLogprob>,
    /// The parsed answer, if there was a parser.
    pub(crate) message: Option<ChatMessage>,
    pub(crate) summary: Summary,
    /// The answer does not have the template's form.
    pub(crate) fault: Option<Error>,
}

/// Runs a generation to its end. The text appears on `output`, if there is one, as it comes; the model's thoughts on
/// stderr, if somebody sees them; tool calls at the end, each as a line of JSON. Ctrl-C stops it.
pub(crate) fn stream(
    generation: Generation<'_>,
    parser: Option<ChatParser>,
    output: Option<&mut Output>,
    ui: &Ui,
) -> Result<Answer> {
    let work = Work::Generation(generation.cancel_token());
    let mut screen = Screen { output, ui, thinking: false, open_line: false };
    let outcome = ui.interrupt.during(work, || collect(generation, parser, &mut screen));
    let answer = match outcome {
        Ok(answer) => answer,
        Err(error) => {
            // What came before stands in its own line.
            screen.end_line()?;
            return Err(error);
        }
    };
    screen.end_line()?;
    for call in answer.message.iter().flat_map(|message| &message.tool_calls) {
        screen.tool_call(&call.function)?;
    }
    Ok(answer)
}

impl Answer {
    /// OpenAI's name of the end: calls of tools count as one.
    pub(crate) fn finish_reason(&self) -> FinishReason {
        let calls = self.message.as_ref().is_some_and(|message| !message.tool_calls.is_empty());
        match self.summary.finish_reason {
            FinishReason::Stop if calls => FinishReason::ToolCalls,
            other => other,
        }
    }

    /// That the context was full before the answer was over, where it was. Who asked for so many tokens knows.
    pub(crate) fn outgrew(&self, params: &GenerationParams, length: usize) -> Option<String> {
        let asked = params.max_tokens.is_some_and(|most| self.tokens.len() >= most as usize);
        (self.summary.finish_reason == FinishReason::Length && !asked).then(|| {
            format!(
                "the answer was cut: the context of {length} tokens is full; --ctx-size makes it larger, --context-shift \
                 forgets its beginning"
            )
        })
    }

    /// Prompt and answer in tokens and time, in one line.
    pub(crate) fn timings(&self) -> String {
        let Summary { usage, timings, seed, .. } = &self.summary;
        let seed = seed.map_or_else(String::new, |seed| format!(", seed {seed}"));
        format!(
            "prompt: {} tokens ({} cached) in {:.1} ms, {:.1}/s; answer: {} tokens in {:.1} ms, {:.1}/s; {}{seed}",
            usage.prompt_tokens,
            usage.cached_tokens,
            timings.prompt_ms,
            timings.prompt_per_second,
            timings.predicted_n,
            timings.predicted_ms,
            timings.predicted_per_second,
            self.finish_reason(),
        )
    }
}

/// What the deltas of a stream add up to.
#[derive(Debug, Default)]
struct Told {
    content: String,
    reasoning: String,
    calls: Vec<ToolCall>,
}

/// Where the parts of an answer go.
struct Screen<'a> {
    output: Option<&'a mut Output>,
    ui: &'a Ui,
    thinking: bool,
    /// Is the last line on stdout without its end?
    open_line: bool,
}

fn collect(mut generation: Generation<'_>, parser: Option<ChatParser>, screen: &mut Screen<'_>) -> Result<Answer> {
    let mut stream = parser.map(Stream::new);
    let (mut text, mut tokens, mut logprobs) = (String::new(), Vec::new(), Vec::new());
    let summary = loop {
        let Some(event) = generation.next() else {
            let what = "a generation ended without a summary".to_owned();
            return Err(mullama_core::Error::Internal { what }.into());
        };
        let piece = match event? {
            TokenEvent::Token { token, text, logprobs: of_token, .. } => {
                tokens.push(token);
                logprobs.extend(of_token);
                text
            }
            TokenEvent::Text { text, .. } => text,
            TokenEvent::Done(summary) => break summary,
            // Events that may be added tell nothing that is printed.
            _ => continue,
        };
        text.push_str(&piece);
        match &mut stream {
            Some(stream) => stream.push(&piece, screen)?,
            None => screen.content(&piece)?,
        }
    };
    let (message, fault) = match stream {
        Some(stream) => stream.finish(summary.finish_reason, screen)?,
        None => (None, None),
    };
    Ok(Answer { text, tokens, logprobs, message, summary, fault })
}

/// A parser that is fed as often as its cost allows: each push parses the whole answer anew.
struct Stream {
    parser: ChatParser,
    held: String,
    next: Instant,
    told: Told,
}

impl Stream {
    fn new(parser: ChatParser) -> Self {
        Self { parser, held: String::new(), next: Instant::now(), told: Told::default() }
    }

    fn push(&mut self, piece: &str, screen: &mut Screen<'_>) -> Result<()> {
        self.held.push_str(piece);
        let now = Instant::now();
        if self.held.is_empty() || now < self.next {
            return Ok(());
        }
        let deltas = self.parser.push(&self.held)?;
        self.held.clear();
        let took = now.elapsed();
        self.next = now + (took * PARSE_SHARE).min(LONGEST_WAIT);
        deltas.into_iter().try_for_each(|delta| self.told.show(delta, screen))
    }

    /// The message, or what can be said of it when it was cut short or does not have the template's form.
    fn finish(mut self, reason: FinishReason, screen: &mut Screen<'_>) -> Result<(Option<ChatMessage>, Option<Error>)> {
        if !self.held.is_empty() {
            for delta in self.parser.push(&self.held)? {
                self.told.show(delta, screen)?;
            }
        }
        match self.parser.finish() {
            Ok((deltas, message)) => {
                deltas.into_iter().try_for_each(|delta| self.told.show(delta, screen))?;
                Ok((Some(message), None))
            }
            // Cut short: of course it is not complete.
            Err(mullama_core::Error::ChatParse { .. }) if reason != FinishReason::Stop => {
                Ok((Some(self.told.message()), None))
            }
            Err(error) => Ok((Some(self.told.message()), Some(error.into()))),
        }
    }
}

impl Told {
    fn show(&mut self, delta: ChatDelta, screen: &mut Screen<'_>) -> Result<()> {
        match delta {
            ChatDelta::Content(text) => {
                self.content.push_str(&text);
                screen.content(&text)
            }
            ChatDelta::ReasoningContent(text) => {
                self.reasoning.push_str(&text);
                screen.thought(&text);
                Ok(())
            }
            ChatDelta::ToolCall(more) => {
                if let Some(name) = more.name {
                    let function = FunctionCall { name, arguments: String::new() };
                    self.calls.push(ToolCall { id: more.id.unwrap_or_default(), function });
                }
                if let Some(call) = self.calls.get_mut(more.index) {
                    call.function.arguments.push_str(&more.arguments);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn message(self) -> ChatMessage {
        let mut message = ChatMessage::assistant(self.content);
        message.reasoning_content = Some(self.reasoning).filter(|text| !text.is_empty());
        message.tool_calls = self.calls;
        message
    }
}

impl Screen<'_> {
    fn content(&mut self, text: &str) -> Result<()> {
        let Some(output) = self.output.as_deref_mut().filter(|_| !text.is_empty()) else { return Ok(()) };
        if std::mem::take(&mut self.thinking) {
            self.ui.thought("\n");
        }
        output.text(text)?;
        self.open_line = !text.ends_with('\n');
        output.flush()
    }

    fn thought(&mut self, text: &str) {
        if self.output.is_some() && self.ui.shows_thoughts() {
            self.thinking = true;
            self.ui.thought(text);
        }
    }

    fn tool_call(&mut self, function: &FunctionCall) -> Result<()> {
        let Some(output) = self.output.as_deref_mut() else { return Ok(()) };
        let Ok(arguments) = serde_json::from_str::<Value>(&function.arguments) else {
            // Whoever reads the lines would call the function.
            self.ui.say(&format!("the call of {} is not complete: its arguments are no JSON", function.name));
            return Ok(());
        };
        output.json(&json!({ "name": function.name, "arguments": arguments }))?;
        output.flush()
    }

    /// Ends the line that is open.
    fn end_line(&mut self) -> Result<()> {
        if std::mem::take(&mut self.thinking) {
            self.ui.thought("\n");
        }
        let Some(output) = self.output.as_deref_mut() else { return Ok(()) };
        if std::mem::take(&mut self.open_line) {
            output.text("\n")?;
        }
        output.flush()
    }
}

/// Parsing may take one part in so many of the time.
const PARSE_SHARE: u32 = 10;
const LONGEST_WAIT: Duration = Duration::from_millis(500);
