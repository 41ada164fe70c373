//! Models of a backend that come and go while others are used.

use std::time::Duration;

use mullama_async::{
    BackendEvent, BackendPrompt, BackendRequest, BackendStream, Draining, Error, InferenceBackend as _, LocalBackend,
    ModelSource, Place, Prepared,
};
use mullama_core::{EngineParams, GenerationParams};

fn params(sequences: u32) -> EngineParams {
    EngineParams { sequences, ..EngineParams::default() }
}

async fn prepared(backend: &LocalBackend, name: &str, sequences: u32, load: bool) -> Result<Prepared, Error> {
    backend.prepare(name, ModelSource::bytes(mullama_demo_models::CHAT), params(sequences), load).await
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn kept(name: &str) -> (Vec<String>, Place) {
    (names(&[name]), Place::Kept(name.to_owned()))
}

/// Puts another model in the place of the only one.
async fn swap(backend: &LocalBackend, sequences: u32, load: bool) -> Draining {
    let new = prepared(backend, "m", sequences, load).await.unwrap();
    backend.arrange(vec![(names(&["m"]), Place::New(new))], Duration::from_secs(60)).unwrap().remove(0)
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
    let draining = tokio::spawn(swap(&backend, 3, true).await.ended());
    let new = answer(&backend, 10).await;
    assert_eq!(sequences(&backend, "m"), Some(3));
    assert_eq!(backend.stats().len(), 1);
    assert!(!draining.is_finished());
    assert_eq!((read(running).await, read(new).await), (300, 10));
    assert!(draining.await.unwrap().unwrap());
    // And once more: the name in the pool is free again.
    assert!(swap(&backend, 4, true).await.ended().await.unwrap());
    assert_eq!(read(answer(&backend, 5).await).await, 5);
    assert_eq!(sequences(&backend, "m"), Some(4));
}

#[tokio::test]
async fn one_that_cannot_be_loaded_changes_nothing() {
    let backend = backend();
    let running = answer(&backend, 20).await;
    let broken = backend.prepare("m", ModelSource::path("/no/such.gguf"), params(3), true).await;
    assert!(broken.is_err());
    let new = prepared(&backend, "n", 3, true).await.unwrap();
    let twice = vec![(names(&["n", "m"]), Place::New(new)), kept("m")];
    assert!(matches!(backend.arrange(twice, Duration::ZERO), Err(Error::DuplicateModel { name }) if name == "m"));
    let absent = vec![kept("x")];
    assert!(matches!(backend.arrange(absent, Duration::ZERO), Err(Error::NoSuchModel { name }) if name == "x"));
    let both = vec![kept("m"), (names(&["n"]), Place::Kept("m".to_owned()))];
    assert!(matches!(backend.arrange(both, Duration::ZERO), Err(Error::DuplicateModel { .. })));
    assert!(backend.arrange(vec![(Vec::new(), Place::Kept("m".to_owned()))], Duration::ZERO).is_err());
    assert_eq!((read(running).await, read(answer(&backend, 5).await).await), (20, 5));
    assert_eq!((sequences(&backend, "m"), backend.models().len()), (Some(2), 1));
    // What was prepared and got no place goes.
    until_one_engine(&backend).await;
}

async fn until_one_engine(backend: &LocalBackend) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while backend.stats().len() != 1 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn models_are_added_and_removed() {
    let backend = backend();
    let new = prepared(&backend, "n", 1, false).await.unwrap();
    let both = vec![kept("m"), (names(&["n", "x"]), Place::New(new))];
    assert!(backend.arrange(both, Duration::ZERO).unwrap().is_empty());
    assert_eq!(backend.resolve(Some("x")).as_deref(), Some("n"));
    let running = answer(&backend, 200).await;
    let mut draining = backend.arrange(vec![kept("n")], Duration::from_secs(60)).unwrap();
    assert_eq!(backend.resolve(Some("m")), None);
    assert_eq!(backend.resolve(Some("x")), None);
    assert_eq!(read(running).await, 200);
    let draining = draining.remove(0);
    assert_eq!(draining.name(), "m");
    assert!(draining.ended().await.unwrap());
    assert_eq!(backend.resolve(None).as_deref(), Some("n"));
    // Whoever is not done in time is ended.
    let new = prepared(&backend, "m", 1, true).await.unwrap();
    backend.arrange(vec![(names(&["m"]), Place::New(new)), kept("n")], Duration::ZERO).unwrap();
    let cut = answer(&backend, 100_000).await;
    let draining = backend.arrange(vec![kept("n")], Duration::from_millis(50)).unwrap().remove(0);
    assert!(!draining.ended().await.unwrap());
    drop(cut);
}

/// Names move between models that stay as they are: nothing is loaded, and no name is missing in between.
#[tokio::test]
async fn names_and_order_change_at_once() {
    let backend = backend();
    let running = answer(&backend, 100).await;
    let new = prepared(&backend, "n", 1, true).await.unwrap();
    let place = |name: &str| Place::Kept(name.to_owned());
    backend
        .arrange(vec![(names(&["m", "prod"]), place("m")), (names(&["n"]), Place::New(new))], Duration::ZERO)
        .unwrap();
    assert_eq!(backend.resolve(Some("prod")).as_deref(), Some("m"));
    let gone = backend.arrange(vec![(names(&["n", "prod"]), place("n")), kept("m")], Duration::ZERO).unwrap();
    assert!(gone.is_empty());
    assert_eq!(backend.resolve(Some("prod")).as_deref(), Some("n"));
    assert_eq!(backend.resolve(None).as_deref(), Some("n"));
    // Both at once, and one under the other's name.
    let exchanged = vec![(names(&["m", "prod"]), place("n")), (names(&["n"]), place("m"))];
    backend.arrange(exchanged, Duration::ZERO).unwrap();
    assert_eq!((sequences(&backend, "m"), sequences(&backend, "n")), (Some(1), Some(2)));
    assert_eq!(read(running).await, 100);
    let listed: Vec<_> = backend.models().into_iter().map(|model| model.name).collect();
    assert_eq!(listed, ["m", "n"]);
}

#[tokio::test]
async fn a_change_that_is_given_up_leaves_nothing() {
    let backend = backend();
    let running = answer(&backend, 20).await;
    for _ in 0..3 {
        let given_up = tokio::time::timeout(Duration::from_millis(1), prepared(&backend, "m", 3, true)).await;
        if let Ok(new) = given_up {
            drop(new.unwrap());
        }
    }
    assert_eq!(read(running).await, 20);
    assert_eq!(read(answer(&backend, 5).await).await, 5);
    // However far each of them came, one engine is left when all is done.
    until_one_engine(&backend).await;
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
        drop(swap(&backend, 2 + at % 3, at % 2 == 0).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for asked in asking {
        asked.await.unwrap();
    }
}
