//! Which regular expressions llama.cpp's converter turns into grammars that admit just the same texts.
//!
//! It writes the expression between two quotation marks. What matches a quotation mark, a backslash or a control character
//! can therefore leave the JSON string, and what it cannot read admits any string.

/// Does the grammar of a pattern admit just the texts that it matches, as JSON?
pub(super) fn is_exact(pattern: &str) -> bool {
    anchored(pattern).is_some_and(|inner| Scan { left: inner.chars().peekable(), depth: 0, last: Last::Nothing }.run())
}

/// Has each text that the grammar of a pattern admits a character that ends the JSON string, or cannot stand in one? Dots and
/// classes may admit such characters beside others.
pub(super) fn leaves_string(pattern: &str) -> bool {
    let leaves = anchored(pattern).and_then(|inner| Leaving { left: inner.chars().peekable() }.alternatives(0));
    leaves.unwrap_or(false)
}

/// The converter takes no others.
fn anchored(pattern: &str) -> Option<&str> {
    pattern.strip_prefix('^')?.strip_suffix('$')
}

type Left<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Follows what the converter does. `None`: it takes any string for the pattern, or refuses it.
struct Leaving<'a> {
    left: Left<'a>,
}

impl Leaving<'_> {
    /// Up to the end of the group or of the pattern. Do all of them leave the string?
    fn alternatives(&mut self, depth: usize) -> Option<bool> {
        let (mut all, mut one) = (true, false);
        while let Some(character) = self.left.next() {
            let leaves = match character {
                ')' if depth > 0 => return Some(all && one),
                '|' => {
                    all &= one;
                    one = false;
                    continue;
                }
                '(' => self.group(depth + 1)?,
                '[' => self.class()?,
                '\\' => leaves(self.escaped("^$.[]()|{}*+?tnr\\\"-")?),
                '^' | '$' | ')' | ']' | '{' | '}' | '*' | '+' | '?' => return None,
                other => !is_plain(other),
            };
            one |= leaves & !self.is_optional()?;
        }
        (depth == 0).then_some(all && one)
    }

    fn group(&mut self, depth: usize) -> Option<bool> {
        if self.left.next_if_eq(&'?').is_some() && self.left.next() != Some(':') {
            return None;
        }
        if depth > MAX_DEPTH { None } else { self.alternatives(depth) }
    }

    /// Do all characters of a class leave the string?
    fn class(&mut self) -> Option<bool> {
        let others = self.left.next_if_eq(&'^').is_some();
        let mut all = true;
        loop {
            let from = match self.left.next()? {
                // There is always a character that is in none of its ranges.
                ']' => return Some(all && !others),
                '\\' => self.escaped("tnr\\\"[]-")?,
                other => other.into(),
            };
            let mut ahead = self.left.clone();
            let to = match (ahead.next(), ahead.next()) {
                (Some('-'), Some(end)) if end != ']' => {
                    self.left.nth(1);
                    if end == '\\' { self.escaped("tnr\\\"[]-")? } else { end.into() }
                }
                _ => from,
            };
            // No 33 of them stand side by side.
            all &= (from..=to).take(33).all(leaves);
        }
    }

    /// Behind a backslash: one of `known`, or a number.
    fn escaped(&mut self, known: &str) -> Option<u32> {
        match self.left.next()? {
            'x' => hexadecimal(&mut self.left, 2),
            'u' => hexadecimal(&mut self.left, 4),
            'U' => hexadecimal(&mut self.left, 8),
            character if !known.contains(character) => None,
            't' => Some('\t'.into()),
            'n' => Some('\n'.into()),
            'r' => Some('\r'.into()),
            character => Some(character.into()),
        }
    }

    /// May what stands before be left out?
    fn is_optional(&mut self) -> Option<bool> {
        let mut optional = false;
        while let Some(character) = self.left.next_if(|next| matches!(next, '*' | '+' | '?' | '{')) {
            optional |= match character {
                '+' => false,
                '{' => {
                    let mut count = String::new();
                    while let Some(character) = self.left.next_if(|next| *next != '}') {
                        count.push(character);
                    }
                    self.left.next()?;
                    let least = count.split(',').next().unwrap_or_default();
                    least.is_empty() || least.parse::<u32>().ok()? == 0
                }
                _ => true,
            };
        }
        Some(optional)
    }
}

/// Numbers without a character are in no text at all.
fn leaves(character: u32) -> bool {
    !char::from_u32(character).is_some_and(is_plain)
}

fn hexadecimal(left: &mut Left<'_>, digits: usize) -> Option<u32> {
    let mut number = 0_u32;
    for _ in 0..digits {
        number = (number << 4) | left.next()?.to_digit(16)?;
    }
    Some(number)
}

