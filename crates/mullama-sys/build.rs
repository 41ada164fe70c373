//! Compiles the shim against the sources of the locked llama-cpp-sys-2 and writes its Rust declarations.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=shim");
    println!("cargo:rerun-if-changed=build.rs");
    let cache = cmake_cache();
    let llama = llama_source(&cache);
    warn_of_amx(&cache);
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let includes = ["include", "ggml/include", "common", "vendor", "src"].map(|folder| llama.join(folder));
    compile_shim(&includes);
    write_declarations(&includes, &out.join("shim.rs"));
    if env::var_os("CARGO_FEATURE_RPC").is_some() {
        require_rpc_archive();
    }
}

/// What CMake noted when it configured llama.cpp.
fn cmake_cache() -> String {
    let cmake = env::var_os("DEP_LLAMA_GGML_CMAKE_DIR").expect("llama-cpp-sys-2 publishes ggml_cmake_dir");
    let cache = Path::new(&cmake).join("../../build/CMakeCache.txt");
    std::fs::read_to_string(&cache).unwrap_or_else(|error| panic!("cannot read {}: {error}", cache.display()))
}

/// Where llama-cpp-sys-2 keeps llama.cpp's sources.
fn llama_source(cache: &str) -> PathBuf {
    let home = cache.lines().find_map(|line| line.strip_prefix("CMAKE_HOME_DIRECTORY:INTERNAL="));
    PathBuf::from(home.expect("CMakeCache.txt has CMAKE_HOME_DIRECTORY"))
}

/// GCC miscompiles llama.cpp's code for AMX: see cmake/amx.cmake, which a project outside of this workspace has to name.
fn warn_of_amx(cache: &str) {
    let native = cache.lines().any(|line| line == "GGML_NATIVE:BOOL=ON");
    let mended = cache.contains("amx.cmake");
    let compiler = cc::Build::new().cpp(true).get_compiler();
    if mended || !native || !compiler.is_like_gnu() || env::var("CARGO_CFG_TARGET_ARCH").as_deref() != Ok("x86_64") {
        return;
    }
    let macros = compiler.to_command().args(["-march=native", "-dM", "-E", "-x", "c++", "/dev/null"]).output();
    if macros.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("__AMX_TILE__")) {
        println!(
            "cargo::warning=this CPU has AMX, for which GCC miscompiles llama.cpp: Q8_0 and Q4_0 models can crash"
        );
        println!("cargo::warning=copy amx.cmake and amx.h from {}/cmake to .cargo/,", env!("CARGO_MANIFEST_DIR"));
        println!(
            "cargo::warning=put \"CMAKE_PROJECT_llama.cpp_INCLUDE\" = {{ value = \".cargo/amx.cmake\", relative = true }} \
             under [env] in .cargo/config.toml, and run `cargo clean -p llama-cpp-sys-2`"
        );
    }
}

fn compile_shim(includes: &[PathBuf]) {
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .includes(includes)
        .files(["model", "vocab", "sampler", "chat"].map(|name| format!("shim/{name}.cpp")))
        .define("NDEBUG", None) // as llama.cpp's Release build: its headers must mean the same here
        .opt_level(2)
        .warnings(false) // llama.cpp's own headers warn
        .compile("mullama_shim");
}

fn write_declarations(includes: &[PathBuf], into: &Path) {
    bindgen::Builder::default()
        .header("shim/shim.h")
        .clang_args(includes.iter().map(|folder| format!("-I{}", folder.display())))
        .allowlist_item("mullama_.*")
        .allowlist_item("MULLAMA_.*")
        .allowlist_recursively(false)
        .prepend_enum_name(false)
        .layout_tests(false)
        .generate_comments(false)
        .generate()
        .expect("shim.h is plain C")
        .write_to_file(into)
        .expect("OUT_DIR is writable");
}

/// llama-cpp-sys-2 has no `rpc` feature: ggml's own switch in the environment builds the archive.
fn require_rpc_archive() {
    let cmake = env::var_os("DEP_LLAMA_GGML_CMAKE_DIR").expect("checked above");
    let lib = Path::new(&cmake).join("..");
    if !["libggml-rpc.a", "ggml-rpc.lib"].iter().any(|name| lib.join(name).exists()) {
        println!("cargo::error=feature `rpc`: llama.cpp was built without ggml's RPC backend");
        println!("cargo::error=add `GGML_RPC = \"ON\"` under [env] in .cargo/config.toml and build again");
    }
}
