//! `mullama chat`: a conversation, on a terminal or from a script.

mod reader;

use std::path::Path;

use mullama_core::{
    ChatMessage, ChatPrompt, ChatRequest, ChatTemplate, Context, EncodeOptions, GenerationParams, Role,
};
use serde_json::{Value, json};

use crate::answer::stream;
use crate::cli::Chat;
use crate::conversation;
use crate::error::{Error, Result};
use crate::input;
use crate::interrupt::Work;
use crate::load::ModelSource;
use crate::settings::{GENERATION, Settings};
use crate::terminal::{Output, Ui};
use reader::{Line, Reader};

pub(crate) fn run(args: &Chat, ui: &Ui) -> Result<()> {
    let settings = Settings::read(&args.with.config, ModelSource::from_argument(args.model.as_ref()), GENERATION)?;
    let source = &settings.source;
    let params = args.with.sampling.params(settings.generation_base())?;
    let model = source.load(settings.model_params(&args.with)?, ui)?;
    // A model that makes vectors is told by its context, one without a template is only for `run`.
    let context = model.context().params(args.with.context.params(&settings.context_base())).build();
    let context = context.map_err(|error| settings.explain(error, args.with.context.size.ctx_size.is_some()))?;
    let template = model.chat_template()?;
    let request = super::run::request(&args.chat, []);
    let mut session = Session { model: source.name(), template, context, params, request, last: None, ui };

    let mut reader = Reader::new()?;
    if reader.is_interactive() {
        let length = session.context.length();
        ui.notice(&format!("{}, {length} tokens of context; /help lists the commands, Ctrl-D ends", session.model));
    }
    loop {
        let text = match reader.read()? {
            Line::Text(text) => text,
            Line::Cleared => continue,
            Line::End => return Ok(()),
        };
        match session.take(&text) {
            Ok(Next::Line) => {}
            Ok(Next::End) => return Ok(()),
            // A script must not go on as if nothing were; a person sees it and does.
            Err(error) if reader.is_interactive() && !error.is_broken_pipe() => ui.report(&error),
            Err(error) => return Err(error),
        }
    }
}

/// A conversation under way.
struct Session<'a> {
    model: String,
    template: ChatTemplate,
    context: Context,
    params: GenerationParams,
    /// The messages, and how they are rendered.
    request: ChatRequest,
    /// The timings of the last answer.
    last: Option<String>,
    ui: &'a Ui,
}

/// What follows a line.
enum Next {
    Line,
    End,
}

