//! `features`: the feature table of README.md and of the facade, written from the comments in the facade's Cargo.toml.

use anyhow::{Context as _, Result, bail, ensure};
use xshell::{Shell, cmd};

/// Writes the table into both files.
pub(crate) fn write(sh: &Shell) -> Result<()> {
    for (path, current, wanted) in files(sh)? {
        if current == wanted {
            println!("features: {path} is up to date");
        } else {
            sh.write_file(path, wanted)?;
            println!("features: wrote the table into {path}");
        }
    }
    Ok(())
}

/// Compares the table and compiles the facade with each feature alone. Backends need an SDK and are left to `gpu`.
pub(crate) fn check(sh: &Shell) -> Result<()> {
    for (path, current, wanted) in files(sh)? {
        ensure!(current == wanted, "{path}: the feature table differs from {MANIFEST}; do: cargo xtask features");
    }
    for feature in parse(&sh.read_file(MANIFEST)?)?.iter().filter(|feature| !BACKENDS.contains(&&*feature.name)) {
        let name = &feature.name;
        cmd!(sh, "cargo check --quiet --release -p mullama --no-default-features --features {name}").run()?;
    }
    Ok(())
}

/// Path, present text and wanted text of the two files with a table.
fn files(sh: &Shell) -> Result<Vec<(&'static str, String, String)>> {
    let features = parse(&sh.read_file(MANIFEST)?)?;
    [("README.md", ""), ("crates/mullama/src/lib.rs", "//! ")]
        .into_iter()
        .map(|(path, prefix)| {
            let current = sh.read_file(path)?;
            let wanted = replaced(&current, &features, prefix).with_context(|| path.to_owned())?;
            Ok((path, current, wanted))
        })
        .collect()
}

/// `text` with the table between its two marker lines renewed.
fn replaced(text: &str, features: &[Feature], prefix: &str) -> Result<String> {
    let (start, end) = (format!("{prefix}{START}\n"), format!("{prefix}{END}\n"));
    let from = text.find(&start).map(|at| at + start.len());
    let to = text.find(&end);
    let (Some(from), Some(to)) = (from, to) else { bail!("no lines `{}` and `{}`", start.trim(), end.trim()) };
    ensure!(from <= to, "the marker lines are in the wrong order");
    let mut table = format!("{prefix}| feature | what it adds |\n{prefix}|---|---|\n");
    for Feature { name, default, adds } in features {
        let default = if *default { " (default)" } else { "" };
        table.push_str(&format!("{prefix}| `{name}`{default} | {adds} |\n"));
    }
    Ok(format!("{}{table}{}", &text[..from], &text[to..]))
}

struct Feature {
    name: String,
    default: bool,
    adds: String,
}

/// The `[features]` section: each feature with the comment lines above it.
fn parse(manifest: &str) -> Result<Vec<Feature>> {
    let section = manifest.split("\n[features]\n").nth(1).context("no [features] section")?;
    let section = section.split("\n[").next().unwrap_or(section);
    let (mut features, mut comment, mut defaults) = (Vec::new(), String::new(), "");
    for line in section.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment = format!("{comment} {}", text.trim()).trim().to_owned();
        } else if let Some((name, value)) = line.split_once(" = ").filter(|_| !line.starts_with(' ')) {
            if name == "default" {
                defaults = value;
            } else {
                ensure!(!comment.is_empty(), "feature `{name}` has no comment line above it");
                features.push(Feature { name: name.to_owned(), default: false, adds: comment.clone() });
            }
            comment.clear();
        } else if line.trim().is_empty() {
            comment.clear();
        }
    }
    for feature in &mut features {
        feature.default = defaults.contains(&format!("\"{}\"", feature.name));
    }
    Ok(features)
}

const MANIFEST: &str = "crates/mullama/Cargo.toml";
const START: &str = "<!-- features:start -->";
const END: &str = "<!-- features:end -->";
const BACKENDS: [&str; 5] = ["cuda", "vulkan", "metal", "rocm", "rpc"];

#[cfg(test)]
mod tests {
    use super::{parse, replaced};

    const SAMPLE: &str = "[package]\n\n[features]\ndefault = [\"async\"]\n# Engine and streams\n# on tokio.\n\
        async = [\"dep:x\"]\n# Speech to text.\nwhisper = [\n    \"dep:y\",\n]\n\n[lints]\nworkspace = true\n";

    #[test]
    fn the_table_comes_from_the_comments() {
        let features = parse(SAMPLE).unwrap();
        let text = "//! a\n//! <!-- features:start -->\n//! old\n//! <!-- features:end -->\n//! b\n";
        let wanted = "//! a\n//! <!-- features:start -->\n//! | feature | what it adds |\n//! |---|---|\n\
            //! | `async` (default) | Engine and streams on tokio. |\n//! | `whisper` | Speech to text. |\n\
            //! <!-- features:end -->\n//! b\n";
        assert_eq!(replaced(text, &features, "//! ").unwrap(), wanted);
        assert!(replaced("no markers", &features, "").is_err());
    }

    #[test]
    fn a_feature_without_a_comment_is_an_error() {
        assert!(parse("\n[features]\nx = []\n").is_err());
    }
}
