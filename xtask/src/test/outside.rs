//! Lane `outside`: small projects outside the workspace that depend on the facade, set up as the README tells people to.

use anyhow::{Result, ensure};
use xshell::{Shell, cmd};

use crate::workspace;

pub(super) fn run(sh: &Shell) -> Result<()> {
    project(sh, "\"demo-models\"", TEXT_MAIN)?;
    project(sh, "\"whisper\"", WHISPER_MAIN)
}

/// Builds and runs one project. It lies in a temporary folder, since cargo reads the config files of all folders above,
/// and shares the workspace's target folder, so that llama.cpp is not compiled again.
fn project(sh: &Shell, features: &str, main: &str) -> Result<()> {
    let root = workspace::root();
    let target = workspace::target(sh)?;
    let facade = root.join("crates/mullama").display().to_string();
    let temporary = sh.create_temp_dir()?;
    let folder = temporary.path();
    let whisper = features.contains("whisper");

    sh.write_file(folder.join("Cargo.toml"), MANIFEST.replace("{facade}", &facade).replace("{features}", features))?;
    sh.write_file(folder.join("src/main.rs"), main)?;
    sh.copy_file(root.join("Cargo.lock"), folder.join("Cargo.lock"))?;
    sh.write_file(folder.join(".cargo/config.toml"), format!("{CONFIG}{}", if whisper { WHISPER_LINE } else { "" }))?;
    for name in ["amx.cmake", "amx.h"] {
        sh.copy_file(root.join("crates/mullama-sys/cmake").join(name), folder.join(".cargo").join(name))?;
    }
    if whisper {
        sh.copy_file(root.join("crates/mullama-sys/cmake/one-ggml.cmake"), folder.join(".cargo/one-ggml.cmake"))?;
    }

    let _inside = sh.push_dir(folder);
    let _target = sh.push_env("CARGO_TARGET_DIR", &target);
    if whisper {
        // The documented step: whisper-rs-sys does not notice that the variable has changed.
        cmd!(sh, "cargo clean --release -p whisper-rs-sys").run()?;
    }
    // Cargo gave us the workspace's own [env]; the project has to bring its own.
    let run = cmd!(sh, "cargo run --release").env_remove("LLAMA_LIB_PROFILE");
    let output = run.env_remove(LLAMA_VARIABLE).env_remove(WHISPER_VARIABLE).read()?;
    println!("{output}");
    let lines = output.lines().filter(|line| !line.trim().is_empty()).count();
    let expected = if whisper { 2 } else { 1 };
    ensure!(lines >= expected, "the project printed {lines} lines where at least {expected} were due: {output}");
    Ok(())
}

const MANIFEST: &str = include_str!("../../outside/manifest.toml");
const CONFIG: &str = include_str!("../../outside/config.toml");
const WHISPER_LINE: &str = include_str!("../../outside/whisper-line.toml");
const TEXT_MAIN: &str = include_str!("../../outside/text.rs");
const WHISPER_MAIN: &str = include_str!("../../outside/whisper.rs");
const LLAMA_VARIABLE: &str = "CMAKE_PROJECT_llama.cpp_INCLUDE";
const WHISPER_VARIABLE: &str = "CMAKE_PROJECT_whisper.cpp_INCLUDE";
