//! Feature `whisper`: checks that whisper.cpp is being built on llama.cpp's ggml, before the linker would fail on two.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    let wanted = env::var_os("CARGO_FEATURE_WHISPER").is_some() && env::var_os("DOCS_RS").is_none();
    if !wanted || env::var_os(VARIABLE).is_some_and(|file| Path::new(&file).is_file()) {
        return;
    }
    let here = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let cmake = Path::new(&here).join("../mullama-sys/cmake/one-ggml.cmake");
    let cmake = cmake
        .canonicalize()
        .map_or_else(|_| "one-ggml.cmake of the crate mullama-sys".to_owned(), |path| path.display().to_string());
    let steps = [
        "whisper.cpp must be built on llama.cpp's ggml: two ggmls in one program do not link. In your project:"
            .to_owned(),
        format!("1. mkdir -p .cargo && cp {cmake} .cargo/one-ggml.cmake"),
        "2. in .cargo/config.toml, under [env]:".to_owned(),
        format!("   \"{VARIABLE}\" = {{ value = \".cargo/one-ggml.cmake\", relative = true }}"),
        "   LLAMA_LIB_PROFILE = \"Release\"".to_owned(),
        "3. cargo clean -p whisper-rs-sys   (with --release for release builds)".to_owned(),
    ];
    for step in steps {
        println!("cargo::error={step}");
    }
}

const VARIABLE: &str = "CMAKE_PROJECT_whisper.cpp_INCLUDE";
