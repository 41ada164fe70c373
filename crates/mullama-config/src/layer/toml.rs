//! TOML, with the line of each key.

use std::path::Path;

use figment::value::{Dict, Tag, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Layer, Lines, position};
use crate::origin::Origin;
use crate::suggest::join;

/// What is wrong with a text: line, column, reason.
pub(super) type Wrong = (usize, usize, String);

pub(super) fn read(text: &str, layer: &mut Layer, path: &Path) -> Result<(), Wrong> {
    let table = DeTable::parse(text).map_err(|error| {
        let (line, column) = position(text, error.span().map_or(0, |span| span.start));
        (line, column, error.message().trim().replace('\n', ", "))
    })?;
    layer.tree = Reader { text, path, lines: Lines::of(text) }.table(table.get_ref(), "", layer)?;
    Ok(())
}

/// A value on its own, as the environment has them.
pub(super) fn value(text: &str) -> Result<Value, String> {
    let text = format!("value = {text}");
    let mut layer = Layer::default();
    read(&text, &mut layer, Path::new("")).map_err(|(_, _, reason)| reason)?;
    layer.tree.remove("value").filter(|_| layer.tree.is_empty()).ok_or_else(|| "more than one value".to_owned())
}

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
    lines: Lines,
}

impl Reader<'_> {
    fn table(&self, table: &DeTable<'_>, at: &str, layer: &mut Layer) -> Result<Dict, Wrong> {
        let mut tree = Dict::new();
        for (name, value) in table {
            let path = join(at, name.get_ref());
            self.place(&path, name.span().start, layer);
            let value = self.value(value, &path, layer)?;
            tree.insert(name.get_ref().to_string(), value);
        }
        Ok(tree)
    }

    fn value(&self, value: &Spanned<DeValue<'_>>, path: &str, layer: &mut Layer) -> Result<Value, Wrong> {
        Ok(match value.get_ref() {
            DeValue::String(text) => Value::from(text.as_ref()),
            DeValue::Integer(number) => {
                let read = i64::from_str_radix(&number.as_str().replace('_', ""), number.radix());
                Value::from(read.map_err(|error| self.wrong(value, &error))?)
            }
            DeValue::Float(number) => {
                let read = number.as_str().replace('_', "").parse::<f64>();
                Value::from(read.map_err(|error| self.wrong(value, &error))?)
            }
            DeValue::Boolean(flag) => Value::from(*flag),
            DeValue::Datetime(time) => Value::from(time.to_string()),
            DeValue::Array(items) => {
                let mut list = Vec::new();
                for (at, item) in items.iter().enumerate() {
                    let path = format!("{path}[{at}]");
                    self.place(&path, item.span().start, layer);
                    list.push(self.value(item, &path, layer)?);
                }
                Value::Array(Tag::Default, list)
            }
            DeValue::Table(table) => Value::Dict(Tag::Default, self.table(table, path, layer)?),
        })
    }

    fn place(&self, path: &str, byte: usize, layer: &mut Layer) {
        let line = Some(self.lines.at(byte));
        layer.origins.insert(path.to_owned(), Origin::File { path: self.path.to_owned(), line });
    }

    fn wrong(&self, value: &Spanned<DeValue<'_>>, error: &dyn std::error::Error) -> Wrong {
        let (line, column) = position(self.text, value.span().start);
        (line, column, error.to_string())
    }
}
