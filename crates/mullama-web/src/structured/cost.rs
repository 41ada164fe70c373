//! What checking an answer against a schema can cost: references make schemas whose checks grow exponentially.

use std::collections::{HashMap, HashSet};
use std::ptr::from_ref;

use serde_json::Value;

use super::applied::{Onto, applied, target};

/// How much work a check is, by the depth of the value. Both are upper bounds.
#[derive(Debug)]
pub(super) struct Cost {
    /// For each depth, from 0: how often a place in a value of this depth is looked at, at most, and how deep the calls go.
    by_depth: Vec<(u64, u32)>,
}

/// One schema of the document, by the numbers of those that it applies.
#[derive(Debug, Default)]
struct Node {
    /// To the same value.
    same: Vec<usize>,
    /// To each property, or to each item.
    each: [Vec<usize>; 2],
    /// To one property each, or to one item each.
    one: [Vec<usize>; 2],
}

impl Cost {
    /// Of a schema.
    ///
    /// # Errors
    /// Why it cannot be told, or is unbounded.
    pub(super) fn of(schema: &Value) -> Result<Self, String> {
        let nodes = read(schema)?;
        let order = order(&nodes)?;
        let mut by_depth: Vec<(u64, u32)> = Vec::new();
        let mut before = vec![(0_u64, 0_u32); nodes.len()];
        for _ in 0..=MAX_DEPTH {
            let mut now = vec![(0_u64, 0_u32); nodes.len()];
            for index in &order {
                now[*index] = nodes[*index].at(&now, &before);
            }
            let whole = now.first().copied().unwrap_or_default();
            let still = now == before;
            by_depth.push(whole);
            if still {
                break;
            }
            before = now;
        }
        Ok(Self { by_depth })
    }

    /// Is a check of this value quick, and its stack small?
    pub(super) fn bears(&self, value: &Value) -> bool {
        let (depth, places) = measure(value);
        let at = depth.min(self.by_depth.len().saturating_sub(1));
        let (looks, calls) = self.by_depth.get(at).copied().unwrap_or_default();
        calls <= MAX_CALLS && looks.saturating_mul(places) <= MAX_LOOKS
    }
}

impl Node {
    fn list(&mut self, onto: Onto) -> &mut Vec<usize> {
        match onto {
            Onto::Same => &mut self.same,
            Onto::EachProperty => &mut self.each[0],
            Onto::EachItem => &mut self.each[1],
            Onto::OneProperty => &mut self.one[0],
            Onto::OneItem => &mut self.one[1],
        }
    }

    /// `now`: of schemas for the same value; `below`: of those for the values in it.
    fn at(&self, now: &[(u64, u32)], below: &[(u64, u32)]) -> (u64, u32) {
        let (mut looks, mut calls) = (1_u64, 0_u32);
        for index in &self.same {
            looks = looks.saturating_add(now[*index].0);
            calls = calls.max(now[*index].1);
        }
        let mut inner = 0_u64;
        for (each, one) in self.each.iter().zip(&self.one) {
            let all = each.iter().fold(0_u64, |sum, index| sum.saturating_add(below[*index].0));
            let most = one.iter().map(|index| below[*index].0).max().unwrap_or(0);
            inner = inner.max(all.saturating_add(most));
            calls = each.iter().chain(one).map(|index| below[*index].1).fold(calls, u32::max);
        }
        (looks.saturating_add(inner), calls.saturating_add(1))
    }
}

/// All schemas that can be reached from the first, which has the number 0.
fn read(schema: &Value) -> Result<Vec<Node>, String> {
    let mut list = Reading { root: schema, known: HashMap::new(), waiting: Vec::new(), patterns: HashSet::new() };
    list.number(schema);
    let mut nodes: Vec<Node> = Vec::new();
    while let Some(value) = list.waiting.get(nodes.len()).copied() {
        if nodes.len() >= MAX_NODES {
            return Err(format!("it has more than {MAX_NODES} parts"));
        }
        nodes.push(list.node(value)?);
        if list.patterns.len() > MAX_PATTERNS {
            return Err(format!("it has more than {MAX_PATTERNS} patterns"));
        }
    }
    Ok(nodes)
}

