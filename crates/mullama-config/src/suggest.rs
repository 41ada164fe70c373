//! What somebody may have meant.

use crate::field::{Field, Kind};

/// The field that a name which is none was meant to be: one beside it, or one of that name elsewhere.
pub(crate) fn field(name: &str, beside: &[Field], root: &'static [Field], table: &str) -> Option<String> {
    let near = closest(name, beside.iter().map(|field| field.name));
    if let Some(near) = near {
        return Some(join(table, near));
    }
    let mut paths = Vec::new();
    collect("", root, &mut paths);
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    paths.into_iter().find(|path| last(path) == name)
}

/// The closest of some names, if one is close.
pub(crate) fn closest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase().replace('-', "_");
    let scored = names.map(|known| (strsim::damerau_levenshtein(&name, known), known));
    let best = scored.min_by_key(|(distance, _)| *distance)?;
    (best.0 <= (name.chars().count() / 3).max(1)).then_some(best.1)
}

fn collect(table: &str, fields: &[Field], paths: &mut Vec<String>) {
    for field in fields {
        let path = join(table, field.name);
        match &field.kind {
            Kind::Section(inner) => collect(&path, inner, paths),
            _ => paths.push(path),
        }
    }
}

pub(crate) fn join(table: &str, name: &str) -> String {
    if table.is_empty() { name.to_owned() } else { format!("{table}.{name}") }
}
