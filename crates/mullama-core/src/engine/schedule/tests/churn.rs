//! Thousands of requests that come and go in one engine.

use std::time::Duration;

use super::naive::Ask;
use super::scripted::{family, mix};
use super::world::{Setup, World};

#[test]
fn nothing_piles_up() {
    for unified in [true, false] {
        let mut setup = Setup { host: 4_000, reader_timeout_ms: Some(200), ..Setup::new(4, unified) };
        if unified {
            setup.shape.cells = 200;
        }
        let mut world = World::new(setup);
        let mut random = 7;
        let mut below = |limit: u64| {
            random = mix(random);
            usize::try_from(random % limit).unwrap()
        };
        for _ in 0..50 {
            for _ in 0..100 {
                let prompt = family(u8::try_from(below(6)).unwrap()).take(1 + below(100));
                let own = family(u8::try_from(below(200)).unwrap()).take(1 + below(20));
                let client = world.submit(Ask {
                    batch: below(3) == 0,
                    timeout_ms: (below(4) == 0).then(|| below(500) as u64),
                    buffer: 1 + below(8),
                    reads: below(8) > 0,
                    ..Ask::new(prompt.chain(own).collect(), 1 + u32::try_from(below(20)).unwrap())
                });
                world.turns(below(12));
                if below(4) == 0 {
                    world.cancel(client - below(10).min(client), below(2) == 0);
                }
                if below(20) == 0 {
                    world.schedule.decoder.jump(Duration::from_millis(below(300) as u64));
                }
            }
            world.finish();
            assert!(world.schedule.running.capacity() <= 8);
            world.clients.clear();
        }
    }
}
