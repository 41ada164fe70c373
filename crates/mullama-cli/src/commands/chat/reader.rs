//! The lines of a conversation: from a person at a terminal, or from a script.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};

use crate::error::{Error, Result};
use crate::input::{Lines, state_folder};

/// Reads what is said.
pub(super) enum Reader {
    /// A person, with editing and a history.
    Terminal { editor: Box<Editor<(), FileHistory>>, history: Option<PathBuf> },
    /// A script: no decorations.
    Script(Lines),
}

/// What was read.
pub(super) enum Line {
    /// Text; lines that end in `\` are joined with the next.
    Text(String),
    /// Ctrl-C: what was typed is gone.
    Cleared,
    /// Ctrl-D, or the end of the script.
    End,
}

impl Reader {
    pub(super) fn new() -> Result<Self> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Ok(Self::Script(Lines));
        }
        let config = Config::builder().max_history_size(HISTORY).map_err(Error::Editor)?.build();
        let mut editor = Editor::with_config(config).map_err(Error::Editor)?;
        // Without a history one can talk all the same.
        let history = state_folder().filter(|folder| std::fs::create_dir_all(folder).is_ok());
        let history = history.map(|folder| folder.join("history"));
        if let Some(path) = &history {
            let _ = editor.load_history(path);
        }
        Ok(Self::Terminal { editor: Box::new(editor), history })
    }

    pub(super) fn is_interactive(&self) -> bool {
        matches!(self, Self::Terminal { .. })
    }

    pub(super) fn read(&mut self) -> Result<Line> {
        let mut whole = String::new();
        loop {
            let line = match self.read_line(if whole.is_empty() { "> " } else { "... " })? {
                Line::Text(line) => line,
                Line::End if !whole.is_empty() => return Ok(Line::Text(whole)),
                other => return Ok(other),
            };
            let Some(start) = line.strip_suffix('\\') else {
                whole.push_str(&line);
                self.remember(&whole);
                return Ok(Line::Text(whole));
            };
            whole.push_str(start);
            whole.push('\n');
        }
    }

    fn read_line(&mut self, prompt: &str) -> Result<Line> {
        match self {
            Self::Script(lines) => lines.next().map_or(Ok(Line::End), |line| line.map(Line::Text)),
            Self::Terminal { editor, .. } => match editor.readline(prompt) {
                Ok(line) => Ok(Line::Text(line)),
                Err(ReadlineError::Interrupted) => Ok(Line::Cleared),
                Err(ReadlineError::Eof) => Ok(Line::End),
                Err(error) => Err(Error::Editor(error)),
            },
        }
    }

    fn remember(&mut self, text: &str) {
        if let Self::Terminal { editor, history } = self
            && !text.trim().is_empty()
            && editor.add_history_entry(text).unwrap_or(false)
            && let Some(path) = history
        {
            // A full disk does not end a conversation.
            let _ = editor.append_history(path);
        }
    }
}

const HISTORY: usize = 1_000;
