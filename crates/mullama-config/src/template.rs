//! A file to begin with.

use figment::value::{Dict, Value};

use crate::config::MullamaConfig;
use crate::field::{Field, Kind};
use crate::render;
use crate::schema::defaults;
use crate::suggest::join;

/// A file with every field, its documentation and its default, all as comments: what is not changed stays as it is.
#[must_use]
pub fn template() -> String {
    let mut text = HEAD.to_owned();
    let defaults = defaults().unwrap_or_default();
    tables("", MullamaConfig::FIELDS, &defaults, &mut text);
    text
}

/// Tables come after the fields of their own: TOML has it so.
fn tables(table: &str, fields: &'static [Field], defaults: &Dict, text: &mut String) {
    for field in fields {
        if !matches!(field.kind, Kind::Section(_) | Kind::Sections(_)) || is_inline(table, field) {
            one(field, defaults.get(field.name), text);
        }
    }
    for field in fields.iter().filter(|field| !is_inline(table, field)) {
        let path = join(table, field.name);
        match (&field.kind, defaults.get(field.name)) {
            (Kind::Section(inner), Some(Value::Dict(_, tree))) => {
                text.push('\n');
                comment(&field.text(), text);
                text.push_str(&format!("[{path}]\n"));
                tables(&path, inner, tree, text);
            }
            (Kind::Sections(_), _) => {
                text.push('\n');
                comment(&field.text(), text);
                text.push_str(&format!(
                    "## [[{path}]] has the fields of [model]:\n# [[{path}]]\n# path = \"other.gguf\"\n"
                ));
            }
            _ => {}
        }
    }
}

/// Lists of small tables within a table are written in one line.
fn is_inline(table: &str, field: &Field) -> bool {
    matches!(field.kind, Kind::Sections(_)) && !table.is_empty()
}

fn one(field: &Field, default: Option<&Value>, text: &mut String) {
    comment(&field.text(), text);
    let value = default.filter(|value| !matches!(value, Value::Empty(..))).map(render::toml);
    let value = value.unwrap_or_else(|| example(&field.kind));
    text.push_str(&format!("# {} = {value}\n", field.name));
}

/// Of a field that is unset.
fn example(kind: &Kind) -> String {
    match kind {
        Kind::Whole { low, .. } => low.to_string(),
        Kind::Number { low, .. } => format!("{low:?}"),
        Kind::Flag => "false".to_owned(),
        Kind::Path => "\"/path/to/file\"".to_owned(),
        Kind::Names(names) => format!("{:?}", names.first().unwrap_or(&"")),
        Kind::Text | Kind::Secret => "\"\"".to_owned(),
        Kind::List(_) | Kind::Sections(_) => "[]".to_owned(),
        Kind::Section(_) | Kind::Any => "{}".to_owned(),
    }
}

/// In lines of about a hundred characters.
fn comment(paragraph: &str, text: &mut String) {
    let mut line = "##".to_owned();
    for word in paragraph.split(' ') {
        if line.chars().count() + word.chars().count() >= WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = "##".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}

const WIDTH: usize = 100;
const HEAD: &str = "\
## Configuration of mullama. What is commented out is at its default.
## `mullama config check FILE` tells what is wrong with it; `mullama config schema` makes the schema for editors.
";
