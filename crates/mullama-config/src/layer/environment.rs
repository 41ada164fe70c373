//! Variables: `MULLAMA_SERVER__PORT=8081` is `server.port`.

use figment::value::{Tag, Value};

use super::{Layer, toml};
use crate::error::{Fault, Problem};
use crate::field::{Kind, PREFIX, fields, find, variable};
use crate::origin::Origin;
use crate::render;
use crate::secret::MASK;
use crate::suggest;

/// Of variables that are not Unicode the value is `None`.
pub(super) fn read<'a>(variables: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Layer {
    let mut layer = Layer { name: "environment".to_owned(), ..Layer::default() };
    let mut ours: Vec<_> = variables.filter(|(name, _)| is_ours(name)).collect();
    // The short name of a field comes before its long one, which is put over it.
    ours.sort_by_key(|(name, _)| (*name != API_KEY, *name));
    for (name, text) in ours {
        let path = path(name);
        let origin = Origin::Environment { name: name.to_owned() };
        let Some(field) = find(&path).filter(|field| !matches!(field.kind, Kind::Section(_))) else {
            layer.problems.push(unknown(name, &path, origin));
            continue;
        };
        let read = text.ok_or_else(|| "a text in UTF-8".to_owned()).and_then(|text| value(text, &field.kind));
        match read {
            Ok(value) => layer.set(&path, value, origin),
            Err(expected) => {
                let shown = match text {
                    _ if field.kind.holds_secrets() => MASK.to_owned(),
                    Some("") => "empty".to_owned(),
                    Some(text) => render::shown(&Value::from(text)),
                    None => "no UTF-8".to_owned(),
                };
                let mut problem = Problem::value(path, origin, shown, expected);
                if name == API_KEY {
                    problem = problem.hint("unset it to serve without a key");
                }
                layer.problems.push(problem);
            }
        }
    }
    layer
}

/// Other variables may begin like ours.
fn is_ours(name: &str) -> bool {
    name == API_KEY
        || name.strip_prefix(PREFIX).is_some_and(|rest| {
            rest.contains("__")
                || find(&rest.to_lowercase()).is_some_and(|field| matches!(field.kind, Kind::Sections(_)))
        })
}

fn path(name: &str) -> String {
    if name == API_KEY {
        return API_KEYS.to_owned();
    }
    name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase().replace("__", ".")
}

fn unknown(name: &str, path: &str, origin: Origin) -> Problem {
    let known: Vec<String> = fields().into_iter().filter_map(|field| field.variable).collect();
    let near = suggest::closest(
        path,
        known.iter().map(String::as_str).map(strip).collect::<Vec<_>>().iter().map(String::as_str),
    )
    .map(|near| variable(&near.replace("__", ".")));
    let hint = near.filter(|near| near != name).map(|near| format!("did you mean `{near}`?"));
    Problem { path: path.to_owned(), origin, fault: Fault::Unknown, hint }
}

fn strip(name: &str) -> String {
    path(name)
}

/// A text as the field takes it. The error says what that is.
fn value(text: &str, kind: &Kind) -> Result<Value, String> {
    let expected = || kind.to_string();
    match kind {
        Kind::Text | Kind::Path | Kind::Secret | Kind::Names(_) => Ok(Value::from(text)),
        Kind::Flag => text.trim().parse::<bool>().map(Value::from).map_err(|_| expected()),
        Kind::Whole { .. } => text.trim().parse::<i64>().map(Value::from).map_err(|_| expected()),
        Kind::Number { .. } => text.trim().parse::<f64>().map(Value::from).map_err(|_| expected()),
        Kind::List(_) if text.trim_start().starts_with('[') => toml::value(text).map_err(|_| expected()),
        Kind::List(of) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let items = items.map(|item| value(item, of)).collect::<Result<Vec<_>, _>>()?;
            if items.is_empty() && of.is_secret() {
                return Err("keys with some characters".to_owned());
            }
            Ok(Value::Array(Tag::Default, items))
        }
        Kind::Section(_) | Kind::Sections(_) | Kind::Any => {
            toml::value(text).map_err(|_| format!("{}, as TOML writes it", expected()))
        }
    }
}

/// The short name.
const API_KEY: &str = "MULLAMA_API_KEY";
const API_KEYS: &str = "server.auth.api_keys";
