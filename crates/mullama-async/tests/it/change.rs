//! Models of a backend that come and go while others are used.

use std::time::Duration;

use mullama_async::{
    BackendEvent, BackendPrompt, BackendRequest, BackendStream, Error, InferenceBackend as _, LocalBackend,
    ModelChange, ModelSource,
};
use mullama_core::{EngineParams, GenerationParams};

fn params(sequences: u32) -> EngineParams {
    EngineParams { sequences, ..EngineParams::default() }
}

fn change(name: &str, sequences: u32) -> ModelChange {
    ModelChange {
        name: name.to_owned(),
        aliases: Vec::new(),
        source: ModelSource::bytes(mullama_demo_models::CHAT),
        params: params(sequences),
        load: true,
        drain: Duration::from_secs(60),
    }
}

fn backend() -> LocalBackend {
    LocalBackend::builder().model("m", ModelSource::bytes(mullama_demo_models::CHAT), params(2)).build().unwrap()
}

/// An answer of this many tokens.
async fn answer(backend: &LocalBackend, tokens: u32) -> BackendStream {
    let mut request = BackendRequest::new(BackendPrompt::Text("Count to 20.".to_owned()));
    request.params = GenerationParams { context_shift: true, ..GenerationParams::greedy(tokens) };
    request.params.sampling.ignore_eos = true;
    backend.submit("m", request).await.unwrap()
}

/// Reads an answer to its end. How many tokens has it?
async fn read(mut stream: BackendStream) -> u32 {
    let mut tokens = 0;
    while let Some(event) = stream.next().await {
        if let BackendEvent::Done(done) = event.unwrap() {
            tokens = done.summary.usage.completion_tokens;
        }
    }
    tokens
}

/// The sequences of a model that is loaded.
fn sequences(backend: &LocalBackend, name: &str) -> Option<u32> {
    let model = backend.models().into_iter().find(|model| model.name == name)?;
    model.info.map(|info| info.sequences)
}

#[tokio::test]
async fn a_model_takes_the_place_of_another_and_no_answer_is_cut() {
    let backend = backend();
    let running = answer(&backend, 300).await;
    assert_eq!(sequences(&backend, "m"), Some(2));
    // The new one is loaded while the old one's answer waits to be read.
    let draining = tokio::spawn(backend.put(change("m", 3)).await.unwrap().ended());
    let new = answer(&backend, 10).await;
    assert_eq!(sequences(&backend, "m"), Some(3));
    assert_eq!(backend.stats().len(), 1);
    assert!(!draining.is_finished());
    assert_eq!((read(running).await, read(new).await), (300, 10));
    assert!(draining.await.unwrap().unwrap());
    // And once more: the name in the pool is free again.
    assert!(backend.put(change("m", 4)).await.unwrap().ended().await.unwrap());
    assert_eq!(read(answer(&backend, 5).await).await, 5);
    assert_eq!(sequences(&backend, "m"), Some(4));
}

#[tokio::test]
async fn one_that_cannot_be_loaded_changes_nothing() {
    let backend = backend();
    let running = answer(&backend, 20).await;
    let broken = ModelChange { source: ModelSource::path("/no/such.gguf"), ..change("m", 3) };
    backend.put(broken).await.unwrap_err();
    let twice = ModelChange { aliases: vec!["m".to_owned()], ..change("n", 3) };
    assert!(matches!(backend.put(twice).await, Err(Error::DuplicateModel { .. })));
    assert_eq!((read(running).await, read(answer(&backend, 5).await).await), (20, 5));
    assert_eq!((sequences(&backend, "m"), backend.models().len()), (Some(2), 1));
}

#[tokio::test]
async fn models_are_added_and_removed() {
    let backend = backend();
    let new = ModelChange { load: false, aliases: vec!["x".to_owned()], ..change("n", 1) };
    assert!(backend.put(new).await.unwrap().ended().await.unwrap());
    assert_eq!(backend.resolve(Some("x")).as_deref(), Some("n"));
    let running = answer(&backend, 200).await;
    let draining = backend.remove("m", Duration::from_secs(60)).unwrap();
    assert_eq!(backend.resolve(Some("m")), None);
    assert_eq!(read(running).await, 200);
    assert!(draining.ended().await.unwrap());
    assert_eq!(backend.resolve(None).as_deref(), Some("n"));
    assert!(matches!(backend.remove("m", Duration::ZERO), Err(Error::NoSuchModel { .. })));
    // Whoever is not done in time is ended.
    backend.put(change("m", 1)).await.unwrap();
    let cut = answer(&backend, 100_000).await;
    assert!(!backend.remove("m", Duration::from_millis(50)).unwrap().ended().await.unwrap());
    drop(cut);
}

#[tokio::test]
async fn models_are_listed_as_they_are_told() {
    let backend = backend();
    for name in ["n", "o"] {
        backend.put(ModelChange { load: false, ..change(name, 1) }).await.unwrap();
    }
    backend.sort(&["o", "m"]);
    let names: Vec<_> = backend.models().into_iter().map(|model| model.name).collect();
    assert_eq!(names, ["o", "m", "n"]);
    assert_eq!(backend.resolve(None).as_deref(), Some("o"));
}

#[tokio::test]
async fn a_change_that_is_given_up_leaves_nothing() {
    let backend = backend();
    let running = answer(&backend, 20).await;
    for _ in 0..3 {
        let given_up = tokio::time::timeout(Duration::from_millis(1), backend.put(change("m", 3))).await;
        if let Ok(draining) = given_up {
            draining.unwrap();
        }
    }
    assert_eq!(read(running).await, 20);
    assert_eq!(read(answer(&backend, 5).await).await, 5);
    // However far each of them came, one engine is left when all is done.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while backend.stats().len() != 1 || backend.models().len() != 1 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Requests that come while their model is changed again and again: each gets an answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_models_are_swapped() {
    let backend = backend();
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let backend = backend.clone();
            tokio::spawn(async move {
                for _ in 0..30 {
                    assert_eq!(read(answer(&backend, 3).await).await, 3);
                }
            })
        })
        .collect();
    for at in 0..20 {
        backend.put(ModelChange { load: at % 2 == 0, ..change("m", 2 + at % 3) }).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for asked in asking {
        asked.await.unwrap();
    }
}
