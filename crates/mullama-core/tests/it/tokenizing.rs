//! Text to tokens and back, and the texts on which llama.cpp throws or overflows its stack.

use std::time::{Duration, Instant};

use mullama_core::{EncodeOptions, Error, ErrorKind, GenerationParams, Model, TokenId, TokenKind};

use crate::gguf_writer::{Edit, edit};
use crate::shared;

const PLAIN: EncodeOptions = EncodeOptions { add_special: false, parse_special: false };

pub(crate) fn assert_kind(error: &Error, kind: ErrorKind) {
    assert_eq!(error.kind(), kind, "{error}");
}

#[test]
fn texts_come_back_whole() {
    let tokenizer = shared::tiny().tokenizer();
    for text in ["Hello world", "café 東京 😀", "  two  spaces  ", "line\nline\r\n\ttab", "a\0b", "\u{202e}\u{fffd}"]
    {
        let tokens = tokenizer.encode(text, PLAIN).unwrap();
        assert_eq!(tokenizer.decode(&tokens).unwrap().trim_start(), text.trim_start(), "{tokens:?}");
        let mut decoder = tokenizer.decoder();
        let mut pieces: String =
            tokens.iter().map(|token| decoder.push(&tokenizer.piece(*token, false).unwrap())).collect();
        pieces.push_str(&decoder.finish());
        assert_eq!(pieces.trim_start(), text.trim_start());
    }
}

#[test]
fn special_tokens_are_read_only_when_asked() {
    let tokenizer = shared::tiny().tokenizer();
    let special = tokenizer.encode("<|im_end|>", EncodeOptions { add_special: false, parse_special: true }).unwrap();
    assert_eq!(special.len(), 1);
    assert!(tokenizer.is_end_of_generation(special[0]) && tokenizer.is_control(special[0]));
    assert_eq!(tokenizer.eot().or(tokenizer.eos()), Some(special[0]));
    let text = tokenizer.encode("<|im_end|>", PLAIN).unwrap();
    assert!(text.len() > 1 && !text.contains(&special[0]));
    assert_eq!(tokenizer.decode(&special).unwrap(), "");
    assert_eq!(tokenizer.decode_special(&special).unwrap(), "<|im_end|>");
    assert_eq!(tokenizer.kind(), TokenKind::SentencePiece);
    // A model without fill-in-the-middle tokens says so.
    assert_eq!((tokenizer.fim_prefix(), tokenizer.fim_suffix(), tokenizer.fim_middle()), (None, None, None));
}

#[test]
fn every_fill_in_the_middle_id_is_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fim.gguf");
    let names = ["pre", "suf", "mid", "pad", "rep", "sep"].map(|name| format!("tokenizer.ggml.fim_{name}_token_id"));
    let edits: Vec<_> = names.iter().zip(501..).map(|(name, id)| Edit::AddU32(name, id)).collect();
    edit(&shared::tiny_path(), &file, &edits);
    let tokenizer = Model::load(&file).unwrap().tokenizer();
    let found = [
        tokenizer.fim_prefix(),
        tokenizer.fim_suffix(),
        tokenizer.fim_middle(),
        tokenizer.fim_pad(),
        tokenizer.fim_repository(),
        tokenizer.fim_separator(),
    ];
    assert_eq!(found, [501, 502, 503, 504, 505, 506].map(|id| Some(TokenId(id))));
}

#[test]
fn ids_outside_the_vocabulary_are_errors() {
    let tokenizer = shared::tiny().tokenizer();
    let size = i32::try_from(tokenizer.vocabulary_size()).unwrap();
    for id in [-1, i32::MIN, size, i32::MAX] {
        assert!(matches!(tokenizer.piece(TokenId(id), true), Err(Error::UnknownToken { .. })), "{id}");
        assert!(matches!(tokenizer.decode(&[TokenId(1), TokenId(id)]), Err(Error::UnknownToken { .. })), "{id}");
        assert!(!tokenizer.is_end_of_generation(TokenId(id)));
    }
}

#[test]
fn a_character_without_a_token_is_an_error_where_llama_cpp_throws() {
    let Some(model) = shared::model("models/llm/babyllama-tok105-q8_0.gguf") else { return };
    let tokenizer = model.tokenizer();
    for text in ["café 日本", "line\nfeed", &"日".repeat(2_000)] {
        let error = tokenizer.encode(text, EncodeOptions::default()).unwrap_err();
        assert!(matches!(&error, Error::Tokenize { reason } if reason.contains("byte fallback")), "{error}");
        let mut context = model.context().build().unwrap();
        assert_kind(&context.generate(text, &Default::default()).unwrap_err(), ErrorKind::InvalidInput);
    }
    assert!(!tokenizer.encode("Once upon a time", EncodeOptions::default()).unwrap().is_empty());
}

