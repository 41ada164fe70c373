//! Where the workspace and its results lie, as cargo sees them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;
use xshell::{Shell, cmd};

/// The repository's root: the folder above this package.
pub(crate) fn root() -> PathBuf {
    let package =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map(Path::to_path_buf).unwrap_or(package)
}

/// `cargo metadata` of the workspace's own packages.
pub(crate) fn metadata(sh: &Shell) -> Result<Value> {
    let text = cmd!(sh, "cargo metadata --no-deps --format-version 1").quiet().read()?;
    serde_json::from_str(&text).context("cargo metadata gave no JSON")
}

/// The target folder, wherever CARGO_TARGET_DIR or a config file put it.
pub(crate) fn target(sh: &Shell) -> Result<PathBuf> {
    let metadata = metadata(sh)?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata names no target folder")?;
    Ok(PathBuf::from(folder))
}

/// Builds the program and gives its path. The whole workspace is selected, so that its native library is the one the
/// tests link: selecting only one package changes the features of shared build dependencies, and C++ is built again.
pub(crate) fn build_program(sh: &Shell) -> Result<PathBuf> {
    println!("== release build of `mullama` (the first one compiles llama.cpp: about ten minutes on two cores)");
    cmd!(sh, "cargo build --release --workspace --bin mullama").run()?;
    Ok(target(sh)?.join("release").join(format!("mullama{}", std::env::consts::EXE_SUFFIX)))
}

/// Whether a package of the workspace has a bench target.
pub(crate) fn has_benches(sh: &Shell) -> Result<bool> {
    let metadata = metadata(sh)?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let mut targets = packages.iter().filter_map(|package| package["targets"].as_array()).flatten();
    Ok(targets.any(|target| target["kind"][0] == "bench"))
}
