//! Conversations to prompts and answers to messages, by llama.cpp's own chat engine (`common/chat.h`).

mod message;
mod parser;
mod request;

use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

pub use message::{ChatMessage, ContentPart, FunctionCall, Role, ToolCall};
pub use parser::{ChatDelta, ChatParser, ToolCallDelta};
pub use request::{ChatRequest, ReasoningFormat, ResponseFormat, Tool, ToolChoice};

use serde::Deserialize;

use crate::error::{Error, Result};
use crate::ffi::{self, ChatTemplatesPtr};
use crate::grammar::{Grammar, GrammarKind, GrammarTrigger, json_depth};
use crate::model::Model;
use crate::prepare::Preparer;
use crate::sampling::TemplateState;

/// A chat template (Jinja), read and ready to render. Cheap to clone.
///
/// ```no_run
/// use mullama_core::{ChatMessage, ChatRequest, Model};
///
/// let model = Model::load("model.gguf")?;
/// let template = model.chat_template()?;
/// let prompt = template.render(&ChatRequest::new([ChatMessage::user("Who are you?")]))?;
/// let mut context = model.context().build()?;
/// let answer = context.generate(&prompt, &Default::default())?.text()?;
/// let message = prompt.parser()?.parse(&answer)?;
/// println!("{}", message.text());
/// # Ok::<(), mullama_core::Error>(())
/// ```
///
/// # What it does not do
/// A template is one text: special tokens that a user writes into a message are read as such when the rendered prompt
/// is tokenized, as in llama.cpp's server. Strip them beforehand where that matters.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    ptr: Arc<ChatTemplatesPtr>,
    preparer: Arc<Preparer>,
    capabilities: Arc<[(String, bool)]>,
}

impl ChatTemplate {
    /// The model's own template. Without one llama.cpp would take ChatML: [`Model::chat_template`] refuses instead.
    pub(crate) fn of_model(model: &Model) -> Result<Self> {
        check_source(&model.chat_template_source().ok_or(Error::NoChatTemplate)?)?;
        Self::make(Some(model), "", "", "")
    }

    /// A template of your own, with the model's BOS and EOS texts. A template is a program: it can loop and recurse, and
    /// C++ cannot be interrupted, so take it from people whom you trust.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] over 256 KiB, or when it cannot be read; [`Error::Timeout`] when reading it takes more
    /// than 2 s.
    pub fn with_source(model: &Model, source: &str) -> Result<Self> {
        check_source(source)?;
        Self::make(Some(model), source, "", "")
    }

    /// A template of your own, without a model.
    ///
    /// # Errors
    /// As [`ChatTemplate::with_source`].
    pub fn without_model(source: &str, bos: &str, eos: &str) -> Result<Self> {
        ffi::init();
        check_source(source)?;
        Self::make(None, source, bos, eos)
    }

    fn make(model: Option<&Model>, source: &str, bos: &str, eos: &str) -> Result<Self> {
        let c_text = |text: &str| {
            CString::new(text).map_err(|_| Error::ChatTemplate { reason: "it contains a NUL character".to_owned() })
        };
        let (source, bos, eos) = (c_text(source)?, c_text(bos)?, c_text(eos)?);
        let preparer = model.map_or_else(|| Arc::new(Preparer::new()), |model| Arc::clone(&model.shared().preparer));
        let ptr = model.map(|model| Arc::clone(model.ptr()));
        let made = preparer
            .run("chat template", DEADLINE, move || ChatTemplatesPtr::new(ptr.as_ref(), &source, &bos, &eos))?;
        let made = made.map_err(|reason| Error::ChatTemplate { reason })?;
        let capabilities = made.caps().map_err(|reason| Error::ChatTemplate { reason })?;
        let capabilities: serde_json::Map<String, serde_json::Value> = read(&capabilities)?;
        let capabilities =
            capabilities.into_iter().filter_map(|(name, value)| Some((name, value.as_bool()?))).collect();
        Ok(Self { ptr: Arc::new(made), preparer, capabilities })
    }

    /// Was the template given, by the model or the caller, or is it llama.cpp's fallback?
    #[must_use]
    pub fn is_explicit(&self) -> bool {
        self.ptr.is_explicit()
    }

    /// What the template understands, as llama.cpp found out by trying: "supports_tools", "supports_system_role", ...
    #[must_use]
    pub fn capabilities(&self) -> &[(String, bool)] {
        &self.capabilities
    }

    /// Renders a conversation. Runs on a thread with a large stack.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] when the template refuses the conversation, [`Error::Timeout`] when it takes more than
    /// 2 s, [`Error::Grammar`] for a schema beyond its limits, [`Error::InvalidParameter`], [`Error::Unsupported`] for
    /// media in a message and for tools of which the template shows the model no name,
    /// [`Error::TextTooLong`] over 16 MiB.
    pub fn render(&self, request: &ChatRequest) -> Result<ChatPrompt> {
        let json = request.write()?;
        if json.len() > MAX_REQUEST {
            return Err(Error::TextTooLong { bytes: json.len(), limit: MAX_REQUEST });
        }
        let ptr = Arc::clone(&self.ptr);
        let rendered = self.preparer.run("chat template", DEADLINE, move || ptr.render(&json))?;
        let rendered = rendered.map_err(|reason| {
            // The grammar is made of the schemas of tools and answer: they are not the template's fault.
            let of_schema = SCHEMA_FAILED.iter().any(|words| reason.contains(words));
            if of_schema { Error::Grammar { reason } } else { Error::ChatTemplate { reason } }
        })?;
        let prompt = ChatPrompt::new(rendered, request, Arc::clone(&self.preparer))?;
        if request.tool_choice != ToolChoice::None
            && !request.continue_final_message
            && !prompt.may_show(&request.tools)
        {
            // llama.cpp leaves them out without a word where a template knows none. Whether it does cannot be told
            // beforehand: some show them only in some conversations.
            let reason = "the chat template does not show tools to the model; use a model, or a template, that does";
            return Err(Error::Unsupported { what: "`tools`", reason });
        }
        Ok(prompt)
    }
}