#[test]
fn very_long_texts_of_one_kind_end_in_tokens_or_an_error() {
    let mut models = vec![shared::tiny()];
    for path in [
        "models/llm/stories260K-f32.gguf",
        "models/llm/babyllama-tok361-q8_0.gguf",
        "models/embed/all-MiniLM-L6-v2-q8_0.gguf",
    ] {
        let Some(model) = shared::model(path) else { return };
        models.push(model);
    }
    for model in models {
        let tokenizer = model.tokenizer();
        for unit in ["a", ".", " ", "\n", "1", "漢", "us"] {
            for count in [1_000, 30_000, 1_000_000] {
                // llama.cpp needs some 10 microseconds for each byte that is a token of its own.
                if count > 30_000 && unit != "a" && unit != " " {
                    continue;
                }
                match tokenizer.encode(&unit.repeat(count), PLAIN) {
                    Ok(_)
                    | Err(
                        Error::Timeout { .. }
                        | Error::RunTooLong { .. }
                        | Error::UnknownCharacters { .. }
                        | Error::Overloaded { .. },
                    ) => {}
                    Err(other) => panic!("{unit:?} x {count}: {other}"),
                }
            }
        }
    }
    let error = shared::tiny().tokenizer().encode(&"x ".repeat(9 << 20), PLAIN).unwrap_err();
    assert!(matches!(error, Error::TextTooLong { .. }), "{error}");
}

#[test]
fn a_text_that_would_take_minutes_is_refused_before() {
    let Some(babyllama) = shared::model("models/llm/babyllama-tok361-q8_0.gguf") else { return };
    for model in [shared::tiny(), babyllama] {
        let tokenizer = model.tokenizer();
        let start = Instant::now();
        let error = tokenizer.encode(&"\u{1}".repeat(1 << 20), PLAIN).unwrap_err();
        assert!(matches!(error, Error::UnknownCharacters { characters: 1_048_576, limit: 65_536 }), "{error}");
        assert_kind(&error, ErrorKind::InvalidInput);
        // As many as are let through are tokens, each byte one.
        assert!(tokenizer.encode(&"\u{1}".repeat(1 << 16), PLAIN).unwrap().len() >= 1 << 16);
        // A prompt that cannot fit however good its tokens are is not tokenized at all.
        let mut context = model.context().length(256).build().unwrap();
        let text = "a b ".repeat(2 << 20);
        match context.generate(text.as_str(), &Default::default()).unwrap_err() {
            Error::PromptTooLong { got, exact: false, limit: 256 } => assert!((256..4 << 20).contains(&got), "{got}"),
            other => panic!("{other}"),
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    }
}

#[test]
fn the_fewest_tokens_are_never_more_than_there_are() {
    for path in ["models/llm/stories260K-f32.gguf", "models/llm/babyllama-tok361-q8_0.gguf"] {
        let Some(model) = shared::model(path) else { return };
        // A prompt of just the tokens that it has is taken, however long their texts are.
        let tokenizer = model.tokenizer();
        let longest = (0..i32::try_from(tokenizer.vocabulary_size()).unwrap())
            .map(|id| tokenizer.piece(TokenId(id), false).unwrap())
            .filter(|piece| piece.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b' '))
            .max_by_key(Vec::len)
            .unwrap();
        let text = String::from_utf8(longest).unwrap().repeat(40);
        let tokens = tokenizer.encode(&text, EncodeOptions { add_special: true, parse_special: true }).unwrap().len();
        let mut context = model.context().length(u32::try_from(tokens).unwrap() + 8).build().unwrap();
        let params = GenerationParams::greedy(1);
        assert_eq!(context.generate(text.as_str(), &params).unwrap().count(), 2, "{text}");
    }
}

#[test]
fn a_tokenizer_outlives_the_callers_model_and_works_on_other_threads() {
    let tokenizer = shared::tiny().tokenizer();
    let expected = tokenizer.encode("Hello world", PLAIN).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(tokenizer.encode("Hello world", PLAIN).unwrap(), expected));
        }
    });
}
