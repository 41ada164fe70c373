//! Models and contexts: tokens, the shared engine, what calls take as a model.

use std::time::Duration;

use futures_util::future::join_all;
use mullama_async::{AsyncContext, AsyncModel, Error};
use mullama_core::{ChatMessage, ChatRequest, GenerationParams, Model, Priority};
use mullama_demo_models::CHAT;

use crate::shared::{long, model, params, question};

#[tokio::test]
async fn the_snippet_runs() -> mullama_async::Result<()> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, CHAT).unwrap();
    let model = AsyncModel::load(file.path()).await?;
    let mut context = AsyncContext::new(model.clone()).await?;
    let tokens = model.tokenize_async("Hello world", true).await?;
    assert_eq!(model.detokenize_async(&tokens).await?, "Hello world");
    assert_eq!(context.text(question("What is 3 + 4?"), &GenerationParams::greedy(32)).await?, "3 + 4 = 7.");
    Ok(())
}

#[tokio::test]
async fn texts_of_any_length_are_tokenized_as_core_does() {
    let model = model().await;
    let tokenizer = model.model().tokenizer();
    for repeats in [1, 10, 100, 3_000] {
        let text = "The big dog, 12 <|im_end|> cats. ".repeat(repeats);
        let expected = tokenizer.encode(&text, Default::default()).unwrap();
        let tokens = model.tokenize_async(&text, true).await.unwrap();
        assert_eq!(tokens, expected);
        assert_eq!(model.detokenize_async(&tokens).await.unwrap(), tokenizer.decode(&expected).unwrap());
    }
    assert!(matches!(model.tokenize_async("x".repeat(17 << 20), true).await, Err(Error::Core(_))));
}

#[tokio::test]
async fn a_conversations_prefix_is_not_computed_again() {
    let mut context = AsyncContext::new(&model().await).await.unwrap().priority(Priority::Batch);
    let params = GenerationParams::greedy(32);
    let mut messages = vec![ChatMessage::user("My name is Anna.")];
    let ask = |messages: &[ChatMessage]| ChatRequest::new(messages.to_vec());
    let stream = context.generate(ask(&messages), &params).await.unwrap();
    let (answer, first) = stream.message().await.unwrap();
    messages.extend([answer, ChatMessage::user("What is my name?")]);
    let (text, second) = context.complete(ask(&messages), &params).await.unwrap();
    assert_eq!(text, "Your name is Anna.");
    assert_eq!(first.usage.cached_tokens, 0);
    assert!(second.usage.cached_tokens >= first.usage.prompt_tokens, "{second:?}");
    // Another caller shares it, one that is private does not.
    let mut other = AsyncContext::new(context.model()).await.unwrap();
    assert!(other.complete(ask(&messages), &params).await.unwrap().1.usage.cached_tokens > 0);
    let mut private = AsyncContext::new(context.model()).await.unwrap().private("bob");
    assert_eq!(private.complete(ask(&messages), &params).await.unwrap().1.usage.cached_tokens, 0);
}

#[tokio::test]
async fn clones_share_one_engine_that_is_started_once() {
    let model = model().await;
    let calls = (0..16).map(|_| {
        let model = model.clone();
        async move { model.generate("One", &long(2)).await.unwrap().complete().await.unwrap() }
    });
    assert_eq!(join_all(calls).await.len(), 16);
    assert_eq!(model.engine().await.unwrap().stats().requests_submitted, 16);
    assert_eq!(model.engine().await.unwrap().params().sequences, 4);
}

#[tokio::test]
async fn an_engine_that_has_ended_is_replaced_until_the_model_is_shut_down() {
    let model = model().await;
    let engine = model.engine().await.unwrap();
    let ended = engine.clone();
    tokio::task::spawn_blocking(move || ended.shutdown(Duration::ZERO)).await.unwrap();
    assert!(!engine.is_open());
    assert!(!model.generate("One", &long(2)).await.unwrap().text().await.unwrap().is_empty());
    assert!(model.engine().await.unwrap().is_open());
    let running = model.generate("One", &long(400)).await.unwrap();
    assert!(!model.shutdown(Duration::from_millis(1)).await.unwrap());
    assert_eq!(running.complete().await.unwrap().1.finish_reason, mullama_core::FinishReason::Cancelled);
    assert!(matches!(model.clone().generate("One", &long(2)).await, Err(Error::ShutDown)));
    assert!(model.shutdown(Duration::ZERO).await.unwrap());
}

#[tokio::test]
async fn models_convert_both_ways() {
    fn takes_core(model: impl Into<Model>) -> u64 {
        model.into().parameter_count()
    }
    async fn takes_async(model: impl Into<AsyncModel>) -> bool {
        AsyncContext::new(model).await.is_ok()
    }
    let model = model().await;
    let core: Model = (&model).into();
    assert_eq!(takes_core(&model), takes_core(model.clone()));
    assert!(takes_async(&model).await && takes_async(model.clone()).await);
    let own = AsyncModel::new(core, params());
    assert!(takes_async(own).await && takes_async(model).await);
}

#[tokio::test]
async fn vectors_come_in_the_order_of_the_texts() {
    let model = model().await;
    let all = model.embed_async(["The sun", "The moon", "The sun"]).await.unwrap();
    assert_eq!(all.len(), 3);
    assert!(all[0].vector == all[2].vector && all[0].vector != all[1].vector);
    let together = join_all(["The sun", "The moon"].map(|text| model.embed_async([text]))).await;
    for (one, before) in together.into_iter().zip(&all) {
        let cosine: f32 = one.unwrap()[0].vector.iter().zip(&before.vector).map(|(a, b)| a * b).sum();
        assert!(cosine > 0.999, "{cosine}");
    }
    // Not a model that ranks.
    assert!(matches!(model.rerank_async("What?", ["This."]).await, Err(Error::Core(_))));
}