impl Session<'_> {
    fn take(&mut self, text: &str) -> Result<Next> {
        if text.trim().is_empty() {
            return Ok(Next::Line);
        }
        match text.strip_prefix('/') {
            Some(command) => {
                let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
                self.command(name, rest.trim())
            }
            None => self.answer(text).map(|()| Next::Line),
        }
    }

    fn command(&mut self, name: &str, rest: &str) -> Result<Next> {
        match name {
            "help" => self.ui.print(HELP)?,
            "clear" => {
                self.request.messages.retain(|message| message.role == Role::System);
                self.ui.notice("the conversation is forgotten");
            }
            "system" => self.set_system(rest),
            "save" => self.save(file(rest)?)?,
            "load" => self.load(file(rest)?)?,
            "stats" => self.stats()?,
            "exit" | "quit" => return Ok(Next::End),
            other => {
                let shown = crate::terminal::one_line(other, 40);
                self.ui.notice(&format!(
                    "there is no command /{shown}; /help lists them, and a space before `/` sends it as text"
                ));
            }
        }
        Ok(Next::Line)
    }

    /// One turn. When it fails, the conversation is as before.
    fn answer(&mut self, text: &str) -> Result<()> {
        let interrupt = self.ui.interrupt.clone();
        interrupt.reset();
        let before = self.request.messages.clone();
        self.request.messages.push(ChatMessage::user(text));
        let outcome = interrupt.during(Work::Polled, || self.generate());
        interrupt.reset();
        match outcome {
            Ok(message) => {
                self.request.messages.push(message);
                Ok(())
            }
            Err(error) => {
                self.request.messages = before;
                Err(error)
            }
        }
    }

    fn generate(&mut self) -> Result<ChatMessage> {
        let prompt = self.fitting_prompt()?;
        let parser = prompt.parser()?;
        let generation = self.context.generate(&prompt, &self.params)?;
        let answer = stream(generation, Some(parser), Some(&mut Output::lock()), self.ui)?;
        self.last = Some(answer.timings());
        if let Some(text) = answer.outgrew(&self.params, self.context.length()) {
            self.ui.notice(&text);
        }
        let message = answer.message.unwrap_or_else(|| ChatMessage::assistant(answer.text));
        Ok(ChatMessage { reasoning_content: None, ..message })
    }

    /// Renders the conversation, without its oldest turns where it has outgrown the context.
    fn fitting_prompt(&mut self) -> Result<ChatPrompt> {
        let length = self.context.length();
        let answer = self.params.max_tokens.map_or(usize::MAX, |tokens| tokens as usize);
        let room = answer.min(length / 4).min(MOST_ROOM);
        let tokenizer = self.context.model().tokenizer();
        let mut dropped = 0;
        loop {
            let prompt = self.template.render(&self.request)?;
            let options = EncodeOptions { add_special: true, parse_special: true };
            let tokens = tokenizer.encode(prompt.text(), options)?.len();
            // Once turns must go, more go than must: each time, what is left has to be computed anew.
            let limit = if dropped == 0 { length - room } else { length * 3 / 4 - room };
            if tokens > limit && drop_oldest_turn(&mut self.request.messages) {
                dropped += 1;
                continue;
            }
            if dropped > 0 {
                let turns = if dropped == 1 { "turn is".to_owned() } else { format!("{dropped} turns are") };
                self.ui.say(&format!("the context is full: the oldest {turns} forgotten"));
            }
            return Ok(prompt);
        }
    }

    fn set_system(&mut self, text: &str) {
        self.request.messages.retain(|message| message.role != Role::System);
        if text.is_empty() {
            self.ui.notice("the model has no instructions now");
        } else {
            self.request.messages.insert(0, ChatMessage::system(text));
        }
    }

    fn save(&self, path: &Path) -> Result<()> {
        let messages: Vec<Value> = self.request.messages.iter().map(conversation::write).collect();
        let json = json!({ "model": self.model, "messages": messages });
        let failed = |source| mullama_core::Error::File { action: "write", path: path.to_owned(), source };
        std::fs::write(path, format!("{json:#}\n")).map_err(failed)?;
        self.ui.notice(&format!("{} messages are in {}", messages.len(), path.display()));
        Ok(())
    }

    fn load(&mut self, path: &Path) -> Result<()> {
        let text = input::read_file(path)?;
        let what = format!("`{}`", path.display());
        self.request.messages = conversation::read(&text).map_err(|source| Error::Json { what, source })?;
        self.ui.notice(&format!("{} messages", self.request.messages.len()));
        Ok(())
    }

    fn stats(&self) -> Result<()> {
        let (held, length) = (self.context.tokens().len(), self.context.length());
        let count = self.request.messages.len();
        let last = self.last.as_deref().unwrap_or("no answer yet");
        self.ui.print(&format!("{count} messages, {held} of {length} tokens in the context\n{last}\n"))
    }
}

/// Forgets the oldest question and what followed it; false when only instructions and the last question are left.
fn drop_oldest_turn(messages: &mut Vec<ChatMessage>) -> bool {
    let is_user = |message: &ChatMessage| message.role == Role::User;
    let instructions = messages.iter().take_while(|message| matches!(message.role, Role::System | Role::Developer));
    let first = instructions.count();
    let next = messages.iter().enumerate().skip(first + 1).find(|(_, message)| is_user(message));
    let Some((next, _)) = next else { return false };
    messages.drain(first..next);
    true
}

fn file(name: &str) -> Result<&Path> {
    if name.is_empty() {
        return Err(Error::usage("the name of a file is missing", "/save FILE, /load FILE"));
    }
    Ok(Path::new(name))
}

const HELP: &str = "\
/help         this
/clear        forget the conversation, but not the instructions
/system TEXT  give the model instructions; without TEXT take them back
/save FILE    write the conversation as JSON
/load FILE    go on with one that was saved
/stats        tokens and times
/exit         end; so does Ctrl-D
A `\\` at the end of a line continues it in the next. Ctrl-C stops an answer. A space before `/` sends it as text.
";

/// Tokens that are kept free for an answer, at most.
const MOST_ROOM: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_turn_goes_with_its_answer_and_the_last_question_stays() {
        let mut messages = vec![
            ChatMessage::system("s"),
            ChatMessage::user("1"),
            ChatMessage::assistant("a"),
            ChatMessage::user("2"),
            ChatMessage::assistant("b"),
            ChatMessage::user("3"),
        ];
        let texts = |messages: &[ChatMessage]| messages.iter().map(ChatMessage::text).collect::<Vec<_>>().join(" ");
        assert!(drop_oldest_turn(&mut messages));
        assert_eq!(texts(&messages), "s 2 b 3");
        assert!(drop_oldest_turn(&mut messages));
        assert_eq!(texts(&messages), "s 3");
        assert!(!drop_oldest_turn(&mut messages));
        assert_eq!(texts(&messages), "s 3");
    }
}
