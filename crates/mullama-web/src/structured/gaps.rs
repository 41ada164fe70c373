//! Which keywords of a schema its grammar does not enforce.

mod exact;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ptr::from_ref;

use serde_json::Value;

use super::keywords::{self, Keyword, is_idle};
use super::kind::{Fields, Kind, Types, resolve};

/// A keyword that is not enforced, or not wholly.
#[derive(Debug)]
pub(super) struct Gap {
    keyword: &'static str,
    /// Where its schema is.
    path: Vec<String>,
    /// Its schema, to tell it from others.
    fields: *const Fields,
    /// What the grammar admits cannot satisfy it, or is no JSON.
    hopeless: bool,
}

impl Gap {
    pub(super) fn new(keyword: &'static str, path: Vec<String>, fields: &Fields) -> Self {
        Self { keyword, path, fields: from_ref(fields), hopeless: false }
    }

    /// The field of the request: `param` and the path in its schema.
    pub(super) fn param(&self, param: &str) -> String {
        below(param, self.path.iter().map(String::as_str).chain([self.keyword]))
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` at ", self.keyword)?;
        if self.path.is_empty() {
            f.write_str("the root")?;
        }
        for step in &self.path {
            write!(f, "/{}", step.replace('~', "~0").replace('/', "~1"))?;
        }
        f.write_str(" is not enforced")
    }
}

/// A field of the request, by the steps that lead to it from another.
pub(super) fn below<'a>(param: &str, steps: impl Iterator<Item = &'a str>) -> String {
    let mut text = param.to_owned();
    for step in steps {
        if !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
            text.extend(["[", step, "]"]);
        } else {
            text.extend([".", step]);
        }
    }
    text
}

/// What was found.
#[derive(Debug)]
pub(super) struct Gaps {
    pub(super) found: Vec<Gap>,
    /// There are no more.
    pub(super) all: bool,
    /// The schemas that the grammar is made from.
    visited: HashSet<*const Fields>,
}

impl Gaps {
    /// The first keyword that neither the grammar nor the check of the whole answer enforces, which passes over
    /// `unchecked`; or that no answer can satisfy.
    pub(super) fn left<'a>(&'a self, unchecked: &'a [Gap]) -> Option<&'a Gap> {
        let passed: HashSet<(*const Fields, &str)> = unchecked.iter().map(|gap| (gap.fields, gap.keyword)).collect();
        let of_both = self.found.iter().find(|gap| gap.hopeless || passed.contains(&(gap.fields, gap.keyword)));
        // What the grammar is made from and is not among its gaps, it enforces.
        of_both.or_else(|| unchecked.iter().find(|gap| gap.keyword == "$schema" || !self.visited.contains(&gap.fields)))
    }
}

/// Finds them, in the order of the schema, references last; not all where there are very many. Looks only at what the grammar is made from:
/// below a keyword that is not enforced there may be more.
pub(super) fn find(schema: &Value) -> Gaps {
    let mut walk = Walk::new(schema);
    walk.visit(schema, 0);
    while let Some((reference, target)) = walk.waiting.pop() {
        walk.path = reference.split('/').skip(1).map(str::to_owned).collect();
        walk.visit(target, 0);
    }
    let all = walk.fuel > 0 && walk.gaps.len() < MAX_GAPS;
    Gaps { found: walk.gaps, all, visited: walk.visited }
}

struct Walk<'a> {
    root: &'a Value,
    path: Vec<String>,
    gaps: Vec<Gap>,
    told: HashSet<(*const Fields, &'static str)>,
    visited: HashSet<*const Fields>,
    /// References that were seen, by the name of the rule that the converter gives them.
    references: HashMap<String, &'a str>,
    waiting: Vec<(&'a str, &'a Value)>,
    /// What it may still look at.
    fuel: usize,
}

impl<'a> Walk<'a> {
    fn new(root: &'a Value) -> Self {
        Self {
            root,
            path: Vec::new(),
            gaps: Vec::new(),
            told: HashSet::new(),
            visited: HashSet::new(),
            references: HashMap::new(),
            waiting: Vec::new(),
            fuel: MAX_STEPS,
        }
    }

    fn spend(&mut self) -> bool {
        self.fuel = self.fuel.saturating_sub(1);
        self.fuel > 0 && self.gaps.len() < MAX_GAPS
    }

    /// Once for each keyword of each schema: lists of types lead to the same one more than once.
    fn tell(&mut self, keyword: &'static str, fields: &'a Fields, hopeless: bool) {
        if self.told.insert((from_ref(fields), keyword)) {
            self.gaps.push(Gap { hopeless, ..Gap::new(keyword, self.path.clone(), fields) });
        }
    }

    fn visit(&mut self, schema: &'a Value, depth: usize) {
        // Schemas that are no objects, and those that are too deep, are refused later.
        if let Some(fields) = schema.as_object().filter(|_| depth < MAX_DEPTH) {
            self.visit_as(fields, None, depth);
        }
    }

    fn visit_as(&mut self, fields: &'a Fields, single: Option<&'a str>, depth: usize) {
        if !self.spend() {
            return;
        }
        self.visited.insert(from_ref(fields));
        let kind = Kind::of(fields, single);
        match kind {
            Kind::Broken => return,
            Kind::Types(names) => {
                let mut seen = HashSet::new();
                for name in names.iter().filter_map(Value::as_str) {
                    if seen.insert(name) {
                        self.visit_as(fields, Some(name), depth);
                    }
                }
                return;
            }
            _ => {}
        }
        let admitted = self.types_of(kind);
        for (key, value) in fields {
            let Some(Keyword { name, of }) = keywords::find(key) else { continue };
            if !of.meets(admitted) || is_idle(name, value, fields) {
                continue;
            }
            let enforced = match name {
                "type" => admitted.within(Types::declared(fields)),
                _ => self.enforces(kind, name, value, fields),
            };
            if !enforced {
                let hopeless = match name {
                    "type" => !admitted.meets(Types::declared(fields)),
                    _ => self.contradicts(kind, name, value, fields),
                };
                self.tell(name, fields, hopeless);
            }
        }
        self.descend(kind, fields, depth + 1);
    }

    fn descend(&mut self, kind: Kind<'a>, fields: &'a Fields, depth: usize) {
        match kind {
            Kind::Reference(reference) => self.follow(reference, fields),
            Kind::Union(key, list) | Kind::Tuple(key, list) => self.list(key, list, depth),
            Kind::AllOf(list) => self.list("allOf", list, depth),
            Kind::List(Some((key, item))) => self.below(&[key], item, depth),
            Kind::Object => {
                for (name, property) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
                    self.below(&["properties", name], property, depth);
                }
                if let Some(additional) = fields.get("additionalProperties") {
                    self.below(&["additionalProperties"], additional, depth);
                }
            }
            _ => {}
        }
    }

    fn list(&mut self, key: &str, list: &'a [Value], depth: usize) {
        for (index, item) in list.iter().enumerate() {
            self.below(&[key, &index.to_string()], item, depth);
        }
    }

    fn below(&mut self, steps: &[&str], schema: &'a Value, depth: usize) {
        let before = self.path.len();
        self.path.extend(steps.iter().map(|step| (*step).to_owned()));
        self.visit(schema, depth);
        self.path.truncate(before);
    }

    fn follow(&mut self, reference: &'a str, fields: &'a Fields) {
        let Some(target) = resolve(self.root, reference) else { return };
        match self.references.insert(rule_name(reference), reference) {
            None => self.waiting.push((reference, target)),
            Some(known) if known == reference => {}
            // The converter takes the rule of the first for the second.
            Some(_) => self.tell("$ref", fields, true),
        }
    }
}

impl<'a> Walk<'a> {
    /// Types that a grammar admits; all where it takes too long to tell.
    fn types_of(&mut self, kind: Kind<'a>) -> Types {
        match kind {
            Kind::Reference(reference) => {
                resolve(self.root, reference).map_or(Types::ALL, |target| self.types_of_schema(target, 1))
            }
            Kind::Union(_, list) => self.types_of_all(list, 1),
            Kind::AllOf(list) => self.types_of_parts(list, 1),
            Kind::Const(value) => Types::of(value),
            Kind::Enum(values) => values.iter().map(Types::of).fold(Types::NONE, Types::or),
            Kind::Object => Types::OBJECT,
            Kind::Tuple(..) | Kind::List(_) => Types::ARRAY,
            Kind::Text => Types::STRING,
            Kind::Integer => Types::INTEGER,
            Kind::Number => Types::NUMBER,
            Kind::Boolean => Types::BOOLEAN,
            Kind::Null => Types::NULL,
            Kind::Types(_) | Kind::Any | Kind::Broken => Types::ALL,
        }
    }

    fn types_of_all(&mut self, list: &'a [Value], depth: usize) -> Types {
        list.iter().fold(Types::NONE, |types, schema| types.or(self.types_of_schema(schema, depth)))
    }

    /// The converter makes an object of all parts, unless they are lists of values.
    fn types_of_parts(&mut self, list: &'a [Value], depth: usize) -> Types {
        let resolved: Vec<Kind<'a>> = list.iter().filter_map(|part| self.kind_behind(part)).collect();
        if !resolved.is_empty() && resolved.iter().all(|kind| matches!(kind, Kind::Enum(_))) {
            return self.types_of_all(list, depth);
        }
        Types::OBJECT
    }

    fn types_of_schema(&mut self, schema: &'a Value, depth: usize) -> Types {
        self.fuel = self.fuel.saturating_sub(1);
        let Some(fields) = schema.as_object().filter(|_| depth < MAX_DEPTH && self.fuel > 0) else { return Types::ALL };
        match Kind::of(fields, None) {
            Kind::Types(names) => {
                let mut types = Types::NONE;
                for name in names.iter().filter_map(Value::as_str) {
                    types = types.or(match Kind::of(fields, Some(name)) {
                        Kind::AllOf(list) => self.types_of_parts(list, depth + 1),
                        kind => self.types_of(kind),
                    });
                }
                types
            }
            Kind::Reference(reference) => match resolve(self.root, reference) {
                Some(target) => self.types_of_schema(target, depth + 1),
                None => Types::ALL,
            },
            Kind::Union(_, list) => self.types_of_all(list, depth + 1),
            Kind::AllOf(list) => self.types_of_parts(list, depth + 1),
            kind => self.types_of(kind),
        }
    }

    /// What a schema is made from, behind its references.
    fn kind_behind(&self, schema: &'a Value) -> Option<Kind<'a>> {
        self.fields_behind(schema).map(|fields| Kind::of(fields, None))
    }

    fn fields_behind(&self, schema: &'a Value) -> Option<&'a Fields> {
        let mut fields = schema.as_object()?;
        for _ in 0..MAX_REFERENCES {
            let Kind::Reference(reference) = Kind::of(fields, None) else { return Some(fields) };
            fields = resolve(self.root, reference)?.as_object()?;
        }
        None
    }
}

/// The name of a reference's rule, as the converter writes it.
fn rule_name(reference: &str) -> String {
    let mut name = String::with_capacity(reference.len());
    let mut replaced = false;
    for character in reference.chars().skip(1) {
        let keep = character.is_ascii_alphanumeric() || character == '-';
        if keep {
            name.push(character);
        } else if !replaced {
            name.push('-');
        }
        replaced = !keep;
    }
    name
}

/// Schemas that are looked at, those in lists and behind references included.
const MAX_STEPS: usize = 50_000;
const MAX_GAPS: usize = 256;
const MAX_DEPTH: usize = 64;
/// References that lead to each other.
const MAX_REFERENCES: usize = 16;