struct Scan<'a> {
    left: Left<'a>,
    depth: usize,
    last: Last,
}

/// What stands before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Nothing that can be repeated.
    Nothing,
    /// A character.
    Literal,
    /// A class or a group.
    Whole,
    /// A repetition: what it repeats must not be repeated again.
    Repeated,
}

impl Scan<'_> {
    fn run(mut self) -> bool {
        while let Some(character) = self.left.next() {
            let fine = match character {
                '(' => self.open(),
                ')' => self.close(),
                '[' => self.class(),
                '|' => {
                    self.last = Last::Nothing;
                    true
                }
                '*' | '+' | '?' => self.repeat(),
                '{' => self.counted() && self.repeat(),
                // A dot matches the end of the string, too.
                '.' | '^' | '$' | ']' | '}' => false,
                '\\' => self.escaped(),
                other => self.literal(other),
            };
            if !fine {
                return false;
            }
        }
        self.depth == 0
    }

    fn open(&mut self) -> bool {
        // Groups of other kinds look around, or have names.
        if self.left.next_if_eq(&'?').is_some() && self.left.next() != Some(':') {
            return false;
        }
        self.depth += 1;
        self.last = Last::Nothing;
        self.depth <= MAX_DEPTH
    }

    fn close(&mut self) -> bool {
        let fine = self.depth > 0 && self.last != Last::Nothing;
        self.depth = self.depth.saturating_sub(1);
        self.last = Last::Whole;
        fine
    }

    fn repeat(&mut self) -> bool {
        let fine = matches!(self.last, Last::Literal | Last::Whole);
        self.last = Last::Repeated;
        fine
    }

    /// The rest of `{2}`, `{2,}`, `{2,5}`.
    fn counted(&mut self) -> bool {
        let mut text = String::new();
        loop {
            match self.left.next() {
                Some('}') => break,
                Some(character) if text.len() < 16 => text.push(character),
                _ => return false,
            }
        }
        let number =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
        match text.split_once(',') {
            None => number(&text).is_some(),
            Some((from, "")) => number(from).is_some(),
            Some((from, to)) => number(from).zip(number(to)).is_some_and(|(from, to)| from <= to),
        }
    }

    fn literal(&mut self, character: char) -> bool {
        let fine = is_plain(character) && (character.is_ascii() || !self.is_repeated());
        self.last = Last::Literal;
        fine
    }

    /// Behind other characters the converter would repeat all of them.
    fn escaped(&mut self) -> bool {
        let Some(character) = self.escape("^$.[]()|{}*+?-") else { return false };
        let fine = is_plain(character) && !(self.last == Last::Literal && self.is_repeated());
        self.last = Last::Literal;
        fine
    }

    fn is_repeated(&mut self) -> bool {
        matches!(self.left.peek(), Some('*' | '+' | '?' | '{'))
    }

    /// The character behind a backslash, by itself where it is one of `plain`, or by its number.
    fn escape(&mut self, plain: &str) -> Option<char> {
        let digits = match self.left.next()? {
            'x' => 2,
            'u' => 4,
            character => return plain.contains(character).then_some(character),
        };
        char::from_u32(hexadecimal(&mut self.left, digits)?)
    }

    /// The rest of `[a-z_]`.
    fn class(&mut self) -> bool {
        let mut first = None;
        let mut empty = true;
        self.last = Last::Whole;
        loop {
            let Some(character) = self.left.next() else { return false };
            let character = match character {
                ']' => return !empty,
                // All others: the end of the string among them.
                '^' if empty => return false,
                '-' if first.is_some() && !matches!(self.left.peek(), Some(']') | None) => {
                    let Some(to) = self.class_character() else { return false };
                    let range = first.take().unwrap_or(to)..=to;
                    if range.is_empty() || ['"', '\\', '\u{1f}', '\0'].iter().any(|outside| range.contains(outside)) {
                        return false;
                    }
                    continue;
                }
                '\\' => match self.escape("[]-") {
                    Some(character) => character,
                    None => return false,
                },
                other => other,
            };
            if !is_plain(character) {
                return false;
            }
            empty = false;
            first = Some(character);
        }
    }

    fn class_character(&mut self) -> Option<char> {
        match self.left.next()? {
            '\\' => self.escape("[]-"),
            other => Some(other),
        }
    }
}

/// Stands in a JSON string for itself.
fn is_plain(character: char) -> bool {
    !matches!(character, '"' | '\\' | '\0'..='\u{1f}')
}

const MAX_DEPTH: usize = 100;
