//! `mullama run`: one prompt, one answer.

use std::time::Duration;

use mullama_core::{
    ChatMessage, ChatRequest, Error as Core, FinishReason, GenerationParams, Grammar, Model, ResponseFormat,
};
use serde_json::{Map, Value, json};

use crate::answer::{Answer, stream};
use crate::cli::{ChatArgs, Run};
use crate::conversation;
use crate::error::{Error, Result};
use crate::input;
use crate::load::ModelSource;
use crate::settings::{GENERATION, Settings};
use crate::terminal::{Output, Ui};

pub(crate) fn run(args: &Run, ui: &Ui) -> Result<()> {
    let form = Form::read(args)?;
    let (source, prompt) = input::model_and_text(args.model.as_deref(), args.prompt.as_deref())?;
    // Only a text that is sent as it is may be blank.
    if !args.raw && prompt.trim().is_empty() {
        return Err(Core::EmptyPrompt.into());
    }
    let settings = Settings::read(&args.with.config, source, GENERATION)?;
    let source = &settings.source;
    let mut params = args.with.sampling.params(settings.generation_base())?;
    let tools = args.tools.as_deref().map(input::tools).transpose()?.unwrap_or_default();
    let model = source.load(settings.model_params(&args.with)?, ui)?;
    let context = model.context().params(args.with.context.params(&settings.context_base())).build();
    let mut context = context.map_err(|error| settings.explain(error, args.with.context.size.ctx_size.is_some()))?;
    let length = context.length();

    let chat = if takes_chat(args, &model)? {
        let mut request = request(&args.chat, [ChatMessage::user(prompt.as_str())]);
        request.tools = tools;
        request.tool_choice = args.tool_choice.unwrap_or_default();
        request.parallel_tool_calls = args.parallel_tool_calls.then_some(true);
        form.ask(&mut request, &mut params);
        Some(model.chat_template()?.render(&request)?)
    } else {
        params.sampling.grammar = form.grammar()?;
        None
    };
    let parser = chat.as_ref().map(|chat| chat.parser()).transpose()?;
    let generation = match &chat {
        Some(chat) => context.generate(chat, &params)?,
        None => context.generate(&prompt, &params)?,
    };
    let mut output = Output::lock();
    let answer = stream(generation, parser, (!args.json).then_some(&mut output), ui)?;
    if args.json {
        output.json(&report(source, &answer, &params))?;
        output.flush()?;
    }
    if args.timings {
        ui.say(&answer.timings());
    }
    if let Some(text) = answer.outgrew(&params, length) {
        ui.notice(&text);
    }
    outcome(answer, &params)
}

/// A request with the flags about conversations.
pub(super) fn request(args: &ChatArgs, messages: impl IntoIterator<Item = ChatMessage>) -> ChatRequest {
    let system = args.system.iter().map(ChatMessage::system);
    ChatRequest {
        reasoning_format: args.reasoning_format.unwrap_or_default(),
        enable_thinking: !args.no_thinking,
        reasoning_budget: args.reasoning_budget,
        ..ChatRequest::new(system.chain(messages))
    }
}

/// The model's template is used where it has one; flags that need one are no silent wish.
fn takes_chat(args: &Run, model: &Model) -> Result<bool> {
    if args.raw {
        return Ok(false);
    }
    if model.chat_template_source().is_some() {
        return Ok(true);
    }
    if args.chat.system.is_some() || args.tools.is_some() {
        let problem = "--system and --tools need a chat template, and the model has none";
        return Err(Error::usage(problem, "leave them out: the text is then sent as it is"));
    }
    Ok(false)
}

/// The form that the answer must have.
enum Form {
    Free,
    JsonObject,
    JsonSchema(Value),
    Grammar(Grammar),
}

impl Form {
    fn read(args: &Run) -> Result<Self> {
        if let Some(given) = &args.json_schema {
            let schema = input::json_or_file(given)?;
            // What is wrong with it is told before the model is loaded, and not by the template.
            Grammar::json_schema(&schema)?;
            return Ok(Self::JsonSchema(schema));
        }
        if let Some(given) = &args.grammar {
            return Ok(Self::Grammar(Grammar::gbnf(input::grammar_or_file(given)?)?));
        }
        Ok(if args.json_object { Self::JsonObject } else { Self::Free })
    }

    /// For a template.
    fn ask(self, request: &mut ChatRequest, params: &mut GenerationParams) {
        match self {
            Self::Free => {}
            Self::JsonObject => request.response_format = ResponseFormat::JsonObject,
            Self::JsonSchema(schema) => request.response_format = ResponseFormat::JsonSchema { schema },
            // Some templates' handlers in llama.cpp forget the request's grammar: it goes to the sampler directly.
            Self::Grammar(grammar) => params.sampling.grammar = Some(grammar),
        }
    }

    /// Without a template.
    fn grammar(self) -> Result<Option<Grammar>> {
        Ok(match self {
            Self::Free => None,
            Self::JsonObject => Some(Grammar::json_schema(&json!({ "type": "object" }))?),
            Self::JsonSchema(schema) => Some(Grammar::json_schema(&schema)?),
            Self::Grammar(grammar) => Some(grammar),
        })
    }
}

/// What `--json` prints.
fn report(source: &ModelSource, answer: &Answer, params: &GenerationParams) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value| object.insert(key.to_owned(), value);
    put("model", source.name().into());
    put("text", answer.text.as_str().into());
    if let Some(message) = &answer.message {
        put("message", conversation::write(message));
    }
    put("tokens", json!(answer.tokens));
    put("finish_reason", answer.finish_reason().as_str().into());
    put("stop", json!(answer.summary.stop));
    put("seed", json!(answer.summary.seed));
    put("usage", json!(answer.summary.usage));
    put("timings", json!(answer.summary.timings));
    if params.top_logprobs.is_some() {
        put("logprobs", json!(answer.logprobs));
    }
    Value::Object(object)
}

/// An answer that was stopped is printed, and then told by the exit code.
fn outcome(answer: Answer, params: &GenerationParams) -> Result<()> {
    if let Some(fault) = answer.fault {
        return Err(fault);
    }
    match answer.summary.finish_reason {
        FinishReason::Cancelled => Err(Core::Cancelled.into()),
        FinishReason::Timeout => {
            let limit = Duration::from_millis(params.timeout_ms.unwrap_or_default());
            Err(Core::Timeout { what: "the answer", limit }.into())
        }
        _ => Ok(()),
    }
}
