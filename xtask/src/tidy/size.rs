//! Long files: a note above the soft cap, a finding above the hard one.

use super::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let reasoned = |path: &str| LONG.iter().any(|(listed, _)| *listed == path);
    let mut findings: Vec<Finding> = tree
        .rust()
        .filter(|file| !reasoned(&file.path))
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| *lines > HARD)
        .map(|(file, lines)| Finding::new(&file.path, HARD, format!("{lines} lines, at most {HARD}: divide the file")))
        .collect();
    for (path, _) in LONG {
        if !tree.rust().any(|file| file.path == *path && file.text.lines().count() > HARD) {
            findings.push(Finding::new("xtask/src/tidy/size.rs", 1, format!("`{path}` needs no entry: remove it")));
        }
    }
    findings
}

/// The files above the soft cap.
pub(super) fn long(tree: &Tree) -> impl Iterator<Item = String> {
    tree.rust()
        .map(|file| (file, file.text.lines().count()))
        .filter(|(_, lines)| (SOFT + 1..=HARD).contains(lines))
        .map(|(file, lines)| format!("{}: {lines} lines, better at most {SOFT}", file.path))
}

const SOFT: usize = 400;
const HARD: usize = 600;

/// Files that may pass the hard cap, each with its reason.
const LONG: &[(&str, &str)] = &[];