/// A rendered conversation: the prompt, and what the template asks of the answer. Give it to
/// [`Context::generate`](crate::Context::generate); the grammar, the stop strings and the way of thinking come along.
#[derive(Debug, Clone)]
pub struct ChatPrompt {
    rendered: Arc<str>,
    preparer: Arc<Preparer>,
    text: String,
    stops: Vec<String>,
    grammar: Option<Grammar>,
    state: TemplateState,
    format: String,
    supports_thinking: bool,
    continued: bool,
}

/// What `mullama_chat_render` returns.
#[derive(Deserialize)]
struct Rendered {
    prompt: String,
    format_name: String,
    grammar: String,
    grammar_lazy: bool,
    grammar_triggers: Vec<Trigger>,
    generation_prompt: String,
    preserved_tokens: Vec<String>,
    additional_stops: Vec<String>,
    supports_thinking: bool,
    thinking_start_tag: String,
    thinking_end_tags: Vec<String>,
}

#[derive(Deserialize)]
struct Trigger {
    #[serde(rename = "type")]
    kind: i64,
    value: String,
    token: i32,
}

impl ChatPrompt {
    fn new(json: String, request: &ChatRequest, preparer: Arc<Preparer>) -> Result<Self> {
        let from: Rendered = read(&json)?;
        let grammar = if from.grammar.is_empty() {
            // Not every template's engine hands the caller's own grammar through.
            request.grammar.clone()
        } else {
            let triggers = from.grammar_triggers.into_iter().filter(|_| from.grammar_lazy);
            let triggers = triggers
                .map(|trigger| GrammarTrigger::read(trigger.kind, trigger.value, trigger.token))
                .collect::<Result<_>>()?;
            Some(Grammar::generated(from.grammar, GrammarKind::ToolCalls, triggers, from.preserved_tokens)?)
        };
        Ok(Self {
            rendered: json.into(),
            preparer,
            text: from.prompt,
            stops: from.additional_stops,
            grammar,
            state: TemplateState {
                generation_prompt: from.generation_prompt,
                thinking_start_tag: from.thinking_start_tag,
                thinking_end_tags: from.thinking_end_tags,
                reasoning_budget: request.reasoning_budget,
                reasoning_control: request.reasoning_control,
            },
            format: from.format_name,
            supports_thinking: from.supports_thinking,
            continued: request.continue_final_message,
        })
    }

    /// Is there a trace of any of these tools? A name may stand there for another reason, too.
    fn may_show(&self, tools: &[Tool]) -> bool {
        let shows = |tool: &Tool| {
            let escaped = serde_json::Value::from(tool.name.as_str()).to_string();
            self.text.contains(&tool.name) || self.text.contains(escaped.trim_matches('"'))
        };
        tools.is_empty() || tools.iter().any(shows)
    }

    /// The prompt's text. It must be tokenized with special tokens read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Texts, besides the model's end tokens, at which the answer ends.
    #[must_use]
    pub fn stops(&self) -> &[String] {
        &self.stops
    }

    /// What the answer must follow: a JSON schema that was asked for, or the form of the template's tool calls.
    #[must_use]
    pub fn grammar(&self) -> Option<&Grammar> {
        self.grammar.as_ref()
    }

    /// llama.cpp's name for the form of the answer.
    #[must_use]
    pub fn format(&self) -> &str {
        &self.format
    }

    /// Does the template know a way to think first?
    #[must_use]
    pub fn supports_thinking(&self) -> bool {
        self.supports_thinking
    }

    /// A parser for one answer to this prompt.
    ///
    /// # Errors
    /// [`Error::Internal`]: llama.cpp cannot read its own parser.
    pub fn parser(&self) -> Result<ChatParser> {
        ChatParser::new(&self.rendered, self.continued, Arc::clone(&self.preparer))
    }

    pub(crate) fn state(&self) -> &TemplateState {
        &self.state
    }
}

/// What can be said of a template's text before llama.cpp reads it, which would be slow, or exhaust its stack.
pub(crate) fn check_source(source: &str) -> Result<()> {
    let refuse = |reason| Err(Error::ChatTemplate { reason });
    if source.trim().is_empty() {
        return refuse("it is empty".to_owned());
    }
    if source.len() > MAX_TEMPLATE {
        return refuse(format!("it has {} bytes, the limit is {MAX_TEMPLATE}", source.len()));
    }
    let depth = json_depth(&source.replace('(', "[").replace(')', "]"));
    if depth > MAX_TEMPLATE_DEPTH {
        return refuse(format!("its brackets are {depth} deep, the limit is {MAX_TEMPLATE_DEPTH}"));
    }
    Ok(())
}

/// Reads what the shim wrote.
fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T> {
    serde_json::from_str(json)
        .map_err(|error| Error::Internal { what: format!("unexpected JSON from the chat shim: {error}") })
}

/// How llama.cpp's reader of schemas complains, behind words of those who called it.
const SCHEMA_FAILED: [&str; 2] = ["JSON schema error at #", "JSON schema conversion failed"];
const MAX_TEMPLATE: usize = 256 << 10;
const MAX_TEMPLATE_DEPTH: usize = 500;
const MAX_REQUEST: usize = 16 << 20;
const DEADLINE: Duration = Duration::from_secs(2);
