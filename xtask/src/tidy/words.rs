//! Words that must not stand in the sources: prints in libraries, unfinished work, this machine's paths and mirrors.

use super::source::{code, lines_with, without_tests};
use super::{Finding, SourceFile, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        first_line(file, &mut findings);
        if file.path.starts_with("crates/") {
            unfinished(file, &mut findings);
        }
        if is_library(&file.path) {
            let code = without_tests(&code(&file.text));
            for print in ["println!", "eprintln!", "print!", "eprint!", "dbg!"] {
                for line in lines_with(&code, print) {
                    let message = format!("`{print}` in a library: log through `tracing`");
                    findings.push(Finding::new(&file.path, line, message));
                }
            }
        }
    }
    tree.files.iter().for_each(|file| machine(file, &mut findings));
    findings
}

/// Every file says in a `//!` line what it is for; crate attributes may stand above it.
fn first_line(file: &SourceFile, findings: &mut Vec<Finding>) {
    let first = file.text.lines().find(|line| !line.starts_with("#!") && !line.trim().is_empty());
    if !first.is_some_and(|line| line.starts_with("//! ")) {
        findings.push(Finding::new(&file.path, 1, "no `//!` line: say in one what the file is for"));
    }
}

fn unfinished(file: &SourceFile, findings: &mut Vec<Finding>) {
    let lower = file.text.to_lowercase();
    for word in ["placeholder", "for now", "in a real implementation"] {
        for line in lines_with(&lower, word) {
            let message = format!("\"{word}\": finish it, or leave it out and say `Unsupported`");
            findings.push(Finding::new(&file.path, line, message));
        }
    }
    let code = code(&file.text);
    for word in ["todo!", "unimplemented!"] {
        for line in lines_with(&code, word) {
            findings.push(Finding::new(&file.path, line, format!("`{word}`: return an error instead")));
        }
    }
}

/// Paths and package mirrors of the machine somebody worked on.
fn machine(file: &SourceFile, findings: &mut Vec<Finding>) {
    for (index, line) in file.text.lines().enumerate() {
        let mut find = |message: &str| findings.push(Finding::new(&file.path, index + 1, message));
        if PATHS.iter().any(|path| starts_in(line, path)) {
            find("a path of one machine: make it relative");
        }
        if MIRRORS.iter().any(|word| line.contains(word)) {
            find("a package mirror of one machine: leave it to the user's own configuration");
        }
        if file.path.ends_with("Cargo.lock") && line.contains("registry+") && !line.contains(CRATES_IO) {
            find("a dependency from another registry than crates.io");
        }
    }
}

/// Whether `path` occurs at the start of a path, not inside one.
fn starts_in(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.~}".contains(c)))
}

fn is_library(path: &str) -> bool {
    let inside = path.strip_prefix("crates/").and_then(|path| path.split_once("/src/"));
    inside.is_some_and(|(package, file)| {
        package != "mullama-cli" && !file.ends_with("tests.rs") && !file.contains("tests/")
    })
}

// Written in two pieces, so that this file does not find itself.
const PATHS: [&str; 2] = [concat!("/ro", "ot/"), concat!("/wo", "rk/")];
const MIRRORS: [&str; 3] = [concat!("index", "-url"), concat!("replace", "-with"), concat!("PIP_INDEX", "_URL")];
const CRATES_IO: &str = "https://github.com/rust-lang/crates.io-index";

#[cfg(test)]
mod tests {
    use super::super::lines_of;
    use super::{PATHS, check};

    fn lines(path: &str, text: &str) -> Vec<usize> {
        lines_of(check, path, text)
    }

    #[test]
    fn libraries_do_not_print() {
        let text = "//! A.\n//! println!(\"doc\")\nfn f() {\n    println!();\n}\n#[cfg(test)]\nmod tests { fn t() { dbg!() } }\n";
        assert_eq!(lines("crates/mullama-web/src/a.rs", text), [4]);
        assert!(lines("crates/mullama-cli/src/a.rs", text).is_empty());
        assert!(lines("crates/mullama-web/build.rs", text).is_empty());
    }

    #[test]
    fn unfinished_work_and_missing_first_lines_are_found() {
        assert_eq!(lines("crates/mullama-web/src/a.rs", "#![forbid(unsafe_code)]\n//! A.\n// For now.\n"), [3]);
        assert_eq!(lines("crates/mullama-web/src/a.rs", "//! A.\nfn f() { todo!() }\n"), [2]);
        assert_eq!(lines("xtask/src/a.rs", "fn f() {}\n"), [1]);
    }

    #[test]
    fn paths_of_one_machine_are_found() {
        assert_eq!(lines("README.md", &format!("a\nsee {}models\n", PATHS[1])), [2]);
        assert!(lines("README.md", &format!("target{}models, ${{A}}{}b\n", PATHS[1], PATHS[0])).is_empty());
    }
}
