//! Reading Rust text just well enough to tell code from comments, strings and tests.

/// `text` with comments, strings and characters blanked; lines keep their numbers.
pub(super) fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_word = false;
    while let Some(first) = rest.chars().next() {
        let skip = if after_word && is_word(first) { 0 } else { skipped(rest) };
        let (taken, blank) = if skip == 0 { (first.len_utf8(), false) } else { (skip, true) };
        code.extend(rest[..taken].chars().map(|c| if blank && c != '\n' { ' ' } else { c }));
        after_word = !blank && is_word(first);
        rest = &rest[taken..];
    }
    code
}

/// `code` with the items under `#[cfg(test)]` blanked.
pub(super) fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        let end = start + item_end(&rest[start..]);
        kept.push_str(&rest[..start]);
        kept.extend(rest[start..end].chars().filter(|c| *c == '\n'));
        rest = &rest[end..];
    }
    kept + rest
}

/// The numbers of the lines that hold `word`, not as part of a longer word.
pub(super) fn lines_with(text: &str, word: &str) -> Vec<usize> {
    let joins = |line: &str, at: usize| {
        line[..at].ends_with(is_word) || (word.ends_with(is_word) && line[at + word.len()..].starts_with(is_word))
    };
    let holds = |line: &str| line.match_indices(word).any(|(at, _)| !joins(line, at));
    text.lines().enumerate().filter(|(_, line)| holds(line)).map(|(index, _)| index + 1).collect()
}

/// The length of the comment or literal that `rest` begins with, or 0.
fn skipped(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('"') {
        return escaped(rest, '"');
    }
    if let Some(body) = ["r", "br", "cr"].iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        let hashes = "#".repeat(body.len() - body.trim_start_matches('#').len());
        let Some(inner) = body[hashes.len()..].strip_prefix('"') else { return 0 };
        let end = format!("\"{hashes}");
        return rest.len() - inner.len() + inner.find(&end).map_or(inner.len(), |at| at + end.len());
    }
    if rest.starts_with("'\\") {
        return escaped(rest, '\'');
    }
    let mut chars = rest.char_indices();
    match (chars.next(), chars.next(), chars.next()) {
        (Some((_, '\'')), Some(_), Some((at, '\''))) => at + 1,
        _ => 0, // code, or a lifetime
    }
}

fn escaped(rest: &str, quote: char) -> usize {
    let mut escape = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escape => escape = false,
            '\\' => escape = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match rest.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// Where the item that begins `code` ends: at its `;`, or at the brace that closes its body.
fn item_end(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth <= 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::{code, lines_with, without_tests};

    #[test]
    fn comments_and_literals_are_blanked() {
        let text = "let a = \"x \\\" unsafe\"; // unsafe\n/* unsafe /* nested */ unsafe */ let b = r#\"unsafe \" \"#;\n\
            let c = '\"'; let d: &'static str = \"\"; let r#unsafe_ = b\"unsafe\"; let q = b'\"'; let e = '\\'';\nunsafe { f() }\n";
        assert_eq!(lines_with(&code(text), "unsafe"), [4]);
        assert_eq!(code(text).lines().count(), text.lines().count());
        assert!(lines_with("#![forbid(unsafe_code)]", "unsafe").is_empty());
    }

    #[test]
    fn test_modules_are_left_out() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn t() { println!() }\n}\nfn b() { print!() }\n#[cfg(test)]\nmod t;\n";
        let kept = without_tests(text);
        assert!(lines_with(&kept, "println!").is_empty());
        assert_eq!(lines_with(&kept, "print!"), [6]);
        assert!(lines_with("eprintln!()", "println!").is_empty());
    }
}
