//! Which regular expressions llama.cpp's converter turns into grammars that admit just the same texts.
//!
//! It writes the expression between two quotation marks. What matches a quotation mark, a backslash or a control character
//! can therefore leave the JSON string, and what it cannot read admits any string.

/// Does the grammar of a pattern admit just the texts that it matches, as JSON?
pub(super) fn is_exact(pattern: &str) -> bool {
    let inner = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$'));
    inner.is_some_and(|inner| Scan { left: inner.chars().peekable(), depth: 0, last: Last::Nothing }.run())
}

/// Does the grammar of such a pattern, if it has one, admit what ends the JSON string or cannot stand in one? A dot does so
/// too, but beside what is fine.
pub(super) fn leaves_string(pattern: &str) -> bool {
    let inner = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$'));
    let Some(inner) = inner else { return false };
    let mut escaped = false;
    inner.chars().any(|character| {
        let leaves = match character {
            '\\' if !escaped => false,
            // Control characters and backslashes by their names; `\x0a`, `\u0022` and the like.
            'n' | 't' | 'r' | 'f' | 'v' | '\\' | 'x' | 'u' => escaped,
            other => !is_plain(other),
        };
        escaped = character == '\\' && !escaped;
        leaves
    })
}

struct Scan<'a> {
    left: std::iter::Peekable<std::str::Chars<'a>>,
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
        let mut number = 0;
        for _ in 0..digits {
            number = number * 16 + self.left.next()?.to_digit(16)?;
        }
        char::from_u32(number)
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
