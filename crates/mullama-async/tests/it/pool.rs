//! Pools of real engines.

use std::time::Duration;

use futures_util::future::join_all;
use mullama_async::{AsyncContext, EnginePool, Error, ModelSource, ModelState, PooledEngine};
use mullama_core::{ErrorKind, GenerationParams, Model};
use mullama_demo_models::CHAT;

use crate::shared::{eventually, long, params, question};

const SECOND: Duration = Duration::from_secs(1);

fn chat() -> ModelSource {
    ModelSource::bytes(CHAT)
}

#[tokio::test]
async fn two_replicas_share_the_work() {
    let pool = EnginePool::builder().register("chat", chat(), params(), 2).build().unwrap();
    assert_eq!(pool.health("chat").unwrap().state, ModelState::Unloaded);
    let engines: Vec<_> = join_all((0..6).map(|_| pool.get("chat"))).await.into_iter().map(Result::unwrap).collect();
    let answer = |engine: &PooledEngine| {
        let engine = engine.clone();
        async move {
            let stream = engine.chat(question("What is 7 + 8?"), &GenerationParams::greedy(32)).await.unwrap();
            stream.text().await.unwrap()
        }
    };
    assert!(join_all(engines.iter().map(answer)).await.iter().all(|text| text == "7 + 8 = 15."));
    let mut shares = Vec::new();
    for engine in &engines {
        shares.push(engine.engine().await.unwrap().stats().requests_submitted);
    }
    // Three handles on each of the two.
    assert_eq!(shares, [3; 6]);
    let health = pool.health("chat").unwrap();
    assert_eq!((&health.state, health.replicas, health.leases, health.load), (&ModelState::Ready, 2, 6, 0));
    assert!(health.memory_bytes > CHAT.len() as u64 && health.last_used.is_some());
    assert_eq!(engines[0].name(), "chat");
    drop(engines);
    assert!(pool.shutdown(SECOND * 10).await);
    assert!(matches!(pool.get("chat").await, Err(Error::ShutDown)));
}

#[tokio::test]
async fn a_stream_keeps_its_model() {
    let pool = EnginePool::builder().keep_alive(Duration::ZERO).register("chat", chat(), params(), 1).build().unwrap();
    let engine = pool.get("chat").await.unwrap();
    let stream = engine.generate("The sun", &long(100)).await.unwrap();
    let context = AsyncContext::new(&engine).await.unwrap();
    drop((engine, context));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(pool.health("chat").unwrap().state, ModelState::Ready);
    assert_eq!(stream.complete().await.unwrap().1.usage.completion_tokens, 100);
    eventually("it is unloaded", SECOND * 5, || pool.health("chat").unwrap().state == ModelState::Unloaded).await;
    assert_eq!(pool.health("chat").unwrap().memory_bytes, 0);
}

#[tokio::test]
async fn the_bound_makes_room_or_refuses() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, CHAT).unwrap();
    let one = {
        let pool = EnginePool::builder().register("a", file.path(), params(), 1).build().unwrap();
        pool.load("a").await.unwrap();
        pool.list()[0].memory_bytes
    };
    let pool = EnginePool::builder()
        .max_memory_bytes(one * 3 / 2)
        .register("a", file.path(), params(), 1)
        .register("b", chat(), params(), 1)
        .build()
        .unwrap();
    let a = pool.get("a").await.unwrap();
    let error = pool.get("b").await.unwrap_err();
    assert!(matches!(error, Error::NoMemory { needed, limit, .. } if needed <= limit), "{error}");
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    drop(a);
    let b = pool.get("b").await.unwrap();
    let states: Vec<_> = pool.list().into_iter().map(|health| (health.name, health.state)).collect();
    assert_eq!(states, [("a".to_owned(), ModelState::Unloaded), ("b".to_owned(), ModelState::Ready)]);
    // Cut at the deadline; then it is loaded anew.
    let stream = b.generate("The sun", &long(400)).await.unwrap();
    assert!(!pool.unload("b", Duration::from_millis(1)).await.unwrap());
    assert_eq!(stream.complete().await.unwrap().1.finish_reason, mullama_core::FinishReason::Cancelled);
    assert!(b.generate("The sun", &long(4)).await.is_err());
    drop(b);
    assert!(pool.get("b").await.unwrap().generate("The sun", &long(4)).await.is_ok());
}

#[tokio::test]
async fn engines_that_have_ended_are_replaced_and_failures_are_told() {
    let model = Model::from_bytes(CHAT).load().unwrap();
    let pool = EnginePool::builder()
        .register("chat", ModelSource::loaded(&model), params(), 1)
        .register("gone", "/no/such/model.gguf", params(), 1)
        .build()
        .unwrap();
    let engine = pool.get("chat").await.unwrap();
    let ended = engine.engine().await.unwrap();
    tokio::task::spawn_blocking(move || ended.shutdown(Duration::ZERO)).await.unwrap();
    assert!(engine.generate("The sun", &long(4)).await.is_err());
    assert!(pool.get("chat").await.unwrap().generate("The sun", &long(4)).await.is_ok());
    let error = pool.get("gone").await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::NotFound, "cannot load the model `gone`"));
    assert!(matches!(pool.health("gone").unwrap().state, ModelState::Failed { .. }));
    assert!(pool.health("other").is_none());
}

#[test]
fn what_cannot_be_is_refused_at_once() {
    let build = |name: &str, replicas| EnginePool::builder().register(name, chat(), params(), replicas).build();
    assert!(matches!(build("a", 0), Err(Error::InvalidParameter { name: "replicas", .. })));
    assert!(matches!(build("", 1), Err(Error::InvalidParameter { name: "name", .. })));
    let twice = EnginePool::builder().register("a", chat(), params(), 1).register("a", "b.gguf", params(), 1).build();
    assert!(matches!(twice, Err(Error::DuplicateModel { .. })));
    let mut wrong = params();
    wrong.sequences = 0;
    assert!(matches!(EnginePool::builder().register("a", chat(), wrong, 1).build(), Err(Error::Core(_))));
}