struct Reading<'a> {
    root: &'a Value,
    known: HashMap<*const Value, usize>,
    /// By their numbers.
    waiting: Vec<&'a Value>,
    /// Regular expressions: each takes memory when it is compiled.
    patterns: HashSet<&'a str>,
}

impl<'a> Reading<'a> {
    fn number(&mut self, value: &'a Value) -> usize {
        let next = self.waiting.len();
        let number = *self.known.entry(from_ref(value)).or_insert(next);
        if number == next {
            self.waiting.push(value);
        }
        number
    }

    fn numbers(&mut self, value: &'a Value) -> Vec<usize> {
        match value {
            Value::Array(list) => list.iter().map(|value| self.number(value)).collect(),
            Value::Object(map) => map.values().map(|value| self.number(value)).collect(),
            _ => Vec::new(),
        }
    }

    fn node(&mut self, value: &'a Value) -> Result<Node, String> {
        let mut node = Node::default();
        for (key, value) in value.as_object().into_iter().flatten() {
            match key.as_str() {
                "$ref" => node.same.push(self.target(value)?),
                "$dynamicRef" | "$recursiveRef" => return Err(format!("`{key}` is not followed")),
                "pattern" => self.patterns.extend(value.as_str()),
                _ => {
                    let Some((onto, many)) = applied(key, value) else { continue };
                    if key == "patternProperties" {
                        let patterns = value.as_object().into_iter().flatten();
                        self.patterns.extend(patterns.map(|(pattern, _)| pattern.as_str()));
                    }
                    let numbers = if many { self.numbers(value) } else { vec![self.number(value)] };
                    node.list(onto).extend(numbers);
                }
            }
        }
        Ok(node)
    }

    fn target(&mut self, reference: &'a Value) -> Result<usize, String> {
        let target = reference.as_str().and_then(|reference| target(self.root, reference));
        let target = target.ok_or_else(|| format!("the reference {reference:.100} is not followed"))?;
        Ok(self.number(target))
    }
}

/// The schemas so that each comes behind those that it applies to the same value.
fn order(nodes: &[Node]) -> Result<Vec<usize>, String> {
    let mut applied = vec![0_usize; nodes.len()];
    nodes.iter().flat_map(|node| &node.same).for_each(|index| applied[*index] += 1);
    let mut order: Vec<usize> = (0..nodes.len()).filter(|index| applied[*index] == 0).collect();
    let mut next = 0;
    while let Some(index) = order.get(next).copied() {
        next += 1;
        for index in &nodes[index].same {
            applied[*index] -= 1;
            if applied[*index] == 0 {
                order.push(*index);
            }
        }
    }
    if order.len() < nodes.len() {
        return Err("it refers to itself for one and the same value".to_owned());
    }
    order.reverse();
    Ok(order)
}

/// The depth of a value, and how many values are in it, itself included.
fn measure(value: &Value) -> (usize, u64) {
    let (mut deepest, mut places) = (0, 0_u64);
    let mut waiting = vec![(value, 0)];
    while let Some((value, depth)) = waiting.pop() {
        places += 1;
        deepest = deepest.max(depth);
        match value {
            Value::Array(list) => waiting.extend(list.iter().map(|value| (value, depth + 1))),
            Value::Object(map) => {
                places += map.len() as u64;
                waiting.extend(map.values().map(|value| (value, depth + 1)));
            }
            _ => {}
        }
    }
    (deepest, places)
}

/// JSON that is deeper is not read.
const MAX_DEPTH: usize = 128;
/// Schemas in a document.
const MAX_NODES: usize = 4_096;
const MAX_PATTERNS: usize = 64;
/// Times that a schema is held against a value: some ten milliseconds.
const MAX_LOOKS: u64 = 500_000;
/// Schemas within each other, each some hundred bytes of stack.
const MAX_CALLS: u32 = 384;
