//! Jobs and their workers.

use super::*;

/// A job that runs until it is cancelled, and tells when it began.
fn endless(tasks: &TaskManager) -> (JobHandle<()>, tokio::sync::oneshot::Receiver<TaskContext>) {
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let job = tasks.submit(|context| async move {
        begun.send(context).unwrap();
        pending::<()>().await;
    });
    (job.unwrap(), has_begun)
}

#[tokio::test(start_paused = true)]
async fn without_a_worker_nothing_is_taken() {
    let mut tasks = manager(4);
    let error = tasks.submit(|_| async {}).unwrap_err();
    assert!(matches!(error, Error::NoWorker));
    assert!(error.to_string().contains("spawn_generation_worker"), "{error}");
    tasks.spawn_generation_worker().await.unwrap();
    assert_eq!(tasks.submit(|context| async move { context.name().to_owned() }).unwrap().await.unwrap(), "job-2");
    tasks.cancel("generation-0").unwrap();
    tasks.wait("generation-0").await.unwrap();
    assert!(matches!(tasks.submit(|_| async {}), Err(Error::NoWorker)));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_gone_jobs_make_room() {
    let mut tasks = manager(2);
    tasks.spawn_generation_worker().await.unwrap();
    let (running, begun) = endless(&tasks);
    begun.await.unwrap();
    let first = tasks.submit(|_| async { 1 }).unwrap();
    let second = tasks.submit(|_| async { 2 }).unwrap();
    match tasks.submit(|_| async {}) {
        Err(Error::Overloaded { capacity: 2, retry_after }) => assert!(retry_after > Duration::ZERO),
        other => panic!("{other:?}"),
    }
    drop(first);
    let third = tasks.submit(|_| async { 3 }).unwrap();
    assert!(matches!(tasks.submit(|_| async {}), Err(Error::Overloaded { .. })));
    drop(running);
    assert_eq!((second.await.unwrap(), third.await.unwrap()), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn retry_after_follows_what_jobs_took() {
    let mut tasks = manager(1);
    tasks.spawn_generation_worker().await.unwrap();
    tasks.submit(|_| sleep(MS * 4000)).unwrap().await.unwrap();
    tasks.spawn_generation_worker().await.unwrap();
    let (_a, a) = endless(&tasks);
    a.await.unwrap();
    let (_b, b) = endless(&tasks);
    b.await.unwrap();
    let _waiting = tasks.submit(|_| async {}).unwrap();
    match tasks.submit(|_| async {}) {
        Err(Error::Overloaded { retry_after, .. }) => assert_eq!(retry_after.as_millis() / 100, 20),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_handle_cancels_the_job() {
    let mut tasks = manager(4);
    tasks.spawn_generation_worker().await.unwrap();
    let (job, begun) = endless(&tasks);
    let context = begun.await.unwrap();
    drop(job);
    assert!(context.is_cancelled());
    assert_eq!(tasks.submit(|_| async { 5 }).unwrap().await.unwrap(), 5);
    assert_eq!(tasks.status("generation-0").unwrap().restarts, 0);
}

#[tokio::test(start_paused = true)]
async fn a_worker_survives_a_panicking_job() {
    let mut tasks = manager(4);
    tasks.spawn_generation_worker().await.unwrap();
    let inside = tasks.submit(|_| async { quiet_panic("bad job") }).unwrap();
    let before = tasks.submit(|_| -> std::future::Ready<()> { quiet_panic("no future") }).unwrap();
    for (job, text) in [(inside.await, "bad job"), (before.await, "no future")] {
        match job {
            Err(Error::Panicked { message, .. }) => assert_eq!(message, text),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(tasks.submit(|_| async { 7 }).unwrap().await.unwrap(), 7);
    let status = tasks.status("generation-0").unwrap();
    assert_eq!((status.state, status.restarts), (TaskState::Running, 0));
}

#[tokio::test(start_paused = true)]
async fn a_value_that_panics_when_dropped_restarts_the_worker() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                quiet_panic("in drop");
            }
        }
    }
    let mut tasks = manager(4);
    tasks.spawn_generation_worker().await.unwrap();
    let (give, own) = tokio::sync::oneshot::channel::<JobHandle<Bad>>();
    let job = tasks.submit(|_| async move {
        // From here on nobody takes the value.
        drop(own.await);
        Bad
    });
    give.send(job.unwrap()).unwrap();
    sleep(MS * 100).await;
    assert_eq!(tasks.submit(|_| async { 1 }).unwrap().await.unwrap(), 1);
    let status = tasks.status("generation-0").unwrap();
    assert_eq!((status.restarts, status.last_error.as_deref()), (1, Some("panicked: in drop")));
}

#[tokio::test(start_paused = true)]
async fn workers_share_the_queue() {
    let mut tasks = manager(64);
    for number in 0..3 {
        tasks.spawn_generation_worker().await.unwrap();
        assert!(tasks.status(&format!("generation-{number}")).is_some());
    }
    let began = Instant::now();
    let jobs: Vec<_> = (0..9).map(|n| tasks.submit(move |_| async move { (sleep(MS * 100).await, n).1 })).collect();
    for (n, job) in jobs.into_iter().enumerate() {
        assert_eq!(job.unwrap().await.unwrap(), n);
    }
    let took = began.elapsed();
    assert!((MS * 300..MS * 400).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn shutdown_cancels_running_and_waiting_jobs() {
    let mut tasks = manager(4);
    tasks.spawn_generation_worker().await.unwrap();
    let (running, begun) = endless(&tasks);
    begun.await.unwrap();
    let waiting = tasks.submit(|_| async {}).unwrap();
    let report = tasks.shutdown(Duration::from_secs(10)).await;
    assert_eq!(report, TaskReport { ended: 1, aborted: 0, stuck: 0, jobs: 1 });
    assert!(matches!(running.await, Err(Error::Cancelled)));
    assert!(matches!(waiting.await, Err(Error::Cancelled)));
    assert!(matches!(tasks.submit(|_| async {}), Err(Error::ShutDown)));
    assert!(matches!(tasks.spawn_generation_worker().await, Err(Error::ShutDown)));
}

#[tokio::test(start_paused = true)]
async fn jobs_end_with_the_last_worker_and_with_the_manager() {
    let mut tasks = manager(4);
    tasks.spawn_generation_worker().await.unwrap();
    let (running, begun) = endless(&tasks);
    let context = begun.await.unwrap();
    let waiting = tasks.submit(|_| async {}).unwrap();
    tasks.cancel("generation-0").unwrap();
    assert!(matches!(running.await, Err(Error::Cancelled)));
    assert!(matches!(waiting.await, Err(Error::Cancelled)));
    assert!(context.is_cancelled());
    tasks.spawn_generation_worker().await.unwrap();
    let (running, begun) = endless(&tasks);
    begun.await.unwrap();
    drop(tasks);
    assert!(matches!(running.await, Err(Error::Cancelled)));
}

#[test]
fn jobs_end_with_the_runtime() {
    let runtime = MullamaRuntime::new().worker_threads(2).build().unwrap();
    let mut tasks = TaskManager::with_queue(&runtime, 2).unwrap();
    runtime.block_on(tasks.spawn_generation_worker()).unwrap().unwrap();
    let (running, begun) = endless(&tasks);
    runtime.block_on(begun).unwrap().unwrap();
    let waiting = tasks.submit(|_| async {}).unwrap();
    drop(runtime);
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(matches!(other.block_on(running), Err(Error::Cancelled)));
    assert!(matches!(other.block_on(waiting), Err(Error::Cancelled)));
    assert!(matches!(tasks.submit(|_| async {}), Err(Error::ShutDown)));
}

#[test]
fn the_capacity_has_bounds() {
    let runtime = MullamaRuntime::new().worker_threads(1).build().unwrap();
    for capacity in [0, 65_537] {
        let error = TaskManager::with_queue(&runtime, capacity).unwrap_err();
        assert!(matches!(error, Error::InvalidParameter { name: "capacity", .. }));
    }
    assert!(TaskManager::with_queue(&runtime, 65_536).is_ok());
}
