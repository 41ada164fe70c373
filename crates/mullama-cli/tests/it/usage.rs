//! Flags: their names, their numbers, and what is said of wrong ones.

use crate::{mullama, shared};

const QUICK: [&str; 4] = ["run", "--json", "--max-tokens", "2"];

fn run(flags: &[&str]) -> crate::Outcome {
    mullama(&[&QUICK[..], flags, &["Who are you?"]].concat())
}

#[test]
fn wrong_usage_is_one_line_and_a_hint() {
    let cases = [
        (&["run", "--no-such-flag"][..], "there is no flag --no-such-flag"),
        (&["nosuch"], "there is no command nosuch"),
        (&["run", "--top-k", "x", "hi"], "--top-k is x, but must be a whole number"),
        (&["run", "--temperature", "x", "hi"], "--temperature is x, but must be a number"),
        (&["run", "--raw", "--system", "x", "hi"], "--raw cannot be used with --system"),
        (&["run", "--tool-choice", "auto", "hi"], "--tools is missing"),
        (&["run", "--kv-override", "a=1", "hi"], "--kv-override is a=1, but must be KEY=TYPE:VALUE"),
        (&["run", "--timeout", "1", "--timeout-ms", "1000", "hi"], "--timeout cannot be used with --timeout-ms"),
        (&["run", "m.gguf", "what", "now"], "`now` is one argument too many"),
        (&["quantize", "in.gguf"], "OUTPUT and TYPE are missing"),
        (&["quantize", "in.gguf", "out.gguf", "Q9"], "TYPE is Q9, but must be "),
        (&["info", "--json", "--json"], "--json is given twice"),
        (&["--quiet"], "a command is missing"),
    ];
    for (wrong, message) in cases {
        let told = mullama(wrong);
        assert_eq!((told.out.as_str(), told.err.lines().count()), ("", 2), "{told:?}");
        assert!(told.err.lines().nth(1).unwrap().starts_with("hint: "), "{told:?}");
        told.fails(2, message);
    }
}

#[test]
fn a_negative_number_has_its_meaning_or_its_own_error() {
    let seed = |flags: &[&str]| run(&[&["--temperature", "1"], flags].concat()).json()["seed"].clone();
    assert_eq!(seed(&["--seed", "7"]), 7);
    assert_ne!(seed(&["--seed", "-1"]), seed(&["--seed", "-1"]));
    run(&["--top-k", "-1"]).ok();
    run(&["--temperature", "-0.5"]).fails(2, "--temperature is -0.5, but must be 0..=10");
    run(&["--seed", "-2"]).fails(2, "--seed is -2, but must be a whole number, -1..=4294967295");
    run(&["--ctx-size", "-1"]).fails(2, "--ctx-size is -1, but must be a whole number, 0..=");
    run(&["--timeout", "-1"]).fails(2, "--timeout is -1, but must be 0.001..=");
    run(&["--top-logprobs", "21"]).fails(2, "--top-logprobs is 21, but must be a whole number, 0..=20");
}

#[test]
fn a_prompt_may_begin_with_a_dash() {
    for prompt in [&["-5 + 3"][..], &["-5"], &["--", "-5"], &["--", "-v is a flag"]] {
        mullama(&[&QUICK[..], prompt].concat()).ok();
    }
    let hinted = mullama(&["run", "-x is a flag"]);
    assert!(hinted.err.contains("hint: put `--` before a text that begins with a dash"), "{hinted:?}");
    hinted.fails(2, "`-x is a flag` begins like a flag");
}

#[test]
fn flags_have_the_names_of_the_fields_too() {
    for name in ["--ctx-size", "--length", "--context-length", "--n-ctx"] {
        mullama(&["run", name, "8", "Who are you?"]).fails(2, "but the context holds 8");
    }
    for name in ["--batch-size", "--batch"] {
        run(&[name, "0"]).fails(2, "--batch-size is 0, but must be 1..=65,536");
    }
    for name in ["--ubatch-size", "--micro-batch"] {
        run(&[name, "0"]).fails(2, "--ubatch-size is 0, but must be 1 up to --batch-size");
    }
    for flash in ["--flash-attn", "--flash-attention"] {
        let values = ["--cache-type-v", "--kv-type-v"];
        for name in values {
            run(&[flash, "off", name, "q4_0"]).fails(2, "--cache-type-v is q4_0, but must be f16");
        }
    }
    for name in ["--cache-type-k", "--kv-type-k"] {
        run(&[name, "q9"]).fails(2, "--cache-type-k is q9, but must be f32, ");
    }
    mullama(&["run", "--timeout-ms", "1", "--quiet", "Count to 20."]).fails(5, "took longer than 1 ms");
}

#[test]
fn the_parameters_of_models_and_contexts_have_flags() {
    let on = ["--split-mode", "none", "--main-gpu", "0", "--tensor-split", "3,1", "--check-tensors"];
    let of = ["--no-kv-offload", "--rope-freq-base", "10000", "--rope-freq-scale", "1", "--no-cache-prompt"];
    run(&[&on[..], &of].concat()).ok();
    run(&["--tensor-split", "1,-1"]).fails(2, "--tensor-split is [1.0, -1.0], but must be at most 128 shares");
    run(&["--rope-freq-base", "-1"]).fails(2, "--rope-freq-base is -1, but must be 0");
    run(&["--main-gpu", "5000"]).fails(2, "--main-gpu is 5000, but must be a device index");
    let count = |flags: &[&str]| run(flags).json()["usage"]["prompt_tokens"].clone();
    let with_bos = ["--raw", "--kv-override", "tokenizer.ggml.add_bos_token=bool:true"];
    let without = ["--raw", "--kv-override", "tokenizer.ggml.add_bos_token=bool:false"];
    assert_eq!(count(&with_bos).as_u64().unwrap(), count(&without).as_u64().unwrap() + 1);
}

#[test]
fn errors_speak_of_flags_and_of_numbers() {
    let told = run(&["--threads", "9999"]);
    let limit = std::thread::available_parallelism().unwrap().get().saturating_mul(4).min(512);
    assert!(told.err.contains(&format!("must be 0 (automatic) to {limit};")), "{told:?}");
    told.fails(2, "--threads is 9999");
    mullama(&["run", "--max-tokens", "0", "hi"]).fails(2, "--max-tokens is 0, but must be at least 1");
}

#[test]
fn a_picture_tower_is_told_from_a_language_model() {
    let Some(tower) = shared("mullama-tiny/mmproj-mullama-tiny-f16.gguf") else { return };
    let tower = tower.to_str().unwrap();
    for args in [&["run", tower, "hi"][..], &["chat", tower], &["embed", tower, "hi"], &["tokenize", tower, "hi"]] {
        mullama(args).fails(2, "is a picture tower and not a language model");
    }
}

#[test]
fn every_command_has_a_help_that_fits() {
    let list = mullama(&["--help"]).ok();
    for name in [
        "run",
        "chat",
        "serve",
        "tokenize",
        "embed",
        "rerank",
        "info",
        "quantize",
        "convert",
        "probe",
        "bench",
        "devices",
        "completions",
        "man",
    ] {
        assert!(list.contains(&format!("\n  {name} ")), "{name}");
        let help = mullama(&[name, "--help"]);
        assert_eq!(help.err, "");
        let help = help.ok();
        assert!(help.contains(&format!("Usage: mullama {name}")), "{name}");
    }
    let help = mullama(&["run", "--help"]).ok();
    assert!(help.contains("one for models under 32 MiB, else as many as cores, at most 16"), "{help}");
}
