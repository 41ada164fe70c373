//! Vectors and scores.

use mullama_core::{ContextParams, EncodeOptions, Error, ErrorKind, FlashAttention, Model, Pooling, Reranker};

use crate::gguf_writer::{Edit, edit};
use crate::{shared, tokenizing::assert_kind};

const MINILM: &str = "models/embed/all-MiniLM-L6-v2-q8_0.gguf";

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn vectors_are_those_of_llama_cpp_alone_and_together() {
    let Some(model) = shared::model(MINILM) else { return };
    let record = shared::json("oracle/embeddings.json").unwrap();
    let records = record["records"].as_array().unwrap();
    let mut embedder = model.embedder().length(512).build().unwrap();
    assert_eq!((embedder.dimensions(), embedder.pooling()), (384, Pooling::Mean));

    let texts: Vec<_> = records.iter().map(|record| record["text"].as_str().unwrap()).collect();
    // Many texts take another kernel, which rounds differently: the texts together are compared within 0.999.
    let together = embedder.embed(&texts).unwrap();
    // Without flash attention the kernel is the same for one and for many.
    let params = ContextParams { length: 512, flash_attention: FlashAttention::Off, ..Default::default() };
    let mut plain = model.embedder().params(params).build().unwrap();
    let plain_together = plain.embed(&texts).unwrap();
    for (((record, text), together), plain_together) in records.iter().zip(&texts).zip(&together).zip(&plain_together) {
        #[expect(clippy::cast_possible_truncation, reason = "they were written from floats")]
        let expected: Vec<f32> =
            record["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect();
        let alone = embedder.embed(&[text]).unwrap().remove(0);
        let plain_alone = plain.embed(&[text]).unwrap().remove(0);
        assert!(cosine(&plain_alone.vector, &plain_together.vector) > 0.99999, "{text:?}");
        for (ours, least) in [(&alone, 0.9999), (together, 0.999)] {
            let similarity = cosine(&ours.vector, &expected);
            assert!(similarity > least, "{text:?}: {similarity}");
            let length = ours.vector.iter().map(|x| x * x).sum::<f32>().sqrt();
            assert!((length - 1.0).abs() < 1e-4, "{text:?}: length {length}");
            assert_eq!(u64::from(ours.tokens), record["usage"]["prompt_tokens"].as_u64().unwrap());
        }
    }
}

#[test]
fn more_texts_than_fit_one_batch_keep_their_order() {
    let Some(model) = shared::model(MINILM) else { return };
    let params = ContextParams { length: 64, flash_attention: FlashAttention::Off, ..Default::default() };
    let mut embedder = model.embedder().params(params).build().unwrap();
    let texts: Vec<_> = (0..150).map(|n| format!("number {n}")).collect();
    let all = embedder.embed(&texts).unwrap();
    assert_eq!(all.len(), texts.len());
    for index in [0, 63, 64, 100, 149] {
        let alone = embedder.embed(&texts[index..=index]).unwrap();
        assert!(cosine(&alone[0].vector, &all[index].vector) > 0.9999, "{index}");
        assert!(cosine(&alone[0].vector, &all[(index + 1) % 150].vector) < 0.9999, "{index}");
    }
}

#[test]
fn every_pooling_is_what_it_says() {
    let Some(model) = shared::model(MINILM) else { return };
    let text = "The cat sits on the mat.";
    let build = |pooling| model.embedder().pooling(pooling).normalize(false).build().unwrap();
    let rows = build(Pooling::None).embed_tokens(text).unwrap();
    assert_eq!((rows.len(), rows[0].len()), (9, 384));
    let one = |pooling| build(pooling).embed(&[text]).unwrap().remove(0).vector;
    assert!(cosine(&one(Pooling::Cls), &rows[0]) > 0.9999);
    assert!(cosine(&one(Pooling::Last), &rows[8]) > 0.9999);
    let mean: Vec<f32> = (0..384).map(|i| rows.iter().map(|row| row[i]).sum::<f32>() / 9.0).collect();
    assert!(cosine(&one(Pooling::Mean), &mean) > 0.9999);
}

#[test]
fn texts_that_do_not_fit_are_refused_before_they_reach_c() {
    let Some(model) = shared::model(MINILM) else { return };
    // 600 tokens in a table of 512 positions: llama.cpp aborts on the CPU and reads beyond the table on a GPU.
    let mut embedder = model.embedder().build().unwrap();
    assert_eq!(embedder.length(), 512);
    let long = "word ".repeat(600);
    assert!(matches!(embedder.embed(&[&long]), Err(Error::PromptTooLong { got: 602, exact: true, limit: 512 })));
    assert_kind(&model.embedder().length(513).build().unwrap_err(), ErrorKind::InvalidInput);
    // And it still works.
    assert_eq!(embedder.embed(&["fine"]).unwrap().len(), 1);
}

#[test]
fn a_model_that_embeds_does_not_generate() {
    let Some(model) = shared::model(MINILM) else { return };
    let error = model.context().build().unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    assert!(matches!(Reranker::new(&model), Err(Error::Unsupported { .. })));
}

/// No small ranking model is to be had, so one is made: MiniLM with rank pooling and an output row of known numbers. The
/// score must be that row times the vector of the first token, which the embedder gives.
#[test]
fn a_ranking_model_scores_by_its_output_row() {
    let Some(path) = shared::file(MINILM) else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rank.gguf");
    let weights: Vec<f32> = (0..384_u16).map(|i| f32::from(i % 7) - 3.0).collect();
    let edits = [
        Edit::SetU32("bert.pooling_type", 4),
        Edit::AddTensor("cls.output.weight", vec![384, 1], weights.clone()),
        Edit::AddTensor("cls.output.bias", vec![1], vec![0.5]),
    ];
    edit(&path, &file, &edits);
    let params = ContextParams { flash_attention: FlashAttention::Off, ..Default::default() };
    let mut reranker = Reranker::with_params(&Model::load(&file).unwrap(), &params).unwrap();

    let documents = ["It is a bear of China.", "A kind of bread.", "Pandas eat bamboo."];
    let scores = reranker.score("What is a panda?", &documents).unwrap();
    let plain = Model::load(&path).unwrap();
    let mut embedder = plain.embedder().params(params).pooling(Pooling::Cls).normalize(false).build().unwrap();
    let (tokenizer, bare) = (plain.tokenizer(), EncodeOptions { add_special: false, parse_special: false });
    for (document, score) in documents.iter().zip(&scores) {
        // [CLS] question [SEP] document, as llama.cpp's server puts a pair together.
        let mut pair = vec![tokenizer.bos().unwrap()];
        pair.extend(tokenizer.encode("What is a panda?", bare).unwrap());
        pair.push(tokenizer.sep().unwrap());
        pair.extend(tokenizer.encode(document, bare).unwrap());
        let first = embedder.embed_ids(&[pair]).unwrap().remove(0).vector;
        let expected = first.iter().zip(&weights).map(|(a, b)| a * b).sum::<f32>() + 0.5;
        let alone = reranker.score("What is a panda?", &[document]).unwrap()[0];
        assert!((alone - expected).abs() < 1e-3, "{document}: {alone} instead of {expected}");
        // Together the rows are rounded differently, and this output row multiplies that by its length of 39.
        assert!((score - expected).abs() < 0.5, "{document}: {score} instead of {expected}");
    }
    let ranked = reranker.rerank("What is a panda?", &documents).unwrap();
    assert!(ranked.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert_eq!(ranked.len(), 3);
    assert!(matches!(model_embedder(&file), Err(Error::Unsupported { .. })));
}

fn model_embedder(file: &std::path::Path) -> mullama_core::Result<mullama_core::Embedder> {
    Model::load(file)?.embedder().build()
}
