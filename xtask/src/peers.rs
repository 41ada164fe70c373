//! `peers`: llama.cpp's own programs, built once from a Python package that carries its whole tree. Never in CI.

use anyhow::{Context as _, Result};
use xshell::{Shell, cmd};

use crate::setup::{self, Mode, Purpose};
use crate::workspace;

pub(crate) fn run(sh: &Shell) -> Result<()> {
    let folder = workspace::target(sh)?.join("peers");
    let programs = folder.join("build/bin");
    if !PROGRAMS.iter().all(|program| programs.join(program).is_file()) {
        setup::run(sh, Purpose::Peers, Mode::Install)?;
        sh.create_dir(&folder)?;
        let _inside = sh.push_dir(&folder);
        fetch(sh)?;
        configure(sh)?;
        println!("peers: compiling (about 12 minutes on two cores)");
        cmd!(sh, "cmake --build build --target {PROGRAMS...}").run()?;
    }
    println!("peers: llama.cpp's programs of llama_cpp_python {VERSION} are in {}", programs.display());
    Ok(())
}

fn fetch(sh: &Shell) -> Result<()> {
    let sdist = format!("llama_cpp_python-{VERSION}.tar.gz");
    // The sdist is removed last: while it is there, the tree may be half unpacked.
    if sh.path_exists("source/CMakeLists.txt") && !sh.path_exists(&sdist) {
        return Ok(());
    }
    println!("peers: fetching the sdist of llama_cpp_python {VERSION} (77 MB)");
    cmd!(sh, "python3 -m venv venv").run()?;
    // pip asks the package for its metadata; only this package comes as source, its build tools come as wheels.
    let package = format!("llama_cpp_python=={VERSION}");
    cmd!(sh, "venv/bin/python -m pip download -q --no-deps --no-binary llama_cpp_python --dest . {package}").run()?;
    let inner = format!("llama_cpp_python-{VERSION}/vendor/llama.cpp");
    sh.create_dir("source")?;
    cmd!(sh, "tar -xzf {sdist} -C source --strip-components=3 {inner}").run().context("the sdist has another shape")?;
    sh.remove_path(&sdist)?;
    Ok(())
}

fn configure(sh: &Shell) -> Result<()> {
    // Without it they crash on CPUs with AMX where GCC compiled them; see that file.
    let amx = format!(
        "-DCMAKE_PROJECT_llama.cpp_INCLUDE={}",
        workspace::root().join("crates/mullama-sys/cmake/amx.cmake").display()
    );
    cmd!(sh, "cmake -S source -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON {amx} {OPTIONS...}")
        .run()?;
    Ok(())
}

const VERSION: &str = "0.3.36";
const PROGRAMS: [&str; 5] = ["llama-server", "llama-bench", "llama-batched-bench", "llama-quantize", "llama-mtmd-cli"];
/// No curl, no TLS, and no web page fetched while building.
const OPTIONS: [&str; 6] = [
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
];
