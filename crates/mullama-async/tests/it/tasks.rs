//! Generations as jobs.

use mullama_async::{Error, MullamaRuntime, TaskManager};
use mullama_core::GenerationParams;

use crate::shared::{eventually, long, model, question};

#[tokio::test]
async fn workers_generate() {
    let runtime = MullamaRuntime::new().worker_threads(2).build().unwrap();
    let mut tasks = TaskManager::new(&runtime);
    let model = model().await;
    assert!(matches!(tasks.generate(&model, "One", &long(4)), Err(Error::NoWorker)));
    for _ in 0..2 {
        tasks.spawn_generation_worker().await.unwrap();
    }
    let params = GenerationParams::greedy(32);
    let jobs: Vec<_> = (0..8).map(|_| tasks.generate(&model, question("What is 7 + 8?"), &params).unwrap()).collect();
    for job in jobs {
        let (text, summary) = job.await.unwrap().unwrap();
        assert_eq!((text.as_str(), summary.usage.completion_tokens > 0), ("7 + 8 = 15.", true));
    }
    let engine = model.engine().await.unwrap();
    let job = tasks.generate(&model, "One", &long(400)).unwrap();
    let second = std::time::Duration::from_secs(5);
    eventually("it runs", second, || engine.stats().sequences_running == 1).await;
    drop(job);
    eventually("it is cancelled", second, || engine.load() == 0).await;
}
