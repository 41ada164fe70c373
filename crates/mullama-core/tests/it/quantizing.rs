//! Quantizing a real model.

use mullama_core::{Error, ErrorKind, FileType, GenerationParams, Model, QuantizeParams, quantize};

use crate::{shared, tokenizing::assert_kind};

#[test]
fn a_quantized_model_is_smaller_and_still_answers() {
    let Some(input) = shared::file("models/mullama-tiny/mullama-tiny-f16.gguf") else { return };
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("q8.gguf");
    let mut told = Vec::new();
    quantize(&input, &output, FileType::Q8_0, &QuantizeParams::default(), |done, of| told.push((done, of))).unwrap();
    let tensors = mullama_core::gguf::Gguf::open(&input).unwrap().tensors().len();
    assert_eq!((told.first(), told.last()), (Some(&(1, tensors)), Some(&(tensors, tensors))));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no part remains");

    let model = Model::load(&output).unwrap();
    assert_eq!(model.file_type(), "Q8_0");
    let prompt = "<|im_start|>user\nWhat is 7 + 8?<|im_end|>\n<|im_start|>assistant\n";
    let text =
        model.context().build().unwrap().generate(prompt, &GenerationParams::greedy(20)).unwrap().text().unwrap();
    assert_eq!(text, "7 + 8 = 15.");
    // The project's own q8_0 was made by llama.cpp's program: the same weights.
    let theirs = std::fs::read(shared::tiny_path()).unwrap();
    let ours = std::fs::read(&output).unwrap();
    let data = |bytes: &[u8]| {
        bytes[usize::try_from(mullama_core::gguf::Gguf::parse(bytes).unwrap().data_offset()).unwrap()..].to_vec()
    };
    assert!(data(&ours) == data(&theirs), "other weights than llama-quantize made");
}

#[test]
fn every_format_is_made_or_refused() {
    let Some(input) = shared::file("models/mullama-tiny/mullama-tiny-f16.gguf") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut made = 0;
    for file_type in FileType::ALL {
        let output = folder.path().join("out.gguf");
        match quantize(&input, &output, *file_type, &QuantizeParams::default(), |_, _| {}) {
            Ok(()) => {
                Model::load(&output).unwrap();
                made += 1;
            }
            Err(Error::Quantize { .. }) => assert!(!output.exists() || made > 0),
            Err(other) => panic!("{file_type}: {other}"),
        }
    }
    assert!(made >= 15, "{made}");
}

#[test]
fn what_cannot_be_done_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.gguf");
    let with = |params: &QuantizeParams| quantize(shared::tiny_path(), &output, FileType::Q4_0, params, |_, _| {});
    let error = with(&QuantizeParams::default()).unwrap_err();
    assert!(matches!(error, Error::InvalidParameter { name: "allow_requantize", .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    with(&QuantizeParams { allow_requantize: true, ..Default::default() }).unwrap();

    // A split output that would overwrite its split input.
    if let Some(model) = shared::file("models/llm/stories260K-f32.gguf") {
        let parts = tempfile::tempdir().unwrap();
        let first = crate::gguf_writer::split(&model, parts.path());
        let split = QuantizeParams { keep_split: true, ..Default::default() };
        let over = quantize(&first, parts.path().join("model"), FileType::F16, &split, |_, _| {}).unwrap_err();
        assert!(matches!(over, Error::InvalidParameter { name: "output", .. }), "{over}");
        quantize(&first, parts.path().join("small"), FileType::F16, &split, |_, _| {}).unwrap();
        Model::load(parts.path().join("small-00001-of-00002.gguf")).unwrap();
    }

    let same = quantize(&output, &output, FileType::Q8_0, &QuantizeParams::default(), |_, _| {}).unwrap_err();
    assert!(matches!(same, Error::InvalidParameter { .. }), "{same}");
    let none = quantize("none.gguf", &output, FileType::Q8_0, &QuantizeParams::default(), |_, _| {}).unwrap_err();
    assert_kind(&none, ErrorKind::NotFound);
    let nowhere = folder.path().join("no/such/folder/out.gguf");
    let nowhere = quantize(
        shared::tiny_path(),
        nowhere,
        FileType::F16,
        &QuantizeParams { allow_requantize: true, ..Default::default() },
        |_, _| {},
    );
    assert_kind(&nowhere.unwrap_err(), ErrorKind::NotFound);
}
