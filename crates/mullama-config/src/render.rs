//! Values as TOML writes them.

use figment::value::{Num, Value};

/// In one line of at most about 60 characters, as people write it.
pub(crate) fn shown(value: &Value) -> String {
    let text = toml(value);
    shortened(if matches!(value, Value::Num(..)) { text.trim_end_matches(".0") } else { &text })
}

/// In one line, whole.
pub(crate) fn toml(value: &Value) -> String {
    match value {
        Value::String(_, text) => quoted(text),
        Value::Char(_, letter) => quoted(&letter.to_string()),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => num(*number),
        Value::Empty(..) => "unset".to_owned(),
        Value::Array(_, items) => {
            let items: Vec<String> = items.iter().map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Dict(_, table) => {
            let fields: Vec<String> = table
                .iter()
                .filter(|(_, value)| !matches!(value, Value::Empty(..)))
                .map(|(name, value)| format!("{name} = {}", toml(value)))
                .collect();
            if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) }
        }
    }
}

fn num(number: Num) -> String {
    let float = |text: String| if text.contains(['.', 'e', 'n', 'i']) { text } else { format!("{text}.0") };
    match number {
        Num::F32(number) => float(format!("{number}")),
        Num::F64(number) => float(format!("{number}")),
        number => match (number.to_i128(), number.to_u128()) {
            (Some(number), _) => number.to_string(),
            (None, Some(number)) => number.to_string(),
            (None, None) => "0".to_owned(),
        },
    }
}

/// A basic string: no control character gets through to a terminal.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            letter if letter.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

fn shortened(text: &str) -> String {
    let mut letters = text.chars();
    let mut short: String = letters.by_ref().take(WIDTH).collect();
    if letters.next().is_some() {
        short.push('…');
    }
    short
}

const WIDTH: usize = 60;
