//! Tests of the task manager. Most run on a paused clock, where a pause takes no time but is measured.

mod jobs;
mod random;

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A manager on the runtime of the test.
fn manager(capacity: usize) -> TaskManager {
    TaskManager::over(Spawner::new(Handle::current()), &CancellationToken::new(), capacity)
}

/// A panic without a message on the test's output.
fn quiet_panic(message: &'static str) -> ! {
    resume_unwind(Box::new(message))
}

fn backoff(initial: u32, max: u32) -> Backoff {
    Backoff { initial: MS * initial, max: MS * max }
}

#[tokio::test]
async fn the_snippet_runs() {
    async fn snippet() -> Result<()> {
        let runtime = MullamaRuntime::new().worker_threads(8).max_blocking_threads(16).build()?;

        let mut task_manager = TaskManager::new(&runtime);
        task_manager.spawn_generation_worker().await?;
        assert_eq!(task_manager.status("generation-0").map(|status| status.state), Some(TaskState::Running));
        Ok(())
    }
    snippet().await.unwrap();
}

#[test]
fn managers_and_handles_cross_threads() {
    fn check<T: Send + Sync>() {}
    check::<TaskManager>();
    check::<JobHandle<Vec<u8>>>();
}

#[tokio::test(start_paused = true)]
async fn failures_restart_with_growing_pauses_up_to_the_limit() {
    let tasks = manager(1);
    let began = Instant::now();
    let policy = RestartPolicy::OnFailure { max_restarts: 4, backoff: backoff(100, 350) };
    tasks.spawn("broken", |context| async move { Err(format!("run {}", context.attempt()).into()) }, policy).unwrap();
    let status = tasks.wait("broken").await.unwrap();
    assert_eq!(status.state, TaskState::Failed { error: "run 4".to_owned() });
    assert_eq!((status.restarts, status.last_error.as_deref()), (4, Some("run 4")));
    // 100 + 200 + 350 + 350, and at most a tick of the clock for each.
    let took = began.elapsed();
    assert!((MS * 1000..MS * 1010).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_restarts_like_an_error() {
    let tasks = manager(1);
    let work = |context: TaskContext| async move {
        if context.attempt() < 2 {
            quiet_panic("on purpose");
        }
        Ok(())
    };
    tasks.spawn("shaky", work, RestartPolicy::OnFailure { max_restarts: 3, backoff: backoff(10, 10) }).unwrap();
    let status = tasks.wait("shaky").await.unwrap();
    assert_eq!((status.state, status.restarts), (TaskState::Finished, 2));
    assert_eq!(status.last_error.as_deref(), Some("panicked: on purpose"));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_factory_is_caught() {
    let tasks = manager(1);
    let broken = |_| -> std::future::Ready<TaskResult> { quiet_panic("no future") };
    tasks.spawn("broken", broken, RestartPolicy::Never).unwrap();
    let status = tasks.wait("broken").await.unwrap();
    assert_eq!(status.state, TaskState::Failed { error: "panicked: no future".to_owned() });
}

#[tokio::test(start_paused = true)]
async fn a_long_run_begins_a_new_row_of_failures() {
    let tasks = manager(1);
    let pauses = Arc::new(Mutex::new(vec![Instant::now()]));
    let seen = Arc::clone(&pauses);
    let work = move |context: TaskContext| {
        let seen = Arc::clone(&seen);
        async move {
            if context.attempt() == 3 {
                sleep(MS * 400).await;
            }
            seen.lock().unwrap().push(Instant::now());
            Err("always".into())
        }
    };
    tasks.spawn("w", work, RestartPolicy::OnFailure { max_restarts: 5, backoff: backoff(100, 400) }).unwrap();
    tasks.wait("w").await.unwrap();
    let ends = pauses.lock().unwrap();
    let between: Vec<_> = ends.windows(2).map(|pair| (pair[1] - pair[0]).as_millis() / 50 * 50).collect();
    // The fourth run takes 400 ms after a pause of 400 ms; then the pauses begin again with 100 ms.
    assert_eq!(between, [0, 100, 200, 800, 100, 200]);
}

#[tokio::test(start_paused = true)]
async fn always_runs_again_until_it_is_cancelled() {
    let tasks = manager(1);
    tasks.spawn("clock", |_| async { Ok(()) }, RestartPolicy::Always { backoff: backoff(10, 1000) }).unwrap();
    sleep(MS * 1005).await;
    let status = tasks.status("clock").unwrap();
    assert!((80..=100).contains(&status.restarts), "{status:?}");
    assert_eq!(status.state, TaskState::Waiting(MS * 10));
    tasks.cancel("clock").unwrap();
    assert_eq!(tasks.wait("clock").await.unwrap().state, TaskState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_task_may_end_in_its_own_way() {
    let tasks = manager(1);
    let (done, is_done) = mpsc::channel();
    let work = move |context: TaskContext| {
        let done = done.clone();
        async move {
            assert!(!context.is_cancelled());
            context.cancelled().await;
            sleep(MS * 100).await;
            done.send(context.is_cancelled())?;
            Ok(())
        }
    };
    tasks.spawn("polite", work, RestartPolicy::Always { backoff: Backoff::default() }).unwrap();
    sleep(MS).await;
    tasks.cancel("polite").unwrap();
    assert_eq!(tasks.wait("polite").await.unwrap().state, TaskState::Cancelled);
    assert_eq!(is_done.try_recv(), Ok(true));
    assert!(tasks.cancel("polite").is_ok(), "a task that has ended may be cancelled");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_does_not_listen_is_aborted_after_its_patience() {
    let tasks = manager(1);
    tasks.spawn("deaf", |_| pending(), RestartPolicy::Never).unwrap();
    sleep(MS).await;
    let began = Instant::now();
    tasks.cancel("deaf").unwrap();
    assert_eq!(tasks.wait("deaf").await.unwrap().state, TaskState::Cancelled);
    assert!((supervisor::PATIENCE..supervisor::PATIENCE * 2).contains(&began.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn names_are_unique_among_live_tasks() {
    let tasks = manager(1);
    let first = tasks.spawn("one", |_| pending(), RestartPolicy::Never).unwrap();
    let error = tasks.spawn("one", |_| pending(), RestartPolicy::Never).unwrap_err();
    assert!(matches!(error, Error::DuplicateTask { name } if name == "one"));
    tasks.cancel("one").unwrap();
    tasks.wait("one").await.unwrap();
    let second = tasks.spawn("one", |_| async { Ok(()) }, RestartPolicy::Never).unwrap();
    assert!(second > first);
    tasks.spawn("two", |_| async { Ok(()) }, RestartPolicy::Never).unwrap();
    assert_eq!(tasks.list().iter().map(|status| status.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    for error in [tasks.cancel("three").unwrap_err(), tasks.wait("three").await.unwrap_err()] {
        assert!(matches!(error, Error::NoSuchTask { name } if name == "three"));
    }
    assert_eq!(tasks.status("three"), None);
}

#[test]
fn shutdown_joins_until_the_deadline_and_aborts_the_rest() {
    let runtime = MullamaRuntime::new().worker_threads(2).build().unwrap();
    let tasks = TaskManager::new(&runtime);
    let polite = |context: TaskContext| async move {
        context.cancelled().await;
        Ok(())
    };
    tasks.spawn("polite", polite, RestartPolicy::Never).unwrap();
    tasks.spawn("deaf", |_| pending(), RestartPolicy::Never).unwrap();
    tasks.spawn("done", |_| async { Ok(()) }, RestartPolicy::Never).unwrap();
    runtime.block_on(tasks.wait("done")).unwrap().unwrap();
    let report = runtime.block_on(tasks.shutdown(MS * 500)).unwrap();
    assert_eq!(report, TaskReport { ended: 1, aborted: 1, stuck: 0, jobs: 0 });
    assert!(tasks.list().iter().all(|status| status.state.has_ended()));
    let late = tasks.spawn("late", |_| async { Ok(()) }, RestartPolicy::Never);
    assert!(matches!(late, Err(Error::ShutDown)));
    random::settles(&runtime, 0);
}

#[test]
fn shutdown_returns_when_everything_has_ended_and_shortens_a_patience() {
    let runtime = MullamaRuntime::new().worker_threads(2).build().unwrap();
    let tasks = TaskManager::new(&runtime);
    let began = std::time::Instant::now();
    tasks.shared.set_patience(MS * 60_000);
    let (begun, has_begun) = mpsc::channel();
    let deaf = move |_| {
        begun.send(()).unwrap();
        pending()
    };
    tasks.spawn("deaf", deaf, RestartPolicy::Never).unwrap();
    has_begun.recv().unwrap();
    tasks.cancel("deaf").unwrap();
    runtime.block_on(async { sleep(MS * 20).await }).unwrap();
    let report = runtime.block_on(tasks.shutdown(MS * 20)).unwrap();
    assert_eq!(report, TaskReport { ended: 0, aborted: 1, stuck: 0, jobs: 0 });
    let report = runtime.block_on(tasks.shutdown(MS * 60_000)).unwrap();
    assert_eq!(report, TaskReport { ended: 0, aborted: 0, stuck: 0, jobs: 0 });
    assert!(began.elapsed() < MS * 30_000);
}

#[test]
fn the_deadline_of_a_shutdown_holds_when_all_workers_are_blocked() {
    let runtime = MullamaRuntime::new().worker_threads(1).build().unwrap();
    let tasks = TaskManager::new(&runtime);
    let (release, gate) = mpsc::channel::<()>();
    let (began, has_begun) = mpsc::channel();
    let gate = Arc::new(Mutex::new(gate));
    let block = move |_| {
        let (began, gate) = (began.clone(), Arc::clone(&gate));
        async move {
            began.send(())?;
            let _ = gate.lock().unwrap().recv();
            Ok(())
        }
    };
    tasks.spawn("block", block, RestartPolicy::Never).unwrap();
    has_begun.recv().unwrap();
    let report = runtime.block_on(tasks.shutdown(MS * 50)).unwrap();
    assert_eq!(report, TaskReport { ended: 0, aborted: 0, stuck: 1, jobs: 0 });
    drop(release);
    random::settles(&runtime, 0);
}

#[test]
fn a_shutdown_of_the_runtime_ends_its_tasks_and_says_so() {
    let runtime = MullamaRuntime::new().worker_threads(2).build().unwrap();
    let tasks = TaskManager::new(&runtime);
    let (begun, has_begun) = mpsc::channel();
    let (polite, deaf) = (begun.clone(), begun);
    let polite = move |context: TaskContext| {
        polite.send(()).unwrap();
        async move {
            context.cancelled().await;
            Ok(())
        }
    };
    let deaf = move |_| {
        deaf.send(()).unwrap();
        pending()
    };
    tasks.spawn("polite", polite, RestartPolicy::Never).unwrap();
    tasks.spawn("deaf", deaf, RestartPolicy::Never).unwrap();
    has_begun.recv().unwrap();
    has_begun.recv().unwrap();
    let report = runtime.shutdown(MS * 500);
    assert_eq!((report.ended, report.cut), (1, 1));
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for name in ["polite", "deaf"] {
        assert_eq!(other.block_on(tasks.wait(name)).unwrap().state, TaskState::Cancelled);
    }
    let late = tasks.spawn("late", |_| async { Ok(()) }, RestartPolicy::Never);
    assert!(matches!(late, Err(Error::ShutDown)));
    assert_eq!(other.block_on(tasks.shutdown(MS * 50)).ended, 0);
}

#[tokio::test]
async fn tasks_run_on_the_managers_runtime() {
    let runtime = MullamaRuntime::new().worker_threads(1).thread_name("elm").build().unwrap();
    let mut tasks = TaskManager::new(&runtime);
    tasks.spawn_generation_worker().await.unwrap();
    let name = || std::thread::current().name().map(str::to_owned);
    let job = tasks.submit(move |_| async move { name() }).unwrap();
    assert_eq!(job.await.unwrap().as_deref(), Some("elm"));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_manager_cancels_its_tasks() {
    let tasks = manager(1);
    let ended = Arc::new(AtomicU32::new(0));
    for name in ["a", "b"] {
        let ended = Arc::clone(&ended);
        let work = move |context: TaskContext| {
            let ended = Arc::clone(&ended);
            async move {
                context.cancelled().await;
                ended.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        };
        tasks.spawn(name, work, RestartPolicy::Always { backoff: backoff(1, 1) }).unwrap();
    }
    tasks.spawn("deaf", |_| pending(), RestartPolicy::Never).unwrap();
    sleep(MS).await;
    drop(tasks);
    sleep(supervisor::PATIENCE + MS * 10).await;
    assert_eq!(ended.load(Ordering::Relaxed), 2);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[test]
fn status_is_the_same_after_json() {
    let status = TaskStatus {
        id: TaskId(3),
        name: "n".to_owned(),
        state: TaskState::Waiting(MS),
        restarts: 2,
        started: std::time::SystemTime::UNIX_EPOCH,
        last_error: Some("e".to_owned()),
    };
    let json = serde_json::to_string(&status).unwrap();
    assert!(json.contains(r#""state":{"waiting":{"secs":0,"nanos":1000000}}"#), "{json}");
    assert_eq!(serde_json::from_str::<TaskStatus>(&json).unwrap(), status);
}
