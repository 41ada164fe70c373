//! Many things at once: the bound holds, nobody has an engine that was ended under him, and at the end nothing is left.

use tokio::task::JoinSet;

use super::*;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }

    fn time(&mut self, limit: u64) -> Duration {
        Duration::from_millis(self.below(limit))
    }
}

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

async fn use_one(pool: &Pool, random: &mut Random) {
    let name = NAMES[usize::try_from(random.below(6)).unwrap()];
    let patience = random.time(400);
    match timeout(patience, pool.get(name)).await {
        Ok(Ok(lease)) => {
            let engine = lease.engine().clone();
            engine.inner.held.fetch_add(1, Ordering::SeqCst);
            engine.inner.load.fetch_add(1, Ordering::SeqCst);
            sleep(random.time(60)).await;
            if random.below(40) == 0 {
                engine.die();
            }
            engine.inner.load.fetch_sub(1, Ordering::SeqCst);
            engine.inner.held.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(Err(Error::NoMemory { needed, available, .. })) => assert!(needed > available),
        Ok(Err(Error::LoadModel { .. } | Error::ShutDown)) | Err(_) => {}
        Ok(Err(error)) => panic!("{error}"),
    }
}

async fn unload_one(pool: &Pool, random: &mut Random) {
    let name = NAMES[usize::try_from(random.below(6)).unwrap()];
    // Sometimes too little time for those who have it: their engines are then ended with none left.
    pool.unload(name, random.time(40)).await.unwrap();
}

async fn scene(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let limit = 8 + random.below(12);
    let spec = |random: &mut Random| Spec {
        bytes: 1 + random.below(8),
        replicas: 1 + usize::try_from(random.below(3)).unwrap(),
        load: random.time(30),
        close: random.time(20),
        failures: usize::try_from(random.below(3)).unwrap().into(),
    };
    let models = NAMES.iter().map(|name| (*name, spec(&mut random))).collect();
    let keep_alive = (random.below(4) > 0).then(|| random.time(100));
    let (pool, world) = pool(limit, keep_alive, models);
    world.replacements_fail.store(random.below(3) == 0, Ordering::SeqCst);
    let mut callers = JoinSet::new();
    for caller in 0..12 {
        let (pool, mut random) = (Arc::clone(&pool), Random(random.below(1 << 30) * 2 + 1));
        callers.spawn(async move {
            for _ in 0..30 {
                match caller {
                    0 => unload_one(&pool, &mut random).await,
                    _ => use_one(&pool, &mut random).await,
                }
                sleep(random.time(30)).await;
            }
        });
    }
    if seed.is_multiple_of(3) {
        sleep(random.time(400)).await;
        pool.shutdown(Duration::ZERO).await;
    }
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
    if seed.is_multiple_of(2) {
        pool.shutdown(MS * 1_000).await;
    } else {
        pool.abandon();
        // Unloading and loads that were under way.
        sleep(MS * 100).await;
    }
    assert_eq!(world.engines.load(Ordering::SeqCst), 0, "seed {seed}");
    assert_eq!(world.resident.load(Ordering::SeqCst), 0, "seed {seed}");
    let state = pool.lock();
    assert!(state.entries.values().all(|entry| entry.waiting == 0 && !entry.resident && entry.bytes == 0));
    assert_eq!(state.held, 0);
}

#[test]
fn three_hundred_random_scenes_leave_nothing_behind() {
    for seed in 1..=300 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            scene(seed).await;
            sleep(MS).await;
        });
        assert_eq!(runtime.metrics().num_alive_tasks(), 0, "seed {seed}");
    }
}

#[test]
fn on_several_threads_too() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_time().build().unwrap();
    runtime.block_on(async {
        let mut scenes = JoinSet::new();
        (1..=24).for_each(|seed| drop(scenes.spawn(scene(seed * 7))));
        while let Some(done) = scenes.join_next().await {
            done.unwrap();
        }
    });
}
