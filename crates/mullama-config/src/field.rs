//! What there is to set: the one table from which checks, schema, commented file and the classes of changes follow.

use std::fmt;

use serde::Serialize;

use crate::config::MullamaConfig;
use crate::suggest::join;

/// A field as a section defines it.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) apply: Apply,
    /// As in its documentation, lines with a blank before them.
    pub(crate) doc: &'static str,
}

/// What values a field takes.
#[derive(Debug)]
pub(crate) enum Kind {
    Flag,
    Whole {
        low: i128,
        high: i128,
    },
    Number {
        low: f64,
        high: f64,
    },
    Text,
    /// The path of a file.
    Path,
    Secret,
    /// One of these texts.
    Names(&'static [&'static str]),
    List(&'static Self),
    /// A table.
    Section(&'static [Field]),
    /// A list of tables.
    Sections(&'static [Field]),
    /// What only its type knows to read.
    Any,
}

/// When a change of a field takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Apply {
    /// At once, also for what runs.
    Live,
    /// With the next request.
    NextRequest,
    /// When a model is loaded the next time. `mullama serve` then loads it anew, and puts it in the place of the old one.
    ReloadModel,
    /// When the program is started the next time.
    Restart,
}

impl Apply {
    pub(crate) fn is_live(self) -> bool {
        matches!(self, Self::Live | Self::NextRequest)
    }
}

impl fmt::Display for Apply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::NextRequest => "next request",
            Self::ReloadModel => "reload model",
            Self::Restart => "restart",
        })
    }
}

/// A field of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldInfo {
    /// Where it stands: `server.port`; `models[].path` in a list of tables.
    pub path: String,
    /// What it takes: "a whole number, 0..=65,535".
    pub takes: String,
    /// When a change of it takes effect.
    pub apply: Apply,
    /// What it is.
    pub doc: String,
    /// Is it, or does it hold, a secret?
    pub secret: bool,
    /// The variable of the environment that sets it; `None` in a list of tables.
    pub variable: Option<String>,
}

/// All fields, in the order of the sections. Those of `models[]` are those of `model`.
#[must_use]
pub fn fields() -> Vec<FieldInfo> {
    let mut all = Vec::new();
    list("", MullamaConfig::FIELDS, &mut all);
    all
}

fn list(table: &str, fields: &'static [Field], all: &mut Vec<FieldInfo>) {
    for field in fields {
        let path = join(table, field.name);
        match &field.kind {
            Kind::Section(inner) => list(&path, inner, all),
            kind => {
                all.push(FieldInfo {
                    takes: kind.to_string(),
                    apply: field.apply,
                    doc: field.text(),
                    secret: kind.is_secret(),
                    variable: (!path.contains('[')).then(|| variable(&path)),
                    path: path.clone(),
                });
                if let Kind::Sections(inner) = kind {
                    list(&format!("{path}[]"), inner, all);
                }
            }
        }
    }
}

/// The variable that sets a field.
pub(crate) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "__").to_uppercase())
}

/// The field at a path whose list items are left out (`models[].path`).
pub(crate) fn find(path: &str) -> Option<&'static Field> {
    let mut fields = MullamaConfig::FIELDS;
    let mut found = None;
    for name in path.split('.') {
        let field = fields.iter().find(|field| field.name == name.split('[').next().unwrap_or_default())?;
        fields = match &field.kind {
            Kind::Section(inner) | Kind::Sections(inner) => inner,
            _ => &[],
        };
        found = Some(field);
    }
    found
}

impl Field {
    /// Its documentation, in one paragraph.
    pub(crate) fn text(&self) -> String {
        self.doc.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl Kind {
    pub(crate) fn is_secret(&self) -> bool {
        match self {
            Self::Secret => true,
            Self::List(kind) => kind.is_secret(),
            _ => false,
        }
    }

    /// May a secret stand in it, or by mistake in its place?
    pub(crate) fn holds_secrets(&self) -> bool {
        match self {
            Self::Section(fields) | Self::Sections(fields) => fields.iter().any(|field| field.kind.holds_secrets()),
            kind => kind.is_secret(),
        }
    }
}

/// What it takes.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("true or false"),
            Self::Whole { low, high } => write!(f, "a whole number, {}..={}", grouped(*low), grouped(*high)),
            Self::Number { low, high } => write!(f, "{low}..={high}"),
            Self::Text => f.write_str("a text"),
            Self::Path => f.write_str("the path of a file"),
            Self::Secret => f.write_str("a key"),
            Self::Names(names) => match names {
                [others @ .., last] if !others.is_empty() => write!(f, "{} or {last}", others.join(", ")),
                names => f.write_str(&names.join("")),
            },
            Self::List(kind) => match kind {
                Self::Text => f.write_str("a list of texts"),
                Self::Secret => f.write_str("a list of keys"),
                kind => write!(f, "a list, each of it {kind}"),
            },
            Self::Section(_) => f.write_str("a table"),
            Self::Sections(_) => f.write_str("a list of tables"),
            Self::Any => f.write_str("a value of its own form"),
        }
    }
}

/// 16,777,216.
fn grouped(number: i128) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0 { format!("-{text}") } else { text }
}

/// A whole number in a range.
pub(crate) const fn whole(low: i128, high: i128) -> Kind {
    Kind::Whole { low, high }
}

/// A number in a range.
pub(crate) const fn number(low: f64, high: f64) -> Kind {
    Kind::Number { low, high }
}

/// Defines a section: the struct, its defaults, a setter for each field, and its part of the table.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $default:expr, $kind:expr, $apply:ident; )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $name {
            /// All fields at their defaults.
            #[must_use]
            pub fn new() -> Self {
                Self::default()
            }

            $(
                $(#[doc = $doc])+
                #[must_use]
                pub fn $field(mut self, $field: impl Into<$type>) -> Self {
                    self.$field = $field.into();
                    self
                }
            )+

            pub(crate) const FIELDS: &'static [crate::field::Field] = &[
                $( crate::field::Field {
                    name: stringify!($field),
                    kind: $kind,
                    apply: crate::field::Apply::$apply,
                    doc: concat!($($doc, "\n"),+),
                }, )+
            ];
        }
    };
}
pub(crate) use section;

/// Lists the fields of a section whose struct is another crate's, all of one class of changes.
macro_rules! foreign {
    ($apply:ident: $($name:literal, $kind:expr, $doc:literal;)+) => {
        &[$( crate::field::Field { name: $name, kind: $kind, apply: crate::field::Apply::$apply, doc: $doc }, )+]
    };
}
pub(crate) use foreign;

pub(crate) const PREFIX: &str = "MULLAMA_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let texts = [0, -1, 999, 1_000, 16_777_216, -65_536].map(grouped);
        assert_eq!(texts, ["0", "-1", "999", "1,000", "16,777,216", "-65,536"]);
    }

    #[test]
    fn each_field_is_found_by_its_path() {
        for field in fields() {
            assert!(find(&field.path).is_some(), "{}", field.path);
        }
        assert!(find("server.nothing").is_none() && find("server.port.x").is_none());
    }
}
