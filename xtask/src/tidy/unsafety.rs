//! Unsafe code stays in mullama-sys and behind core's one door, and no crate forgets to forbid it.

use super::source::{code, lines_with};
use super::{Finding, SourceFile, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let code = code(&file.text);
        if !ALLOWED.iter().any(|folder| file.path.starts_with(folder)) {
            for line in lines_with(&code, "unsafe") {
                findings.push(Finding::new(&file.path, line, "unsafe code: it belongs into mullama-core/src/ffi"));
            }
        }
        if must_forbid(file) && !code.contains("#![forbid(unsafe_code)]") {
            findings.push(Finding::new(&file.path, 1, "add `#![forbid(unsafe_code)]` below the first comment"));
        }
        if file.path.starts_with("crates/mullama-core/src/") {
            doors(file, &code, &mut findings);
        }
    }
    findings
}

/// Core's lib.rs opens the lint for `ffi` exactly once; no other file of core does.
fn doors(file: &SourceFile, code: &str, findings: &mut Vec<Finding>) {
    let squeezed: String = code.chars().filter(|c| !c.is_whitespace() || *c == '\n').collect();
    let lines = ["expect(unsafe_code", "allow(unsafe_code"].map(|door| lines_with(&squeezed, door)).concat();
    let root = file.path == CORE;
    if root && lines.is_empty() && code.contains("mod ffi") {
        findings.push(Finding::new(&file.path, 1, "`ffi` needs `#[expect(unsafe_code, reason = ...)]`"));
    }
    for line in lines.iter().skip(usize::from(root)) {
        findings.push(Finding::new(&file.path, *line, "a second door for unsafe code: only `mod ffi` has one"));
    }
}

/// Whether the file is the root of a crate that has no unsafe code.
fn must_forbid(file: &SourceFile) -> bool {
    let root = file.path == "xtask/src/main.rs"
        || (file.path.starts_with("crates/")
            && file.path.matches('/').count() == 3
            && (file.path.ends_with("/src/lib.rs") || file.path.ends_with("/src/main.rs")));
    root && file.path != CORE && !file.path.starts_with("crates/mullama-sys/")
}

const CORE: &str = "crates/mullama-core/src/lib.rs";
const ALLOWED: [&str; 2] = ["crates/mullama-sys/", "crates/mullama-core/src/ffi/"];

#[cfg(test)]
mod tests {
    use super::super::lines_of;
    use super::check;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        lines_of(check, path, text)
    }

    #[test]
    fn unsafe_code_has_its_place() {
        assert_eq!(lines("crates/mullama-core/src/model.rs", "//! m\nfn f() {\n    unsafe { g() }\n}\n"), [3]);
        assert!(lines("crates/mullama-core/src/ffi/model.rs", "//! m\nunsafe fn f() {}\n").is_empty());
    }

    #[test]
    fn roots_forbid_and_core_has_one_door() {
        assert_eq!(lines("crates/mullama-web/src/lib.rs", "//! Web.\n"), [1]);
        let door = "#[expect(unsafe_code, reason = \"C\")]\nmod ffi;\n";
        assert!(lines("crates/mullama-core/src/lib.rs", door).is_empty());
        assert_eq!(lines("crates/mullama-core/src/lib.rs", &format!("{door}{door}")), [3]);
        assert_eq!(lines("crates/mullama-core/src/model.rs", door), [1]);
    }
}
