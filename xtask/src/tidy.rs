//! `tidy`: the rules of the house that no compiler checks. Reads files only.

mod layers;
mod size;
mod source;
mod unsafety;
mod words;

use std::fmt;

use anyhow::{Context as _, Result, ensure};
use xshell::{Shell, cmd};

use crate::workspace;

pub(crate) fn run(sh: &Shell) -> Result<()> {
    let tree = Tree::read(sh)?;
    let mut findings = layers::check(&workspace::metadata(sh)?)?;
    findings.extend(size::check(&tree));
    findings.extend(unsafety::check(&tree));
    findings.extend(words::check(&tree));
    size::long(&tree).for_each(|note| println!("note: {note}"));
    findings.iter().for_each(|finding| println!("{finding}"));
    ensure!(findings.is_empty(), "tidy: {} findings", findings.len());
    println!("tidy: {} files, no findings", tree.files.len());
    Ok(())
}

/// The project's text files: tracked, or new and not ignored.
struct Tree {
    files: Vec<SourceFile>,
}

struct SourceFile {
    /// From the root, with `/`.
    path: String,
    text: String,
}

impl Tree {
    fn read(sh: &Shell) -> Result<Self> {
        let list = cmd!(sh, "git ls-files -z --cached --others --exclude-standard").quiet().read()?;
        let mut files = Vec::new();
        for path in list.split('\0').filter(|path| sh.current_dir().join(path).is_file()) {
            let bytes = sh.read_binary_file(path).with_context(|| format!("failed to read {path}"))?;
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(SourceFile { path: path.to_owned(), text });
            }
        }
        Ok(Self { files })
    }

    /// The hand-written Rust files of the workspace's packages and of `fuzz/`.
    fn rust(&self) -> impl Iterator<Item = &SourceFile> {
        let packages = ["crates/", "xtask/", "examples/", "benches/", "fuzz/"];
        let ours = move |file: &&SourceFile| packages.iter().any(|folder| file.path.starts_with(folder));
        self.files.iter().filter(ours).filter(|file| file.path.ends_with(".rs"))
    }
}

/// One breach of a rule: where, what, and what to do.
#[derive(Debug, PartialEq)]
struct Finding {
    path: String,
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// The lines that a check finds in a tree of one file.
#[cfg(test)]
fn lines_of(check: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
    let file = SourceFile { path: path.to_owned(), text: text.to_owned() };
    check(&Tree { files: vec![file] }).iter().map(|finding| finding.line).collect()
}
