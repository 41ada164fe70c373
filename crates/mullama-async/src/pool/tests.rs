//! The pool's work on a loader without models.

mod fake;
mod random;
mod sequence;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::ModelState;
use super::lease::Lease;
use super::machine::Machine;
use crate::error::Error;
use fake::{Fake, Spec, World};

type Pool = Arc<Machine<Fake>>;

const MS: Duration = Duration::from_millis(1);

fn pool(limit: u64, keep_alive: Option<Duration>, models: Vec<(&str, Spec)>) -> (Pool, Arc<World>) {
    let world = Arc::new(World::default());
    world.limit.store(limit, Ordering::SeqCst);
    let machine = Machine::new(Fake(Arc::clone(&world)), limit, keep_alive);
    for (name, spec) in models {
        machine.register(name.to_owned(), spec).unwrap();
    }
    (machine, world)
}

fn state(pool: &Pool, name: &str) -> ModelState {
    pool.lock().entries[name].health(name, pool.keep_alive).state
}

fn ready(pool: &Pool) -> Vec<String> {
    let names = pool.lock().entries.keys().cloned().collect::<Vec<_>>();
    names.into_iter().filter(|name| state(pool, name) == ModelState::Ready).collect()
}

fn fail(spec: Spec, times: usize) -> Spec {
    spec.failures.store(times, Ordering::SeqCst);
    spec
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_load_once() {
    let (pool, world) = pool(10, None, vec![("a", Spec { load: MS * 50, ..Spec::of(4) })]);
    let leases = join_all((0..20).map(|_| pool.get("a"))).await;
    assert!(leases.iter().all(Result::is_ok));
    assert_eq!((world.loads.load(Ordering::SeqCst), world.resident.load(Ordering::SeqCst)), (1, 4));
    assert!(matches!(pool.get("b").await, Err(Error::NoSuchModel { .. })));
    assert!(matches!(pool.register("a".to_owned(), Spec::of(1)), Err(Error::DuplicateModel { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_failed_load_is_told_to_all_and_tried_again() {
    let (pool, world) = pool(10, None, vec![("a", fail(Spec { load: MS * 50, ..Spec::of(4) }, 1))]);
    for error in join_all((0..5).map(|_| pool.get("a"))).await.into_iter().map(|lease| lease.err().unwrap()) {
        assert!(matches!(&error, Error::LoadModel { name, .. } if name == "a"), "{error}");
    }
    let ModelState::Failed { reason } = state(&pool, "a") else { panic!("{:?}", state(&pool, "a")) };
    assert_eq!(reason, "cannot load the model `a`: file is broken, but must be a model");
    assert_eq!(world.resident.load(Ordering::SeqCst), 0);
    assert!(pool.get("a").await.is_ok());
    assert_eq!((state(&pool, "a"), world.loads.load(Ordering::SeqCst)), (ModelState::Ready, 2));
}

#[tokio::test(start_paused = true)]
async fn a_model_that_leaves_is_got_by_nobody() {
    let (pool, world) = pool(10, None, vec![("a", Spec { load: MS * 50, close: MS * 50, ..Spec::of(4) })]);
    let leave = || {
        pool.leave("a").unwrap();
        tokio::spawn(Arc::clone(&pool).remove("a".to_owned(), MS * 1_000))
    };
    // While somebody waits for it, who gets none.
    let waiting = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { pool.get("a").await.map(drop) }
    });
    sleep(MS * 10).await;
    let left = leave();
    assert!(matches!(waiting.await.unwrap(), Err(Error::NoSuchModel { .. })));
    assert!(left.await.unwrap().unwrap());
    assert_eq!((pool.lock().entries.len(), world.resident.load(Ordering::SeqCst)), (0, 0));
    assert!(matches!(pool.leave("a"), Err(Error::NoSuchModel { .. })));
    // While somebody has it.
    pool.register("a".to_owned(), Spec::of(4)).unwrap();
    let lease = pool.get("a").await.unwrap();
    let left = leave();
    sleep(MS * 10).await;
    assert!(matches!(pool.get("a").await, Err(Error::NoSuchModel { .. })));
    assert!(!left.is_finished() && lease.engine().is_open());
    drop(lease);
    assert!(left.await.unwrap().unwrap());
    assert_eq!((pool.lock().entries.len(), world.engines.load(Ordering::SeqCst)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_idle_model_that_was_used_longest_ago_goes_first() {
    let models = vec![("a", Spec::of(4)), ("b", Spec::of(4)), ("c", Spec::of(4)), ("d", Spec::of(9))];
    let (pool, _) = pool(10, None, models);
    let a = pool.get("a").await.unwrap();
    sleep(MS).await;
    drop(pool.get("b").await.unwrap());
    sleep(MS).await;
    drop(a);
    drop(pool.get("c").await.unwrap());
    assert_eq!(ready(&pool), ["a", "c"]);
    // In use: only the other one can go, and that is not enough.
    let a = pool.get("a").await.unwrap();
    match pool.get("d").await {
        Err(Error::NoMemory { needed: 9, available: 6, limit: 10, .. }) => {}
        other => panic!("{:?}", other.err()),
    }
    assert_eq!(ready(&pool), ["a", "c"]);
    assert_eq!(state(&pool, "d"), ModelState::Unloaded);
    drop(a);
    drop(pool.get("d").await.unwrap());
    assert_eq!(ready(&pool), ["d"]);
}

#[tokio::test(start_paused = true)]
async fn an_heir_has_no_room_made_by_the_one_before_it() {
    let (pool, _) = pool(10, None, vec![("a", Spec::of(4)), ("b", Spec::of(4)), ("c", Spec::of(4))]);
    drop(pool.get("a").await.unwrap());
    sleep(MS).await;
    drop(pool.get("b").await.unwrap());
    pool.inherit("c", Some("a".to_owned()));
    drop(pool.get("c").await.unwrap());
    assert_eq!(ready(&pool), ["a", "c"]);
    pool.register("d".to_owned(), Spec::of(9)).unwrap();
    pool.inherit("d", Some("a".to_owned()));
    assert!(matches!(pool.get("d").await, Err(Error::NoMemory { .. })));
    assert!(ready(&pool).contains(&"a".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_model_larger_than_the_bound_is_refused_for_good() {
    let (pool, _) = pool(10, None, vec![("a", Spec::of(4)), ("b", Spec::of(11))]);
    pool.get("a").await.unwrap();
    let error = pool.get("b").await.err().unwrap();
    assert_eq!(error.kind(), mullama_core::ErrorKind::Unavailable);
    assert_eq!(ready(&pool), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn the_bound_holds_while_a_model_is_unloaded_slowly() {
    let slow = Spec { close: MS * 500, ..Spec::of(6) };
    let (pool, world) = pool(10, None, vec![("a", slow), ("b", Spec::of(6)), ("c", Spec::of(3))]);
    pool.get("a").await.unwrap();
    let both = join_all(["b", "c"].map(|name| pool.get(name))).await;
    assert!(both.iter().all(Result::is_ok));
    assert_eq!(world.resident.load(Ordering::SeqCst), 9);
}

#[tokio::test(start_paused = true)]
async fn idle_models_go_after_their_time() {
    let (pool, world) = pool(10, Some(MS * 100), vec![("a", Spec::of(4)), ("b", Spec::of(4))]);
    let a = pool.get("a").await.unwrap();
    drop(pool.get("b").await.unwrap());
    let health = pool.lock().entries["b"].health("b", pool.keep_alive);
    assert_eq!((health.unloads_in, health.memory_bytes), (Some(MS * 100), 4));
    sleep(MS * 102).await;
    assert_eq!(ready(&pool), ["a"]);
    drop(a);
    sleep(MS * 50).await;
    drop(pool.get("a").await.unwrap());
    sleep(MS * 90).await;
    assert_eq!(ready(&pool), ["a"]);
    sleep(MS * 12).await;
    assert!(ready(&pool).is_empty());
    assert_eq!((world.engines.load(Ordering::SeqCst), world.resident.load(Ordering::SeqCst)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_replica_with_the_least_to_do_is_taken() {
    let (pool, _) = pool(10, None, vec![("a", Spec { replicas: 3, ..Spec::of(4) })]);
    let leases: Vec<_> = join_all((0..3).map(|_| pool.get("a"))).await.into_iter().map(Result::unwrap).collect();
    let place = |lease: &Lease<Fake>| Arc::as_ptr(&lease.engine().inner);
    let mut places: Vec<_> = leases.iter().map(place).collect();
    places.sort();
    places.dedup();
    assert_eq!(places.len(), 3);
    leases[0].engine().inner.load.store(5, Ordering::SeqCst);
    leases[1].engine().inner.load.store(2, Ordering::SeqCst);
    leases[2].engine().inner.load.store(3, Ordering::SeqCst);
    assert_eq!(place(&pool.get("a").await.unwrap()), place(&leases[1]));
    assert_eq!(pool.lock().entries["a"].health("a", None).load, 10);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_has_ended_is_replaced() {
    let (pool, world) = pool(10, None, vec![("a", Spec::of(4))]);
    let old = pool.get("a").await.unwrap();
    old.engine().die();
    let new = pool.get("a").await.unwrap();
    assert!(new.engine().is_open() && !old.engine().is_open());
    assert_eq!((world.loads.load(Ordering::SeqCst), world.engines.load(Ordering::SeqCst)), (1, 2));
    // Where no new one can be had, those who wait are told, and the next one loads anew.
    world.replacements_fail.store(true, Ordering::SeqCst);
    new.engine().die();
    assert!(matches!(pool.get("a").await, Err(Error::LoadModel { .. })));
    drop((old, new));
    assert!(pool.get("a").await.unwrap().engine().is_open());
    assert_eq!((world.loads.load(Ordering::SeqCst), world.engines.load(Ordering::SeqCst)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn unloading_waits_for_those_who_have_it_until_the_deadline() {
    let (pool, world) = pool(10, None, vec![("a", Spec::of(4)), ("b", Spec::of(7))]);
    let lease = pool.get("a").await.unwrap();
    let give_back = async {
        sleep(MS * 20).await;
        assert!(lease.engine().is_open());
        assert_eq!(state(&pool, "a"), ModelState::Unloading);
        drop(lease);
    };
    let (in_time, ()) = tokio::join!(pool.unload("a", MS * 100), give_back);
    assert!(in_time.unwrap());
    let lease = pool.get("a").await.unwrap();
    assert!(!pool.unload("a", MS * 100).await.unwrap());
    assert!(!lease.engine().is_open());
    // What somebody holds on to still counts.
    assert_eq!((state(&pool, "a"), world.resident.load(Ordering::SeqCst)), (ModelState::Unloaded, 4));
    assert!(matches!(pool.get("b").await, Err(Error::NoMemory { available: 6, .. })));
    drop(lease);
    tokio::task::yield_now().await;
    assert!(pool.get("b").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gives_up_leaves_a_load_that_ends() {
    let (pool, _) = pool(10, Some(MS * 100), vec![("a", Spec { load: MS * 50, ..Spec::of(4) })]);
    assert!(timeout(MS * 10, pool.get("a")).await.is_err());
    assert_eq!(state(&pool, "a"), ModelState::Loading);
    sleep(MS * 45).await;
    assert_eq!(state(&pool, "a"), ModelState::Ready);
    sleep(MS * 105).await;
    assert_eq!(state(&pool, "a"), ModelState::Unloaded);
}

#[tokio::test(start_paused = true)]
async fn a_model_stays_for_a_call_that_has_waited_for_it() {
    let (pool, world) = pool(10, Some(Duration::ZERO), vec![("a", Spec::of(6)), ("b", Spec::of(6))]);
    let mut waits = Box::pin(pool.get("a"));
    assert!((&mut waits).now_or_never().is_none());
    // Loaded, and with nobody to have it; but somebody has waited, and is slow to take it.
    sleep(MS * 50).await;
    assert!(matches!(pool.get("b").await, Err(Error::NoMemory { .. })));
    assert!(waits.await.unwrap().engine().is_open());
    assert_eq!(world.loads.load(Ordering::SeqCst), 1);
    assert!(pool.get("b").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_loads_and_engines_and_takes_nothing() {
    let models = vec![("a", Spec { load: MS * 500, ..Spec::of(4) }), ("b", Spec::of(4))];
    let (pool, world) = pool(10, Some(MS), models);
    let b = pool.get("b").await.unwrap();
    let (loading, in_time, ()) = tokio::join!(pool.get("a"), pool.shutdown(MS * 100), async {
        sleep(MS * 10).await;
        drop(b);
    });
    assert!(matches!(loading, Err(Error::ShutDown)) && in_time);
    assert!(matches!(pool.get("b").await, Err(Error::ShutDown)));
    assert_eq!((world.engines.load(Ordering::SeqCst), world.resident.load(Ordering::SeqCst)), (0, 0));
}

#[test]
fn the_end_of_a_runtime_leaves_a_pool_that_another_can_use() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (pool, world) = pool(10, Some(MS * 5), vec![("a", Spec { load: MS * 20, ..Spec::of(4) })]);
    runtime().block_on(async { assert!(timeout(MS, pool.get("a")).await.is_err()) });
    assert!(matches!(state(&pool, "a"), ModelState::Failed { .. }));
    runtime().block_on(async { pool.get("a").await.unwrap() });
    assert_eq!(state(&pool, "a"), ModelState::Ready);
    // What watched over idle models has gone with the runtime, and is begun again.
    runtime().block_on(async {
        drop(pool.get("a").await.unwrap());
        sleep(MS * 100).await;
    });
    assert_eq!(state(&pool, "a"), ModelState::Unloaded);
    assert_eq!((world.engines.load(Ordering::SeqCst), world.resident.load(Ordering::SeqCst)), (0, 0));
}

#[test]
fn tasks_that_a_runtime_never_began_leave_no_trace() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (pool, world) = pool(10, Some(MS * 5), vec![("a", Spec::of(4))]);
    // Each of these is polled once, and its task is still in the queue when the runtime ends.
    runtime().block_on(async { assert!(pool.get("a").now_or_never().is_none()) });
    assert!(matches!(state(&pool, "a"), ModelState::Failed { .. }));
    let lease = runtime().block_on(async { pool.get("a").await.unwrap() });
    runtime().block_on(async {
        lease.engine().die();
        assert!(pool.get("a").now_or_never().is_none());
    });
    assert!(!pool.lock().entries["a"].mending);
    runtime().block_on(async { assert!(pool.unload("a", MS).now_or_never().is_none()) });
    assert_eq!(state(&pool, "a"), ModelState::Unloaded);
    drop(lease);
    assert_eq!((world.engines.load(Ordering::SeqCst), world.resident.load(Ordering::SeqCst)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_pool_lets_engines_go_with_their_last_user() {
    let (pool, world) = pool(10, None, vec![("a", Spec::of(4)), ("b", Spec::of(4))]);
    let a = pool.get("a").await.unwrap();
    pool.get("b").await.unwrap();
    pool.abandon();
    assert_eq!((world.resident.load(Ordering::SeqCst), a.engine().is_open()), (4, true));
    drop(a);
    assert_eq!((world.engines.load(Ordering::SeqCst), world.resident.load(Ordering::SeqCst)), (0, 0));
}
