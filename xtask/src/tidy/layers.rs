//! Who may depend on whom: the table of ARCHITECTURE.md against `cargo metadata`.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Finding;
use crate::workspace;

pub(super) fn check(metadata: &Value) -> Result<Vec<Finding>> {
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let path = manifest(package);
        let mut find = |message: String| findings.push(Finding::new(&path, 1, message));
        let Some(tier) = tier(name) else {
            find(format!("`{name}` has no tier: add it to the tables in xtask/src/tidy/layers.rs and ARCHITECTURE.md"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = dependency["name"].as_str().unwrap_or_default();
            if let Some(message) = breach(name, tier, on, dependency["kind"] == "dev") {
                find(message);
            }
        }
        let names_core = || package["dependencies"].as_array().is_some_and(|all| all.iter().any(|d| d["name"] == CORE));
        if matches!(tier, Tier::Above(2..)) && !names_core() {
            find(format!("`{name}` does not name {CORE}: every crate above core depends on it directly"));
        }
    }
    Ok(findings)
}

/// What is wrong with the edge from `name` to `on`, if anything.
fn breach(name: &str, from: Tier, on: &str, dev: bool) -> Option<String> {
    if ABSENT.iter().any(|(package, names)| *package == name && !dev && names.contains(&on)) {
        return Some(format!("`{name}` depends on `{on}`: ARCHITECTURE.md promises that it does not"));
    }
    let to = tier(on)?;
    if on == SYS && name != CORE && name != SYS && name != BENCHES {
        return Some(format!("`{name}` depends on {SYS}: only {CORE} and {BENCHES} may; go through {CORE}"));
    }
    match (from, to) {
        _ if name == XTASK => Some(format!("xtask depends on `{on}`: it must run before anything of ours is built")),
        (Tier::Free, _) => None,
        _ if dev => None,
        (_, Tier::Free) => Some(format!("`{name}` depends on `{on}`, which stands outside the tiers")),
        (Tier::Data, _) => Some(format!("`{name}` depends on `{on}`: it is data only")),
        (_, Tier::Data) => None,
        (Tier::Above(from), Tier::Above(to)) if to < from => None,
        (Tier::Above(from), Tier::Above(to)) => Some(format!(
            "`{name}` (tier {from}) depends on `{on}` (tier {to}): move what they share into a lower tier"
        )),
    }
}

fn manifest(package: &Value) -> String {
    let path = Path::new(package["manifest_path"].as_str().unwrap_or_default());
    path.strip_prefix(workspace::root()).unwrap_or(path).display().to_string()
}

fn tier(name: &str) -> Option<Tier> {
    TIERS.iter().find(|(listed, _)| *listed == name).map(|(_, tier)| *tier)
}

#[derive(Clone, Copy)]
enum Tier {
    /// Imports only from strictly lower numbers.
    Above(u8),
    /// Anybody may import it; it imports nothing of ours.
    Data,
    /// Stands above all: imports what it likes, nobody imports it.
    Free,
}

const SYS: &str = "mullama-sys";
const CORE: &str = "mullama-core";
const BENCHES: &str = "mullama-benches";
const XTASK: &str = "xtask";

const TIERS: [(&str, Tier); 15] = [
    (SYS, Tier::Above(0)),
    (CORE, Tier::Above(1)),
    ("mullama-async", Tier::Above(2)),
    ("mullama-convert", Tier::Above(2)),
    ("mullama-audio", Tier::Above(3)),
    ("mullama-vision", Tier::Above(4)),
    ("mullama-web", Tier::Above(5)),
    ("mullama-ws", Tier::Above(5)),
    ("mullama-config", Tier::Above(6)),
    ("mullama", Tier::Above(7)),
    ("mullama-cli", Tier::Above(8)),
    ("mullama-demo-models", Tier::Data),
    ("mullama-examples", Tier::Free),
    (BENCHES, Tier::Free),
    (XTASK, Tier::Free),
];

/// What a crate promises not to contain.
const ABSENT: [(&str, &[&str]); 2] = [(CORE, &["tokio", "axum", "cpal"]), (XTASK, &["cc", "cmake"])];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check;

    fn findings(name: &str, on: &[(&str, Option<&str>)]) -> usize {
        let on: Vec<_> = on.iter().map(|(name, kind)| json!({ "name": name, "kind": kind })).collect();
        check(&json!({ "packages": [{ "name": name, "manifest_path": "Cargo.toml", "dependencies": on }] }))
            .unwrap()
            .len()
    }

    #[test]
    fn dependencies_go_strictly_down() {
        let core = ("mullama-core", None);
        assert_eq!(findings("mullama-audio", &[core, ("mullama-async", None), ("mullama-convert", None)]), 0);
        assert_eq!(findings("mullama-web", &[core, ("mullama-ws", None)]), 1);
        assert_eq!(findings("mullama-web", &[core, ("mullama-ws", Some("dev"))]), 0);
        assert_eq!(findings("mullama-async", &[core, ("mullama", Some("build"))]), 1);
    }

    #[test]
    fn core_is_named_and_only_core_names_sys() {
        assert_eq!(findings("mullama-core", &[("mullama-sys", None), ("mullama-demo-models", Some("dev"))]), 0);
        assert_eq!(findings("mullama-cli", &[]), 1);
        assert_eq!(findings("mullama-cli", &[("mullama-core", None), ("mullama-sys", None)]), 1);
        assert_eq!(findings("mullama-benches", &[("mullama-sys", None)]), 0);
    }

    #[test]
    fn promises_of_absence_hold() {
        assert_eq!(findings("mullama-core", &[("tokio", None)]), 1);
        assert_eq!(findings("mullama-core", &[("tokio", Some("dev"))]), 0);
        assert_eq!(findings("mullama-demo-models", &[("mullama-core", None)]), 1);
        assert_eq!(findings("xtask", &[("mullama-core", Some("dev"))]), 1);
        assert_eq!(findings("stranger", &[]), 1);
    }
}
