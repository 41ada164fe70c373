//! One program with llama.cpp and whisper.cpp, on one ggml.

use std::ffi::CStr;

/// The features behind the name of a backend: "AVX2 = 1 | FMA = 1 | ...".
fn features(info: &str) -> Vec<String> {
    let features = info.split('|').map(|part| part.rsplit(':').next().unwrap_or(part).trim());
    let mut features: Vec<_> = features.filter(|part| part.ends_with("= 1")).map(str::to_owned).collect();
    features.sort();
    features
}

#[test]
fn llama_cpp_and_whisper_cpp_report_the_same_ggml() {
    // SAFETY: no arguments; a static string comes back.
    let llama = unsafe { CStr::from_ptr(mullama_sys::llama_print_system_info()) };
    let llama = llama.to_str().expect("ASCII").to_owned();
    let whisper = whisper_rs::print_system_info();
    assert!(whisper.contains("WHISPER"), "{whisper}");
    assert!(!features(&llama).is_empty(), "{llama}");
    // whisper.cpp's line has entries of its own besides those of ggml's CPU backend.
    let of_whisper = features(whisper);
    for feature in features(&llama) {
        assert!(of_whisper.contains(&feature), "whisper.cpp lacks {feature}: {whisper}\nllama.cpp: {llama}");
    }
}

#[test]
fn both_see_the_same_ggml_symbols() {
    // Two ggmls would have a log callback each: what llama.cpp sets, whisper.cpp's ggml must see.
    unsafe extern "C" fn silent(_: mullama_sys::ggml_log_level, _: *const std::ffi::c_char, _: *mut std::ffi::c_void) {}
    // SAFETY: the callback lives as long as the program and touches nothing.
    unsafe { mullama_sys::llama_log_set(Some(silent), std::ptr::null_mut()) };
    let (mut seen, mut data): (whisper_rs_sys::ggml_log_callback, _) = (None, std::ptr::null_mut());
    // SAFETY: both out pointers are live locals.
    unsafe { whisper_rs_sys::ggml_log_get(&raw mut seen, &raw mut data) };
    let address = seen.map(|callback| callback as usize);
    assert_eq!(address, Some(silent as unsafe extern "C" fn(_, _, _) as usize));
}

#[test]
fn whisper_cpp_runs_on_it() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../mullama-demo-models/models/mullama-tiny-en-q5_0.bin");
    let context = whisper_rs::WhisperContext::new_with_params(path, whisper_rs::WhisperContextParameters::default());
    let context = context.expect("the project's speech model");
    let mut state = context.create_state().expect("a state");
    let mut params = whisper_rs::FullParams::new(whisper_rs::SamplingStrategy::Greedy { best_of: 1 });
    params.set_n_threads(1);
    params.set_print_progress(false);
    // A second of a quiet tone: what is heard does not matter here, that the graph is computed does.
    let tone: Vec<f32> = (0..16_000_u16).map(|i| (f32::from(i) * 0.05).sin() * 0.1).collect();
    state.full(params, &tone).expect("whisper.cpp computes");
}
