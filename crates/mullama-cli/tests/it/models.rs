//! Commands about model files.

use crate::{mullama, shared, with_input};

#[test]
fn info_tells_what_the_embedded_model_is() {
    let json = mullama(&["info", "--json", "--check"]).json();
    let expected = [
        ("architecture", serde_json::json!("llama")),
        ("parameters", 3_214_080.into()),
        ("size", 3_451_136.into()),
        ("file_type", "Q8_0".into()),
        ("context_length", 2_048.into()),
        ("embedding_length", 256.into()),
        ("layers", 5.into()),
        ("heads", 8.into()),
        ("heads_kv", 4.into()),
        ("vocabulary_size", 1_024.into()),
        ("chat_template", true.into()),
        ("check", "ok".into()),
    ];
    for (key, value) in expected {
        assert_eq!(json[key], value, "{key}");
    }
    assert_eq!(json["metadata"]["tokenizer.ggml.tokens"].as_array().unwrap().len(), 1_024);
    assert_eq!((json["tensors"].as_array().unwrap().len(), &json["tensors"][0]["type"]), (47, &"f32".into()));

    let table = mullama(&["info", "--tensors", "--check"]).ok();
    for text in ["chat template     yes", "llama.block_count", "blk.4.ffn_up.weight", "256 x 512", "check: ok"] {
        assert!(table.contains(text), "{text}");
    }
    assert!(table.lines().all(|line| line.chars().count() < 140));
}

#[test]
fn a_quantized_model_runs_and_half_written_files_do_not_stay() {
    let Some(input) = shared("mullama-tiny/mullama-tiny-f16.gguf") else { return };
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (input.to_str().unwrap(), folder.path().join("q8.gguf"));
    let output = output.to_str().unwrap();
    let told = mullama(&["quantize", input, output, "q8_0"]).ok();
    assert!(told.contains("6.2 MiB -> ") && told.contains("3.3 MiB (Q8_0, 53 %)"), "{told}");
    assert_eq!(mullama(&["run", output, "Who are you?"]).ok(), "I am a tiny demo model of mullama.\n");
    assert_eq!(with_input(&["run", output], b"Who are you?\n").ok(), "I am a tiny demo model of mullama.\n");
    assert_eq!(mullama(&["info", "--json", output]).json()["file_type"], "Q8_0");

    let again = folder.path().join("q4.gguf");
    let again = again.to_str().unwrap();
    let refused = mullama(&["quantize", output, again, "Q4_K_M"]);
    assert!(refused.err.contains("hint: --allow-requantize"), "{refused:?}");
    refused.fails(2, "the input is q8_0 already; to quantize it again loses more");
    mullama(&["quantize", "--allow-requantize", output, again, "Q4_K_M"]).ok();
    mullama(&["quantize", output, output, "Q4_0"]).fails(2, "must be another file than the input");
    let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["q4.gguf", "q8.gguf"]);
}

#[test]
fn texts_become_vectors() {
    let Some(model) = shared("embed/all-MiniLM-L6-v2-q8_0.gguf") else { return };
    let model = model.to_str().unwrap();
    let texts = ["A cat sits on the mat.", "A feline rests on a rug.", "Stocks fell on Monday."];
    let lines = with_input(&["embed", model], texts.join("\n").as_bytes()).ok();
    let vectors: Vec<Vec<f64>> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let dot = |a: usize, b: usize| vectors[a].iter().zip(&vectors[b]).map(|(x, y)| x * y).sum::<f64>();
    assert_eq!((vectors.len(), vectors[0].len()), (3, 384));
    assert!((dot(0, 0) - 1.0).abs() < 1e-4 && dot(0, 1) > dot(0, 2) + 0.3, "{} {}", dot(0, 1), dot(0, 2));

    let json = mullama(&["embed", "--json", model, texts[0], texts[1]]).json();
    assert_eq!(json["embeddings"].as_array().unwrap().len(), 2);
    assert_eq!(json["embeddings"][0].as_array().unwrap().len(), 384);
    assert_eq!(json["usage"]["prompt_tokens"], json["usage"]["total_tokens"]);
    assert_eq!(json["usage"]["total_tokens"], 19);

    let long = mullama(&["embed", "--no-normalize", model, texts[0]]).ok();
    let long: Vec<f64> = serde_json::from_str(&long).unwrap();
    assert!((long.iter().map(|x| x * x).sum::<f64>().sqrt() - 1.0).abs() > 0.01);
    let each: Vec<Vec<f64>> =
        serde_json::from_str(&mullama(&["embed", "--pooling", "none", model, "cat"]).ok()).unwrap();
    assert_eq!((each.len(), each[0].len()), (3, 384)); // [CLS] cat [SEP]

    with_input(&["embed", model], b"").fails(2, "no tokens");
    let refused = mullama(&["run", model, "hi"]);
    assert!(refused.err.contains("mullama embed") && !refused.err.contains("Embedder"), "{refused:?}");
    refused.fails(2, "generation with this model is not supported");
    mullama(&["chat", model]).fails(2, "generation with this model is not supported");
    mullama(&["rerank", model, "what?", "that"]).fails(2, "ranking with this model is not supported");
}

#[test]
fn a_model_without_a_template_takes_the_text_as_it_is() {
    let Some(model) = shared("llm/stories260K-q8_0.gguf") else { return };
    let model = model.to_str().unwrap();
    let story = |raw: &[&str]| {
        let args =
            [&["run", "--json", "--temperature", "0", "--max-tokens", "20", model, "Once upon a time"], raw].concat();
        mullama(&args).json()
    };
    let plain = story(&[]);
    assert_eq!(plain["finish_reason"], "length");
    assert!(plain.get("message").is_none());
    assert_eq!(plain["tokens"], story(&["--raw"])["tokens"]);
    mullama(&["run", "--system", "x", model, "hi"]).fails(2, "need a chat template");
    mullama(&["chat", model]).fails(2, "the model has no chat template");
}

#[test]
fn devices_name_the_cpu() {
    let json = mullama(&["devices", "--json"]).json();
    let cpu = json["devices"].as_array().unwrap().iter().find(|device| device["kind"] == "cpu").unwrap().clone();
    assert!(cpu["memory_total"].as_u64().unwrap() > 0);
    assert!(mullama(&["devices"]).ok().starts_with("name "));
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    const COMMANDS: [&str; 12] = [
        "run",
        "chat",
        "serve",
        "tokenize",
        "embed",
        "rerank",
        "info",
        "quantize",
        "bench",
        "devices",
        "completions",
        "man",
    ];
    let script = mullama(&["completions", "bash"]).ok();
    let folder = tempfile::tempdir().unwrap();
    mullama(&["man", "--dir", folder.path().join("pages").to_str().unwrap()]).ok();
    for name in COMMANDS {
        assert!(script.contains(&format!("mullama__subcmd__{name}")) || script.contains(&format!("mullama,{name}")));
        let page = std::fs::read_to_string(folder.path().join(format!("pages/mullama-{name}.1"))).unwrap();
        assert!(page.contains(&format!("mullama {name}")) || page.contains(&format!("mullama\\-{name}")), "{name}");
    }
    assert!(mullama(&["man"]).ok().contains(".TH mullama 1"));
    assert!(folder.path().join("pages/mullama.1").is_file());
}
