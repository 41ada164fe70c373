//! Token streams: the same text, back-pressure, cancelling.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FusedStream as _;
use mullama_async::{AsyncModel, Error, TokenStream};
use mullama_core::{Engine, Error as CoreError, FinishReason, GenerationParams, GenerationRequest, Model, TokenEvent};
use mullama_demo_models::CHAT;

use crate::shared::{eventually, long, model, params, question};

const SECOND: Duration = Duration::from_secs(1);

/// What core's blocking loop makes of it.
fn core_text(prompt: &str, params: &GenerationParams) -> String {
    let model = Model::from_bytes(CHAT).load().unwrap();
    let engine = model.engine().params(crate::shared::params()).start().unwrap();
    engine.generate(prompt, params).unwrap()
}

fn is_idle(engine: &Engine) -> bool {
    let stats = engine.stats();
    stats.sequences_running == 0 && stats.sequences_paused == 0 && engine.load() == 0
}

#[tokio::test]
async fn a_stream_gives_the_text_that_core_gives() {
    let params = long(60);
    let expected = core_text("The sun", &params);
    assert!(expected.len() > 20, "{expected}");
    let model = model().await;
    let stream = || model.generate("The sun", &params);
    assert_eq!(stream().await.unwrap().text().await.unwrap(), expected);
    let pieces: Vec<String> = stream().await.unwrap().texts().map(Result::unwrap).collect().await;
    assert!(pieces.len() > 5 && pieces.iter().all(|piece| !piece.is_empty()));
    assert_eq!(pieces.concat(), expected);
    let (text, summary) = stream().await.unwrap().complete().await.unwrap();
    assert_eq!((text, summary.finish_reason, summary.usage.completion_tokens), (expected, FinishReason::Length, 60));
}

#[tokio::test]
async fn after_the_end_comes_none() {
    let model = model().await;
    let mut stream = model.generate("One", &long(3)).await.unwrap();
    assert!(stream.id() > 0 && stream.prompt_tokens() > 0 && stream.chat().is_none());
    let mut tokens = 0;
    loop {
        assert!(!stream.is_terminated());
        match stream.next().await.unwrap().unwrap() {
            TokenEvent::Token { .. } => tokens += 1,
            TokenEvent::Done(_) => break,
            _ => {}
        }
    }
    assert_eq!(tokens, 3);
    assert!(stream.is_terminated());
    for _ in 0..3 {
        assert!(stream.next().await.is_none());
        assert!(StreamExt::next(&mut stream).await.is_none());
    }
}

#[tokio::test]
async fn core_streams_become_token_streams() {
    let engine = model().await.engine().await.unwrap();
    let stream = TokenStream::from(engine.submit(GenerationRequest::new("One").params(long(4))).unwrap());
    assert_eq!(stream.complete().await.unwrap().1.usage.completion_tokens, 4);
}

#[tokio::test]
async fn dropping_a_stream_frees_its_sequence() {
    let model = model().await;
    let engine = model.engine().await.unwrap();
    let mut stream = model.generate("The big dog", &long(480)).await.unwrap();
    stream.next().await.unwrap().unwrap();
    eventually("it is counted", SECOND, || engine.stats().sequences_running == 1).await;
    drop(stream);
    eventually("the sequence is free", SECOND, || is_idle(&engine)).await;
    assert_eq!(engine.stats().requests_finished_cancelled, 1);
}

#[tokio::test]
async fn a_request_whose_future_is_dropped_is_cancelled() {
    let model = model().await;
    let engine = model.engine().await.unwrap();
    for polls in 1..4 {
        let text = "A long text. ".repeat(80);
        let prompt = GenerationRequest::new(text).params(long(100));
        {
            let mut submitting = pin!(model.submit(prompt));
            for _ in 0..polls {
                // Prepared elsewhere meanwhile: then it is the stream that is dropped.
                if submitting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    break;
                }
            }
        }
        eventually("the request is gone", SECOND, || is_idle(&engine)).await;
    }
    eventually("all are counted", SECOND, || {
        let stats = engine.stats();
        stats.requests_submitted == stats.requests_finished_cancelled
    })
    .await;
    assert!(engine.stats().generated_tokens < 30, "{:?}", engine.stats());
}

