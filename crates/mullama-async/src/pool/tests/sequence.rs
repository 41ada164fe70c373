//! One thing after the other, against a naive model of the pool.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Action {
    Get(usize),
    GiveBack(usize),
    Unload(usize),
    /// Tenths of a second.
    Wait(u64),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (0..NAMES.len()).prop_map(Action::Get),
        3 => (0_usize..8).prop_map(Action::GiveBack),
        1 => (0..NAMES.len()).prop_map(Action::Unload),
        2 => (1_u64..8).prop_map(Action::Wait),
    ]
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
/// Never a whole number of tenths of a second, so that the order of events at one time does not matter.
const KEEP_ALIVE: u64 = 1_050;

#[derive(Debug, Clone, Default)]
struct Naive {
    bytes: u64,
    loaded: bool,
    leases: usize,
    /// In ms, and which of the uses at that time.
    used: (u64, u64),
}

impl Naive {
    fn idle(&self) -> bool {
        self.loaded && self.leases == 0
    }
}

/// Which models must go for `bytes` more. `Err`: it cannot be.
fn evict(models: &[Naive], bytes: u64, limit: u64) -> Result<Vec<usize>, u64> {
    let mut taken: u64 = models.iter().filter(|model| model.loaded).map(|model| model.bytes).sum();
    let mut idle: Vec<_> = (0..models.len()).filter(|at| models[*at].idle()).collect();
    idle.sort_by_key(|at| models[*at].used);
    let mut gone = Vec::new();
    for at in idle {
        if taken + bytes > limit {
            taken -= models[at].bytes;
            gone.push(at);
        }
    }
    if taken + bytes > limit { Err(limit - taken) } else { Ok(gone) }
}

fn run(limit: u64, sizes: &[u64], actions: &[Action]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let specs = NAMES.iter().zip(sizes).map(|(name, bytes)| (*name, Spec::of(*bytes))).collect();
        let (pool, world) = pool(limit, Some(MS * 1_050), specs);
        let mut models: Vec<_> = sizes.iter().map(|bytes| Naive { bytes: *bytes, ..Naive::default() }).collect();
        let mut leases: Vec<(usize, Lease<Fake>)> = Vec::new();
        let (mut now, mut uses) = (0, 0);
        for action in actions {
            uses += 1;
            match action {
                Action::Get(at) => {
                    let expected = if models[*at].loaded { Ok(Vec::new()) } else { evict(&models, sizes[*at], limit) };
                    match (pool.get(NAMES[*at]).await, expected) {
                        (Ok(lease), Ok(gone)) => {
                            assert!(lease.engine().is_open());
                            gone.iter().for_each(|gone| models[*gone].loaded = false);
                            let model = &mut models[*at];
                            (model.loaded, model.leases, model.used) = (true, model.leases + 1, (now, uses));
                            lease.engine().inner.held.fetch_add(1, Ordering::SeqCst);
                            leases.push((*at, lease));
                        }
                        (Err(Error::NoMemory { available, .. }), Err(expected)) => assert_eq!(available, expected),
                        (lease, expected) => panic!("{:?}, expected {expected:?}", lease.err()),
                    }
                    // So that no two uses are at the same time.
                    sleep(MS).await;
                    now += 1;
                }
                Action::GiveBack(which) if *which < leases.len() => {
                    let (at, lease) = leases.swap_remove(*which);
                    lease.engine().inner.held.fetch_sub(1, Ordering::SeqCst);
                    drop(lease);
                    models[at].leases -= 1;
                    models[at].used = (now, uses);
                    sleep(MS).await;
                    now += 1;
                }
                Action::GiveBack(_) => {}
                // One that somebody has is drained: told elsewhere.
                Action::Unload(at) if models[*at].leases == 0 => {
                    assert!(pool.unload(NAMES[*at], MS).await.unwrap());
                    models[*at].loaded = false;
                }
                Action::Unload(_) => {}
                Action::Wait(tenths) => {
                    let until = (now / 100 + tenths) * 100;
                    sleep(MS * u32::try_from(until - now).unwrap()).await;
                    now = until;
                }
            }
            // What is due has been done before the next look; a little time lets the tasks finish.
            sleep(MS * 2).await;
            now += 2;
            let there = ready(&pool);
            for (model, name) in models.iter_mut().zip(NAMES).filter(|(model, _)| model.idle()) {
                let due = model.used.0 + KEEP_ALIVE;
                // Within the little time it may be either.
                model.loaded = if due.abs_diff(now) <= 3 { there.iter().any(|ready| ready == name) } else { due > now };
            }
            let expected: Vec<_> = (0..NAMES.len()).filter(|at| models[*at].loaded).map(|at| NAMES[at]).collect();
            assert_eq!(ready(&pool), expected, "after {action:?} at {now}");
            let bytes: u64 = models.iter().filter(|model| model.loaded).map(|model| model.bytes).sum();
            assert_eq!(world.resident.load(Ordering::SeqCst), bytes);
        }
        for (_, lease) in leases.drain(..) {
            lease.engine().inner.held.fetch_sub(1, Ordering::SeqCst);
        }
        assert!(pool.shutdown(MS * 10).await);
        assert_eq!((world.engines.load(Ordering::SeqCst), world.resident.load(Ordering::SeqCst)), (0, 0));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn the_pool_does_what_a_list_would(
        limit in 6_u64..20,
        sizes in prop::collection::vec(1_u64..9, 5),
        actions in prop::collection::vec(action(), 0..60),
    ) {
        run(limit, &sizes, &actions);
    }
}
