//! `gpu`: looks for a backend's SDK, then builds the program with that backend.

use std::env;
use std::path::Path;

use anyhow::{Result, bail};
use xshell::{Shell, cmd};

use crate::setup::{self, Mode, Purpose, on_path};

pub(crate) fn run(sh: &Shell, backend: &str) -> Result<()> {
    let missing: Vec<&str> = match backend {
        "cuda" => cuda(),
        "vulkan" => vulkan(),
        "metal" => metal(),
        "rocm" => rocm(),
        "rpc" => rpc(),
        _ => bail!("`{backend}` is not a backend; there are cuda, vulkan, metal, rocm and rpc"),
    };
    if !missing.is_empty() {
        missing.iter().for_each(|line| println!("  {line}"));
        bail!("the backend `{backend}` cannot be built here; what is missing is named above");
    }
    setup::run(sh, Purpose::Demo, Mode::Install)?;
    cmd!(sh, "cargo build --release -p mullama-cli --features {backend}").run()?;
    println!("gpu: built with `{backend}`; `mullama devices` lists what it finds");
    Ok(())
}

fn cuda() -> Vec<&'static str> {
    let nvcc = on_path("nvcc") || env::var_os("CUDACXX").is_some() || exists(&["/usr/local/cuda/bin/nvcc"]);
    unless(nvcc, "nvcc: the CUDA toolkit, with its bin folder on PATH or CUDACXX naming nvcc").collect()
}

fn vulkan() -> Vec<&'static str> {
    let sdk = env::var_os("VULKAN_SDK").is_some();
    let headers = exists(&["/usr/include/vulkan/vulkan.h", "/usr/local/include/vulkan/vulkan.h"]);
    let spirv = exists(&["/usr/include/spirv/unified1/spirv.hpp", "/usr/local/include/spirv/unified1/spirv.hpp"]);
    unless(sdk || on_path("glslc"), "glslc: the shader compiler (Debian 13: glslc; else the LunarG SDK and VULKAN_SDK)")
        .chain(unless(sdk || headers, "vulkan/vulkan.h: the Vulkan headers and loader (Debian: libvulkan-dev)"))
        .chain(unless(sdk || spirv, "spirv/unified1/spirv.hpp: the SPIR-V headers (Debian: spirv-headers)"))
        .collect()
}

fn metal() -> Vec<&'static str> {
    unless(cfg!(target_os = "macos"), "macOS: Metal is Apple's, this is another system")
        .chain(unless(on_path("xcrun"), "xcrun: Apple's command line tools (xcode-select --install)"))
        .collect()
}

fn rocm() -> Vec<&'static str> {
    let hipcc = on_path("hipcc") || exists(&["/opt/rocm/bin/hipcc"]);
    let blas = exists(&["/opt/rocm/include/rocblas/rocblas.h", "/usr/include/rocblas/rocblas.h"]);
    unless(hipcc, "hipcc: AMD's HIP compiler (ROCm SDK in /opt/rocm; Debian: hipcc)")
        .chain(unless(blas, "rocblas/rocblas.h: rocBLAS and hipBLAS (Debian: librocblas-dev libhipblas-dev)"))
        .collect()
}

/// Not a GPU but built the same way. Cargo hands us what stands under `[env]`, so the environment tells.
fn rpc() -> Vec<&'static str> {
    let on = env::var("GGML_RPC").is_ok_and(|value| value == "ON");
    unless(on, "GGML_RPC: put the line `GGML_RPC = \"ON\"` under [env] in .cargo/config.toml").collect()
}

fn unless(there: bool, what: &'static str) -> impl Iterator<Item = &'static str> {
    (!there).then_some(what).into_iter()
}

fn exists(paths: &[&str]) -> bool {
    paths.iter().any(|path| Path::new(path).exists())
}
