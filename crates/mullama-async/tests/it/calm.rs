//! The runtime is never blocked: a heartbeat on its only thread goes on, whatever is asked.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mullama_async::AsyncModel;
use mullama_core::GenerationParams;
use mullama_demo_models::CHAT;

use crate::shared::{long, model, question};

/// The longest time between two beats while the work is done.
async fn longest_gap(work: impl Future<Output = ()>) -> Duration {
    let heart = async {
        let mut longest = Duration::ZERO;
        loop {
            let before = Instant::now();
            tokio::time::sleep(Duration::from_millis(5)).await;
            longest = longest.max(before.elapsed());
            LONGEST.set(longest);
        }
    };
    LONGEST.set(Duration::ZERO);
    tokio::select! {
        () = heart => unreachable!(),
        () = work => LONGEST.get(),
    }
}

thread_local! {
    static LONGEST: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) };
}

async fn everything(model: &AsyncModel) {
    let loads = join_all((0..3).map(|_| AsyncModel::from_bytes(CHAT).load()));
    let texts = join_all((0..4).map(|_| model.tokenize_async("The quick brown fox, 42. ".repeat(8_000), true)));
    let answers =
        join_all((0..8).map(|_| async { model.generate("The sun", &long(200)).await.unwrap().text().await.unwrap() }));
    let messages = join_all((0..4).map(|_| async {
        let stream = model.chat(question("What is 7 + 8?"), &GenerationParams::greedy(32)).await.unwrap();
        stream.message().await.unwrap()
    }));
    let (loads, texts, answers, messages) = tokio::join!(loads, texts, answers, messages);
    assert!(loads.iter().all(Result::is_ok) && texts.iter().all(|tokens| tokens.as_ref().unwrap().len() > 10_000));
    assert!(answers.len() == 8 && messages.iter().all(|(message, _)| message.text() == "7 + 8 = 15."));
}

#[tokio::test]
async fn a_heartbeat_goes_on_through_loads_long_texts_and_generations() {
    let model = model().await;
    let mut gaps = Vec::new();
    // Other programs may hold this machine's cores for a moment.
    for _ in 0..4 {
        let gap = longest_gap(everything(&model)).await;
        if gap < Duration::from_millis(200) {
            return;
        }
        gaps.push(gap);
    }
    panic!("the runtime stood still: {gaps:?}");
}
