//! One source of values: a file, the environment, or the command line.

mod environment;
mod json;
mod toml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Tag, Value};
use figment::{Metadata, Profile, Provider};
use serde_json::Value as Json;

use crate::error::{Fault, Problem};
use crate::file::Content;
use crate::origin::Origin;
use crate::secret::Secret;
use crate::tree::Check;

/// Values, and where each stands.
#[derive(Debug, Default, Clone)]
pub(crate) struct Layer {
    pub(crate) name: String,
    pub(crate) file: Option<PathBuf>,
    /// Of what has no place of its own.
    pub(crate) base: Origin,
    pub(crate) tree: Dict,
    /// By path, tables included.
    pub(crate) origins: BTreeMap<String, Origin>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) has_secrets: bool,
}

impl Layer {
    /// A file that must be there. One that cannot be read or parsed is a layer with a problem, and without values.
    pub(crate) fn file(path: &Path, content: &Content) -> Self {
        let reason = match content {
            Content::Text(text) => return Self::text(path, text),
            Content::Refused { reason, .. } => reason.clone(),
            Content::Absent => "there is no such file".to_owned(),
        };
        let problem = Problem::file("", Origin::Code, path.to_owned(), reason);
        Self { name: path.display().to_string(), problems: vec![problem], ..Self::default() }
    }

    /// The text of a file: JSON if its name says so, else TOML.
    pub(crate) fn text(path: &Path, text: &str) -> Self {
        let mut layer = Self { name: path.display().to_string(), file: Some(path.to_owned()), ..Self::default() };
        let json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let read = if json { json::read(text, &mut layer, path) } else { toml::read(text, &mut layer, path) };
        if let Err((line, column, reason)) = read {
            let origin = Origin::File { path: path.to_owned(), line: Some(line) };
            layer.problems.push(Problem {
                path: String::new(),
                origin,
                fault: Fault::Syntax { column, reason },
                hint: None,
            });
        }
        layer
    }

    /// The variables that set fields.
    pub(crate) fn environment<'a>(variables: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Self {
        environment::read(variables)
    }

    /// What was changed while the program runs.
    pub(crate) fn runtime(changed: Json) -> Self {
        let tree = match json::value(changed) {
            Value::Dict(_, tree) => tree,
            _ => Dict::new(),
        };
        Self { name: "runtime".to_owned(), base: Origin::Runtime, tree, ..Self::default() }
    }

    /// Puts a value at a path, over what is there.
    pub(crate) fn set(&mut self, path: &str, value: Value, origin: Origin) {
        let mut names: Vec<&str> = path.split('.').collect();
        let Some(last) = names.pop() else { return };
        let mut tree = &mut self.tree;
        for name in names {
            let inner = tree.entry(name.to_owned()).or_insert_with(|| Value::Dict(Tag::Default, Dict::new()));
            let Value::Dict(_, inner) = inner else { return };
            tree = inner;
        }
        tree.insert(last.to_owned(), value);
        self.origins.insert(path.to_owned(), origin);
    }

    /// Puts a value into each table of a list.
    pub(crate) fn set_in_each(&mut self, list: &str, name: &str, value: &Value, origin: &Origin) {
        let Some(Value::Array(_, items)) = self.tree.get_mut(list) else { return };
        for (at, item) in items.iter_mut().enumerate() {
            if let Value::Dict(_, table) = item {
                table.insert(name.to_owned(), value.clone());
                self.origins.insert(format!("{list}[{at}].{name}"), origin.clone());
            }
        }
    }

    /// Checks the tree; what cannot be used is taken out. Secrets leave it.
    pub(crate) fn check(&mut self, secrets: &mut Vec<Secret>) {
        let before = secrets.len();
        let mut tree = std::mem::take(&mut self.tree);
        let mut check = Check { origin: &|path| self.origin(path), secrets: Some(secrets), problems: Vec::new() };
        check.root(&mut tree);
        let problems = check.problems;
        self.problems.extend(problems);
        self.tree = tree;
        self.has_secrets = secrets.len() > before;
    }

    /// Where the value at a path stands; of what has no place of its own, that of what it is in.
    pub(crate) fn origin(&self, path: &str) -> Origin {
        let mut path = path;
        loop {
            if let Some(origin) = self.origins.get(path) {
                return origin.clone();
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => break,
            }
        }
        self.file.clone().map_or_else(|| self.base.clone(), |path| Origin::File { path, line: None })
    }

    /// Does it say something at this path?
    pub(crate) fn says(&self, path: &str) -> bool {
        self.at(path).is_some()
    }

    fn at(&self, path: &str) -> Option<&Value> {
        let mut tree = &self.tree;
        let mut found = None;
        for part in path.split('.') {
            let (name, number) = match part.split_once('[') {
                Some((name, number)) => (name, Some(number.trim_end_matches(']').parse::<usize>().ok()?)),
                None => (part, None),
            };
            let mut value = tree.get(name)?;
            if let Some(number) = number {
                let Value::Array(_, items) = value else { return None };
                value = items.get(number)?;
            }
            found = Some(value);
            match value {
                Value::Dict(_, inner) => tree = inner,
                _ => tree = &EMPTY,
            }
        }
        found
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.tree.clone()))
    }
}

static EMPTY: Dict = Dict::new();

/// Where the lines of a text begin. Counted once: for each key anew they would be counted for hours.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// The line of a byte, from 1 on.
    fn at(&self, byte: usize) -> usize {
        self.0.partition_point(|begin| *begin <= byte)
    }
}

/// The line and column of a byte, from 1 on.
fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
