//! Trees of values against the table of fields: what is not known or out of range is told and taken out, so that the rest
//! can still be looked at.

use figment::value::{Dict, Num, Value};

use crate::config::MullamaConfig;
use crate::error::{Fault, Problem};
use crate::field::{Field, Kind};
use crate::origin::Origin;
use crate::render;
use crate::secret::{MASK, Secret};
use crate::suggest::{self, join};

/// Looks at a tree.
pub(crate) struct Check<'a> {
    /// Where the value at a path comes from.
    pub(crate) origin: &'a dyn Fn(&str) -> Origin,
    /// Secrets are put here, and their places in the tree taken by [`handle`]s; `None` leaves them.
    pub(crate) secrets: Option<&'a mut Vec<Secret>>,
    pub(crate) problems: Vec<Problem>,
}

impl Check<'_> {
    /// Looks at the whole.
    pub(crate) fn root(&mut self, tree: &mut Dict) {
        self.table(tree, MullamaConfig::FIELDS, "");
    }

    fn table(&mut self, tree: &mut Dict, fields: &'static [Field], table: &str) {
        tree.retain(|name, value| {
            let path = join(table, name);
            // JSON's null: not said here. A flag that unsets a field says it.
            if matches!(value, Value::Empty(..)) {
                return (self.origin)(&path).is_flag();
            }
            let Some(field) = fields.iter().find(|field| field.name == name) else {
                let hint = suggest::field(name, fields, MullamaConfig::FIELDS, table);
                let hint = hint.map(|path| format!("did you mean `{path}`?"));
                self.problems.push(Problem { origin: (self.origin)(&path), path, fault: Fault::Unknown, hint });
                return false;
            };
            self.value(value, &field.kind, &path)
        });
    }

    /// Can it be used?
    fn value(&mut self, value: &mut Value, kind: &'static Kind, path: &str) -> bool {
        let fits = match (kind, &mut *value) {
            (Kind::Section(fields), Value::Dict(_, tree)) => {
                self.table(tree, fields, path);
                true
            }
            (Kind::Sections(fields), Value::Array(_, items)) => {
                for (at, item) in items.iter_mut().enumerate() {
                    let path = format!("{path}[{at}]");
                    match item {
                        Value::Dict(_, tree) => self.table(tree, fields, &path),
                        other => {
                            let text = render::shown(other);
                            self.wrong(&path, text, "a table".to_owned());
                            return false;
                        }
                    }
                }
                true
            }
            (Kind::List(of), Value::Array(_, items)) => {
                // All of them, so that all that is wrong is told.
                let wrong = items
                    .iter_mut()
                    .enumerate()
                    .filter_map(|(at, item)| (!self.value(item, of, &format!("{path}[{at}]"))).then_some(()))
                    .count();
                return wrong == 0;
            }
            (Kind::Flag, Value::Bool(..)) | (Kind::Text | Kind::Path, Value::String(..)) | (Kind::Any, _) => true,
            (Kind::Secret, Value::String(_, text)) => {
                if let Some(secrets) = &mut self.secrets {
                    secrets.push(Secret::from(std::mem::replace(text, handle(secrets.len()))));
                }
                true
            }
            (Kind::Names(names), Value::String(_, text)) => names.contains(&text.as_str()),
            (Kind::Whole { low, high }, Value::Num(_, number)) => {
                integer(*number).is_some_and(|number| (*low..=*high).contains(&number))
            }
            (Kind::Number { low, high }, Value::Num(_, number)) => in_range(*number, *low, *high),
            _ => false,
        };
        if !fits {
            let text = if kind.holds_secrets() { MASK.to_owned() } else { render::shown(value) };
            let hint = match (kind, &*value) {
                (Kind::Names(names), Value::String(_, text)) => suggest::closest(text, names.iter().copied()),
                _ => None,
            };
            self.wrong(path, text, kind.to_string());
            if let (Some(hint), Some(problem)) = (hint, self.problems.last_mut()) {
                problem.hint = Some(format!("did you mean `{hint}`?"));
            }
        }
        fits
    }

    fn wrong(&mut self, path: &str, value: String, expected: String) {
        self.problems.push(Problem::value(path, (self.origin)(path), value, expected));
    }
}

/// What stands in a tree for a secret.
pub(crate) fn handle(number: usize) -> String {
    number.to_string()
}

fn integer(number: Num) -> Option<i128> {
    match number {
        Num::F32(_) | Num::F64(_) => None,
        number => number.to_i128().or_else(|| number.to_u128().and_then(|number| i128::try_from(number).ok())),
    }
}

/// Floats of 32 bits are compared as such: 0.99 is not more than itself.
fn in_range(number: Num, low: f64, high: f64) -> bool {
    match number {
        #[expect(clippy::cast_possible_truncation, reason = "the limits are those of numbers of 32 bits")]
        Num::F32(number) => (low as f32..=high as f32).contains(&number),
        Num::F64(number) => (low..=high).contains(&number),
        #[expect(clippy::cast_precision_loss, reason = "compared with small limits")]
        number => integer(number).is_some_and(|number| (low..=high).contains(&(number as f64))),
    }
}
