//! Tests of the runtime.

use std::sync::mpsc;

use tokio::time::sleep;

use super::*;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(60);

fn runtime() -> MullamaRuntime {
    MullamaRuntime::new().worker_threads(2).max_blocking_threads(2).build().unwrap()
}

#[test]
fn zero_worker_threads_means_one_per_core() {
    let cores = thread::available_parallelism().unwrap().get();
    assert_eq!(MullamaRuntime::new().build().unwrap().metrics().workers, cores.min(1024));
}

#[test]
fn values_outside_their_range_are_refused() {
    let check = |builder: RuntimeBuilder, parameter: &str| match builder.build() {
        Err(Error::InvalidParameter { name, .. }) => assert_eq!(name, parameter),
        other => panic!("{parameter}: {other:?}"),
    };
    check(MullamaRuntime::new().worker_threads(1025), "worker_threads");
    check(MullamaRuntime::new().max_blocking_threads(0), "max_blocking_threads");
    check(MullamaRuntime::new().max_blocking_threads(16_385), "max_blocking_threads");
    check(MullamaRuntime::new().thread_name("a\0b"), "thread_name");
    check(MullamaRuntime::new().thread_stack_size(1000), "thread_stack_size");
}

#[test]
fn threads_that_the_system_refuses_are_an_error() {
    let error = MullamaRuntime::new().worker_threads(1).thread_stack_size(1 << 60).build().unwrap_err();
    assert!(matches!(error, Error::Runtime { .. }), "{error}");
}

#[test]
fn threads_carry_the_name() {
    let runtime = MullamaRuntime::new().worker_threads(1).thread_name("oak").build().unwrap();
    let name = || thread::current().name().map(str::to_owned);
    let task = runtime.spawn(async move { name() });
    assert_eq!(runtime.block_on(task).unwrap().unwrap().as_deref(), Some("oak"));
}

#[tokio::test]
async fn blocking_inside_a_runtime_is_an_error() {
    assert!(matches!(runtime().block_on(async {}), Err(Error::InsideRuntime)));
}

#[tokio::test]
async fn it_may_be_dropped_inside_another_runtime() {
    let runtime = runtime();
    let (token, (gone, is_gone)) = (runtime.shutdown_token(), oneshot::channel::<()>());
    runtime.spawn(async move {
        let _gone = gone;
        std::future::pending::<()>().await;
    });
    let (release, gate) = mpsc::channel::<()>();
    runtime.spawn_blocking(move || gate.recv());
    let began = Instant::now();
    drop(runtime);
    assert!(began.elapsed() < LONG / 6, "the drop waited for the blocking task");
    assert!(token.is_cancelled());
    assert!(is_gone.await.is_err());
    drop(release);
}

#[test]
fn shutdown_waits_for_tasks_that_end() {
    let runtime = runtime();
    let token = runtime.shutdown_token();
    for _ in 0..3 {
        let token = token.clone();
        runtime.spawn(async move {
            token.cancelled().await;
            sleep(SHORT).await;
        });
    }
    runtime.spawn_blocking(|| thread::sleep(SHORT));
    let began = Instant::now();
    assert_eq!(runtime.shutdown(LONG), ShutdownReport { ended: 4, cut: 0 });
    assert!((SHORT..LONG / 2).contains(&began.elapsed()));
}

#[test]
fn shutdown_cuts_what_is_left_at_the_deadline() {
    let runtime = MullamaRuntime::new().worker_threads(2).shutdown_timeout(10 * SHORT).build().unwrap();
    let token = runtime.shutdown_token();
    runtime.spawn(async move { token.cancelled().await });
    let (gone, is_gone) = mpsc::channel::<()>();
    runtime.spawn(async move {
        let _gone = gone;
        std::future::pending::<()>().await;
    });
    assert_eq!(runtime.shutdown(None), ShutdownReport { ended: 1, cut: 1 });
    assert_eq!(is_gone.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn the_deadline_holds_when_all_workers_are_blocked() {
    let runtime = MullamaRuntime::new().worker_threads(1).build().unwrap();
    let (release, gate) = mpsc::channel::<()>();
    let (began, has_begun) = mpsc::channel();
    runtime.spawn(async move {
        began.send(()).unwrap();
        gate.recv()
    });
    has_begun.recv().unwrap();
    let clock = Instant::now();
    assert_eq!(runtime.shutdown(SHORT), ShutdownReport { ended: 0, cut: 1 });
    assert!(clock.elapsed() < LONG / 2);
    drop(release);
}

#[tokio::test]
async fn shutdown_works_inside_another_runtime_and_with_any_deadline() {
    let runtime = runtime();
    let token = runtime.shutdown_token();
    runtime.spawn(async move { token.cancelled().await });
    assert_eq!(runtime.shutdown(Duration::MAX), ShutdownReport { ended: 1, cut: 0 });
}

#[test]
fn metrics_count_tasks_and_busy_time() {
    let runtime = MullamaRuntime::new().worker_threads(1).build().unwrap();
    let (release, gate) = mpsc::channel::<()>();
    let blocking = runtime.spawn_blocking(move || gate.recv());
    let waiting = runtime.spawn(std::future::pending::<()>());
    let metrics = runtime.metrics();
    assert_eq!((metrics.workers, metrics.alive_tasks, metrics.blocking_tasks), (1, 1, 1));
    drop(release);
    waiting.abort();
    let _ = runtime.block_on(async { (blocking.await, waiting.await) }).unwrap();
    let busy = runtime.spawn(async { thread::sleep(4 * SHORT) });
    runtime.block_on(busy).unwrap().unwrap();
    runtime.block_on(async { sleep(SHORT).await }).unwrap();
    let metrics = runtime.metrics();
    assert_eq!(metrics.blocking_tasks, 0);
    assert!((0.2..=1.0).contains(&metrics.busy_ratio), "{metrics:?}");
    assert!(metrics.uptime >= 5 * SHORT);
    let json = serde_json::to_string(&metrics).unwrap();
    assert_eq!(serde_json::from_str::<RuntimeMetrics>(&json).unwrap(), metrics);
}