#[tokio::test]
async fn a_cancel_handle_ends_the_stream() {
    let model = model().await;
    let mut stream = model.generate("Tom and his mom", &long(480)).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let handle = stream.cancel_handle();
    tokio::spawn(async move { handle.cancel() });
    let (_, summary) = tokio::time::timeout(SECOND, stream.complete()).await.unwrap().unwrap();
    assert_eq!(summary.finish_reason, FinishReason::Cancelled);
}

#[tokio::test]
async fn a_slow_reader_pauses_only_itself() {
    let model = model().await;
    let engine = model.engine().await.unwrap();
    let slow = GenerationRequest::new("The big dog").params(long(300)).event_buffer(4);
    let mut slow = model.submit(slow).await.unwrap();
    slow.next().await.unwrap().unwrap();
    eventually("the slow one is paused", SECOND * 10, || engine.stats().sequences_paused == 1).await;
    let fast = model.generate("One day, a little girl", &long(300)).await.unwrap();
    assert_eq!(fast.complete().await.unwrap().1.usage.completion_tokens, 300);
    let stats = engine.stats();
    assert!(stats.sequences_paused == 1 && stats.reader_stalls > 0, "{stats:?}");
    // Nothing of it is lost.
    let (rest, summary) = slow.complete().await.unwrap();
    assert_eq!(summary.usage.completion_tokens, 300);
    assert!(core_text("The big dog", &long(300)).ends_with(&rest));
}

#[tokio::test]
async fn sixty_four_streams_on_one_thread() {
    let mut params = params();
    params.sequences = 8;
    params.context.length = 128;
    let model = AsyncModel::from_bytes(CHAT).engine_params(params).load().await.unwrap();
    let starts = ["Hello", "What is 7 + 8?", "The sun", "My name is"];
    let expected: Vec<_> = starts.iter().map(|start| core_text(start, &long(24))).collect();
    let one = async |index: usize| {
        let mut stream = model.generate(starts[index % 4], &long(24)).await.unwrap();
        let mut text = String::new();
        while let Some(event) = stream.next().await {
            if let TokenEvent::Token { text: piece, .. } = event.unwrap() {
                text.push_str(&piece);
            }
            tokio::task::yield_now().await;
        }
        text
    };
    let texts = join_all((0..64).map(one)).await;
    assert_eq!(texts.len(), 64);
    // Other batches, other last bits: where two tokens are nearly as likely, the other may come.
    let same = texts.iter().enumerate().filter(|(index, text)| **text == expected[index % 4]).count();
    assert!(same >= 56, "{same} of 64 are as alone");
    assert!(is_idle(&model.engine().await.unwrap()));
}

#[tokio::test]
async fn errors_are_cores_own() {
    let mut params = params();
    params.sequences = 1;
    params.queue = 1;
    let model = AsyncModel::from_bytes(CHAT).engine_params(params).load().await.unwrap();
    let none = GenerationParams { max_tokens: Some(0), ..Default::default() };
    let error = model.generate("One", &none).await.unwrap_err();
    assert!(matches!(error, Error::Core(CoreError::InvalidParameter { name: "max_tokens", .. })), "{error}");
    assert_eq!(error.kind(), mullama_core::ErrorKind::InvalidInput);
    let mut running = model.generate("One", &long(400)).await.unwrap();
    running.next().await.unwrap().unwrap();
    let _waiting = model.generate("One", &long(400)).await.unwrap();
    let error = model.generate("One", &long(400)).await.unwrap_err();
    assert!(matches!(error, Error::Core(CoreError::Overloaded { capacity: 1, .. })), "{error}");
}

#[tokio::test]
async fn a_conversation_is_answered_with_a_message() {
    let model = model().await;
    let stream = model.chat(question("What is 7 + 8?"), &GenerationParams::greedy(64)).await.unwrap();
    assert!(stream.chat().is_some());
    let (message, summary) = stream.message().await.unwrap();
    assert_eq!((message.text().as_str(), summary.finish_reason), ("7 + 8 = 15.", FinishReason::Stop));
}
