//! Many random actions leave nothing behind.

use super::*;

/// Waits until the runtime has `base` tasks.
pub(super) fn settles(runtime: &MullamaRuntime, base: usize) {
    let began = std::time::Instant::now();
    while runtime.metrics().alive_tasks != base {
        assert!(began.elapsed() < Duration::from_secs(20), "left: {:?}", runtime.metrics());
        std::thread::sleep(MS);
    }
}

#[test]
fn ten_thousand_random_actions_leave_no_task_alive() {
    let runtime = MullamaRuntime::new().worker_threads(3).build().unwrap();
    let witness = Arc::new(());
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 0..10 {
        let mut tasks = TaskManager::with_queue(&runtime, 16).unwrap();
        tasks.shared.set_patience(MS * 20);
        let mut jobs = Vec::new();
        for _ in 0..1_000 {
            act(&runtime, &mut tasks, &mut jobs, &mut random, &witness);
        }
        if round % 2 == 0 {
            let report = runtime.block_on(tasks.shutdown(MS * 20)).unwrap();
            assert_eq!(report.stuck, 0, "{report:?}");
            assert!(tasks.list().iter().all(|status| status.state.has_ended()));
        } else {
            drop(tasks);
        }
        for job in jobs {
            let waited = runtime.block_on(async { tokio::time::timeout(MS * 10_000, job).await });
            assert!(waited.unwrap().is_ok(), "a job neither ended nor was cancelled");
        }
        settles(&runtime, 0);
        assert_eq!(Arc::strong_count(&witness), 1, "round {round} keeps a task's values");
    }
    assert_eq!(runtime.shutdown(MS * 1000).cut, 0);
}

fn act(
    runtime: &MullamaRuntime,
    tasks: &mut TaskManager,
    jobs: &mut Vec<JobHandle<u64>>,
    random: &mut Random,
    witness: &Arc<()>,
) {
    let (name, kind, witness) = (format!("t{}", random.below(40)), random.below(6), Arc::clone(witness));
    match random.below(8) {
        0 | 1 => {
            let policy = match random.below(3) {
                0 => RestartPolicy::Never,
                1 => RestartPolicy::OnFailure { max_restarts: 2, backoff: backoff(1, 4) },
                _ => RestartPolicy::Always { backoff: backoff(1, 8) },
            };
            let spawned = tasks.spawn(name, move |context| perform(kind, context, Arc::clone(&witness)), policy);
            assert!(matches!(spawned, Ok(_) | Err(Error::DuplicateTask { .. })));
        }
        2 => drop(tasks.cancel(&name)),
        3 | 4 => {
            let submitted = tasks.submit(move |context| async move {
                drop(perform(kind, context, witness).await);
                kind
            });
            match submitted {
                Ok(job) => jobs.push(job),
                Err(Error::NoWorker | Error::Overloaded { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        5 if !jobs.is_empty() => {
            let at = usize::try_from(random.below(jobs.len() as u64)).unwrap();
            drop(jobs.swap_remove(at));
        }
        6 if random.below(4) == 0 => {
            runtime.block_on(tasks.spawn_generation_worker()).unwrap().unwrap();
        }
        _ if random.below(8) == 0 => drop(tasks.cancel(&format!("generation-{}", random.below(8)))),
        _ if random.below(4) == 0 => std::thread::sleep(MS),
        _ => drop(tasks.list()),
    }
}

async fn perform(kind: u64, context: TaskContext, _witness: Arc<()>) -> TaskResult {
    match kind {
        0 => Ok(()),
        1 => (sleep(MS).await, Ok(())).1,
        2 => (context.cancelled().await, Ok(())).1,
        3 => pending().await,
        4 => quiet_panic("random"),
        _ => Err("random".into()),
    }
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}
